//! Rule 21: how a new configuration comes into force. What an operator asks for, what the driver has stored, and what others
//! run; in this node's turn `offer.rs` goes on with it. What changes in this node's state is `adopt.rs`'s.

use crate::Output;
use crate::ring::Ring;
use dsc_wire::message::Verdict;
use dsc_wire::token::{REASON_MAX, Token, VipRecord};
use dsc_wire::{Cluster, Key, NodeId, NodeSet, Time, VipId};
use std::time::Duration;

/// An offer for which not every member was ready in this time is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Who asked for it is told so after this time, whatever became of it.
const ANSWER: Duration = Duration::from_secs(20);
/// A refusal may be over after this time, such as that of a full disk; and what was refused is offered again.
const AGAIN: Duration = Duration::from_secs(30);
/// A removed node that could not hand over everything in this time leaves without.
pub(crate) const LEAVE: Duration = Duration::from_secs(2);

/// Which configuration: the later of two is the greater.
pub(crate) type Mark = (u64, u64);

/// What is to follow the configuration in force, and what was before.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    /// Stored here, ready to come into force.
    pub prepared: Option<(Box<Cluster>, u32)>,
    /// In force before; tokens of it are still taken.
    pub previous: Option<Box<Cluster>>,
    /// In force at some node, and later than this node's.
    pub newer: Option<Mark>,
    /// The greatest `lease_max` of this life: what an earlier configuration allowed may still run.
    pub lease_max: Duration,
    /// Nodes that were taken out last may answer until then.
    pub gone_until: Time,
    pub proposal: Option<Proposal>,
    /// What the driver was asked for last.
    asked: Option<(Mark, NodeSet)>,
    /// What this node cannot work with, why, and until when it is not tried again.
    pub unfit: Option<(u64, String, Time)>,
    /// What is in force elsewhere and was given up here, and until when it is not offered again.
    pub given_up: Option<(Mark, Time)>,
}

/// A change that an operator asked for here.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub id: u64,
    pub mark: Mark,
    until: Time,
    /// Key of the token on which it was first seen in force.
    pub seen: Option<Key>,
}

impl Changes {
    pub fn new(cluster: &Cluster) -> Changes {
        Changes {
            prepared: None,
            previous: None,
            newer: None,
            lease_max: cluster.timing.lease_max,
            gone_until: Time::ZERO,
            proposal: None,
            asked: None,
            unfit: None,
            given_up: None,
        }
    }

    /// When the operator must have an answer.
    pub fn deadline(&self) -> Option<Time> {
        self.proposal.as_ref().map(|p| p.until)
    }

    pub(crate) fn is_prepared(&self, digest: u64) -> bool {
        self.prepared.as_ref().is_some_and(|(c, _)| c.digest == digest)
    }

    /// Is it what is prepared, and not an earlier one with the same contents, which it goes back to?
    pub(crate) fn is_ahead(&self, version: u64, digest: u64) -> bool {
        self.prepared.as_ref().is_some_and(|(c, _)| c.digest == digest && version >= c.version)
    }

    fn is_unfit(&self, digest: u64) -> bool {
        self.unfit.as_ref().is_some_and(|(d, ..)| *d == digest)
    }

    /// Is time over for what was refused or given up? Also if nobody offers any more what was refused: who asks for it again may
    /// have mended what was wrong.
    pub(crate) fn forget(&mut self, now: Time, offered: Option<u64>) {
        let newer = self.newer.map(|(_, digest)| digest);
        let asked = |digest: u64| offered == Some(digest) || newer == Some(digest);
        self.unfit = self.unfit.take().filter(|(digest, _, until)| now < *until && asked(*digest));
        self.given_up = self.given_up.filter(|(_, until)| now < *until);
    }

    pub(crate) fn give_up(&mut self, now: Time, theirs: Mark) {
        self.given_up = Some((theirs, now + AGAIN));
    }
}

pub(crate) fn mark(cluster: &Cluster) -> Mark {
    (cluster.version, cluster.digest)
}

impl Ring {
    /// Digest of what is stored here and may come into force.
    pub fn prepared(&self) -> Option<u64> {
        self.changes.prepared.as_ref().map(|(cluster, _)| cluster.digest)
    }

