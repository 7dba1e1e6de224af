//! The views of a history over the files of a dataset, for an engine that reads them.

use anyhow::{Result, bail, ensure};

use super::TABLES;
use super::schema::{Kind, fields};
use crate::query::{Engine, View};

/// What each view has besides the columns of a history: whose rows they are.
const WHOSE: &str = "machine, machine_id, history, labels, day";

/// The columns of `verdicts`, which is a part of `egress`.
const VERDICTS: &str = "\
id, time, ts, pid, comm, exe, uid, {user}, unit, container_id, container_name, container_image,
       pod, pod_namespace, host, host_source, protocol, dst_ip, dst_port, dst_scope,
       verdict AS action, enforced, {refused} AS refused,
       rule, policy, outcome, errno, tx_bytes, rx_bytes, process_id";

/// Whether it was refused.
const REFUSED: &str = "enforced = 1 AND verdict NOT IN ('allow', 'alert')";

/// The statements that create the views over the dataset in a directory or at a URL. They have the
/// names, columns and values of SQLite's, so that a statement has the same answer; besides, they
/// have the time as a timestamp, and whose rows they are.
///
/// # Errors
///
/// A place that can't be part of a pattern for names of files, or that the engine can't read.
pub fn views(engine: Engine, dataset: &str) -> Result<String> {
    ensure!(
        !dataset.contains(['*', '?', '[', '{']),
        "the dataset's path {dataset} has a character that stands for others in a pattern: rename it"
    );
    let dataset = dataset.trim_end_matches('/');
    let views = TABLES.map(|table| view(engine, table, dataset));
    let views = views.into_iter().collect::<Result<Vec<_>>>()?;
    let verdicts = VERDICTS
        .replace("{user}", &engine.name_of_column("user"))
        .replace("{refused}", &engine.as_number(REFUSED));
    Ok(format!(
        "-- The views of egrets over the dataset {}, for {}.\n\n{}\n\
         {} verdicts AS\nSELECT {verdicts},\n       {WHOSE}, timestamp\n\
         FROM egress WHERE verdict IS NOT NULL;\n",
        dataset.replace(['\n', '\r'], " "),
        engine.name(),
        views.concat(),
        create(engine)
    ))
}

/// What begins the statement that creates a view.
fn create(engine: Engine) -> &'static str {
    match engine {
        Engine::DuckDb | Engine::ClickHouse => "CREATE OR REPLACE VIEW",
        // those that last need a metastore
        Engine::Spark => "CREATE OR REPLACE TEMPORARY VIEW",
    }
}

fn view(engine: Engine, table: View, dataset: &str) -> Result<String> {
    let columns = fields(table).into_iter().map(|field| {
        let name = engine.name_of_column(field.name);
        match field.kind {
            Kind::Boolean => format!("{} AS {name}", engine.as_number(&format!("f.{name}"))),
            Kind::List => format!("{} AS {name}", engine.list_as_text(&format!("f.{name}"))),
            Kind::Time => format!("{} AS {name}", engine.iso(&format!("f.{}", field.source))),
            Kind::Integer | Kind::Text | Kind::Address => format!("f.{name} AS {name}"),
        }
    });
    let whose = WHOSE.split(", ").map(|name| match (engine, name) {
        // what a partition is taken for depends on its values
        (Engine::ClickHouse, "machine") => "toString(f.machine) AS machine".to_owned(),
        (Engine::ClickHouse, "day") => "toDate(f.day) AS day".to_owned(),
        _ => format!("f.{name} AS {name}"),
    });
    let columns = Vec::from_iter(columns.chain(whose)).join(",\n       ");
    let name = table.name();
    let columns = format!("{columns},\n       f.time AS timestamp");
    let (before, from) = match engine {
        Engine::DuckDb => (String::new(), duckdb_files(table, dataset)),
        Engine::ClickHouse => (String::new(), clickhouse_files(table, dataset)?),
        Engine::Spark => spark_files(table, dataset),
    };
    Ok(format!(
        "{before}{} {name} AS\nSELECT {columns}\nFROM {from};\n\n",
        create(engine),
    ))
}

/// Files of hours, and what of the name of one is not in that of its day. Where a day has a file,
/// those of its hours are left out: a shipper has made them one and is about to remove them, or was
/// killed before it could.
const HOUR: &str = "%-__.parquet";
const NOT_OF_DAY: &str = "-[0-9][0-9].parquet$";

/// The pattern of a table's files, as text.
fn all_files(engine: Engine, table: View, dataset: &str) -> String {
    engine.text(&format!("{dataset}/table={}/*/*/*.parquet", table.name()))
}

