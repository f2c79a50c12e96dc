//! Rule 17, the tacit pass: in a ring at rest nobody acknowledges the token. Its return, with the successor's later pass
//! on it, proves that it arrived; if it is late, or the node before asks again, the pass becomes one like any other.
//! That halves an idle ring's packets and wake-ups. To every other rule an acknowledgement that was not sent is one
//! that was lost.

use crate::Output;
use crate::ring::{Ring, State};
use dsc_wire::message::Message;
use dsc_wire::token::Token;
use dsc_wire::{NodeId, SendId, Time};
use std::time::Duration;

/// A pass that nobody has to acknowledge. The node waits, as after an acknowledged one.
#[derive(Clone, Debug)]
pub(crate) struct Tacit {
    /// As it was before the pass.
    token: Box<Token>,
    id: SendId,
    to: NodeId,
    /// When it must have come round.
    pub until: Time,
}

impl Ring {
    /// How late the token may be. Answers under load take up to this long; the detection of a dead member as much longer.
    fn slack(&self) -> Duration {
        self.cluster.timing.removal / 5
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
        // Nobody but the first member holds, so to that one the token comes back as fast as it can fly.
        let held = if self.is_first(&sent) { self.hold } else { Duration::ZERO };
        let until = now + self.rotation.saturating_sub(held) + self.slack();
        self.copy = Some(sent);
        self.state = State::Wait;
        self.tacit = Some(Tacit { token, id, to, until });
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

    /// What was passed as `id` has an outcome, so it is no longer tacit.
    pub(crate) fn insist_on(&mut self, now: Time, id: SendId, out: &mut Vec<Output>) {
        if self.tacit.as_ref().is_some_and(|t| t.id == id) {
            self.insist(now, out);
        }
    }

    fn insist(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(Tacit { token, id, to, .. }) = self.tacit.take() else { return };
        debug_assert!(matches!(self.state, State::Wait));
        self.counts.insisted += 1;
        self.state = State::Pass { token, id, to, via: None, first: now };
        out.push(Output::Insist { id });
    }
}
