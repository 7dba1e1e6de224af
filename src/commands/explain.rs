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
            "there is no connection {} in {}: 'egrets query \"when did NAME hit HOST\"' shows the \
             ids that there are, and so does 'egrets record --print'; what watch prints is not kept",
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
    if !explanation.has_evidence() {
        writeln!(
            std::io::stderr(),
            "note: an older egrets wrote {0}, and what its names rest on can't be read yet: \
             'sudo egrets record --db {0} --for 1s' brings it up to date",
            path.display()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
