//! `egrets serve`: the report in a browser, live.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use chrono::Local;

use crate::cli::ServeArgs;
use crate::privileges::only_answer;
use crate::serve::{self, History, Listener, Page, Token};
use crate::store;

/// What the local time is: read again when it changes.
const TIME_ZONES: [&str; 3] = ["/etc/localtime", "/usr/share/zoneinfo", "/etc/timezone"];

pub fn run(args: &ServeArgs) -> Result<ExitCode> {
    let page = first_page(args)?;
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let history = History::new(store::open_reader(&path)?, path.clone())
        .map_err(|e| store::of_file(e, &path))?;
    let listener = match &args.socket {
        Some(socket) => Listener::unix(socket)?,
        None => Listener::tcp(args.listen, args.allow_remote)?,
    };
    let token = match &args.token_file {
        Some(file) => Token::of_file(file)?,
        None => Token::random()?,
    };
    let zones = TIME_ZONES.map(Path::new);
    let files = store::files(&path);
    let files = Vec::from_iter(files.iter().map(PathBuf::as_path).chain(zones));
    only_answer(&files)?;
    announce(args, &listener, &token, &page)?;
    serve::run(listener, token, history)?;
    Ok(ExitCode::SUCCESS)
}

/// What is shown first, if it is understood.
fn first_page(args: &ServeArgs) -> Result<Page> {
    let now = Local::now();
    let page = Page {
        question: args.question.join(" ").trim().to_owned(),
        since: args.since.trim().to_owned(),
    };
    page.check(&now)?;
    Ok(page)
}

/// Says where the page is. Behind # browsers keep the token from servers.
fn announce(args: &ServeArgs, listener: &Listener, token: &Token, page: &Page) -> Result<()> {
    let (query, token) = (page.to_query(), token.text());
    let address = match (&args.socket, listener.address()) {
        (None, Some(address)) => address.to_string(),
        _ => "127.0.0.1:8417".to_owned(),
    };
    if let Some(socket) = &args.socket {
        eprintln!(
            "egrets: serving at the socket {}; for a browser: ssh -L 8417:{0} HOST",
            socket.display()
        );
    }
    let mut out = std::io::stdout();
    writeln!(out, "http://{address}/?{query}#token={token}")?;
    out.flush().context("standard output")?;
    Ok(())
}
