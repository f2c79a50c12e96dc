//! The lease and everything a fence is computed from: own passes, promises made by them, spans on the token
//! (rules 3, 4, 5 and the promises of 8). Called on accepting and on passing a token; decides nothing about VIPs.

use crate::ring::Ring;
use dsc_wire::token::Token;
use dsc_wire::{Key, NodeId, Time, Timing, VipId};
use std::collections::VecDeque;
use std::time::Duration;

/// Own passes that may still prove a lease.
const PASSES_MAX: usize = 4;
/// A ring whose lease was raised tries a shorter one after so long without a lapse.
const CALM: Duration = Duration::from_secs(120);

/// A span as it travels; longer ones than a token can hold do not occur.
pub(crate) fn us(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// A span off a token.
pub(crate) fn span(us: u32) -> Duration {
    Duration::from_micros(u64::from(us))
}

/// What is left of a bound after `elapsed`; rounded so that it stays a bound.
pub(crate) fn less(left_us: u32, elapsed: Duration) -> u32 {
    left_us.saturating_sub(us(elapsed))
}

/// A pass of this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub key: Key,
    pub at: Time,
    pub lease: Duration,
}

/// What this node has allowed others to believe.
#[derive(Clone, Debug)]
pub(crate) struct Promises {
    pub passes: VecDeque<Pass>,
    pub last_pass: Key,
    /// Owners in the last token passed in a ring that may serve; none before the first.
    pub owners: Option<Vec<Option<NodeId>>>,
    /// Until then a member may answer on the strength of a token passed by this node.
    pub end: Time,
    pub(crate) nodes: usize,
    pub(crate) told: Vec<Time>,
    pub lease_end: Time,
}

impl Promises {
    pub fn new(nodes: usize, vips: usize) -> Promises {
        Promises {
            passes: VecDeque::with_capacity(PASSES_MAX),
            last_pass: Key::ZERO,
            owners: None,
            end: Time::ZERO,
            nodes,
            told: vec![Time::ZERO; nodes * vips],
            lease_end: Time::ZERO,
        }
    }

    /// Until when `node` may answer for `vip` on the strength of a token passed by this node.
    pub fn told(&self, vip: VipId, node: NodeId) -> Time {
        self.told[vip.index() * self.nodes + node.index()]
    }

    fn tell(&mut self, vip: VipId, node: NodeId, end: Time) {
        let told = &mut self.told[vip.index() * self.nodes + node.index()];
        *told = (*told).max(end);
    }
}

/// The longest lease that a member of this token can have granted itself, or will before its next pass.
pub(crate) fn longest_lease(token: &Token) -> Duration {
    let members = token.members.iter().map(|m| m.lease_us);
    span(members.fold(token.lease_us, u32::max))
}

impl Ring {
    /// The fence behind a lease of which nothing is known.
    pub(crate) fn fence_max(&self) -> Duration {
        Timing::fence(self.changes.lease_max)
    }

    /// Takes the time since the last call off every span of the token in hand.
    pub(crate) fn rebase(&mut self, now: Time, token: &mut Token) {
        let elapsed = Duration::from_micros(now.since(self.base).as_micros() as u64);
        self.base += elapsed;
        for m in &mut token.members {
            m.left_us = less(m.left_us, elapsed);
        }
        for v in &mut token.vips {
            v.fence_us = less(v.fence_us, elapsed);
            v.waived_us = less(v.waived_us, elapsed);
        }
        for l in &mut token.links {
            l.left_us = less(l.left_us, elapsed);
        }
        for a in &mut token.absent {
            a.steer_us = less(a.steer_us, elapsed);
        }
        if !token.health.is_empty() {
            let members = token.member_set();
            for h in token.health.iter_mut().filter(|h| !members.contains(h.node)) {
                h.left_us = less(h.left_us, elapsed);
            }
        }
        token.founding_us = less(token.founding_us, elapsed);
        if let Some(offer) = &mut token.config.offer {
            offer.left_us = less(offer.left_us, elapsed);
        }
    }

