//! `egrets policy learn` and `import`: policies to begin with.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chrono::Local;
use rusqlite::Connection;

use crate::cli::{PolicyImportArgs, PolicyLearnArgs};
use crate::human;
use crate::policy::learn::{Chosen, Wanted, base_of, learn};
use crate::policy::replay::replay;
use crate::policy::{Policy, import_config, system_resolvers};
use crate::store;
use crate::when;

/// Bytes of a config.yaml.
const MAX_CONFIG: u64 = 1 << 20;

pub fn run(args: &PolicyLearnArgs) -> Result<ExitCode> {
    let chosen = chosen(args)?;
    let (since, until) = args.span.between(&Local::now())?;
    let path = crate::commands::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let mut base = base_of(&chosen);
    base.system_resolvers = system_resolvers();
    let wanted = Wanted {
        since,
        until,
        chosen: &chosen,
        base: &base,
    };
    let of_file = |e| store::of_file(e, &path);
    let learned = learn(&db, &wanted).map_err(of_file)?;
    if learned.connections == 0 {
        eprintln!("nothing to learn from: the history has no such connections in this time");
        return Ok(ExitCode::from(1));
    }
    let others = other_resolvers(&db, &base, since, until).map_err(of_file)?;
    let text = learned.text(&chosen, &others);
    let mut policy = Policy::parse(&text).map_err(|problems| {
        anyhow::anyhow!(
            "the policy that was learnt can't be read: {:?}",
            problems.lines("policy")
        )
    })?;
    policy.system_resolvers.clone_from(&base.system_resolvers);
    let check = replay(&db, &policy, (since, until), when::now_ts()).map_err(of_file)?;
    write(args.output.as_deref(), args.force, &text)?;
    eprintln!(
        "learnt {} from {}; put to the same history, it stops {}",
        human::count(number(policy.rules.len()), "rule", "rules"),
        human::count(learned.connections, "connection", "connections"),
        check.stopped
    );
    Ok(ExitCode::SUCCESS)
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn chosen(args: &PolicyLearnArgs) -> Result<Vec<Chosen>> {
    let keys = [
        ("container", &args.container),
        ("image", &args.image),
        ("unit", &args.unit),
        ("user", &args.user),
    ];
    let values = keys
        .iter()
        .flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    values.map(|(key, value)| Chosen::new(key, value)).collect()
}

/// Servers that answered lookups and are no resolvers of the policy. Loopback is a stub's.
fn other_resolvers(
    db: &Connection,
    base: &Policy,
    since: Option<i64>,
    until: Option<i64>,
) -> Result<Vec<(String, i64)>> {
    let mut statement = db.prepare(
        "SELECT server_ip, sum(lookups) FROM lookups_total
         WHERE status = 'answered' AND server_ip IS NOT NULL AND server_port = 53
           AND last_ts >= ?1 AND first_ts < ?2
         GROUP BY server_ip ORDER BY 2 DESC",
    )?;
    let span = [since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)];
    let rows = statement.query_map(span, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut found: Vec<(String, i64)> = rows.collect::<Result<_, _>>()?;
    let is_known = |ip: &str| {
        let ip = ip.parse::<std::net::IpAddr>();
        ip.is_ok_and(|ip| ip.is_loopback() || base.resolver_addresses().any(|known| known == ip))
    };
    found.retain(|(ip, _)| !is_known(ip));
    Ok(found)
}

/// Writes to a new file, or to standard output.
fn write(path: Option<&Path>, force: bool, text: &str) -> Result<()> {
    let Some(path) = path else {
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    };
    let mut options = OpenOptions::new();
    options.write(true).mode(0o644);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists already: --force replaces it", path.display())
        }
        Err(e) => return Err(e).with_context(|| format!("can't write {}", path.display())),
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("can't write {}", path.display()))
}

pub fn import(args: &PolicyImportArgs) -> Result<ExitCode> {
    let text = read(&args.file)?;
    match import_config(&text) {
        Ok(imported) => {
            write(args.output.as_deref(), args.force, &imported.text)?;
            for note in &imported.notes {
                eprintln!("note: {note}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => bail!(super::problems(
            &args.file,
            "a config.yaml of the original egrets",
            &problems
        )),
    }
}

fn read(path: &PathBuf) -> Result<String> {
    let context = || format!("can't read {}", path.display());
    let file = std::fs::File::open(path).with_context(context)?;
    let mut text = String::new();
    file.take(MAX_CONFIG)
        .read_to_string(&mut text)
        .with_context(context)?;
    Ok(text)
}
