//! Rule 21 in a node's turn: a configuration is brought up on the token, members say that they have it stored, all having said
//! so it is decided and put into force; or it is given up. What happens between turns is `config.rs`'s.

use crate::Output;
use crate::config::{BUSY, LEAVE, PATIENCE, mark};
use crate::lease::us;
use crate::ring::Ring;
use dsc_wire::local::EventKind;
use dsc_wire::token::{Offer, Token};
use dsc_wire::{NodeSet, Time};

impl Ring {
    /// Does this node's part in a change: offers, gets ready, puts into force, gives up.
    pub(crate) fn work_config(&mut self, now: Time, token: &mut Token, out: &mut Vec<Output>) {
        if !token.has(self.me) {
            // It has left, and only brings the token to somebody.
            return;
        }
        self.changes.forget(now, token.config.offer.as_ref().map(|offer| offer.digest));
        self.agree_on_version(token, out);
        self.expel(now, token);
        self.bring_up(token, out);
        let Some(mut offer) = token.config.offer.take() else {
            return self.conclude(token, out);
        };
        let theirs = (offer.version, offer.digest);
        if theirs <= self.mark() {
            return self.conclude(token, out);
        }
        let members = token.member_set();
        offer.prepared = offer.prepared.intersection(members);
        if self.changes.is_prepared(offer.digest) {
            if !offer.prepared.contains(self.me) {
                offer.prepared.insert(self.me);
                self.stir(token);
            }
        } else if let Some((_, reason, _)) =
            self.changes.unfit.as_ref().filter(|u| u.0 == offer.digest)
        {
            if offer.refused.is_none() {
                offer.refused = Some((self.me, reason.clone()));
                self.stir(token);
            }
        } else if !offer.prepared.without(self.me).is_empty() {
            self.ask_for(theirs, offer.prepared, out);
        }
        let all = members.0 & !offer.prepared.0 == 0;
        if !offer.decided && all && (offer.in_force || self.decides(token)) {
            offer.decided = true;
            self.stir(token);
        }
        if !offer.decided || !self.changes.is_prepared(offer.digest) {
            let judge = if members.contains(offer.by) { offer.by } else { token.members[0].node };
            let late = offer.refused.is_some() || offer.left_us == 0;
            if late && !offer.decided && judge == self.me {
                self.give_up(now, token, offer, out);
            } else {
                token.config.offer = Some(offer);
            }
            return self.conclude(token, out);
        }
        self.all_are_ready(now, token, offer, out);
        self.conclude(token, out);
    }

    /// Every member has stored it, and nothing can stop it any more: members that are not in it hand over and leave, then it
    /// comes into force. Who has joined since and has not stored it yet catches up.
    fn all_are_ready(&mut self, now: Time, token: &mut Token, offer: Offer, out: &mut Vec<Output>) {
        let Some((new, _)) = &self.changes.prepared else { return };
        let (mine, nodes) = (new.is_node(self.me), new.node_set());
        let gone = NodeSet(token.member_set().0 & !nodes.0);
        if !gone.is_empty() {
            let (version, digest, by) = (offer.version, offer.digest, offer.by);
            token.config.offer = Some(offer);
            self.stir(token);
            if !mine && self.leaving.is_none() {
                self.leaving = Some(now + LEAVE);
                out.push(Output::Removed { digest });
                if by == self.me {
                    let text = format!("version {version} is in force when this node has left");
                    self.answer(Ok(text), out);
                }
            }
            return;
        }
        let (version, by) = (offer.version, offer.by);
        let old = self.cluster.clone();
        self.switch(now, out);
        self.upgrade(&old, token);
        self.stir(token);
        self.report(now, EventKind::ConfigChanged { version, by });
    }

