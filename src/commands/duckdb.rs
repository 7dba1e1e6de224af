//! Answers from a dataset: DuckDB, which is installed beside egrets, runs the statement.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::text::printable;

/// DuckDB's own program, and its Python package. Either takes statements on stdin, and writes the
/// only column of the last one's answer, a line for each row.
const WAYS: [(&str, &[&str]); 2] = [
    (
        "duckdb",
        &["-list", "-noheader", "-bail", "-init", "/dev/null"],
    ),
    ("python3", &["-c", PYTHON]),
];

const PYTHON: &str = "
import sys
try:
    import duckdb
except ImportError:
    sys.exit(127)
sys.stdin.reconfigure(encoding='utf-8')
sys.stdout.reconfigure(encoding='utf-8')
try:
    for (row,) in duckdb.connect().execute(sys.stdin.read()).fetchall():
        print(row)
except duckdb.Error as e:
    sys.exit(str(e))
";

/// Of the script above, where there is no such package; of a shell, where there is no such program.
const MISSING: i32 = 127;

/// Runs a statement over the views that `views` creates. The answer's rows are those of a table
/// `answer`.
///
/// # Errors
///
/// No DuckDB, and its own.
pub fn answer(views: &str, statement: &str) -> Result<Connection> {
    // each row as JSON: other forms leave open what is a number
    let statement = statement.trim_end().trim_end_matches(';');
    let script = format!("{views}\nSELECT to_json(answer_) FROM (\n{statement}\n) AS answer_;\n");
    let output = run(&script)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().next().unwrap_or("it says nothing");
        bail!("DuckDB can't answer this: {}", printable(said));
    }
    let lines = std::str::from_utf8(&output.stdout).context("DuckDB's answer is not UTF-8")?;
    let rows = lines.lines().filter(|line| !line.is_empty());
    let rows = rows.map(serde_json::from_str::<Row>);
    let rows = rows.collect::<Result<Vec<_>, _>>();
    stored(&rows.context("DuckDB's answer is not as expected")?)
}

fn run(script: &str) -> Result<Output> {
    for (program, args) in WAYS {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped());
        let mut child = match command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            child => child.with_context(|| format!("{program} can't be started"))?,
        };
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(script.as_bytes()) {
                // it says why
                Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
                written => written.with_context(|| format!("{program} takes no statement"))?,
            }
        }
        let output = child.wait_with_output()?;
        if output.status.code() != Some(MISSING) {
            return Ok(output);
        }
    }
    bail!(
        "--dataset needs DuckDB: install its program, duckdb, or its Python package ('pip install duckdb'), \
         or run what --sql=duckdb prints where it is installed"
    )
}

/// A row, with its columns in the statement's order.
struct Row(Vec<(String, Sql)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut columns = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    columns.push((name, sql(value)));
                }
                Ok(Row(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

fn sql(value: Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(is) => Sql::Integer(is.into()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Sql::Integer(number),
            None => number.as_f64().map_or(Sql::Null, Sql::Real),
        },
        Value::String(text) => Sql::Text(text),
        other => Sql::Text(other.to_string()),
    }
}

/// A table of these rows, without types, so that values stay as they are.
fn stored(rows: &[Row]) -> Result<Connection> {
    let db = Connection::open_in_memory()?;
    let none = Row(vec![("nothing".to_owned(), Sql::Null)]);
    let Row(first) = rows.first().unwrap_or(&none);
    let names = first
        .iter()
        .map(|(name, _)| format!("\"{}\"", name.replace('"', "\"\"")));
    let names = names.collect::<Vec<_>>().join(", ");
    db.execute_batch(&format!("CREATE TABLE answer ({names}); BEGIN"))?;
    let places = vec!["?"; first.len()].join(", ");
    let mut insert = db.prepare(&format!("INSERT INTO answer VALUES ({places})"))?;
    for Row(columns) in rows {
        insert.execute(params_from_iter(columns.iter().map(|(_, value)| value)))?;
    }
    drop(insert);
    db.execute_batch("COMMIT")?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_the_order_of_their_columns_and_their_types() {
        let line = r#"{"b":"11","a":11,"n":null,"x":1.5,"t":true,"l":[1]}"#;
        let row = serde_json::from_str(line).unwrap();
        let db = stored(&[row]).unwrap();
        let statement = db.prepare("SELECT * FROM answer").unwrap();
        assert_eq!(
            statement.column_names().collect::<Vec<_>>(),
            ["b", "a", "n", "x", "t", "l"]
        );
        let types =
            "SELECT typeof(b) || typeof(a) || typeof(n) || typeof(x) || typeof(t) || l FROM answer";
        let types: String = db.query_row(types, [], |row| row.get(0)).unwrap();
        assert_eq!(types, "textintegernullrealinteger[1]");
        drop(statement);
        assert_eq!(
            stored(&[])
                .unwrap()
                .query_row("SELECT count(*) FROM answer", [], |row| row
                    .get::<_, i64>(0)),
            Ok(0)
        );
    }
}