    /// Is a change under way, so that another one would be refused?
    pub fn changing(&self) -> bool {
        let offered = self.token().is_some_and(|token| token.config.offer.is_some());
        offered || self.changes.proposal.is_some() || self.changes.asked.is_some()
    }

    // What an operator asks for.

    pub(crate) fn on_propose(
        &mut self,
        now: Time,
        id: u64,
        cluster: Box<Cluster>,
        size: u32,
        out: &mut Vec<Output>,
    ) {
        if let Some(reason) = self.cannot_propose(now, &cluster) {
            return out.push(Output::Done { id, result: Err(reason) });
        }
        let mark = mark(&cluster);
        self.changes.prepared = Some((cluster, size));
        self.changes.proposal = Some(Proposal { id, mark, until: now + ANSWER, seen: None });
        self.turn_now(now, out);
    }

    fn cannot_propose(&self, now: Time, new: &Cluster) -> Option<String> {
        let in_ring = self.holding() || self.fresh(now);
        let Some(token) = self.token().filter(|t| in_ring && t.has(self.me)) else {
            return Some("this node is not in the ring now: ask another one, or again".to_owned());
        };
        let version = self.cluster.version;
        if self.leaving.is_some() {
            return Some("this node is leaving the ring".to_owned());
        }
        if self.changes.proposal.is_some() || token.config.offer.is_some() {
            return Some(BUSY.to_owned());
        }
        if new.version <= version {
            let other = new.version;
            return Some(format!("version {version} is in force already, {other} is no later one"));
        }
        if !self.decides(token) {
            return Some(FEW.to_owned());
        }
        let gone = NodeSet(self.configured.0 & !new.node_set().0);
        let added = NodeSet(new.node_set().0 & !self.configured.0);
        let left = token.members.iter().filter(|m| !gone.contains(m.node)).count();
        if left == 0 {
            return Some("no member would be left".to_owned());
        }
        let stuck = self.stuck_on(token, gone, new);
        if stuck > 0 {
            return Some(format!("it removes hosts of {stuck} VIPs that no other member can host"));
        }
        if self.majority_mode() {
            if gone.len() + added.len() > 1 {
                return Some(ONE_VOTER.to_owned());
            }
            if 2 * left <= new.node_set().len() {
                return Some("more than half of the nodes would be missing".to_owned());
            }
        }
        if new.partition != self.cluster.partition && token.members.len() < self.configured.len() {
            return Some("the partition mode changes only while all nodes are members".to_owned());
        }
        None
    }

    /// VIPs that are hosted by members which are to go, and that no member which stays can host.
    fn stuck_on(&self, token: &Token, gone: NodeSet, new: &Cluster) -> usize {
        let stay = token.members.iter().map(|m| m.node).filter(|n| !gone.contains(*n));
        let stay: Vec<NodeId> = stay.collect();
        let stuck = |(i, v): (usize, &VipRecord)| {
            let vip = VipId(i as u16);
            let subnet = self.cluster.vips[i].subnet;
            let goes = v.owner.is_some_and(|owner| gone.contains(owner) && token.has(owner));
            goes && new.is_vip(vip) && !stay.iter().any(|n| self.eligible(token, *n, subnet))
        };
        token.vips.iter().enumerate().filter(|v| stuck(*v)).count()
    }

    /// May this side decide on a change? Two sides that both did would never come together again, in serve mode as well.
    pub(crate) fn decides(&self, token: &Token) -> bool {
        let (members, all) = (token.member_set().intersection(self.configured), self.configured);
        let first = all.iter().next().is_some_and(|first| members.contains(first));
        2 * members.len() > all.len()
            || (!self.majority_mode() && 2 * members.len() == all.len() && first)
    }

    pub(crate) fn tick_config(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Some(p) = self.changes.proposal.take_if(|p| now >= p.until) {
            let reason = format!("not in force everywhere within {} s", ANSWER.as_secs());
            out.push(Output::Done { id: p.id, result: Err(reason) });
        }
    }

    // What the driver answers.

