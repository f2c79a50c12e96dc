//! The connections of one backend that a next request may have, apart for each worker: those of HTTP/1.1 that wait, and those of
//! HTTP/2 that carry fewer requests than they may.

use crate::backend::lock;
use crate::sender::{Sender, Shared};
use crate::upload::Upload;
use hyper::client::conn::http1::SendRequest;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::MutexGuard;
use tokio::time::Instant;

/// Most connections of one backend that wait, on each worker: as many as it ever had at once are kept up to here. Of HTTP/2 there
/// are as many as the requests at once need.
pub const KEPT_MAX: usize = 128;

struct Kept {
    sender: SendRequest<Upload>,
    since: Instant,
}

#[derive(Default)]
struct Share {
    kept: Mutex<VecDeque<Kept>>,
    shared: Mutex<Vec<Arc<Shared>>>,
    turn: tokio::sync::Mutex<()>,
}

/// Of one backend.
pub(crate) struct Pool(Box<[Share]>);

impl Pool {
    /// Nothing yet, for so many workers.
    pub fn new(workers: usize) -> Pool {
        Pool((0..workers.max(1)).map(|_| Share::default()).collect())
    }

    /// A connection that waits, the one that was used last: the others can grow old.
    pub fn take(&self, worker: usize, oldest: Instant) -> Option<Sender> {
        let mut kept = lock(&self.0[worker].kept);
        while let Some(last) = kept.pop_back() {
            if last.since < oldest {
                kept.push_back(last);
                return None;
            }
            if last.sender.is_ready() {
                return Some(Sender::Own(last.sender));
            }
        }
        None
    }

    /// Keeps a connection whose response is complete. A stream has nothing to keep.
    pub fn keep(&self, worker: usize, sender: Sender) {
        let Sender::Own(sender) = sender else { return };
        if sender.is_closed() {
            return;
        }
        let mut kept = lock(&self.0[worker].kept);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { sender, since: Instant::now() });
    }

    /// A stream of a connection that is there: of the first that has one left, so that the last can grow old.
    pub fn stream(&self, worker: usize, oldest: Instant) -> Option<Sender> {
        let mut shared = lock(&self.0[worker].shared);
        shared.retain(|s| s.is_open());
        shared.iter().filter(|s| s.is_used_since(oldest)).find_map(Shared::stream)
    }

    /// A connection that others may have streams of.
    pub fn share(&self, worker: usize, connection: Arc<Shared>) {
        lock(&self.0[worker].shared).push(connection);
    }

    /// Whose turn it is to open one: the others wait for what comes of it.
    pub async fn turn(&self, worker: usize) -> MutexGuard<'_, ()> {
        self.0[worker].turn.lock().await
    }

    /// Closes what has waited since before `oldest`.
    pub fn sweep(&self, worker: usize, oldest: Instant) {
        let Share { kept, shared, .. } = &self.0[worker];
        lock(kept).retain(|k| k.since >= oldest && !k.sender.is_closed());
        lock(shared).retain(|s| s.is_open() && s.is_used_since(oldest));
    }
}
