//! Pairs of members that cannot exchange messages directly, one way or both. They are remembered on the token, so
//! that the ring is ordered around them or the token is relayed, instead of removing a living member again and
//! again. The end that failed tries again by itself now and then.

use crate::Output;
use crate::lease::us;
use crate::ring::{Ring, State};
use dsc_wire::ids::NODES_MAX;
use dsc_wire::message::{Message, TokenVerdict, Verdict};
use dsc_wire::token::{BrokenLink, LINKS_MAX, Token};
use dsc_wire::{Incarnation, Key, NodeId, NodeSet, Receipt, SendId, Time};
use std::time::Duration;

/// How long a link counts as broken before it is tried again; a try costs one message.
const RETRY: Duration = Duration::from_secs(2);
/// Tokens of others that may be on their way through this node.
const FORWARDS_MAX: usize = NODES_MAX;

/// Tries of broken links by this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tests {
    sent: Vec<(SendId, NodeId)>,
    mended: NodeSet,
    still: NodeSet,
}

impl Tests {
    fn take(&mut self, id: SendId) -> Option<NodeId> {
        let at = self.sent.iter().position(|(sent, _)| *sent == id)?;
        Some(self.sent.swap_remove(at).1)
    }

    /// The other end answered; true if the message was a try.
    pub fn answered(&mut self, id: SendId) -> bool {
        self.take(id).inspect(|to| self.mended.insert(*to)).is_some()
    }

    /// The other end did not answer; true if the message was a try.
    pub fn failed(&mut self, id: SendId) -> bool {
        self.take(id).inspect(|to| self.still.insert(*to)).is_some()
    }
}

impl Ring {
    /// Remembers that `to` did not answer this node. Called before `to` is removed.
    pub(crate) fn note_broken(&self, token: &mut Token, to: NodeId) {
        let Some(incarnation) = token.member(to).map(|m| m.incarnation) else { return };
        token.links.retain(|l| (l.from, l.to) != (self.me, to));
        if token.links.len() >= LINKS_MAX {
            let oldest = token.links.iter().enumerate().min_by_key(|(_, l)| l.left_us);
            if let Some(at) = oldest.map(|(at, _)| at) {
                token.links.swap_remove(at);
            }
        }
        token.links.push(BrokenLink { from: self.me, to, incarnation, left_us: us(RETRY) });
    }

    /// A node in a new life was not reachable only because the old one had ended.
    pub(crate) fn forgive(&self, token: &mut Token, node: NodeId, incarnation: Incarnation) {
        token.links.retain(|l| l.to != node || l.incarnation == incarnation);
    }

    /// Tries again what is due, notes what came of it, forgets what concerns nobody any more.
    pub(crate) fn tend_links(&mut self, token: &mut Token, out: &mut Vec<Output>) {
        if token.links.is_empty() {
            self.tests = Tests::default();
            return;
        }
        let mended = std::mem::take(&mut self.tests.mended);
        let still = std::mem::take(&mut self.tests.still);
        let members = token.member_set();
        let me = self.me;
        token.links.retain(|l| {
            let lives = members.contains(l.from) && members.contains(l.to);
            (lives || l.left_us > 0) && !(l.from == me && mended.contains(l.to))
        });
        let mut due = NodeSet::EMPTY;
        for l in token.links.iter_mut().filter(|l| l.from == me && members.contains(l.to)) {
            if still.contains(l.to) {
                l.left_us = us(RETRY);
            } else if l.left_us == 0 && !self.tests.sent.iter().any(|(_, to)| *to == l.to) {
                due.insert(l.to);
            }
        }
        for to in due.iter() {
            let id = self.send(to, Message::Reach, out);
            self.tests.sent.push((id, to));
        }
        self.arrange(token);
    }

