//! Tests docs/engines.md: DuckDB gives the same answers from the SQLite file, JSON lines and
//! CSV.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;
use serde_json::{Value, json};

const ENGINES: &str = include_str!("../docs/engines.md");

/// Each question with its DuckDB statement.
fn questions() -> Vec<(&'static str, &'static str)> {
    let (_, questions) = ENGINES.split_once("## The same questions").unwrap();
    let sections = questions.split("\n### ").skip(1);
    sections
        .map(|section| {
            let (question, rest) = section.split_once('\n').unwrap();
            let (_, sql) = rest.split_once("```sql\n").unwrap();
            (question, sql.split_once("```").unwrap().0)
        })
        .collect()
}

/// The commands in a section: those of the shell, then DuckDB's.
fn way(title: &str) -> (Vec<&'static str>, String) {
    let (_, section) = ENGINES.split_once(&format!("### {title}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let (shell, sql): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("egrets "));
    (shell, sql.join("\n"))
}

/// The virtual environment that scripts/tools.sh creates.
fn venv() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    assert!(
        venv.join("bin/python").exists(),
        "{} is missing: run scripts/tools.sh",
        venv.display()
    );
    venv
}

/// DuckDB's answers to the statements, for each setup.
fn duckdb(directory: &Path, setups: &[String], statements: &[&str]) -> Vec<Vec<Vec<Value>>> {
    let input = setups.iter().map(|setup| json!([setup, statements]));
    let venv = venv();
    let mut child = Command::new(venv.join("bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/engine.py"))
        .arg("duckdb")
        .current_dir(directory)
        // its extension is installed there
        .env("HOME", &venv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = Value::Array(input.collect()).to_string();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The rows in canonical order, for comparison.
fn sorted(rows: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut rows = Vec::from_iter(rows.into_iter().map(|row| row.to_string()));
    rows.sort();
    rows
}

#[test]
fn duckdb_gives_the_same_answers_in_all_three_ways() {
    let mut net = Net::new();
    net.dnsmasq(&[
        &format!("--address=/example.com/{FAR4}"),
        &format!("--address=/other.test/{FAR4}"),
        "--address=/unused.test/192.0.2.1",
        "--local=/nx/",
    ]);
    let port = net.http("hello");
    let (dir, db) = history();
    let script = format!(
        "for n in 1 2 3; do curl -s4 http://www.example.com:{port}/; done
         curl -s4 http://example.com:{port}/ http://other.test:{port}/ http://{FAR4}:{port}/
         curl -s4 http://other.test:9/
         {dial} tcp {FAR4} {port}
         dig +tries=1 @{FAR4} unused.test gone.nx >/dev/null; :",
        dial = dial().display()
    );
    assert_eq!(code(&net.record(&db, &["sh", "-c", &script])), 0);

    let ways = ["The SQLite file", "JSON lines", "CSV"];
    let setups = ways.map(|title| {
        let (shell, sql) = way(title);
        for command in shell {
            let mut export = egrets();
            export.args(command.split(' ').skip(1));
            ok(export.arg("--db").arg(&db).current_dir(dir.path()));
        }
        // The extension is installed already.
        sql.replace("INSTALL sqlite; ", "")
            .replace("/var/lib/egrets/egrets.db", db.to_str().unwrap())
    });
    let (questions, statements): (Vec<_>, Vec<_>) = questions().into_iter().unzip();
    assert!(questions.len() >= 8);
    let mut checked = 0;
    let answers = duckdb(dir.path(), &setups, &statements);
    for (way, answers) in ways.iter().zip(&answers) {
        for (question, theirs) in questions.iter().zip(answers) {
            let mut query = egrets();
            query.args(["query", "--json", question, "--db"]).arg(&db);
            let ours = ok(query.env("TZ", "UTC"));
            let columns = theirs
                .first()
                .unwrap_or_else(|| panic!("{way}: {question}"));
            let columns = Vec::from_iter(columns.as_object().unwrap().keys());
            let ours = ours.lines().map(|line| {
                let row: Value = serde_json::from_str(line).unwrap();
                let chosen = columns
                    .iter()
                    .map(|&name| (name.clone(), row[name].clone()));
                Value::Object(chosen.collect())
            });
            assert_eq!(
                sorted(ours),
                sorted(theirs.iter().cloned()),
                "{way}: {question}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 3 * questions.len());
}
