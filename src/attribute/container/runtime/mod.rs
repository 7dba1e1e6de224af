//! What runtimes report about containers: in their files, or over Docker's socket. Queries are
//! answered on threads of their own, and another one reads Docker's events: a slow or dead
//! daemon costs a container its details, never an event.

mod cni;
mod docker;
mod files;
mod json_file;
mod update;

use std::cell::RefCell;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::attribute::users;
use crate::file_reader::{FileReader, Who};
use crate::model::ContainerDetails;
use crate::privileges::write_nothing;
use docker::{Daemon, Unreachable, follow_events};

use json_file::Source;

pub use update::{ContainerChange, DetailsQuery, RuntimeUpdate};

/// Queries that wait for a worker, and updates that wait to be read. Containers beyond that
/// have no details.
const QUEUE: usize = 1024;
/// Docker answers for a container only once it has started: containers that start at the same
/// time need a worker each, or they may be gone before their turn.
const WORKERS: usize = 32;
/// The same for the files in users' homes.
const USER_WORKERS: usize = 2;
const STACK: usize = 256 << 10;

/// The threads that query runtimes.
pub struct Runtimes {
    queries: SyncSender<DetailsQuery>,
    /// Those whose files a user writes: these have workers of their own.
    user_queries: SyncSender<DetailsQuery>,
    updates: Receiver<RuntimeUpdate>,
}

impl Runtimes {
    /// Starts the threads. `DOCKER_HOST` names another socket (`unix://PATH`).
    pub fn start(files: Option<FileReader>) -> Runtimes {
        let (queries, queue) = sync_channel::<DetailsQuery>(QUEUE);
        let (user_queries, user_queue) = sync_channel::<DetailsQuery>(QUEUE);
        let (results, updates) = sync_channel(QUEUE);
        let daemon = Arc::new(Daemon::new());
        let queue = Arc::new(Mutex::new(queue));
        let user_queue = Arc::new(Mutex::new(user_queue));
        let listener = {
            let (daemon, queries, results) = (daemon.clone(), queries.clone(), results.clone());
            move || {
                write_nothing();
                follow_events(&daemon, &queries, &results)
            }
        };
        if let Err(e) = thread::Builder::new().stack_size(STACK).spawn(listener) {
            log::warn!("Docker's events are not read: {e}");
        }
        let workers = std::iter::repeat_n(&user_queue, USER_WORKERS);
        for queue in workers.chain(std::iter::repeat_n(&queue, WORKERS)) {
            let (queue, results, daemon) = (queue.clone(), results.clone(), daemon.clone());
            let reader = files.clone();
            let worker = move || {
                write_nothing();
                loop {
                    let next = queue.lock().map(|q| q.recv());
                    let Ok(Ok(query)) = next else { return };
                    if results
                        .send(answer(query, &daemon, reader.as_ref()))
                        .is_err()
                    {
                        return;
                    }
                }
            };
            if let Err(e) = thread::Builder::new().stack_size(STACK).spawn(worker) {
                log::warn!("fewer containers can be queried at once: {e}");
                break;
            }
        }
        Runtimes {
            queries,
            user_queries,
            updates,
        }
    }

    /// Queries a container; the answer comes through [`Runtimes::updates`]. False where too
    /// many queries wait.
    pub fn query(&self, query: DetailsQuery) -> bool {
        let queue = match query.uid {
            0 => &self.queries,
            _ => &self.user_queries,
        };
        !matches!(queue.try_send(query), Err(TrySendError::Full(_)))
    }

    /// What has been reported since the last call.
    pub fn updates(&self) -> impl Iterator<Item = RuntimeUpdate> + '_ {
        self.updates.try_iter()
    }
}

fn answer(query: DetailsQuery, daemon: &Daemon, reader: Option<&FileReader>) -> RuntimeUpdate {
    let (details, is_late) = match query.uid {
        0 => (of_root(&query, daemon), false),
        _ => of_user(&query, reader),
    };
    if is_late {
        return RuntimeUpdate::Late { query, details };
    }
    let DetailsQuery { id, uid, .. } = query;
    RuntimeUpdate::Answer { uid, id, details }
}

/// What the files in a user's home say, and whether some of them could not be read in time.
fn of_user(query: &DetailsQuery, reader: Option<&FileReader>) -> (Option<ContainerDetails>, bool) {
    let (Some(home), Some(reader)) = (users::home(query.uid), reader) else {
        return (None, false);
    };
    let Ok(session) = reader.session(&Who::User { uid: query.uid }) else {
        return (None, true);
    };
    let session = RefCell::new(session);
    let source = Source::Home(&home, &session);
    let details = files::describe_rootless(&home, &query.id, source);
    (details, session.into_inner().has_ended())
}

/// Docker's daemon knows its containers' addresses best, and their names after a rename. Files
/// need no daemon, and are read first: the daemon answers once the container has started, and
/// by then the container may be gone.
fn of_root(query: &DetailsQuery, daemon: &Daemon) -> Option<ContainerDetails> {
    let files = files::describe(Path::new("/"), &query.id);
    let files = match (query.runtime, files) {
        (Some("docker"), files) => files.or_else(|| daemon.file_of(&query.id)),
        (None, None) => None,
        (_, files) => return files,
    };
    match daemon.inspect(&query.id) {
        Ok(details) => Some(details),
        Err(e) => {
            match e.downcast_ref::<Unreachable>() {
                Some(e) => daemon.warn_unreachable(&e.to_string()),
                None if files.is_some() => {}
                None => log::warn!("container {:.12}: no details: {e:#}", query.id),
            }
            files
        }
    }
}
