//! Passing the token on (rule 3), what its receiver said (rule 13), and what happens when nobody took it (rule 6).
//! Also the pace: an idle ring takes one rotation for a full turn whatever its size; a change is passed on at once.

use crate::Output;
use crate::lease::{span, us};
use crate::ring::{Ring, State};
use dsc_wire::local::EventKind;
use dsc_wire::message::{Message, Outcome, TokenVerdict};
use dsc_wire::token::Token;
use dsc_wire::{Key, NodeId, Time};
use std::time::Duration;

impl Ring {
    /// How long to hold the token; zero to pass it at once.
    pub(crate) fn hold_for(&mut self, token: &Token) -> Duration {
        let n = token.members.len() as u32;
        let rotation = self.cluster.timing.rotation;
        if n == 1 {
            return rotation / self.configured.len().clamp(1, 4) as u32;
        }
        let fresh = token.members.iter().any(|m| m.rec == Key::ZERO);
        let quorum = self.quorum(token.members.len());
        // An heir waits for the last of its fence, or for everybody to have seen it named.
        let heirs = quorum
            && token.vips.iter().any(|v| {
                v.heir.is_some_and(|heir| {
                    (v.fence_us > 0 && v.fence_us <= us(rotation)) || token.rec(heir) <= v.changed
                })
            });
        self.hurried = fresh || heirs || token.hurry > 0;
        // One member holds for all, so that the others wake up once for accepting and passing; and once in a rotation: who was
        // put behind it in another order has not had the token yet.
        let called = std::mem::take(&mut self.called);
        let mine = token.rec(self.me);
        let round = token.members.iter().all(|m| m.node == self.me || m.rec > mine);
        let holds = self.is_first(token) && round;
        if self.hurried || called || !holds { Duration::ZERO } else { self.hold }
    }

    /// Something changed here: does this node's turn now if it holds the token, and calls for it if not.
    pub(crate) fn turn_now(&mut self, now: Time, out: &mut Vec<Output>) {
        match std::mem::replace(&mut self.state, State::Wait) {
            State::Hold { token, .. } => self.turn(now, token, out),
            other => {
                self.state = other;
                self.call(out);
            }
        }
    }

    /// Asks the member that holds for all to pass the token on; once until it comes. A call that is lost costs a rotation.
    fn call(&mut self, out: &mut Vec<Output>) {
        let holder = self.copy.as_deref().and_then(|t| t.members.first()).map(|m| m.node);
        let waiting = matches!(self.state, State::Wait) && !self.gave_up() && !self.calling;
        if let Some(holder) = holder.filter(|h| waiting && *h != self.me && self.is_member(self.me))
        {
            self.calling = true;
            self.send(holder, Message::Call, out);
        }
    }

    /// Somebody waits for the token.
    pub(crate) fn on_call(&mut self, now: Time, out: &mut Vec<Output>) {
        match std::mem::replace(&mut self.state, State::Wait) {
            State::Hold { token, .. } => self.pass(now, token, out),
            other => {
                self.state = other;
                self.called = true;
            }
        }
    }

    /// Keeps the budget of hurried passes: refilled while an heir's time comes near, else counted down.
    fn spend_hurry(&self, token: &mut Token) {
        let n = token.members.len() as u16;
        let rotation_us = us(self.cluster.timing.rotation);
        let near = |v: &dsc_wire::token::VipRecord| {
            v.heir.is_some() && v.fence_us > 0 && v.fence_us <= rotation_us
        };
        token.hurry = match token.vips.iter().any(near) {
            true => token.hurry.max(3 * n),
            false => token.hurry.saturating_sub(1),
        };
    }

    /// Measures the rotation that just ended and paces the next, so that hops and processing are part of it.
    pub(crate) fn measure(&mut self, now: Time, same: bool) {
        let took = now.since(self.acc_at);
        let rotation = self.cluster.timing.rotation;
        if !same || self.hurried || took > rotation * 4 {
            return;
        }
        self.rotation = (self.rotation * 7 + took) / 8;
        let step = rotation.abs_diff(took) / 4;
        self.hold = match took < rotation {
            true => (self.hold + step).min(rotation),
            false => self.hold.saturating_sub(step),
        };
    }

