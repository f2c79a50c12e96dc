//! Beacons to nodes outside the ring, and the merge of two rings that hear each other (rule 15): the lesser one
//! gives up its VIPs first, then its members ask the other to let them in.

use crate::Output;
use crate::ring::{Ring, State};
use dsc_wire::local::EventKind;
use dsc_wire::message::Beacon;
use dsc_wire::{Epoch, Incarnation, Key, NodeId, NodeSet, Time};
use std::time::Duration;

/// Nodes not heard for long that get a beacon at one time; the others follow in turn.
const SILENT_MAX: usize = 4;
/// How long a node counts as heard.
const HEARD_BEACONS: u32 = 10;
/// How long a node that falls silent keeps getting every beacon.
const LATELY: Duration = Duration::from_secs(10);
/// Least time between two reports of the same node's other configuration.
const DIFFERS: Duration = Duration::from_secs(60);

impl Ring {
    /// Members of this node's ring if it is one that counts in a merge.
    fn size(&self, now: Time) -> usize {
        if self.suspicion.active || now >= self.promises.lease_end {
            return 0;
        }
        match &self.state {
            State::Hold { token, .. } | State::Pass { token, .. } => token.members.len(),
            State::Wait if self.fresh(now) && self.acc != Key::ZERO => {
                self.copy.as_deref().map_or(0, |c| c.members.len())
            }
            State::Wait | State::Quiet { .. } | State::Gone => 0,
        }
    }

    /// Configured nodes that are not in this node's ring.
    pub(crate) fn outsiders(&self) -> NodeSet {
        let members = self.token().map_or(NodeSet::EMPTY, |t| t.member_set());
        NodeSet(self.others().0 & !members.0)
    }

    /// Has this node something to tell those outside?
    pub(crate) fn speaks(&self) -> bool {
        (self.holding() || self.copy.is_some()) && !self.outsiders().is_empty()
    }

    pub(crate) fn send_beacon(&self, now: Time, to: NodeId, want: bool, out: &mut Vec<Output>) {
        let span = self.cluster.timing.beacon * HEARD_BEACONS;
        let lately =
            |n: &NodeId| self.last_heard[n.index()].is_some_and(|at| now.since(at) <= span);
        let beacon = Beacon {
            size: self.size(now) as u8,
            key: self.seen,
            counter: self.seen.epoch.counter.max(self.heard),
            want,
            digest: self.cluster.digest,
            heard: self.others().iter().filter(lately).collect(),
            version: self.cluster.version,
        };
        out.push(Output::Beacon { to, beacon });
    }

    pub(crate) fn tick_beacon(&mut self, now: Time, out: &mut Vec<Output>) {
        if now < self.next_beacon {
            return;
        }
        self.next_beacon = now + self.cluster.timing.beacon;
        let size = self.size(now);
        if matches!(self.state, State::Quiet { .. } | State::Gone) || size == 0 && !self.holding() {
            return;
        }
        let outside = self.outsiders();
        let heard =
            |n: &NodeId| self.last_heard[n.index()].is_some_and(|at| now.since(at) <= LATELY);
        let lively: NodeSet = outside.iter().filter(heard).collect();
        let silent = NodeSet(outside.0 & !lively.0);
        let from = self.beacon_from;
        let after = silent.iter().filter(|n| n.0 >= from);
        let before = silent.iter().filter(|n| n.0 < from);
        let some: Vec<NodeId> = after.chain(before).take(SILENT_MAX).collect();
        if let Some(last) = some.last() {
            self.beacon_from = last.0 + 1;
        }
        for node in lively.iter().chain(some) {
            self.send_beacon(now, node, size == 0, out);
        }
    }

