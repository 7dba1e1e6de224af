//! A recorder that runs for as long as another command reads what it records. Its history is in a
//! directory of its own, which ends with it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

use crate::store::{self, Status};

/// In memory, where systems have it.
const RUN: &str = "/run";
const PREFIX: &str = "egrets-own-";

/// It is for looking, not for keeping.
const MAX_SIZE: &str = "256M";

/// How long a recorder takes to start on a slow and busy system, at most; to end; and how often it
/// is looked at.
const START_PATIENCE: Duration = Duration::from_secs(30);
const END_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// How old the directory is of one that can't be about to start.
const STALE: Duration = Duration::from_secs(120);

pub struct OwnCapture {
    child: Child,
    directory: TempDir,
}

impl OwnCapture {
    /// Returns once it records.
    ///
    /// # Errors
    /// What the recorder said as it ended.
    pub fn start() -> Result<OwnCapture> {
        let base = base();
        remove_stale(&base);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&base);
        let directory = directory.with_context(|| base.display().to_string())?;
        let file = |name: &str| directory.path().join(name);
        let messages = fs::File::create(file("messages"))?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("record")
            .arg("--db")
            .arg(file("egrets.db"))
            .args(["--max-size", MAX_SIZE]);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"EGRETS_") {
                command.env_remove(name);
            }
        }
        // what the host is configured to record, enforce and tell is for its own history
        command
            .env("EGRETS_CONFIG", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .process_group(0); // keys of the terminal are not for it
        // SAFETY: one system call.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
        }
        let child = command.spawn().context("the recorder can't be started")?;
        let mut capture = OwnCapture { child, directory };
        capture.wait_until_recording()?;
        Ok(capture)
    }

    pub fn db(&self) -> PathBuf {
        self.directory.path().join("egrets.db")
    }

    fn wait_until_recording(&mut self) -> Result<()> {
        let (db, begun) = (self.db(), Instant::now());
        while begun.elapsed() < START_PATIENCE {
            if self.child.try_wait()?.is_some() {
                let said = fs::read_to_string(self.directory.path().join("messages"));
                let said = said.unwrap_or_default();
                let last = said.lines().last().unwrap_or_default();
                let why = last.trim_start_matches("egrets: ");
                bail!("{}", why.trim_start_matches("error: "));
            }
            if store::recorder_runs(&db) && has_begun(&db) {
                return Ok(());
            }
            sleep(PAUSE);
        }
        bail!("the recorder does not start");
    }
}

impl Drop for OwnCapture {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < END_PATIENCE {
            match self.child.try_wait() {
                Ok(None) => sleep(PAUSE),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_begun(db: &Path) -> bool {
    let status = store::open_reader(db).and_then(|reader| Status::read(&reader, db));
    status.is_ok_and(|status| status.last.is_some())
}

fn base() -> PathBuf {
    let is_writable = rustix::fs::access(RUN, rustix::fs::Access::WRITE_OK).is_ok();
    match is_writable {
        true => RUN.into(),
        false => std::env::temp_dir(),
    }
}

/// Of those that were killed.
fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes());
        let is_old = |meta: &fs::Metadata| {
            let changed = meta.modified().unwrap_or_else(|_| SystemTime::now());
            let age = SystemTime::now().duration_since(changed);
            meta.is_dir() && age.is_ok_and(|age| age > STALE)
        };
        let path = entry.path();
        if is_ours
            && entry.metadata().is_ok_and(|meta| is_old(&meta))
            && !store::recorder_runs(&path.join("egrets.db"))
        {
            let _ = fs::remove_dir_all(path);
        }
    }
}
