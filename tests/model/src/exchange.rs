//! The least reliable exchange that keeps the promises the ring was given: tries within the removal time, one
//! verdict a message however often it arrives, messages only between lives that know each other. Called by the
//! world for one node; counts time in ticks.

use crate::world::Tick;
use dsc_wire::message::{Beacon, Message, Verdict};
use dsc_wire::{Incarnation, NodeId, Receipt, SendId};
use std::sync::Arc;

/// Ticks between two tries.
pub const RETRY: Tick = 3;
/// Tries before a message has failed; with [`RETRY`], the removal time.
pub const TRIES: u8 = 2;
/// Verdicts kept for repeats of a message, per sender.
const ANSWERED_MAX: usize = 8;

/// What travels.
#[derive(Clone, Debug)]
pub enum Body {
    /// A message, and whether its sender does not wait for the verdict.
    Message(SendId, Arc<Message>, bool),
    /// Its verdict.
    Ack(SendId, Verdict),
    /// An unreliable beacon.
    Beacon(Beacon),
    /// "This is my life", and whether the other's is asked for.
    Hello(bool),
}

/// One packet under way.
#[derive(Clone, Debug)]
pub struct Packet {
    /// When it arrives.
    pub at: Tick,
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// The sender's life.
    pub life: Incarnation,
    /// The receiver's life as the sender knows it.
    pub known: Incarnation,
    /// Content.
    pub body: Body,
}

#[derive(Clone, Debug)]
struct Sending {
    id: SendId,
    to: NodeId,
    message: Arc<Message>,
    tries: u8,
    next: Tick,
    tacit: bool,
}

#[derive(Clone, Debug)]
struct Answered {
    from: NodeId,
    life: Incarnation,
    id: SendId,
    verdict: Verdict,
}

/// One node's side of all exchanges.
#[derive(Clone, Debug)]
pub struct Exchange {
    me: NodeId,
    life: Incarnation,
    lives: Vec<Incarnation>,
    sending: Vec<Sending>,
    owed: Vec<(Receipt, NodeId, SendId, bool)>,
    answered: Vec<Answered>,
    receipts: u64,
    /// Packets to be sent, taken by the world.
    pub out: Vec<(NodeId, Incarnation, Body)>,
}

impl Exchange {
    /// Of node `me` in a new life; it knows nobody.
    pub fn new(me: NodeId, life: Incarnation, nodes: usize) -> Exchange {
        Exchange {
            me,
            life,
            lives: vec![Incarnation(0); nodes],
            sending: Vec::new(),
            owed: Vec::new(),
            answered: Vec::new(),
            receipts: 0,
            out: Vec::new(),
        }
    }

    fn push(&mut self, to: NodeId, body: Body) {
        self.out.push((to, self.lives[to.index()], body));
    }

    /// A message of the ring.
    pub fn send(&mut self, now: Tick, id: SendId, to: NodeId, message: Message, tacit: bool) {
        assert_ne!(to, self.me, "a message to itself");
        let message = Arc::new(message);
        self.sending.push(Sending { id, to, message, tries: 0, next: now, tacit });
        self.due(now);
    }

    /// The ring wants what it sent tacitly delivered after all.
    pub fn insist(&mut self, now: Tick, id: SendId) {
        for sending in self.sending.iter_mut().filter(|s| s.id == id) {
            (sending.tries, sending.next, sending.tacit) = (0, now, false);
        }
    }

    /// The ring no longer wants it.
    pub fn cancel(&mut self, id: SendId) {
        self.sending.retain(|s| s.id != id);
    }

    /// The ring's verdict on a message; one that was sent tacitly hears it only `always`, or if it comes again.
    ///
    /// # Panics
    /// If none is owed under this receipt.
    pub fn answer(&mut self, receipt: Receipt, verdict: Verdict, always: bool) {
        let place = self.owed.iter().position(|(r, ..)| *r == receipt).expect("an answer is owed");
        let (_, from, id, tacit) = self.owed.remove(place);
        let life = self.lives[from.index()];
        self.answered.push(Answered { from, life, id, verdict });
        if self.answered.len() > ANSWERED_MAX * self.lives.len() {
            self.answered.remove(0);
        }
        if always || !tacit {
            self.push(from, Body::Ack(id, verdict));
        }
    }

