//! `egrets man-pages`: a man page for each command and those in it, for `make install`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, ManArgs};

const FILES: &[(&str, &str)] = &[
    ("/var/lib/egrets/egrets.db", "The system's history."),
    (
        "/etc/egrets/egrets.toml, /etc/egrets/conf.d/*.toml",
        "Options of record, watch, serve, ship and alert that are not on the command line.",
    ),
    (
        "~/.local/state/egrets/egrets.db",
        "A user's own history, if there is no history of the system.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("EGRETS_DB", "The history file, unless --db names one."),
    (
        "EGRETS_CONFIG",
        "The file of options, unless --config names one; none reads no file.",
    ),
    (
        "EGRETS_...",
        "An option of record, watch, serve, ship or alert, as EGRETS_MAX_SIZE for --max-size.",
    ),
    (
        "NO_COLOR",
        "If it is set and not empty, tables have no colours.",
    ),
    (
        "PAGER",
        "Shows answers that are longer than the terminal; by default less. cat: none.",
    ),
    ("RUST_LOG", "debug adds the messages of libbpf."),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Found or done."),
    ("1", "query found nothing, or export wrote no row."),
    ("2", "An error, or a question that is not understood."),
    ("of CMD", "record -- CMD exits as CMD does."),
];

/// Examples of each command: what to type, and what it does.
fn examples(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "watch" => &[
            (
                "sudo egrets watch",
                "Print connections and lookups as they happen.",
            ),
            (
                "sudo egrets watch --json --exclude loopback",
                "The same as JSON, without loopback.",
            ),
        ],
        "record" => &[
            (
                "sudo egrets record",
                "Record into the system's history until Ctrl-C.",
            ),
            (
                "sudo egrets record --db ci.db -- make test",
                "Record a command and its descendants.",
            ),
            (
                "sudo egrets record --for 10m --print",
                "Record for ten minutes, and print too.",
            ),
        ],
        "query" => &[
            (
                "egrets query what did curl talk to today",
                "Hosts that curl contacted.",
            ),
            (
                "egrets query which processes hit example.com since yesterday",
                "Who contacted a host.",
            ),
            (
                "egrets query top 5 hosts by bytes sent last night",
                "Where most data went.",
            ),
            (
                "egrets query --json failed connections",
                "One JSON object per connection.",
            ),
            ("egrets query", "A prompt for questions, on a terminal."),
        ],
        "top" => &[
            ("sudo egrets top", "Who talks to whom now."),
            (
                "sudo egrets top --since 1h to public IPs",
                "And in the last hour, with public addresses only.",
            ),
        ],
        "alert" => &[
            (
                "sudo egrets alert new hosts by unit nginx.service",
                "A line for each host that the unit has never contacted before.",
            ),
            (
                "sudo egrets alert --if \"raw IPs\" --recorder --journald",
                "Addresses without a name, and trouble of the recorder, to the journal.",
            ),
        ],
        "export" => &[
            (
                "egrets export --output all.jsonl",
                "All connections as JSON lines.",
            ),
            (
                "egrets export --output curl.csv what did curl talk to",
                "Those of curl as CSV.",
            ),
        ],
        "report" => &[
            (
                "egrets report --since 24h -o report.html",
                "The last day as a page.",
            ),
            (
                "egrets report --db ci.db --markdown >> \"$GITHUB_STEP_SUMMARY\"",
                "A summary for a CI job.",
            ),
            (
                "egrets report --baseline last.db --db ci.db --markdown",
                "The same, with the hosts that the last run did not contact.",
            ),
        ],
        "serve" => &[
            ("sudo egrets serve", "The last hour in a browser, live."),
            (
                "sudo egrets serve --since 24h to public IPs",
                "What went to public addresses in the last day.",
            ),
        ],
        "ship" => &[
            (
                "sudo egrets ship --to s3://bucket/egress --label cluster=prod",
                "Keeps the rows of this machine in a dataset up to date.",
            ),
            (
                "egrets ship --to /srv/egress --once --db ci.db",
                "What is new in a CI job's history, and ends.",
            ),
        ],
        "explain" => &[("egrets explain 17", "Why connection 17 has its name.")],
        "config" => &[
            (
                "egrets config check",
                "All that is wrong with the system's configuration.",
            ),
            (
                "egrets config show",
                "The value of each option, and where it comes from.",
            ),
        ],
        "check" => &[("sudo egrets check", "Which hooks this kernel supports.")],
        "status" => &[(
            "egrets status --json",
            "Whether a recorder runs, for scripts.",
        )],
        "completions" => &[(
            "source <(egrets completions bash)",
            "Completion in this shell.",
        )],
        _ => &[
            ("sudo egrets", "Watch live."),
            ("sudo egrets record", "Record into the history."),
            (
                "egrets query what did curl talk to today",
                "Ask the history.",
            ),
        ],
    }
}

pub fn run(args: &ManArgs) -> Result<ExitCode> {
    let directory = &args.directory;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    fs::create_dir_all(directory)
        .with_context(|| format!("can't write {}", directory.display()))?;
    let commands = shown(&program).map(|command| command.get_name().to_owned());
    let commands = Vec::from_iter(commands);
    page(&program, None, &commands, directory)?;
    for command in shown(&program) {
        let name = command.get_name();
        let nested = shown(command).map(|nested| (nested, format!("{name}-{}", nested.get_name())));
        let nested = Vec::from_iter(nested);
        let names = nested.iter().map(|(_, name)| name.clone());
        let others = Vec::from_iter(names.chain(commands.clone()));
        page(command, Some(name), &others, directory)?;
        for (command, name) in nested {
            page(command, Some(&name), &others, directory)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands in it that users see.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    let all = command.get_subcommands();
    all.filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// Writes the page of the program, or of one of its commands: `policy`, or `policy-check` in it.
fn page(command: &Command, name: Option<&str>, all: &[String], directory: &Path) -> Result<()> {
    let title = match name {
        Some(name) => format!("egrets-{name}"),
        None => "egrets".to_owned(),
    };
    let path = directory.join(format!("{title}.1"));
    let man = Man::new(command.clone()).title(title.as_str());
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if shown(command).next().is_some() {
        man.render_subcommands_section(&mut out)?;
    }
    details(command, &mut out)?;
    let examples = match name {
        Some(name) if name.contains('-') => &[],
        name => examples(name.unwrap_or_default()),
    };
    if !examples.is_empty() {
        section("EXAMPLES", examples, &mut out)?;
    }
    section("FILES", FILES, &mut out)?;
    section("ENVIRONMENT", ENVIRONMENT, &mut out)?;
    section("EXIT STATUS", EXIT_STATUS, &mut out)?;
    let others = all.iter().map(|name| format!("egrets-{name}"));
    let others = others
        .chain(["egrets".to_owned()])
        .filter(|other| *other != title);
    let others = others.map(|other| format!("{other}(1)"));
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(others.collect::<Vec<_>>().join(", "))]);
    roff.to_writer(&mut out)?;
    fs::write(&path, out).with_context(|| format!("can't write {}", path.display()))
}

/// What stands below the options in the help.
fn details(command: &Command, out: &mut dyn Write) -> Result<()> {
    let Some(text) = command.get_after_help() else {
        return Ok(());
    };
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    // As in the help, line by line.
    roff.control("nf", []);
    for line in text.to_string().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    Ok(roff.to_writer(out)?)
}

fn section(title: &str, entries: &[(&str, &str)], out: &mut dyn Write) -> Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
    Ok(roff.to_writer(out)?)
}
