//! What has happened since the start, counted for each link.

use std::sync::atomic::{AtomicU64, Ordering};

/// One count.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Once more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add_all(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// So often until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counts.
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Counters {
            /// Names and counts, for people.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Connections of clients that were served.
    connections,
    /// Connections of clients that were closed at once, for there were too many.
    connections_refused,
    /// Connections of clients that were closed because they were too slow.
    clients_slow,
    /// Requests that were understood.
    requests,
    /// Requests that were refused as not legal.
    requests_refused,
    /// Requests that no backend could be found for, or that no backend answered.
    requests_failed,
    /// Requests that were sent to a second backend, or a further one, before the answer began.
    requests_repeated,
    /// Answers of backends that were thrown away as not legal.
    answers_refused,
    /// Bytes of bodies that went to clients whose responses have ended.
    bytes,
    /// Bodies whose backend failed.
    bodies_broken,
    /// Bodies that went on from another backend.
    bodies_resumed,
    /// Bodies that ended early, so that the client could tell.
    bodies_cut,
    /// Answers to a request for the rest that were not exact.
    rests_refused,
    /// Requests for the rest that had no answer.
    rests_failed,
    /// Bytes fetched again that were other bytes.
    overlaps_differed,
    /// Lines of access logs that were not written.
    log_lines_dropped,
}
