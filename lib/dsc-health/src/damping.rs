//! How often a light may change: one that flaps stays red until an hour has seen fewer changes. Red is never held back.

use dsc_wire::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// After so many changes in the last [`SPAN`] nothing turns green: with the change to red that may follow, one more is the most
/// that an hour sees.
pub const CHANGES_MAX: usize = 20;
const SPAN: Duration = Duration::from_secs(3600);

/// The changes of one check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Damping {
    changes: VecDeque<Time>,
}

impl Damping {
    /// The light changed.
    pub fn changed(&mut self, now: Time) {
        self.forget(now);
        self.changes.push_back(now);
    }

    /// May it turn green?
    pub fn allows_green(&mut self, now: Time) -> bool {
        self.forget(now);
        self.changes.len() < CHANGES_MAX
    }

    fn forget(&mut self, now: Time) {
        while self.changes.front().is_some_and(|at| now.since(*at) >= SPAN) {
            self.changes.pop_front();
        }
    }
}
