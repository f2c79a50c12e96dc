//! The 911 (rule 14; §A.4, §A.5): asking when the token is missing or to be let in, answering those who ask, and
//! making a lost token again. Each question is a reliable message whose verdict is the answer.

use crate::Output;
use crate::lease::us;
use crate::ring::{Ring, State};
use dsc_wire::local::EventKind;
use dsc_wire::message::{Message, Notice, Verdict};
use dsc_wire::token::{ConfigRecord, MemberRecord, Token, VipRecord};
use dsc_wire::{Incarnation, Key, NodeId, NodeSet, Receipt, SendId, Time, VipId};
use std::time::Duration;

/// A ring that is founded waits until so long after its founder's start for the other configured nodes, before it
/// assigns VIPs that never had a host, so that a cluster which is switched on spreads them.
const FOUNDING: Duration = Duration::from_millis(500);

/// One round of questions to everybody.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub start: Time,
    waiting: Vec<(SendId, NodeId)>,
    answered: Vec<crate::membership::Join>,
    denied: bool,
}

impl Ring {
    fn notice(&self, key: Key, join: bool) -> Message {
        Message::Notice(Notice {
            key,
            counter: self.seen.epoch.counter.max(self.heard),
            join,
            digest: self.cluster.digest,
            version: self.cluster.version,
            duty: self.duty,
        })
    }

    /// Asks one node to be let in, unless a question to it is still on its way.
    pub(crate) fn ask_in(&mut self, node: NodeId, key: Key, out: &mut Vec<Output>) {
        if self.asked.iter().any(|(_, asked)| *asked == node) {
            return;
        }
        let id = self.send(node, self.notice(key, true), out);
        self.asked.push((id, node));
    }

    /// Ends the round without judging it.
    pub(crate) fn drop_round(&mut self, out: &mut Vec<Output>) {
        if let Some(round) = self.round.take() {
            out.extend(round.waiting.into_iter().map(|(id, _)| Output::Cancel { id }));
        }
    }

    pub(crate) fn tick_round(&mut self, now: Time, out: &mut Vec<Output>) {
        let overdue =
            self.round.as_ref().is_some_and(|r| now >= r.start + self.cluster.timing.removal * 4);
        if overdue {
            return self.judge_round(now, true, out);
        }
        let starving = now >= self.last_token + self.starve();
        if !matches!(self.state, State::Wait) || self.round.is_some() || !starving {
            return;
        }
        self.counts.notices += 1;
        let others: Vec<NodeId> = self.others().iter().collect();
        let message = self.notice(self.acc, false);
        let waiting = others.iter().map(|n| (self.send(*n, message.clone(), out), *n)).collect();
        self.round = Some(Round { start: now, waiting, answered: Vec::new(), denied: false });
        self.judge_round(now, false, out);
    }

    /// The answer to a question of the round; true if it belonged to it.
    pub(crate) fn on_round(
        &mut self,
        now: Time,
        id: SendId,
        verdict: Option<Verdict>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(round) = &mut self.round else { return false };
        let Some(at) = round.waiting.iter().position(|(sent, _)| *sent == id) else { return false };
        let (_, node) = round.waiting.swap_remove(at);
        match verdict {
            Some(Verdict::Notice { deny, incarnation, duty, differs: false, .. }) => {
                round.answered.push(crate::membership::Join { node, incarnation, duty });
                round.denied |= deny;
            }
            Some(Verdict::Notice { deny, version, digest, .. }) => {
                round.denied |= deny;
                if self.same_config(now, Some(node), version, digest, out) || self.round.is_none() {
                    // It runs what this node has just begun to run: asking again tells more.
                    self.drop_round(out);
                    return true;
                }
            }
            Some(Verdict::Token(_) | Verdict::Forwarded | Verdict::Noted | Verdict::Quiet)
            | None => {}
        }
        self.judge_round(now, false, out);
        true
    }

    /// The node is known not to answer.
    pub(crate) fn round_without(&mut self, now: Time, node: NodeId, out: &mut Vec<Output>) {
        let Some(round) = &mut self.round else { return };
        let silent = |(id, n): (SendId, NodeId)| (n == node).then_some(Output::Cancel { id });
        out.extend(round.waiting.iter().copied().filter_map(silent));
        round.waiting.retain(|(_, n)| *n != node);
        self.judge_round(now, false, out);
    }

    fn judge_round(&mut self, now: Time, overdue: bool, out: &mut Vec<Output>) {
        let Some(round) = &self.round else { return };
        if round.denied {
            self.drop_round(out);
            self.last_token = now.before(self.starve() / 2);
        } else if round.waiting.is_empty() || overdue {
            let round = self.round.take();
            if let Some(round) = round {
                out.extend(round.waiting.iter().map(|(id, _)| Output::Cancel { id: *id }));
                self.regenerate(now, round, out);
            }
        }
    }

