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
    let path = format!("{dataset}/table={name}/*/*/*.parquet");
    let (before, files) = match engine {
        Engine::DuckDb => (
            String::new(),
            format!(
                "read_parquet({}, union_by_name = true, hive_partitioning = true,\n       \
                 hive_types = {{'table': VARCHAR, 'day': DATE, 'machine': VARCHAR}})",
                engine.text(&path)
            ),
        ),
        Engine::ClickHouse => {
            let function = match dataset.split_once("://") {
                None => "file",
                Some(("s3", _)) => "s3",
                Some((scheme, _)) => bail!(
                    "ClickHouse is given a dataset in a directory or at s3://, not at {scheme}://"
                ),
            };
            let columns = engine.text(&columns_of_files(engine, table));
            let path = engine.text(&path);
            (
                String::new(),
                format!("{function}({path}, 'Parquet', {columns})"),
            )
        }
        Engine::Spark => {
            // Hadoop's name for it
            let dataset = match dataset.strip_prefix("s3://") {
                Some(rest) => format!("s3a://{rest}"),
                None => dataset.to_owned(),
            };
            let path = engine.text(&format!("{dataset}/table={name}"));
            let columns = columns_of_files(engine, table);
            (
                format!(
                    "CREATE OR REPLACE TEMPORARY VIEW {name}_files ({columns})\n\
                     USING parquet OPTIONS (path {path});\n\n"
                ),
                format!("{name}_files"),
            )
        }
    };
    let settings = match engine {
        Engine::ClickHouse => "\nSETTINGS use_hive_partitioning = 1",
        _ => "",
    };
    Ok(format!(
        "{before}{} {name} AS\nSELECT {columns},\n       f.time AS timestamp\n\
         FROM {files} AS f{settings};\n\n",
        create(engine),
    ))
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
