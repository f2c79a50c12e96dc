//! Whether this node knows all flows, whose it may not know, and from whom it takes a copy. Called by `machine` and `turn`.
//!
//! | state | copy from | then |
//! |---|---|---|
//! | in no ring yet | nobody | waits for members |
//! | alone in the ring | nobody | ready: nobody knows more |
//! | not ready, members | the lowest that is ready; the next if it refuses or is silent | whole: ready |
//! | all others refuse, none is lower | nobody | ready: all start together, and one has to be the first |
//! | nobody ready for 2 s | nobody | ready: nobody who can be reached knows more |
//! | ready, met somebody new | from each of them, one after the other | stays ready |

use super::copy::Copy;
use super::count::{Count, Counts};
use super::message::Message;
use dsc_wire::{NodeId, NodeSet, Time};
use std::time::Duration;

/// How long somebody who was asked for a copy may be silent, in the first round; in each next one twice as long.
const PATIENCE: Duration = Duration::from_millis(100);
const ROUNDS_MAX: u32 = 4;
/// Between two rounds in which nobody gave a copy. Who becomes ready says so, which ends the wait.
const ROUND: Duration = Duration::from_millis(100);
/// For so long somebody ready is looked for.
const SEARCH: Duration = Duration::from_secs(2);
/// After a copy from somebody new that came to no end.
const RETRY: Duration = Duration::from_secs(1);

/// What is known about the others' tables.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    me: NodeId,
    /// The other members.
    pub others: NodeSet,
    joined: bool,
    away: bool,
    pub ready: bool,
    /// Their flows may not be known here.
    unknown: NodeSet,
    refused: NodeSet,
    silent: NodeSet,
    round: u32,
    next_round: Time,
    search_ends: Time,
    retry: Time,
    /// The last one that a copy was taken from for being new.
    turn: NodeId,
    pub copy: Option<Copy>,
    number: u64,
}

impl Join {
    pub fn new(me: NodeId) -> Join {
        Join {
            me,
            others: NodeSet::EMPTY,
            joined: false,
            away: false,
            ready: false,
            unknown: NodeSet::EMPTY,
            refused: NodeSet::EMPTY,
            silent: NodeSet::EMPTY,
            round: 0,
            next_round: Time::ZERO,
            search_ends: Time::NEVER,
            retry: Time::ZERO,
            turn: me,
            copy: None,
            number: 0,
        }
    }

    /// The ring's members changed, or may have: who is in it now that was not before?
    pub fn members(&mut self, set: NodeSet, now: Time, counts: &mut Counts) -> NodeSet {
        if set.is_empty() {
            // Whoever is there when this node comes back may bring what others, gone meanwhile, have told.
            self.away = true;
            return NodeSet::EMPTY;
        }
        let before = if std::mem::take(&mut self.away) { NodeSet::EMPTY } else { self.others };
        self.others = set.without(self.me);
        self.joined = true;
        let left = NodeSet(before.0 & !self.others.0);
        if !left.intersection(self.unknown).is_empty() {
            self.missed();
        }
        // What it learns elsewhere from now on is not known here, nor to those who take a copy from here.
        left.iter().for_each(|node| self.is_new(node));
        let entered = NodeSet(self.others.0 & !before.0);
        entered.iter().for_each(|node| self.is_new(node));
        if self.copy.as_ref().is_some_and(|c| !self.others.contains(c.from)) {
            self.copy = None;
            counts.add(Count::CopyAbandoned, 1);
        }
        if !self.others.is_empty() && self.search_ends == Time::NEVER {
            self.search_ends = now + SEARCH;
        }
        entered
    }

    /// `node` was away, or is in a new life: nobody knows what it brings.
    pub fn is_new(&mut self, node: NodeId) {
        self.unknown.insert(node);
        self.refused.remove(node);
        self.silent.remove(node);
        if let Some(copy) = &mut self.copy {
            copy.covers.remove(node);
        }
    }

    /// `node` is in a life that was not known, and gives no copy that one before began.
    pub fn new_life(&mut self, node: NodeId, renewed: bool, counts: &mut Counts) {
        if renewed && !self.knows(node) {
            self.missed();
        }
        self.is_new(node);
        if self.copy.as_ref().is_some_and(|c| c.from == node) {
            self.copy = None;
            counts.add(Count::CopyAbandoned, 1);
        }
    }

    /// Others may have learned what this node has missed: it was not running for long, or somebody whom it met went before
    /// it had its copy.
    pub fn missed(&mut self) {
        self.others.iter().for_each(|node| self.is_new(node));
    }

