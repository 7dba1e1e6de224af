//! Datasets of many machines, as the engines of docs/fleet.md answer from them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use egrets::query::Engine;
use serde_json::{Value, json};

use super::{egrets, text};

/// The program under test with these arguments.
pub fn egrets_with(args: &[&str]) -> Command {
    let mut command = egrets();
    command.args(args);
    command
}

/// A Python environment: that of scripts/tools.sh is `python`, that of scripts/engines.sh `engines`.
pub fn environment(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// DuckDB's answers to statements over the views of a dataset.
pub fn duckdb(dataset: &Path, statements: &[String]) -> Vec<Vec<Value>> {
    answers(Engine::DuckDb, "python", dataset, statements)
}

/// An engine's answers to statements over the views of a dataset, by a Python environment.
pub fn answers(
    engine: Engine,
    environment: &str,
    dataset: &Path,
    statements: &[String],
) -> Vec<Vec<Value>> {
    let engine = engine.name().to_lowercase();
    let views = egrets_with(&["export", "--ddl", &engine, "--output"])
        .arg(dataset)
        .output()
        .unwrap();
    assert!(views.status.success(), "{}", text(&views.stderr));
    let venv = self::environment(environment);
    let mut child = Command::new(venv.join("bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/engine.py"))
        .arg(&engine)
        .env("HOME", &venv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/tools.sh and 'make test-engines' install them");
    let input = json!([[text(&views.stdout), statements]]).to_string();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut all: Vec<Vec<Vec<Value>>> = serde_json::from_slice(&output.stdout).unwrap();
    all.remove(0)
}

/// An answer of DuckDB without the views.
pub fn raw(statement: &str) -> Vec<Value> {
    let code = "import duckdb, json, sys
r = duckdb.sql(sys.argv[1])
print(json.dumps([dict(zip(r.columns, row)) for row in r.fetchall()]))";
    let output = Command::new(environment("python").join("bin/python"))
        .args(["-c", code, statement])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
