//! How answers are written: a table for people, JSON lines or CSV for programs.

mod answer;
mod cell;
mod clock;
mod columns;
mod notes;
mod rows;
mod table;

pub use answer::read_table;
pub use cell::{SHORT_ID, plain};
pub use clock::{Clock, zone_name};
pub use notes::Notes;
pub use rows::{RowFormat, RowWriter, json_value, write_all};
pub use table::{Align, Table};