    /// Are all flows of `node` known here?
    pub fn knows(&self, node: NodeId) -> bool {
        !self.unknown.contains(node)
    }

    /// `node` says that it knows all flows.
    pub fn is_ready(&mut self, node: NodeId) {
        self.refused.remove(node);
    }

    /// `node` does not give the copy.
    pub fn is_refused(&mut self, node: NodeId, number: u64, now: Time, counts: &mut Counts) {
        let Some(copy) = self.copy.take_if(|c| c.from == node && c.number == number) else {
            return;
        };
        if copy.any {
            counts.add(Count::CopyAbandoned, 1);
            self.retry = now + RETRY;
        } else {
            self.refused.insert(node);
        }
    }

    /// Ends the copy if it is whole: the giver is told, and nobody that it covers is unknown any more.
    pub fn end_if_whole(&mut self, counts: &mut Counts) -> Option<(NodeId, Message)> {
        let mut copy = self.copy.take_if(|c| c.is_whole())?;
        counts.add(Count::CopyWhole, 1);
        self.unknown = NodeSet(self.unknown.0 & !copy.covers.0);
        self.ready |= !copy.any;
        Some((copy.from, copy.request(false)))
    }

    /// When [`Join::tick`] has something to do.
    pub fn deadline(&self) -> Time {
        if let Some(copy) = &self.copy {
            let searching = !self.ready && !copy.has_begun();
            return copy.deadline().min(if searching { self.search_ends } else { Time::NEVER });
        }
        let new = !self.unknown.intersection(self.others).is_empty();
        match (self.ready, self.joined) {
            (true, _) if new => self.retry,
            (true, _) | (false, false) => Time::NEVER,
            (false, true) if self.candidate().is_some() || self.is_first() => Time::ZERO,
            (false, true) => self.next_round.min(self.search_ends),
        }
    }

    /// Judges what is due; tells what to send.
    pub fn tick(&mut self, now: Time, counts: &mut Counts) -> Option<(NodeId, Message)> {
        let over = !self.ready && now >= self.search_ends;
        if let Some(copy) = self.copy.take_if(|c| c.is_lost(now) || over && !c.has_begun()) {
            counts.add(Count::CopyAbandoned, 1);
            self.silent.insert(copy.from);
            self.retry = now + RETRY;
        }
        if self.copy.is_none() {
            if self.ready {
                self.meet(now, counts);
            } else if self.joined {
                self.search(now, counts);
            }
        }
        let copy = self.copy.as_mut()?;
        Some((copy.from, copy.ask(now)?))
    }

    fn candidate(&self) -> Option<NodeId> {
        NodeSet(self.others.0 & !self.refused.0 & !self.silent.0).iter().next()
    }

    /// Does everybody else start too, and has to wait for this node?
    fn is_first(&self) -> bool {
        let all_refuse = NodeSet(self.others.0 & !self.refused.0).is_empty();
        all_refuse && self.others.iter().all(|node| node > self.me)
    }

    fn search(&mut self, now: Time, counts: &mut Counts) {
        if self.candidate().is_none() && now >= self.next_round {
            // Everybody was asked: this is the end of a round, or of the wait after it.
            if self.next_round == Time::ZERO {
                self.next_round = now + ROUND;
            } else {
                self.next_round = Time::ZERO;
                self.round = (self.round + 1).min(ROUNDS_MAX);
                if !self.is_first() {
                    self.refused = NodeSet::EMPTY;
                    self.silent = NodeSet::EMPTY;
                }
            }
        }
        if self.is_first() || now >= self.search_ends {
            self.ready = true;
            if !self.others.is_empty() {
                counts.add(Count::CopyForgone, 1);
            }
        } else if let Some(node) = self.candidate() {
            self.begin(node, false, PATIENCE * (1 << self.round), now, counts);
        }
    }

    fn meet(&mut self, now: Time, counts: &mut Counts) {
        let new = self.unknown.intersection(self.others);
        let after = new.iter().find(|node| *node > self.turn).or_else(|| new.iter().next());
        if let Some(node) = after.filter(|_| now >= self.retry) {
            self.turn = node;
            self.begin(node, true, RETRY, now, counts);
        }
    }

    fn begin(&mut self, from: NodeId, any: bool, patience: Duration, now: Time, c: &mut Counts) {
        self.number += 1;
        self.next_round = Time::ZERO;
        c.add(Count::CopyAsked, 1);
        self.copy = Some(Copy::new(from, self.number, any, now, patience));
    }
}
