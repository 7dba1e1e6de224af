//! What is said of a container: by its files or, over its socket, by Docker. Both are
//! asked on threads of their own, and another one listens to Docker's events: a slow or
//! dead daemon costs a container's details, never an event.

mod api;
mod events;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::bundles;
use crate::model::ContainerDetails;
use api::{Daemon, Unreachable};

pub use api::Inspect;

/// Containers that wait to be asked about, and answers that wait to be read; more
/// containers stay without details.
const QUEUE: usize = 1024;
/// Threads that ask at once: Docker answers for a container when that has started, and
/// those that start with it must be asked for before they are gone.
const ASKERS: usize = 32;
const STACK: usize = 256 << 10;

/// A container to find out about.
pub struct Question {
    pub id: String,
    /// As its cgroup's path tells; runtimes without a prefix there may be Docker's too.
    pub runtime: Option<&'static str>,
    /// Of the user whose container it may be.
    pub home: Option<PathBuf>,
}

/// What has come to be known since.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// The answer to a question.
    Answer {
        id: String,
        /// None where neither files nor the daemon know the container.
        details: Option<ContainerDetails>,
    },
    /// By Docker's word, at `ts` (nanoseconds since 1970).
    Changed { id: String, ts: i64, change: Change },
    /// Docker's daemon answers again: who knows what has happened.
    Back,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was made, or starts.
    Named {
        name: Option<String>,
        image: Option<String>,
    },
    Renamed(String),
    /// It has an address in a network now.
    Address(String),
    /// Its process has ended; it may be started again, elsewhere.
    Stopped,
}

impl Question {
    /// One about a container of Docker's.
    pub fn of_docker(id: &str) -> Question {
        Question {
            id: id.to_string(),
            runtime: Some("docker"),
            home: None,
        }
    }

    /// Docker's daemon knows its containers' addresses best, and their names when they
    /// have been renamed; files need nobody who answers. They are read first: the daemon
    /// answers when the container has started, and then it may be gone.
    fn answer(&self, daemon: &Daemon) -> Option<ContainerDetails> {
        let files = bundles::describe(Path::new("/"), &self.id, self.home.as_deref());
        let files = match (self.runtime, files) {
            (Some("docker"), files) => files.or_else(|| daemon.file_of(&self.id)),
            (None, None) => None,
            (_, files) => return files,
        };
        match (daemon.inspect(&self.id), files) {
            (Ok(details), _) => Some(details),
            (Err(e), files) => {
                match e.downcast_ref::<Unreachable>() {
                    Some(e) => daemon.is_away(&e.to_string()),
                    None if files.is_some() => {}
                    None => log::warn!("container {:.12}: no details: {e:#}", self.id),
                }
                files
            }
        }
    }
}

/// The askers, and the listener to Docker's events.
pub struct Docker {
    ask: SyncSender<Question>,
    news: Receiver<News>,
}

impl Docker {
    /// Starts asking and listening. `DOCKER_HOST` names another socket (`unix://PATH`).
    pub fn start() -> Docker {
        let (ask, questions) = sync_channel::<Question>(QUEUE);
        let (tell, news) = sync_channel(QUEUE);
        let daemon = Arc::new(Daemon::new());
        let questions = Arc::new(Mutex::new(questions));
        let listener = {
            let (daemon, ask, tell) = (daemon.clone(), ask.clone(), tell.clone());
            move || events::follow(&daemon, &ask, &tell)
        };
        if let Err(e) = thread::Builder::new().stack_size(STACK).spawn(listener) {
            log::warn!("Docker's events are not listened to: {e}");
        }
        for _ in 0..ASKERS {
            let (questions, tell, daemon) = (questions.clone(), tell.clone(), daemon.clone());
            let asker = move || {
                loop {
                    let next = questions.lock().map(|q| q.recv());
                    let Ok(Ok(question)) = next else { return };
                    let details = question.answer(&daemon);
                    let id = question.id;
                    if tell.send(News::Answer { id, details }).is_err() {
                        return;
                    }
                }
            };
            if let Err(e) = thread::Builder::new().stack_size(STACK).spawn(asker) {
                log::warn!("fewer containers can be asked about at once: {e}");
                break;
            }
        }
        Docker { ask, news }
    }

    /// Asks about a container; the answer comes through [`Docker::news`].
    /// False where too many wait already.
    pub fn ask(&self, question: Question) -> bool {
        !matches!(self.ask.try_send(question), Err(TrySendError::Full(_)))
    }

    /// What has come since.
    pub fn news(&self) -> impl Iterator<Item = News> + '_ {
        self.news.try_iter()
    }
}
