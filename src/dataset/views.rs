//! The views of a history over the files of a dataset, for an engine that reads them.

use anyhow::{Result, ensure};

use super::TABLES;
use super::schema::{Kind, fields};
use crate::query::{Engine, View};

/// What each view has besides the columns of a history: whose rows they are.
const WHOSE: &str = "machine, machine_id, history, labels, day";

/// The columns of `verdicts`, which is a part of `egress`.
const VERDICTS: &str = "\
id, time, ts, pid, comm, exe, uid, \"user\", unit, container_id, container_name, container_image,
       pod, pod_namespace, host, host_source, protocol, dst_ip, dst_port, dst_scope,
       verdict AS action, enforced,
       CAST(enforced = 1 AND verdict NOT IN ('allow', 'alert') AS INTEGER) AS refused,
       rule, policy, outcome, errno, tx_bytes, rx_bytes, process_id";

/// The statements that create the views over the dataset in a directory or at a URL. They have the
/// names, columns and values of SQLite's, so that a statement has the same answer; besides, they
/// have the time as a timestamp, and whose rows they are.
///
/// # Errors
///
/// A place that can't be part of a pattern for names of files.
pub fn views(engine: Engine, dataset: &str) -> Result<String> {
    ensure!(
        !dataset.contains(['*', '?', '[', '{']),
        "the dataset's path {dataset} has a character that stands for others in a pattern: rename it"
    );
    let dataset = dataset.trim_end_matches('/');
    let views = TABLES.map(|table| view(engine, table, dataset));
    Ok(format!(
        "-- The views of egrets over the dataset {}, for {}.\n\n{}\n\
         CREATE OR REPLACE VIEW verdicts AS\nSELECT {VERDICTS},\n       {WHOSE}, timestamp\n\
         FROM egress WHERE verdict IS NOT NULL;\n",
        dataset.replace(['\n', '\r'], " "),
        engine.name(),
        views.concat()
    ))
}

fn view(engine: Engine, table: View, dataset: &str) -> String {
    let columns = fields(table).into_iter().map(|field| {
        let name = field.name;
        match field.kind {
            Kind::Boolean => format!("CAST(f.{name} AS INTEGER) AS {name}"),
            Kind::List => format!("array_to_string(f.{name}, ',') AS {name}"),
            Kind::Time => format!("{} AS {name}", engine.iso(&format!("f.{}", field.source))),
            Kind::Integer | Kind::Text | Kind::Address => format!("f.\"{name}\""),
        }
    });
    let whose = WHOSE.split(", ").map(|name| format!("f.{name}"));
    let columns = Vec::from_iter(columns.chain(whose));
    let path = format!("{dataset}/table={}/*/*/*.parquet", table.name()).replace('\'', "''");
    format!(
        "CREATE OR REPLACE VIEW {} AS\nSELECT {},\n       f.time AS timestamp\n\
         FROM read_parquet('{path}', union_by_name = true, hive_partitioning = true,\n       \
         hive_types = {{'table': VARCHAR, 'day': DATE, 'machine': VARCHAR}}) AS f;\n\n",
        table.name(),
        columns.join(",\n       "),
    )
}