    pub(crate) fn on_prepared(
        &mut self,
        now: Time,
        cluster: Box<Cluster>,
        size: u32,
        out: &mut Vec<Output>,
    ) {
        let mark = mark(&cluster);
        if mark <= self.mark() {
            return;
        }
        if self.changes.proposal.as_ref().is_some_and(|p| p.mark != mark && p.seen.is_none()) {
            if self.changes.newer != Some(mark) {
                // What is to be put into force here must not be forgotten for another's offer.
                self.changes.asked = None;
                return;
            }
            self.answer(Err("another change is in force meanwhile".to_owned()), out);
        }
        self.changes.prepared = Some((cluster, size));
        self.changes.asked = None;
        let in_ring = self.holding() || (self.fresh(now) && self.is_member(self.me));
        if self.changes.newer == Some(mark) && !in_ring {
            self.switch(now, out);
        } else {
            self.turn_now(now, out);
        }
    }

    pub(crate) fn on_unfit(
        &mut self,
        now: Time,
        digest: u64,
        reason: Option<String>,
        out: &mut Vec<Output>,
    ) {
        self.changes.asked = self.changes.asked.filter(|((_, asked), _)| *asked != digest);
        if let Some(mut reason) = reason {
            let end =
                (0..=REASON_MAX.min(reason.len())).rev().find(|i| reason.is_char_boundary(*i));
            reason.truncate(end.unwrap_or(0));
            self.changes.unfit = Some((digest, reason, now + AGAIN));
            self.turn_now(now, out);
        }
    }

    // What others run.

    pub(crate) fn mark(&self) -> Mark {
        mark(&self.cluster)
    }

    /// Is it a configuration of which this node takes tokens?
    pub(crate) fn knows(&self, digest: u64) -> bool {
        let previous = self.changes.previous.as_ref().map(|c| c.digest);
        digest == self.cluster.digest
            || previous == Some(digest)
            || self.changes.is_prepared(digest)
    }

    /// Will a node with this configuration and this one come to have the same?
    pub(crate) fn related(&self, version: u64, digest: u64) -> bool {
        (version, self.cluster.version) != (0, 0) && !self.changes.is_unfit(digest)
    }

    /// `from` runs this configuration. True if this node runs it too, from now on at the latest; else a later one is caught
    /// up with.
    pub(crate) fn same_config(
        &mut self,
        now: Time,
        from: Option<NodeId>,
        version: u64,
        digest: u64,
        out: &mut Vec<Output>,
    ) -> bool {
        if digest == self.cluster.digest {
            return true;
        }
        let theirs = (version, digest);
        if self.changes.is_ahead(version, digest) {
            self.switch(now, out);
            return digest == self.cluster.digest;
        }
        // Others come to have the same in a moment: nobody need mend anything.
        if let Some(from) = from.filter(|_| !self.related(version, digest)) {
            self.note_differs(now, from);
        }
        if version > 0 && theirs > self.mark() && !self.changes.is_unfit(digest) {
            self.changes.newer = self.changes.newer.max(Some(theirs));
            if self.changes.asked.is_none_or(|(mark, _)| mark < theirs) {
                self.ask_for(theirs, from.into_iter().collect(), out);
            }
        }
        false
    }

    /// The answer to a question to be let in says what its receiver runs.
    pub(crate) fn learn(
        &mut self,
        now: Time,
        from: Option<NodeId>,
        verdict: &Verdict,
        out: &mut Vec<Output>,
    ) {
        if let (Some(from), Verdict::Notice { version, digest, .. }) = (from, verdict)
            && *digest != 0
        {
            self.same_config(now, Some(from), *version, *digest, out);
        }
    }

    /// `from` nobody: its driver knows whom to ask.
    pub(crate) fn ask_for(&mut self, theirs: Mark, from: NodeSet, out: &mut Vec<Output>) {
        let from = from.without(self.me);
        if self.changes.asked == Some((theirs, from)) || self.changes.is_unfit(theirs.1) {
            return;
        }
        self.changes.asked = Some((theirs, from));
        let (version, digest) = theirs;
        out.push(Output::Prepare { version, digest, from });
    }
}

const FEW: &str = "fewer than half of the nodes are members here, or half of them without the first one: another side may decide otherwise";
/// Why a change is refused while [`Ring::changing`].
pub const BUSY: &str =
    "another change of the configuration is under way: try again when it is done";
const ONE_VOTER: &str = "in majority mode one node is added or removed at a time";
