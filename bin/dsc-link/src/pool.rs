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

/// Most connections of one backend that wait, on each worker: as many as it ever had at once are kept up to here.
pub const KEPT_MAX: usize = 128;
/// Most connections of HTTP/2 that carry nothing. How many carry something follows from the requests at once.
const IDLE_MAX: usize = 4;

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

    /// A stream of a connection that is there and of which something was heard since `oldest`: of the first that has one left, so
    /// that the last can grow old.
    pub fn stream(&self, worker: usize, oldest: Instant, upload: bool) -> Option<Sender> {
        let age = oldest.elapsed();
        let mut shared = lock(&self.0[worker].shared);
        shared.retain(|s| s.is_open());
        shared.iter().filter(|s| s.silent() <= age).find_map(|s| s.stream(upload))
    }

    /// A connection that others may have streams of; the oldest that carry nothing make room for it.
    pub fn share(&self, worker: usize, connection: Arc<Shared>) {
        let mut shared = lock(&self.0[worker].shared);
        shed(&mut shared, IDLE_MAX - 1);
        shared.push(connection);
    }

    /// Whose turn it is to open one: the others wait for what comes of it.
    pub async fn turn(&self, worker: usize) -> MutexGuard<'_, ()> {
        self.0[worker].turn.lock().await
    }

    /// Closes what has waited since before `oldest`, and what waits beyond the bound.
    pub fn sweep(&self, worker: usize, oldest: Instant) {
        let Share { kept, shared, .. } = &self.0[worker];
        lock(kept).retain(|k| k.since >= oldest && !k.sender.is_closed());
        let age = oldest.elapsed();
        let mut shared = lock(shared);
        shared.retain(|s| s.is_open() && (!s.is_idle() || s.silent() <= age));
        shed(&mut shared, IDLE_MAX);
    }
}

/// Leaves so many of those that carry nothing, the newest.
fn shed(shared: &mut Vec<Arc<Shared>>, idle: usize) {
    let mut more = shared.iter().filter(|s| s.is_idle()).count().saturating_sub(idle);
    shared.retain(|s| {
        let goes = more > 0 && s.is_idle();
        more -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Activity;
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::time::Duration;

    /// A connection whose other end says nothing; it is open until the value beside it is dropped.
    async fn connection() -> (Arc<Shared>, Box<dyn Send>) {
        let (own, other) = tokio::io::duplex(1024);
        let shake = http2::handshake(TokioExecutor::new(), TokioIo::new(own)).await;
        let (sender, task) = shake.expect("a connection");
        (Shared::new(sender, Arc::new(Activity::default())), Box::new((task, other)))
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a loop").block_on(test);
    }

    fn long_ago() -> Instant {
        let ago = Instant::now().checked_sub(Duration::from_secs(5));
        ago.expect("the machine has run for longer")
    }

    #[test]
    fn a_connection_carries_one_request_with_a_body_at_once() {
        run(async {
            let (shared, _open) = connection().await;
            let pool = Pool::new(1);
            pool.share(0, shared);
            let first = pool.stream(0, long_ago(), true).expect("a stream");
            assert!(pool.stream(0, long_ago(), true).is_none());
            let without = pool.stream(0, long_ago(), false).expect("a stream");
            assert!(pool.stream(0, long_ago(), true).is_none());
            drop(first);
            assert!(pool.stream(0, long_ago(), true).is_some());
            drop(without);
        });
    }

    #[test]
    fn few_connections_wait_with_nothing_to_carry() {
        run(async {
            let pool = Pool::new(1);
            let mut open = Vec::new();
            let mut busy = Vec::new();
            for number in 0..2 * IDLE_MAX {
                let (shared, other) = connection().await;
                if number < 2 {
                    busy.extend(shared.stream(false));
                }
                pool.share(0, shared);
                open.push(other);
            }
            // What is used is not closed for it.
            assert_eq!((lock(&pool.0[0].shared).len(), busy.len()), (IDLE_MAX + 2, 2));
            busy.clear();
            pool.sweep(0, long_ago());
            assert_eq!(lock(&pool.0[0].shared).len(), IDLE_MAX);
        });
    }

    #[test]
    fn a_connection_of_which_nothing_was_heard_is_no_fresh_one() {
        run(async {
            let (shared, _open) = connection().await;
            let pool = Pool::new(1);
            let _running = shared.stream(false).expect("a stream");
            pool.share(0, shared.clone());
            while shared.silent() < Duration::from_millis(2) {
                tokio::task::yield_now().await;
            }
            assert!(pool.stream(0, Instant::now(), false).is_none());
            assert!(pool.stream(0, long_ago(), false).is_some());
            // Nor is one closed that carries something.
            pool.sweep(0, Instant::now());
            assert_eq!(lock(&pool.0[0].shared).len(), 1);
        });
    }
}