    /// Signs the token that is about to be passed, and remembers what the pass allows others to believe (rule 3).
    pub(crate) fn sign(&mut self, now: Time, token: &mut Token) {
        let lease = span(token.lease_us);
        token.key.seq += 1;
        let key = token.key;
        let passes = &mut self.promises.passes;
        passes.push_back(Pass { key, at: now, lease });
        if passes.len() > PASSES_MAX {
            passes.pop_front();
        }
        // An older pass with a longer lease may still be proved by another lineage.
        let own = self.promises.passes.iter().map(|p| p.at + Timing::fence(p.lease));
        let margin = self.fence_max() - self.changes.lease_max;
        let running = self.promises.lease_end + margin;
        let left = now.until(own.fold(running, Time::max));
        let longest = self.promises.passes.iter().map(|p| p.lease).max().unwrap_or(lease);
        let me = self.me;
        if let Some(m) = token.member_mut(me) {
            m.rec = key;
            m.left_us = us(left) + 1;
            m.lease_us = us(longest);
        }
        self.promises.last_pass = key;
        self.seen = self.seen.max(key);
        if self.quorum(token.members.len()) {
            self.promise(token);
        }
    }

    fn promise(&mut self, token: &Token) {
        let end = self.acc_at + Timing::fence(longest_lease(token));
        self.promises.end = self.promises.end.max(end);
        self.promises.owners = Some(token.vips.iter().map(|v| v.owner).collect());
        for (i, v) in token.vips.iter().enumerate() {
            for node in [v.owner, v.heir, v.next].into_iter().flatten() {
                self.promises.tell(VipId(i as u16), node, end);
            }
        }
    }

    /// Renews the lease if every member has passed a token since this node's pass (rule 5).
    pub(crate) fn renew(&mut self, now: Time, token: &Token, same: bool) {
        self.renewed = false;
        let rec = token.rec(self.me);
        let proved = token.members.iter().all(|m| m.node == self.me || m.rec > rec);
        if rec == Key::ZERO || !proved || !self.quorum(token.members.len()) {
            return;
        }
        let Some(pass) = self.promises.passes.iter().find(|p| p.key == rec).copied() else {
            return;
        };
        let complete = self.whole(now, token);
        self.suspicion.clear(pass.at, complete || self.majority_mode());
        if self.blocked(now, token) {
            return;
        }
        let end = pass.at + pass.lease;
        self.renewed = end > now;
        self.note_lapse(now, pass, same);
        self.promises.lease_end = self.promises.lease_end.max(end);
    }

    /// A lease that ended although the ring went on with this node was too short for a stall: it is raised for all.
    fn note_lapse(&mut self, now: Time, pass: Pass, same: bool) {
        let old = self.promises.lease_end;
        if old >= now || old == Time::ZERO || !self.kernel.stands_any() {
            return;
        }
        self.counts.lapses += 1;
        let gap_ms = now.since(old).as_millis() as u64;
        self.report(now, dsc_wire::local::EventKind::Lapsed { gap_ms });
        let needed = now.since(pass.at);
        if same && needed < self.cluster.timing.lease_max {
            self.raise = Some(needed + needed / 8);
        }
    }

    /// A lease that ended, or will within a rotation, was eaten up by a stall: the ring turns at once to renew it.
    pub(crate) fn hurry_lease(&self, now: Time, token: &mut Token) {
        let soon = self.promises.lease_end < now + self.cluster.timing.rotation;
        let can = self.quorum(token.members.len()) && !self.blocked(now, token);
        if soon && can && self.kernel.stands_any() {
            self.stir(token);
        }
    }

    /// Raises the lease on the token after a lapse; the ring's first member lowers it again step by step after calm
    /// minutes. A raise counts for fences from this pass on, since each member's record holds its longest lease.
    pub(crate) fn adapt_lease(&mut self, now: Time, token: &mut Token) {
        let timing = self.cluster.timing;
        if let Some(raise) = self.raise.take() {
            token.lease_us = token.lease_us.max(us(raise.min(timing.lease_max)));
        }
        token.lease_us = token.lease_us.clamp(us(timing.lease), us(timing.lease_max));
        let since = match self.lease_since {
            Some((lease_us, since)) if lease_us == token.lease_us => since,
            _ => {
                self.lease_since = Some((token.lease_us, now));
                now
            }
        };
        if self.is_first(token) && token.lease_us > us(timing.lease) && now.since(since) >= CALM {
            let lower = span(token.lease_us).mul_f64(0.9).max(timing.lease);
            token.lease_us = us(lower);
        }
    }
}