    /// A beacon of the ring.
    pub fn beacon(&mut self, to: NodeId, beacon: Beacon) {
        self.push(to, Body::Beacon(beacon));
    }

    /// The node did not run for a while: tries in progress start again.
    pub fn stalled(&mut self, now: Tick) {
        for sending in &mut self.sending {
            (sending.tries, sending.next) = (0, now);
        }
    }

    /// Sends what is due and says what has failed.
    pub fn due(&mut self, now: Tick) -> Vec<SendId> {
        let mut failed = Vec::new();
        let mut list = std::mem::take(&mut self.sending);
        list.retain_mut(|s| {
            if s.next > now {
                return true;
            }
            if s.tries == TRIES {
                failed.push(s.id);
                return false;
            }
            s.tries += 1;
            s.next = if s.tacit { Tick::MAX } else { now + RETRY };
            let known = self.lives[s.to.index()];
            let body = if known.0 == 0 {
                Body::Hello(true)
            } else {
                Body::Message(s.id, s.message.clone(), s.tacit)
            };
            self.out.push((s.to, known, body));
            true
        });
        self.sending = list;
        failed
    }

    /// When the next try is due.
    pub fn deadline(&self) -> Tick {
        self.sending.iter().map(|s| s.next).min().unwrap_or(Tick::MAX)
    }

    /// A packet arrived; what the ring gets of it, and which messages failed with the old life of its sender.
    pub fn receive(&mut self, now: Tick, packet: Packet) -> (Vec<SendId>, Option<dsc_ring::Input>) {
        let from = packet.from;
        let known = self.lives[from.index()];
        let mut failed = Vec::new();
        if known != packet.life {
            self.lives[from.index()] = packet.life;
            for sending in self.sending.iter_mut().filter(|s| s.to == from) {
                if known.0 == 0 {
                    (sending.tries, sending.next) = (0, now);
                } else {
                    failed.push(sending.id);
                }
            }
            self.sending.retain(|s| !failed.contains(&s.id));
            failed.extend(self.due(now));
        }
        if packet.known != self.life {
            if !matches!(packet.body, Body::Hello(false)) {
                self.push(from, Body::Hello(false));
            }
            if !matches!(packet.body, Body::Beacon(_)) || packet.known.0 != 0 {
                return (failed, None);
            }
        }
        let incarnation = packet.life;
        let input = match packet.body {
            Body::Hello(ask) => {
                if ask {
                    self.push(from, Body::Hello(false));
                }
                None
            }
            Body::Beacon(beacon) => Some(dsc_ring::Input::Beacon { from, incarnation, beacon }),
            Body::Ack(id, verdict) => {
                let waits = self.sending.iter().any(|s| s.id == id && s.to == from);
                self.sending.retain(|s| s.id != id || s.to != from);
                waits.then_some(dsc_ring::Input::Delivered { id, verdict })
            }
            Body::Message(id, message, tacit) => {
                self.message(from, incarnation, id, &message, tacit)
            }
        };
        (failed, input)
    }

    fn message(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        id: SendId,
        message: &Message,
        tacit: bool,
    ) -> Option<dsc_ring::Input> {
        let before = self
            .answered
            .iter()
            .find(|a| a.from == from && a.life == incarnation && a.id == id)
            .map(|a| a.verdict);
        if let Some(verdict) = before {
            self.push(from, Body::Ack(id, verdict));
            return Some(dsc_ring::Input::Repeated { from });
        }
        self.receipts += 1;
        let receipt = Receipt(self.receipts);
        self.owed.push((receipt, from, id, tacit));
        let message = message.clone();
        Some(dsc_ring::Input::Received { from, incarnation, receipt, message })
    }
}
