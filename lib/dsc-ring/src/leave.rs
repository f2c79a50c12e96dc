//! The planned stop: VIPs are handed over, then this node takes itself off the membership and passes the token on
//! for the last time, so that nobody has to wait for a delivery that fails.

use crate::Output;
use crate::lease::us;
use crate::ring::{Ring, State};
use crate::timer::Timers;
use dsc_wire::message::Message;
use dsc_wire::token::Token;
use dsc_wire::{NodeId, Time};
use std::time::Duration;

/// A stop that could not hand over everything in this time goes without.
const PATIENCE: Duration = Duration::from_secs(2);

impl Ring {
    pub(crate) fn on_leave(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.leaving.is_some() || matches!(self.state, State::Gone) {
            return;
        }
        self.refuse_commands("this node is leaving the ring", out);
        let outside = matches!(self.state, State::Quiet { .. } | State::Wait)
            && (self.copy.is_none() || self.gave_up());
        if outside {
            return self.gone(now, out);
        }
        self.leaving = Some(now + PATIENCE);
        self.turn_now(now, out);
    }

    pub(crate) fn tick_leave(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.leaving.is_some_and(|until| now >= until) && !matches!(self.state, State::Gone) {
            self.gone(now, out);
        }
    }

    /// Is everything handed over that somebody else can take?
    pub(crate) fn leaves_now(&self, now: Time, token: &Token) -> bool {
        let Some(until) = self.leaving else { return false };
        let alone = !token.members.iter().any(|m| m.node != self.me);
        let stuck = |i: usize| {
            let subnet = self.cluster.vips[i].subnet;
            let others = token.members.iter().map(|m| m.node).filter(|n| *n != self.me);
            !others.into_iter().any(|n| self.eligible(token, n, subnet))
        };
        let told = token.member(self.me).is_none_or(|m| m.leaving && m.rec > dsc_wire::Key::ZERO);
        let mut owned = (0..token.vips.len()).filter(|i| token.vips[*i].owner == Some(self.me));
        alone || now >= until || (told && owned.all(stuck))
    }

    /// Stops answering, leaves the membership, and passes the token to whoever comes next.
    pub(crate) fn depart(&mut self, now: Time, mut token: Box<Token>, out: &mut Vec<Output>) {
        self.kernel.forget_own();
        self.promises.lease_end = self.promises.lease_end.min(now);
        let to = match token.has(self.me) {
            true => token.successor(self.me),
            false => token.members.first().map_or(self.me, |m| m.node),
        };
        if to == self.me {
            return self.gone(now, out);
        }
        self.flush(out);
        if let Some(duty) = token.member(self.me).map(|m| m.duty) {
            self.suspicion.active = false;
            self.new_epoch(&mut token);
            if let Some(m) = token.member_mut(self.me) {
                m.left_us = 0;
            }
            self.drop_member(now, &mut token, self.me, now);
            self.remember(&mut token, self.me, duty, us(crate::STEER));
            self.find_heirs(&mut token);
        }
        let mut sent = token.clone();
        sent.key.seq += 1;
        self.seen = self.seen.max(sent.key);
        let id = self.send(to, Message::Token(sent.clone()), out);
        self.copy = Some(sent);
        self.copy_at = now;
        self.state = State::Pass { token, id, to, via: None, first: now };
    }

    /// Was the token in flight this node's last?
    pub(crate) fn departing(&self) -> bool {
        self.leaving.is_some() && !self.copy.as_deref().is_some_and(|c| c.has(self.me))
    }

    /// Out of the ring, silent, for good.
    pub(crate) fn gone(&mut self, now: Time, out: &mut Vec<Output>) {
        if let State::Pass { id, .. } = std::mem::replace(&mut self.state, State::Gone) {
            out.push(Output::Cancel { id });
        }
        self.drop_tacit(out);
        self.drop_round(out);
        self.kernel.forget_own();
        self.promises.lease_end = self.promises.lease_end.min(now);
        self.flush(out);
        self.refuse_commands("this node has left the ring", out);
        self.leaving = None;
        self.timers = Timers::new();
        out.push(Output::Left);
    }

    /// Nodes that the view shows as members.
    pub(crate) fn shown_members(&self) -> Vec<NodeId> {
        let outside = self.gave_up() || matches!(self.state, State::Gone);
        match self.token() {
            Some(token) if !outside => token.members.iter().map(|m| m.node).collect(),
            Some(_) | None => Vec::new(),
        }
    }
}