    /// Signs the token and sends it to the successor. `token` stays as it was, in case nobody takes it.
    pub(crate) fn pass(&mut self, now: Time, mut token: Box<Token>, out: &mut Vec<Output>) {
        self.rebase(now, &mut token);
        let mut sent = token.clone();
        self.spend_hurry(&mut sent);
        self.sign(now, &mut sent);
        self.last_token = now;
        self.copy_at = now;
        let to = sent.successor(self.me);
        if to == self.me {
            self.copy = Some(sent.clone());
            return self.accept(now, sent, out);
        }
        self.flush(out);
        let via = self.relay_for(&sent, to);
        // A relayed pass is acknowledged, and behind it nobody would be asked again.
        if sent.links.is_empty() && !self.hurried {
            return self.pass_tacitly(now, token, sent, to, out);
        }
        let id = match via {
            Some(via) => self.send(via, Message::Relay { to, token: sent.clone() }, out),
            None => self.send(to, Message::Token(sent.clone()), out),
        };
        self.copy = Some(sent);
        self.state = State::Pass { token, id, to, via, first: now };
    }

    /// The receiver's verdict on the token passed last.
    pub(crate) fn on_verdict(&mut self, now: Time, verdict: TokenVerdict, out: &mut Vec<Output>) {
        let State::Pass { token, to, first, .. } = std::mem::replace(&mut self.state, State::Wait)
        else {
            return;
        };
        if self.departing() && verdict.outcome != Outcome::Stranger {
            return self.gone(now, out);
        }
        match verdict.outcome {
            Outcome::Accepted => {
                self.heard = self.heard.max(verdict.counter);
                self.last_token = now;
            }
            Outcome::Stale => {
                self.heard = self.heard.max(verdict.counter);
                self.last_token = now;
                self.counts.stale += 1;
                if !verdict.member {
                    self.ask_in(to, self.acc, out);
                }
            }
            Outcome::Stranger => self.lost(now, token, to, first, out),
        }
    }

    /// The member to which the token was sent, the successor or the one that relays to it, could not be reached: it
    /// is removed and the next one tried.
    pub(crate) fn unreachable(&mut self, now: Time, out: &mut Vec<Output>) {
        if let State::Pass { mut token, to, via, first, .. } =
            std::mem::replace(&mut self.state, State::Wait)
        {
            let silent = via.unwrap_or(to);
            self.note_broken(&mut token, silent);
            self.lost(now, token, silent, first, out);
        }
    }

    /// The successor could not be reached by the member that relays to it either.
    pub(crate) fn unreachable_by_relay(&mut self, now: Time, out: &mut Vec<Output>) {
        if let State::Pass { mut token, to, first, .. } =
            std::mem::replace(&mut self.state, State::Wait)
        {
            self.note_broken(&mut token, to);
            self.lost(now, token, to, first, out);
        }
    }

    pub(crate) fn lost(
        &mut self,
        now: Time,
        mut token: Box<Token>,
        to: NodeId,
        first: Time,
        out: &mut Vec<Output>,
    ) {
        self.new_epoch(&mut token);
        self.drop_member(now, &mut token, to, first);
        self.counts.removals += 1;
        self.report(now, EventKind::Removed { peer: to });
        self.renewed = false;
        self.turn(now, token, out);
    }

    /// Those who asked are let in at once while this node holds the token.
    pub(crate) fn let_in(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.joins.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.state, State::Wait) {
            State::Hold { token, .. } => {
                if self.joins.iter().any(|j| Ring::is_new(&token, j)) {
                    self.turn(now, token, out);
                } else {
                    self.joins.clear();
                    self.pass(now, token, out);
                }
            }
            other => self.state = other,
        }
    }

    /// A full turn as this node measures it.
    pub(crate) fn rotation_us(&self) -> u64 {
        self.rotation.as_micros() as u64
    }

    /// The lease in force.
    pub(crate) fn lease_ms(&self) -> u64 {
        let lease = self.token().map_or(self.cluster.timing.lease, |t| span(t.lease_us));
        lease.as_millis() as u64
    }
}
