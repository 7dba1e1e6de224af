//! `egrets alert`: reports what questions find while a recorder runs.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::Local;

use crate::alert::{Alert, Health, Rule, WINDOW, Watch};
use crate::cli::AlertArgs;
use crate::notify::{Notifier, SendError, session_bus};
use crate::policy::{Notify, Webhook, check_program};
use crate::store;
use crate::when;

/// How often the history is looked at,
const INTERVAL: Duration = Duration::from_secs(2);
/// and at most this part of the time: 1/20.
const INTERVAL_SHARE: u32 = 20;

pub fn run(args: &AlertArgs) -> Result<ExitCode> {
    let now = Local::now();
    let question = args.question.join(" ");
    let questions = args.conditions.iter().map(String::as_str);
    let questions = questions.chain(Some(question.trim()).filter(|q| !q.is_empty()));
    let rules = questions
        .map(|question| Rule::parse(question, &now))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        !rules.is_empty() || args.recorder,
        "what is worth an alert? Give a question, such as 'egrets alert new hosts by curl', or \
         --recorder"
    );
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let notifier = notifier(args)?;
    let mut db = store::open_reader(&path)?;
    let mut file = super::identity(&path);
    let start_ts = when::now_ts();
    let mut watch = Watch::new(rules, start_ts);
    let mut health = args.recorder.then(Health::default);
    for note in watch
        .readings(&db, start_ts)
        .map_err(|e| store::of_file(e, &path))?
    {
        log::info!("{note}");
    }
    if health.is_none() && !store::recorder_runs(&path) {
        log::warn!("no recorder runs: start one with 'sudo egrets record'");
    }
    let end = args.duration.map(|d| Instant::now() + d);
    loop {
        let begun = Instant::now();
        // a new history in the place of the old one
        let current = super::identity(&path);
        if current != file
            && current.is_some()
            && let Ok(new) = store::open_reader(&path)
        {
            (db, file) = (new, current);
            watch.forget_seen();
        }
        let now = when::now_ts();
        let mut alerts = watch
            .check(&db, now)
            .map_err(|e| store::of_file(e, &path))?;
        if let Some(health) = &mut health {
            let runs = store::recorder_runs(&path);
            alerts.extend(health.check(&db, runs, start_ts, now)?);
        }
        let interval = INTERVAL
            .max(begun.elapsed() * INTERVAL_SHARE)
            .min(WINDOW / 3);
        deliver(args, notifier.as_ref(), &alerts)?;
        if end.is_some_and(|end| begun >= end) {
            return Ok(ExitCode::SUCCESS);
        }
        let left = end.map_or(interval, |end| {
            end.saturating_duration_since(Instant::now())
        });
        sleep(interval.min(left));
    }
}

fn notifier(args: &AlertArgs) -> Result<Option<Notifier>> {
    let exec = args.exec.as_deref().map(|program| {
        ensure!(
            program.is_absolute(),
            "--exec {}: give the program's whole path",
            program.display()
        );
        if rustix::process::geteuid().is_root() {
            check_program(program).context("--exec")?;
        }
        program
            .to_str()
            .map(str::to_owned)
            .context("--exec: the path is no text")
    });
    let settings = Notify {
        exec: exec.transpose()?.into_iter().collect(),
        journald: args.journald,
        webhook: webhook(args)?,
        desktop: args
            .desktop
            .then(|| session_bus().context("--desktop"))
            .transpose()?,
    };
    (!settings.is_empty())
        .then(|| Notifier::start(&settings, false))
        .transpose()
}

fn webhook(args: &AlertArgs) -> Result<Option<Webhook>> {
    let Some(url) = &args.webhook else {
        return Ok(None);
    };
    let path = |file: &Option<PathBuf>| {
        let file = file.as_deref().map(std::path::absolute).transpose()?;
        let text = |file: PathBuf| file.to_str().map(str::to_owned);
        file.map(|file| text(file).context("the path of a file for --webhook is no text"))
            .transpose()
    };
    let webhook = Webhook {
        url: url.clone(),
        header_file: path(&args.webhook_headers)?,
        ca_file: path(&args.webhook_ca)?,
    };
    if let Some(problem) = webhook.problem() {
        anyhow::bail!("--webhook: {problem}");
    }
    Ok(Some(webhook))
}

fn deliver(args: &AlertArgs, notifier: Option<&Notifier>, alerts: &[Alert]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for alert in alerts {
        match args.json {
            true => writeln!(out, "{}", alert.json)?,
            false => writeln!(out, "{} {}", Local::now().format("%H:%M:%S"), alert.line)?,
        }
        match notifier.map(|notifier| notifier.send(alert.json.as_bytes())) {
            None | Some(Ok(())) => {}
            Some(Err(SendError::Busy)) => {
                log::warn!("an alert was only printed: too many are waiting to be sent");
            }
            Some(Err(SendError::Ended)) => {
                anyhow::bail!("the process that sends alerts has ended")
            }
        }
    }
    out.flush()?;
    while let Some(why) = notifier.map(Notifier::failure).transpose()?.flatten() {
        log::warn!("an alert could not be sent: {why}");
    }
    Ok(())
}
