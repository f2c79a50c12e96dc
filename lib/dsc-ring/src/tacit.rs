//! Rule 17, the tacit pass: in a ring at rest nobody acknowledges the token. Its return, with the successor's later pass
//! on it, proves that it arrived; if the holder finds it late, or the node before asks again, the pass is delivered like
//! any other.
//! That halves an idle ring's packets and wake-ups. To every other rule an acknowledgement that was not sent is one
//! that was lost.

use crate::Output;
use crate::ring::{Ring, State};
use dsc_wire::message::{Message, Outcome, TokenVerdict, Verdict};
use dsc_wire::token::Token;
use dsc_wire::{NodeId, SendId, Time};
use std::time::Duration;

/// A pass that nobody has to acknowledge. The node waits, as after an acknowledged one.
#[derive(Clone, Debug)]
pub(crate) struct Tacit {
    /// As it was before the pass.
    pub token: Box<Token>,
    id: SendId,
    to: NodeId,
    /// When it must have come round, for the holder; never, once it is insisted on.
    pub until: Time,
    insisted: Option<Time>,
}

impl Ring {
    /// How late the token may be. Answers under load take up to this long; the detection of a dead member as much longer.
    fn slack(&self) -> Duration {
        self.cluster.timing.removal / 5
    }

    /// A node that did not run may find the token in its queue: it insists no earlier than it would on a late one.
    pub(crate) fn bear_with_tacit(&mut self, now: Time) {
        let slack = self.slack();
        if let Some(tacit) = &mut self.tacit {
            tacit.until = tacit.until.max(now + slack);
        }
    }

    pub(crate) fn pass_tacitly(
        &mut self,
        now: Time,
        token: Box<Token>,
        sent: Box<Token>,
        to: NodeId,
        out: &mut Vec<Output>,
    ) {
        self.last_send += 1;
        let id = SendId(self.last_send);
        out.push(Output::SendTacit { id, to, message: Message::Token(sent.clone()) });
        // Nobody but the first member holds, so to that one the token comes back as fast as it can fly. It alone expects
        // it by the clock: if all did, each whose successor is gone would make a token of its own. A turn that was cut
        // short by a call says nothing about the next one.
        let rotation = self.rotation.max(self.cluster.timing.rotation);
        let flight = rotation.saturating_sub(self.hold);
        let until = if self.is_first(&sent) { now + flight + self.slack() } else { Time::NEVER };
        self.copy = Some(sent);
        self.state = State::Wait;
        self.tacit = Some(Tacit { token, id, to, until, insisted: None });
    }

    /// A token was accepted: does it show that the last pass arrived?
    pub(crate) fn end_tacit(&mut self, token: &Token, out: &mut Vec<Output>) {
        let Some(Tacit { id, to, .. }) = self.tacit.take() else { return };
        let arrived = self.same_lineage(token) && token.rec(to) > self.promises.last_pass;
        out.push(if arrived { Output::Arrived { id } } else { Output::Cancel { id } });
    }

    pub(crate) fn drop_tacit(&mut self, out: &mut Vec<Output>) {
        out.extend(self.tacit.take().map(|t| Output::Cancel { id: t.id }));
    }

    pub(crate) fn tick_tacit(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.tacit.as_ref().is_some_and(|t| now >= t.until) {
            self.insist(now, out);
        }
    }

    /// The node before sent the token once more: it does not come round, and nobody knows yet whose fault that is.
    pub(crate) fn on_repeated(&mut self, now: Time, from: NodeId, out: &mut Vec<Output>) {
        if self.copy.as_deref().is_some_and(|c| c.successor(from) == self.me) {
            self.insist(now, out);
        }
    }

    /// The pass is delivered like any other from now on; its receiver answers, or the search for the token goes on.
    fn insist(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Some(tacit) = self.tacit.as_mut().filter(|t| t.insisted.is_none()) {
            tacit.until = Time::NEVER;
            tacit.insisted = Some(now);
            self.counts.insisted += 1;
            out.push(Output::Insist { id: tacit.id });
        }
    }

    /// The receiver of a tacit pass answered. That it took the token is no news of the token: starving goes on from the
    /// pass. Any other answer is for those who judge acknowledged passes.
    pub(crate) fn on_tacit_verdict(
        &mut self,
        now: Time,
        id: SendId,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        if self.tacit.as_ref().is_none_or(|t| t.id != id) {
            return;
        }
        match verdict {
            Verdict::Token(TokenVerdict { outcome: Outcome::Accepted, counter, .. }) => {
                self.heard = self.heard.max(counter);
                self.tacit = None;
            }
            Verdict::Token(_)
            | Verdict::Notice { .. }
            | Verdict::Forwarded
            | Verdict::Noted
            | Verdict::Quiet => {
                self.drop_round(out);
                self.as_acknowledged(now);
            }
        }
    }

    /// Nobody took a tacit pass. If the node starves meanwhile, its 911 asks everybody else, and the receiver need not be
    /// waited for there: several that died together are found in the time of one.
    pub(crate) fn on_tacit_failed(&mut self, now: Time, id: SendId, out: &mut Vec<Output>) {
        let Some(to) = self.tacit.as_ref().filter(|t| t.id == id).map(|t| t.to) else { return };
        if self.round.is_some() {
            self.tacit = None;
            self.round_without(now, to, out);
        } else {
            self.as_acknowledged(now);
        }
    }

    /// Puts the node where it would be if the pass had been an acknowledged one.
    fn as_acknowledged(&mut self, now: Time) {
        let Some(Tacit { token, id, to, insisted, .. }) = self.tacit.take() else { return };
        self.state = State::Pass { token, id, to, via: None, first: insisted.unwrap_or(now) };
    }
}
