//! Tests of the store as a whole, and what they and other rooms' tests share.

mod columns;
mod doc_recipes;
pub mod history;
mod migrations;
mod retention;
pub mod support;