fn duckdb_files(table: View, dataset: &str) -> String {
    let engine = Engine::DuckDb;
    let all = all_files(engine, table, dataset);
    let hour = engine.text(HOUR);
    let not_of_day = engine.text(NOT_OF_DAY);
    format!(
        "read_parquet({all}, union_by_name = true, hive_partitioning = true, filename = true,\n       \
         hive_types = {{'table': VARCHAR, 'day': DATE, 'machine': VARCHAR}}) AS f\n\
         WHERE f.filename NOT IN (\n  \
         SELECT hour.file FROM glob({all}) AS hour\n  \
         JOIN glob({all}) AS day ON day.file = regexp_replace(hour.file, {not_of_day}, '.parquet')\n  \
         WHERE hour.file LIKE {hour})"
    )
}

fn clickhouse_files(table: View, dataset: &str) -> Result<String> {
    let engine = Engine::ClickHouse;
    let function = match dataset.split_once("://") {
        None => "file",
        Some(("s3", _)) => "s3",
        Some((scheme, _)) => {
            bail!("ClickHouse is given a dataset in a directory or at s3://, not at {scheme}://")
        }
    };
    let all = all_files(engine, table, dataset);
    let columns = engine.text(&columns_of_files(engine, table));
    let hour = engine.text(HOUR);
    let not_of_day = engine.text(NOT_OF_DAY);
    // In the format One, files are listed and not read.
    Ok(format!(
        "{function}({all}, 'Parquet', {columns}) AS f\n\
         WHERE _path NOT IN (\n  \
         SELECT _path FROM {function}({all}, 'One') WHERE _path LIKE {hour}\n  \
         AND replaceRegexpOne(_path, {not_of_day}, '.parquet') IN (SELECT _path FROM {function}({all}, 'One')))\n\
         SETTINGS use_hive_partitioning = 1"
    ))
}

/// The views of the files, and what selects from them. Files of days and of hours are views of their
/// own: where Spark is to say which file a row is from, conditions don't choose what is read.
fn spark_files(table: View, dataset: &str) -> (String, String) {
    let engine = Engine::Spark;
    // Hadoop's name for it
    let dataset = match dataset.strip_prefix("s3://") {
        Some(rest) => format!("s3a://{rest}"),
        None => dataset.to_owned(),
    };
    let name = table.name();
    let path = engine.text(&format!("{dataset}/table={name}"));
    let columns = columns_of_files(engine, table);
    let (days, hours) = ("????????????????.parquet", "*-??.parquet");
    let view = |what: &str, format: &str, files: &str| {
        format!(
            "CREATE OR REPLACE TEMPORARY VIEW {name}_{what}\n\
             USING {format} OPTIONS (path {path}, pathGlobFilter {});\n\n",
            engine.text(files)
        )
    };
    let before = [
        view(&format!("of_days ({columns})"), "parquet", days),
        view(&format!("of_hours ({columns})"), "parquet", hours),
        // Their contents are not read, as only their paths are selected.
        view("days", "binaryFile", days),
    ];
    let part = |expression: &str| format!("regexp_extract(path, '{expression}', 1)");
    let from = format!(
        "(\n  SELECT * FROM {name}_of_days\n  UNION ALL\n  SELECT * FROM {name}_of_hours AS h\n  \
         WHERE NOT EXISTS (SELECT * FROM {name}_days WHERE {} = h.history\n    \
         AND {} = h.machine AND {} = CAST(h.day AS STRING))\n) AS f",
        part("([^/]*)[.]parquet$"),
        part("/machine=([^/]*)/"),
        part("/day=([^/]*)/"),
    );
    (before.concat(), from)
}

/// The columns of the files with their types, for an engine that takes them from there: files of another
/// version may lack some.
fn columns_of_files(engine: Engine, table: View) -> String {
    let types: fn(Kind) -> &'static str = match engine {
        Engine::Spark => |kind| match kind {
            Kind::Integer => "BIGINT",
            Kind::Boolean => "BOOLEAN",
            Kind::Text => "STRING",
            Kind::List => "ARRAY<STRING>",
            Kind::Address => "BINARY",
            Kind::Time => "TIMESTAMP",
        },
        Engine::DuckDb | Engine::ClickHouse => |kind| match kind {
            Kind::Integer => "Nullable(Int64)",
            Kind::Boolean => "Nullable(Bool)",
            Kind::Text => "Nullable(String)",
            Kind::List => "Array(String)",
            Kind::Address => "Nullable(FixedString(16))",
            Kind::Time => "Nullable(DateTime64(6, 'UTC'))",
        },
    };
    let columns = fields(table).into_iter().map(|field| {
        let name = engine.name_of_column(field.name);
        format!("{name} {}", types(field.kind))
    });
    let whose = match engine {
        Engine::Spark => {
            "machine_id STRING, history STRING, labels MAP<STRING, STRING>, day DATE, machine STRING"
        }
        Engine::DuckDb | Engine::ClickHouse => {
            "machine_id Nullable(String), history String, labels Map(String, String)"
        }
    };
    Vec::from_iter(columns.chain([whose.to_owned()])).join(", ")
}