    /// Orders the ring so that as few neighbours as possible cannot reach each other. Rings of three and fewer have
    /// only one order. The first stays the first: it holds for all, and a second one in the same rotation would let the
    /// others starve.
    pub(crate) fn arrange(&self, token: &mut Token) {
        if token.links.is_empty() || token.members.len() < 4 {
            return;
        }
        let mut cut = [NodeSet::EMPTY; NODES_MAX];
        for l in &token.links {
            cut[l.from.index()].insert(l.to);
            cut[l.to.index()].insert(l.from);
        }
        let bad = |order: &[NodeId]| {
            let next = order.iter().cycle().skip(1);
            order.iter().zip(next).filter(|(a, b)| cut[a.index()].contains(**b)).count()
        };
        let mut order: Vec<NodeId> = token.members.iter().map(|m| m.node).collect();
        let mut best = bad(&order);
        while best > 0 {
            let mut better = None;
            for from in 0..order.len() {
                for to in 0..order.len() {
                    let mut tried = order.clone();
                    let node = tried.remove(from);
                    tried.insert(to, node);
                    let count = bad(&tried);
                    if count < best {
                        best = count;
                        better = Some(tried);
                    }
                }
            }
            match better {
                Some(found) => order = found,
                None => break,
            }
        }
        let first = token.members[0].node;
        let place = |node: NodeId| order.iter().position(|n| *n == node);
        token.members.sort_by_key(|m| place(m.node));
        let ahead = token.members.iter().position(|m| m.node == first);
        token.members.rotate_left(ahead.unwrap_or(0));
    }

    /// The member that has to carry the token to `to`, if this node cannot.
    pub(crate) fn relay_for(&self, token: &Token, to: NodeId) -> Option<NodeId> {
        if !token.broken(self.me, to) {
            return None;
        }
        let others = token.members.iter().map(|m| m.node).filter(|n| *n != self.me && *n != to);
        let mut carriers = others.filter(|n| !token.broken(self.me, *n) && !token.broken(*n, to));
        carriers.next()
    }

    /// Carries another's token to where it cannot bring it itself.
    pub(crate) fn on_relay(
        &mut self,
        now: Time,
        from: NodeId,
        receipt: Receipt,
        to: NodeId,
        token: Box<Token>,
        out: &mut Vec<Output>,
    ) {
        let known = self.cluster.is_node(to) && to != self.me;
        if !known || !self.knows(token.digest) || self.forwards.len() >= FORWARDS_MAX {
            self.counts.refused_relays += 1;
            out.push(Output::Answer { receipt, verdict: Verdict::Noted });
            return;
        }
        self.last_heard[from.index()] = Some(now);
        self.counts.relayed += 1;
        out.push(Output::Answer { receipt, verdict: Verdict::Forwarded });
        let key = token.key;
        let id = self.send(to, Message::Relayed { origin: from, token }, out);
        self.forwards.push((id, from, key));
    }

    /// Tells the sender of a relayed token what became of it; true if the message was one.
    pub(crate) fn on_forwarded(
        &mut self,
        id: SendId,
        verdict: Option<Verdict>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(at) = self.forwards.iter().position(|(sent, ..)| *sent == id) else {
            return false;
        };
        let (_, origin, key) = self.forwards.swap_remove(at);
        let verdict = match verdict {
            Some(Verdict::Token(verdict)) => Some(verdict),
            Some(Verdict::Notice { .. } | Verdict::Forwarded | Verdict::Noted | Verdict::Quiet)
            | None => None,
        };
        self.send(origin, Message::Passed { key, verdict }, out);
        true
    }

    /// What became of the token that this node had relayed.
    pub(crate) fn on_passed(
        &mut self,
        now: Time,
        from: NodeId,
        key: Key,
        verdict: Option<TokenVerdict>,
        out: &mut Vec<Output>,
    ) {
        let sent = self.copy.as_deref().is_some_and(|c| c.key == key);
        if !sent || !matches!(self.state, State::Pass { via: Some(via), .. } if via == from) {
            return;
        }
        match verdict {
            Some(verdict) => self.on_verdict(now, verdict, out),
            None => self.unreachable_by_relay(now, out),
        }
    }
}
