//! The definitions of the columns against the views, and docs/schema.md against both.

use std::collections::BTreeSet;

use super::super::open_reader;
use super::doc_recipes::fill;
use super::support::{self, number, texts};
use crate::columns::{ColumnDef, DNS, EGRESS};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.md");

/// The views whose columns are defined in [`crate::columns`].
const DEFINED: [(&str, &[ColumnDef]); 2] = [("egress", EGRESS), ("dns", DNS)];

fn view_columns(db: &rusqlite::Connection, view: &str) -> Vec<String> {
    texts(db, &format!("SELECT name FROM pragma_table_info('{view}')"))
}

#[test]
fn views_have_the_columns_that_are_defined_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let mut store = support::open(&path, 1);
    fill(&mut store, 1_000_000_000_000);
    let db = open_reader(&path).unwrap();
    for (view, columns) in DEFINED {
        let columns = Vec::from_iter(columns.iter().filter(|column| column.is_in_view()));
        let names = Vec::from_iter(columns.iter().map(|column| column.name));
        assert_eq!(view_columns(&db, view), names, "{view}");
        assert!(number(&db, &format!("SELECT count(*) FROM {view}")) > 0);
        for column in columns {
            let name = column.name;
            let nulls = format!("SELECT count(*) FROM {view} WHERE \"{name}\" IS NULL");
            assert!(
                column.null != "never" || number(&db, &nulls) == 0,
                "{view}.{name} is NULL"
            );
            let types = format!(
                "SELECT DISTINCT typeof(\"{name}\") FROM {view} WHERE \"{name}\" IS NOT NULL"
            );
            for found in texts(&db, &types) {
                assert!(
                    column.sql_type.starts_with(&found),
                    "{view}.{name}: {found}"
                );
            }
        }
    }
}

/// The lines that begin and end a generated table.
fn markers(view: &str) -> [String; 2] {
    [
        format!("<!-- columns of {view}: src/columns/{view}.rs -->\n"),
        format!("<!-- end of the columns of {view} -->\n"),
    ]
}

/// The page with its generated tables made anew.
fn regenerated(page: &str) -> String {
    let mut page = page.to_owned();
    for (view, columns) in DEFINED {
        let [begin, end] = markers(view);
        let (before, rest) = page.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        let mut table =
            "| column | type | meaning | NULL |\n| --- | --- | --- | --- |\n".to_owned();
        for column in columns.iter().filter(|column| column.is_in_view()) {
            let ColumnDef {
                name,
                sql_type,
                doc,
                null,
                ..
            } = column;
            table += &format!("| `{name}` | {sql_type} | {doc} | {null} |\n");
        }
        page = format!("{before}{begin}{table}{end}{after}");
    }
    page
}

/// `UPDATE_DOCS=1 cargo test --lib store::tests::columns` rewrites the page.
#[test]
fn the_schema_page_has_the_columns_as_defined() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let expected = regenerated(&page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/schema.md is out of date: UPDATE_DOCS=1 cargo test --lib store::tests::columns"
    );
}

/// The names in the first cells of the tables of a section.
fn documented(section: &str) -> BTreeSet<&str> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_schema_page_documents_every_column_of_every_view() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let _store = support::open(&path, 1);
    let db = open_reader(&path).unwrap();
    let page = std::fs::read_to_string(PAGE).unwrap();
    for view in texts(
        &db,
        "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name",
    ) {
        let section = page.split("\n## ").find(|section| {
            let heading = section.lines().next().unwrap_or_default();
            heading.split(", ").any(|name| name == view)
        });
        let section = section.unwrap_or_else(|| panic!("no section about {view}"));
        let columns = view_columns(&db, &view);
        let documented = documented(section);
        let missing = Vec::from_iter(
            columns
                .iter()
                .filter(|column| !documented.contains(column.as_str())),
        );
        assert!(missing.is_empty(), "{view}: {missing:?}");
    }
}