    /// Somebody asks.
    pub(crate) fn on_notice(
        &mut self,
        now: Time,
        from: NodeId,
        incarnation: Incarnation,
        receipt: Receipt,
        notice: Notice,
        out: &mut Vec<Output>,
    ) {
        let differs = !self.same_config(now, Some(from), notice.version, notice.digest, out);
        if matches!(self.state, State::Gone) {
            out.push(Output::Answer { receipt, verdict: Verdict::Quiet });
            return;
        }
        let mut deny;
        if differs {
            // Who catches up, on this side or on that, must not make a ring of its own beside one that lives.
            let lives = self.holding() || self.fresh(now);
            deny = lives && self.related(notice.version, notice.digest);
        } else {
            self.heard = self.heard.max(notice.counter);
            let holding = self.holding();
            let restarted = self
                .token()
                .and_then(|t| t.member(from))
                .is_some_and(|m| m.incarnation != incarnation);
            let outside = notice.join || restarted || !self.is_member(from);
            deny = holding || self.acc > notice.key;
            if holding || (outside && self.fresh(now)) {
                self.wants_in(from, incarnation, notice.duty);
                deny = true;
            }
            if self.copy.is_none() && notice.key == Key::ZERO && !holding {
                deny = self.me < from;
            }
        }
        let counter = self.seen.epoch.counter.max(self.heard);
        let (incarnation, duty) = (self.incarnation, self.duty);
        let (version, digest) = (self.cluster.version, self.cluster.digest);
        let verdict =
            Verdict::Notice { deny, counter, differs, incarnation, duty, version, digest };
        out.push(Output::Answer { receipt, verdict });
    }

    /// Has this node really seen a token lately? Patience is no token: nodes that are patient with each other would
    /// deny each other for ever.
    pub(crate) fn fresh(&self, now: Time) -> bool {
        let lately = self.last_real.is_some_and(|t| now.since(t) <= self.starve());
        lately && self.copy.is_some() && !self.gave_up()
    }

    /// Makes the lost token again from this node's copy, or founds a ring. Who did not answer is removed at once:
    /// the 911 was its delivery.
    fn regenerate(&mut self, now: Time, round: Round, out: &mut Vec<Output>) {
        self.drop_tacit(out);
        let mut token = match self.copy.clone() {
            Some(token) => {
                self.base = self.copy_at;
                self.report(now, EventKind::Regenerated);
                self.counts.regenerations += 1;
                token
            }
            None => {
                self.base = now;
                self.report(now, EventKind::Founded);
                Box::new(self.found(now))
            }
        };
        if !token.has(self.me) {
            token.members.push(MemberRecord::new(self.me, self.incarnation, self.duty));
        }
        self.new_epoch(&mut token);
        let answered: NodeSet = round.answered.iter().map(|j| j.node).collect();
        for node in token.member_set().without(self.me).iter() {
            if !answered.contains(node) {
                self.note_broken(&mut token, node);
                self.drop_member(now, &mut token, node, round.start);
                self.counts.removals += 1;
                self.report(now, EventKind::Removed { peer: node });
            }
        }
        for join in round.answered.iter().filter(|j| Ring::is_new(&token, j)) {
            self.wants_in(join.node, join.incarnation, join.duty);
        }
        self.stir(&mut token);
        self.acc_at = now;
        self.renewed = false;
        self.last_token = now;
        self.turn(now, token, out);
    }

    fn found(&self, now: Time) -> Token {
        let vips = 0..self.cluster.vips.len() as u16;
        Token {
            key: Key::ZERO,
            digest: self.cluster.digest,
            switch: Key::ZERO,
            lease_us: us(self.cluster.timing.lease),
            founding_us: us(now.until(self.born + FOUNDING)),
            hurry: 0,
            members: Vec::new(),
            absent: Vec::new(),
            vips: vips.map(|v| VipRecord::new(&self.cluster, VipId(v))).collect(),
            links: Vec::new(),
            reports: Vec::new(),
            backends: Vec::new(),
            health: Vec::new(),
            switches: Vec::new(),
            lights: Vec::new(),
            config: ConfigRecord { version: self.cluster.version, ..ConfigRecord::default() },
            unknown: Vec::new(),
        }
    }

    /// A message of ours was answered.
    pub(crate) fn on_delivered(
        &mut self,
        now: Time,
        id: SendId,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        if matches!(self.state, State::Gone) {
            return;
        }
        let asked = self.asked.iter().find(|(asked, _)| *asked == id).map(|(_, node)| *node);
        self.asked.retain(|(asked, _)| *asked != id);
        if let Verdict::Notice { counter, differs: false, .. } = verdict {
            self.heard = self.heard.max(counter);
        }
        self.learn(now, asked, &verdict, out);
        if self.on_round(now, id, Some(verdict), out) || self.on_forwarded(id, Some(verdict), out) {
            return;
        }
        if self.tests.answered(id) {
            return;
        }
        self.on_tacit_verdict(now, id, verdict, out);
        let State::Pass { id: passing, via, .. } = &self.state else { return };
        if *passing != id {
            return;
        }
        match (verdict, via) {
            (Verdict::Token(verdict), None) => self.on_verdict(now, verdict, out),
            (Verdict::Forwarded, Some(_)) => {}
            (_, None) | (_, Some(_)) => self.unreachable(now, out),
        }
    }

    /// A message of ours reached nobody.
    pub(crate) fn on_failed(&mut self, now: Time, id: SendId, out: &mut Vec<Output>) {
        if matches!(self.state, State::Gone) {
            return;
        }
        self.asked.retain(|(asked, _)| *asked != id);
        if self.on_round(now, id, None, out) || self.on_forwarded(id, None, out) {
            return;
        }
        if self.tests.failed(id) {
            return;
        }
        self.on_tacit_failed(now, id, out);
        if matches!(&self.state, State::Pass { id: passing, .. } if *passing == id) {
            self.unreachable(now, out);
        }
    }
}
