//! What runtimes report about containers: in their files, or over Docker's socket. Queries are
//! answered on threads of their own, and another one reads Docker's events: a slow or dead
//! daemon costs a container its details, never an event.

mod cni;
mod docker;
mod files;
mod json_file;
mod update;

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::model::ContainerDetails;
use crate::privileges::write_nothing;
use docker::{Daemon, Unreachable, follow_events};

pub use update::{ContainerChange, DetailsQuery, RuntimeUpdate};

/// Queries that wait for a worker, and updates that wait to be read. Containers beyond that
/// have no details.
const QUEUE: usize = 1024;
/// Docker answers for a container only once it has started: containers that start at the same
/// time need a worker each, or they may be gone before their turn.
const WORKERS: usize = 32;
const STACK: usize = 256 << 10;

/// The threads that query runtimes.
pub struct Runtimes {
    queries: SyncSender<DetailsQuery>,
    updates: Receiver<RuntimeUpdate>,
}

impl Runtimes {
    /// Starts the threads. `DOCKER_HOST` names another socket (`unix://PATH`).
    pub fn start() -> Runtimes {
        let (queries, queue) = sync_channel::<DetailsQuery>(QUEUE);
        let (results, updates) = sync_channel(QUEUE);
        let daemon = Arc::new(Daemon::new());
        let queue = Arc::new(Mutex::new(queue));
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
        for _ in 0..WORKERS {
            let (queue, results, daemon) = (queue.clone(), results.clone(), daemon.clone());
            let worker = move || {
                write_nothing();
                loop {
                    let next = queue.lock().map(|q| q.recv());
                    let Ok(Ok(query)) = next else { return };
                    let details = answer(&query, &daemon);
                    let id = query.id;
                    if results.send(RuntimeUpdate::Answer { id, details }).is_err() {
                        return;
                    }
                }
            };
            if let Err(e) = thread::Builder::new().stack_size(STACK).spawn(worker) {
                log::warn!("fewer containers can be queried at once: {e}");
                break;
            }
        }
        Runtimes { queries, updates }
    }

    /// Queries a container; the answer comes through [`Runtimes::updates`]. False where too
    /// many queries wait.
    pub fn query(&self, query: DetailsQuery) -> bool {
        !matches!(self.queries.try_send(query), Err(TrySendError::Full(_)))
    }

    /// What has been reported since the last call.
    pub fn updates(&self) -> impl Iterator<Item = RuntimeUpdate> + '_ {
        self.updates.try_iter()
    }
}

/// Docker's daemon knows its containers' addresses best, and their names after a rename. Files
/// need no daemon, and are read first: the daemon answers once the container has started, and
/// by then the container may be gone.
fn answer(query: &DetailsQuery, daemon: &Daemon) -> Option<ContainerDetails> {
    let files = files::describe(Path::new("/"), &query.id, query.home.as_deref());
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
