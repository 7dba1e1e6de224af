//! `egrets explain`: why a connection has its name.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::Local;

use crate::cli::ExplainArgs;
use crate::query::Explanation;
use crate::store;

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let Some(explanation) =
        Explanation::read(&db, args.id).map_err(|e| store::of_file(e, &path))?
    else {
        bail!(
            "there is no connection {} in {}; 'egrets query \"when did NAME hit HOST\"' and \
             'egrets record --print' show ids, while those of 'egrets watch' are not stored",
            args.id,
            path.display()
        );
    };
    let mut out = BufWriter::new(std::io::stdout());
    match args.json {
        true => explanation.json(&mut out)?,
        false => explanation.text(&Local::now(), &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