    pub(crate) fn on_beacon(
        &mut self,
        now: Time,
        from: NodeId,
        beacon: Beacon,
        out: &mut Vec<Output>,
    ) {
        if !self.cluster.is_node(from) || from == self.me {
            self.counts.strangers += 1;
            return;
        }
        let same = self.same_config(now, Some(from), beacon.version, beacon.digest, out);
        if matches!(self.state, State::Quiet { .. } | State::Gone) {
            return;
        }
        // Rings of two versions of one configuration merge as any do: the lesser falls silent at once, and comes back when
        // the older one has caught up.
        if !same && !self.related(beacon.version, beacon.digest) {
            return;
        }
        self.last_heard[from.index()] = Some(now);
        self.heard = self.heard.max(beacon.counter).max(beacon.key.epoch.counter);
        let theirs = usize::from(beacon.size);
        let mine = self.size(now);
        let mutual = theirs > 0 && beacon.heard.contains(self.me);
        if mutual && beacon.key.epoch != self.seen.epoch {
            // It goes on renewing its lease until it should have sent the next one; and one of them may be lost.
            let until = now + 2 * self.cluster.timing.beacon + self.fence_max();
            self.rivals[from.index()] = Some((until, beacon.key.epoch));
        }
        // Beacons go to outsiders only: one of a greater epoch, of my own ring, tells a waiting node that it was
        // removed. A stranger's must be of the greater ring too, or members of a living one would walk over.
        let waiting = matches!(self.state, State::Wait);
        let removed = self.is_member(from) || theirs > mine;
        if waiting && theirs > 0 && beacon.key.epoch > self.seen.epoch && removed {
            self.ask_in(from, Key::ZERO, out);
        }
        if !self.is_member(from) || (theirs > mine && mine == 1) {
            let counts = (mine > 0 && theirs > 0) || (self.holding() && beacon.key != Key::ZERO);
            let greater = (theirs, beacon.key.epoch) > (mine, self.seen.epoch)
                && beacon.key.epoch != self.seen.epoch;
            let asks = theirs > 0 || beacon.want;
            if counts && greater && asks {
                if beacon.heard.contains(self.me) {
                    self.yield_to(now, from, out);
                }
            } else if mine == 0 && theirs > 0 {
                self.ask_in(from, Key::ZERO, out);
                if self.round.is_none() {
                    let patience = (now + self.cluster.timing.removal).before(self.starve());
                    self.last_token = self.last_token.max(patience);
                }
                if !self.majority_mode() {
                    self.kernel.silence();
                }
            }
        }
        if beacon.want {
            self.send_beacon(now, from, false, out);
        }
    }

    /// Gives this ring up for a greater one: VIPs first, then everything of the old ring becomes stale.
    fn yield_to(&mut self, now: Time, to: NodeId, out: &mut Vec<Output>) {
        self.kernel.silence();
        self.promises.lease_end = self.promises.lease_end.min(now);
        if let State::Pass { id, .. } = std::mem::replace(&mut self.state, State::Wait) {
            out.push(Output::Cancel { id });
        }
        self.drop_tacit(out);
        self.drop_round(out);
        self.suspicion.sweep = None;
        self.renewed = false;
        self.last_token = now;
        self.seen = top(self.seen.epoch.counter.max(self.heard));
        self.counts.merges += 1;
        self.report(now, EventKind::Merged { peer: to });
        self.flush(out);
        self.ask_in(to, Key::ZERO, out);
    }

    /// Has this node given up its ring, and not seen a token since?
    pub(crate) fn gave_up(&self) -> bool {
        self.seen == top(self.seen.epoch.counter)
    }

    /// Reports, now and then, that a node runs another configuration.
    pub(crate) fn note_differs(&mut self, now: Time, peer: NodeId) {
        let Some(last) = self.differs.get_mut(peer.index()) else { return };
        if last.is_none_or(|at| now.since(at) >= DIFFERS) {
            *last = Some(now);
            self.report(now, EventKind::ConfigDiffers { peer });
        }
        self.counts.differs += 1;
    }
}

/// A key above every token's of this epoch counter.
fn top(counter: u32) -> Key {
    let incarnation = Incarnation(u64::MAX);
    Key { epoch: Epoch { counter, proposer: NodeId(u8::MAX), incarnation }, seq: u64::MAX }
}
