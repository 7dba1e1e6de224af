use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command, value_parser};

use super::*;

/// A program with the kinds of options that egrets has.
fn program() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let record = Command::new("record").args([
        Arg::new(CONFIG)
            .long(CONFIG)
            .value_parser(value_parser!(PathBuf)),
        Arg::new("max-names")
            .long("max-names")
            .value_parser(value_parser!(u32))
            .default_value("7"),
        Arg::new("keep").long("keep"),
        Arg::new("exclude")
            .long("exclude")
            .action(ArgAction::Append),
        flag("no-args"),
        Arg::new("policy").long("policy").conflicts_with("open"),
        flag("open"),
        flag("enforce").requires("policy"),
    ]);
    Command::new("egrets").subcommand(record)
}

/// The options of `record` in `dir`, with those that are typed behind it.
fn run(dir: &Path, typed: &str, variables: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
    let file = dir.join("egrets.toml");
    let mut line = vec!["egrets", "record", "--config", file.to_str().unwrap()];
    line.extend(typed.split_whitespace());
    let line = Vec::from_iter(line.into_iter().map(OsString::from));
    let variable = |name: &str| {
        let mut found = variables.iter().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| OsString::from(value))
    };
    let resolved = resolve(&program(), &line, &variable)?;
    let words = resolved.words.into_iter().map(|word| word.into_string());
    Ok(words
        .map(Result::unwrap)
        .filter(|word| word.starts_with("--") && word != "--config")
        .collect())
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::create_dir_all(dir.join("conf.d")).unwrap();
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn what_counts_more_replaces_what_counts_less() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(
        dir,
        "egrets.toml",
        "[record]\nmax-names = 1_0\nkeep = \"1d\"\nexclude = [\"a\", 'b,c']\nno-args = true\n",
    );
    assert_eq!(
        run(dir, "", &[]).unwrap(),
        [
            "--exclude=a",
            "--exclude=b,c",
            "--keep=1d",
            "--max-names=10",
            "--no-args"
        ]
    );
    write(
        dir,
        "conf.d/20.toml",
        "[record]\nkeep = \"20d\"\nno-args = false\n",
    );
    write(
        dir,
        "conf.d/10.toml",
        "[record]\nkeep = \"10d\"\nexclude = []\n",
    );
    write(dir, "conf.d/30.toml.bak", "not read");
    assert_eq!(run(dir, "", &[]).unwrap(), ["--keep=20d", "--max-names=10"]);
    let variables = [
        ("EGRETS_KEEP", "30d"),
        ("EGRETS_EXCLUDE", "x, y"),
        ("EGRETS_MAX_NAMES", ""),
    ];
    assert_eq!(
        run(dir, "", &variables).unwrap(),
        ["--exclude=x", "--exclude=y", "--keep=30d", "--max-names=10"]
    );
    assert_eq!(
        run(dir, "--keep=40d --exclude=z", &variables).unwrap(),
        ["--max-names=10", "--keep=40d", "--exclude=z"]
    );
    // What was typed also replaces what it can't stand beside.
    write(dir, "conf.d/20.toml", "[record]\npolicy = \"p\"\n");
    assert!(
        !run(dir, "--open", &[])
            .unwrap()
            .contains(&"--policy=p".to_owned())
    );
}

#[test]
fn all_errors_are_reported_with_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let errors = |text: &str| {
        write(dir, "egrets.toml", text);
        let error = run(dir, "", &[("EGRETS_NO_ARGS", "yes")]).unwrap_err();
        error.to_string().replace(dir.to_str().unwrap(), "DIR")
    };
    assert_eq!(
        errors(
            "db = 1\n[record]\nmax-name = 5\nmax-names = \"x\"\nno-args = \"true\"\nexclude = 1.5\n\
             keep = [\"1d\"]\n[recrod]\n"
        ),
        "the configuration has 8 errors:\
         \n  DIR/egrets.toml:1: db stands in no section: put it below [record]\
         \n  DIR/egrets.toml:3: record has no option max-name; did you mean max-names?\
         \n  DIR/egrets.toml:5: no-args takes true or false\
         \n  DIR/egrets.toml:6: exclude takes a list, such as [\"a\", \"b\"]\
         \n  DIR/egrets.toml:7: keep takes a string in quotes, or a whole number\
         \n  DIR/egrets.toml:8: there is no section [recrod]; did you mean record?\
         \n  EGRETS_NO_ARGS takes true or false\
         \n  DIR/egrets.toml:4: invalid value 'x' for '--max-names <max-names>': invalid digit \
         found in string"
    );
    let syntax = errors("[record]\nkeep = \nmax-names = 1\nmax-names = 2\n");
    assert!(syntax.contains("DIR/egrets.toml:2: "), "{syntax}");
    assert!(syntax.contains("DIR/egrets.toml:4: "), "{syntax}");
    // What does not go together is the files' fault unless it was typed.
    write(dir, "egrets.toml", "[record]\nenforce = true\n");
    let error = run(dir, "", &[]).unwrap_err().to_string();
    assert!(
        error.contains("egrets.toml:2: the following required arguments"),
        "{error}"
    );
    assert!(run(dir, "--policy=p", &[]).is_ok());
    assert!(run(dir, "--nonsense", &[]).is_ok());
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "egrets.toml", "[record]\n");
    let file = dir.join("egrets.toml");
    let refused = || run(dir, "", &[]).map_err(|e| e.to_string()).err();
    assert_eq!(refused(), None);
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(refused().unwrap().contains("'chmod go-w "));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::chown(&file, Some(1000), None).unwrap();
        assert!(refused().unwrap().contains("'chown root "));
    }
    fs::remove_file(&file).unwrap();
    assert!(format!("{:#}", run(dir, "", &[]).unwrap_err()).contains("can't read"));
    fs::create_dir(&file).unwrap();
    assert!(refused().unwrap().contains("is not a regular file"));
}