    fn give_up(&mut self, now: Time, token: &mut Token, offer: Offer, out: &mut Vec<Output>) {
        let peer = offer.refused.as_ref().map(|(node, _)| *node);
        let (version, by) = (offer.version, offer.by);
        self.changes.give_up(now, (version, offer.digest));
        self.report(now, EventKind::ConfigDropped { version, by, peer });
        self.stir(token);
        if self.changes.proposal.as_ref().is_none_or(|p| p.mark != (version, offer.digest)) {
            return;
        }
        let reason = match offer.refused {
            Some((node, reason)) => format!("{node} refuses it: {reason}"),
            None => {
                let missing = NodeSet(token.member_set().0 & !offer.prepared.0);
                let missing: Vec<String> = missing.iter().map(|n| n.to_string()).collect();
                let s = PATIENCE.as_secs();
                format!("{} had not stored it within {s} s", missing.join(", "))
            }
        };
        self.answer(Err(reason), out);
    }

    pub(crate) fn answer(&mut self, result: Result<String, String>, out: &mut Vec<Output>) {
        if let Some(p) = self.changes.proposal.take() {
            out.push(Output::Done { id: p.id, result });
        }
    }

    /// Token and node agree on how often the configuration was changed; equal ones may have come about in different ways.
    fn agree_on_version(&mut self, token: &mut Token, out: &mut Vec<Output>) {
        if token.config.version > self.cluster.version {
            self.cluster.version = token.config.version;
            let (version, digest) = self.mark();
            out.push(Output::Configured { version, digest });
        }
        token.config.version = self.cluster.version;
    }

    /// A member that the configuration does not have any more was not there when the others agreed on it.
    fn expel(&mut self, now: Time, token: &mut Token) {
        let gone = NodeSet(token.member_set().0 & !self.configured.0);
        for node in gone.without(self.me).iter() {
            self.new_epoch(token);
            self.drop_member(now, token, node, now);
            self.report(now, EventKind::Removed { peer: node });
        }
        if !gone.is_empty() {
            token.absent.retain(|a| self.configured.contains(a.node));
        }
    }

    /// Puts on the token what was asked for here, or what is in force elsewhere.
    fn bring_up(&mut self, token: &mut Token, out: &mut Vec<Output>) {
        let Some((new, size)) = &self.changes.prepared else { return };
        let (theirs, size) = (mark(new), *size);
        let in_force = self.changes.newer == Some(theirs);
        let asked = self.changes.proposal.as_ref().filter(|p| p.seen.is_none()).map(|p| p.mark);
        let refused = self.changes.given_up.is_some_and(|(mark, _)| mark == theirs);
        if (asked != Some(theirs) && (!in_force || refused)) || theirs <= self.mark() {
            return;
        }
        if let Some(offer) = &mut token.config.offer {
            let other = (offer.version, offer.digest) != theirs;
            offer.in_force |= !other && in_force;
            if other && !in_force {
                self.answer(Err(BUSY.to_owned()), out);
            }
            // What is in force somewhere goes before what may never be.
            if !other || !in_force || offer.in_force {
                return;
            }
        }
        token.config.offer = Some(Offer {
            version: theirs.0,
            digest: theirs.1,
            size,
            by: self.me,
            in_force,
            decided: false,
            prepared: NodeSet::EMPTY,
            refused: None,
            left_us: us(PATIENCE),
            extra: Vec::new(),
        });
        self.stir(token);
    }

    /// Tells the operator when every member has passed a token with it in force.
    fn conclude(&mut self, token: &mut Token, out: &mut Vec<Output>) {
        let (key, mine) = (token.key, self.mark());
        let Some(p) = &mut self.changes.proposal else { return };
        if p.mark < mine || (p.mark > mine && p.seen.is_some()) {
            return self.answer(Err("another change has undone it".to_owned()), out);
        }
        if p.mark != mine {
            return;
        }
        // A token of another formation may have come from a copy of before.
        let seen = p.seen.filter(|seen| seen.epoch == key.epoch).unwrap_or(key);
        p.seen = Some(seen);
        let me = self.me;
        if token.members.iter().all(|m| m.node == me || m.rec > seen) {
            let (version, members) = (mine.0, token.members.len());
            self.answer(Ok(format!("version {version} is in force on {members} members")), out);
        } else {
            self.stir(token);
        }
    }
}
