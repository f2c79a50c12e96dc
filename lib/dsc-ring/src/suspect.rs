//! Rule 11: suspect yourself first. A node that did not run for a while has no evidence about anybody; in serve
//! mode it must hear for itself that nobody outside its ring is there before it answers for a VIP again.

use crate::Output;
use crate::ring::{Ring, State};
use dsc_wire::Time;
use dsc_wire::token::Token;

/// Beacons that demand a reply, in one sweep, to each node outside.
const TRIES: u8 = 3;

/// Fresh evidence in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    pub start: Time,
    pub tries: u8,
    pub next: Time,
}

/// What this node thinks of its own evidence.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    pub active: bool,
    pub since: Time,
    /// The lease ended during the stall: the sweep has to outlast everybody's.
    pub lapsed: bool,
    /// The stall was long enough for the others to form a ring without this node, with a lease it does not know.
    pub long: bool,
    pub swept: bool,
    pub sweep: Option<Sweep>,
    pub last_run: Time,
}

impl Suspicion {
    /// A node that has just started knows nothing about anybody.
    pub fn at_boot(now: Time) -> Suspicion {
        Suspicion {
            active: true,
            since: now,
            lapsed: true,
            long: true,
            swept: false,
            sweep: None,
            last_run: now,
        }
    }

    /// Ends with a lease that was proved by a pass made since, and enough evidence about the nodes outside.
    pub fn clear(&mut self, pass: Time, outside_known: bool) {
        if self.active && pass >= self.since && (outside_known || self.swept) {
            self.active = false;
            self.lapsed = false;
            self.long = false;
        }
    }

    /// Starts the sweep anew, to its full length (rule 6).
    pub fn again(&mut self) {
        self.lapsed = true;
        self.sweep = None;
        self.swept = false;
    }
}

impl Ring {
    /// Notices that this node did not run although it had to. Called before anything else in each step.
    pub(crate) fn wake(&mut self, now: Time, out: &mut Vec<Output>) {
        let last = std::mem::replace(&mut self.suspicion.last_run, now);
        let quiet = matches!(self.state, State::Quiet { .. } | State::Gone);
        let late = now.since(self.deadline());
        if now == last || quiet || late <= self.cluster.timing.stall {
            return;
        }
        self.counts.stalls += 1;
        let s = &mut self.suspicion;
        s.active = true;
        s.since = now;
        s.sweep = None;
        s.swept = false;
        s.lapsed |= now >= self.promises.lease_end;
        s.long |= now.since(last) >= self.cluster.timing.starve;
        if let State::Pass { first, .. } = &mut self.state {
            *first = now;
        }
        self.bear_with_tacit(now);
        let patience = self.cluster.timing.removal;
        self.last_token = self.last_token.max((now + patience).before(self.starve()));
        self.drop_round(out);
    }

    /// May this node neither renew its lease nor take a VIP in this ring, for want of evidence?
    pub(crate) fn blocked(&self, now: Time, token: &Token) -> bool {
        self.suspicion.active && !self.majority_mode() && !self.whole(now, token)
    }

    /// Is every node a member that may answer for a VIP? One that was just taken out of the configuration still may, until its
    /// last lease has ended (rule 21).
    pub(crate) fn whole(&self, now: Time, token: &Token) -> bool {
        token.members.len() == self.configured.len() && now >= self.changes.gone_until
    }

    /// Starts the sweep if it is needed.
    pub(crate) fn begin_sweep(&mut self, now: Time, token: &Token) {
        if self.blocked(now, token) && self.suspicion.sweep.is_none() && !self.suspicion.swept {
            self.suspicion.sweep = Some(Sweep { start: now, tries: 0, next: now });
        }
    }

    pub(crate) fn tick_sweep(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(mut sweep) = self.suspicion.sweep.filter(|s| now >= s.next) else { return };
        if sweep.tries < TRIES {
            sweep.tries += 1;
            sweep.next = now + self.cluster.timing.removal / 2;
            self.suspicion.sweep = Some(sweep);
            for node in self.outsiders().iter() {
                self.send_beacon(now, node, true, out);
            }
            return;
        }
        let end = sweep.start + self.fence_max();
        if self.suspicion.lapsed && now < end {
            sweep.next = end;
            self.suspicion.sweep = Some(sweep);
            return;
        }
        self.suspicion.sweep = None;
        self.suspicion.swept |= sweep.start >= self.suspicion.since;
    }
}
