//! What flies between the rings of the small world, and what becomes of it.

use super::{HOP, World};
use dsc_ring::{Input, Message, Verdict};
use dsc_wire::*;
use std::time::Duration;

#[derive(Clone, Debug)]
pub enum What {
    Message { id: SendId, message: Box<Message>, tacit: bool },
    Verdict { id: SendId, verdict: Verdict },
    Failed { id: SendId },
    Beacon(dsc_ring::Beacon),
}

#[derive(Clone, Debug)]
pub struct Flight {
    pub from: usize,
    pub to: usize,
    pub life: u64,
    pub what: What,
}

impl World {
    pub fn fly(&mut self, after: Duration, flight: Flight) {
        self.next += 1;
        self.queue.insert((self.now + after, self.next), flight);
    }

    pub fn send(&mut self, i: usize, id: SendId, to: NodeId, mut message: Message, tacit: bool) {
        if let Message::Token(token) = &mut message {
            self.last_token = Some((**token).clone());
            self.tamper.take().into_iter().for_each(|tamper| tamper(token));
        }
        let bytes = message.encode();
        let back = Message::decode(&bytes).expect("what is encoded can be decoded");
        assert_eq!(back, message, "survives the wire");
        self.seats[i].sent += 1;
        let to = to.index();
        let message = Box::new(message);
        if tacit {
            self.seats[i].tacit.insert(id.0, (to, message.clone()));
        } else {
            self.fail_later(i, to, id);
        }
        let life = self.seats[to].life;
        let what = What::Message { id, message, tacit };
        self.fly(HOP, Flight { from: i, to, life, what });
    }

    pub fn fail_later(&mut self, i: usize, to: usize, id: SendId) {
        let life = self.seats[i].life;
        let failed = Flight { from: to, to: i, life, what: What::Failed { id } };
        self.fly(self.cluster.timing.removal, failed);
    }

    pub fn answer(&mut self, i: usize, receipt: Receipt, verdict: Verdict, always: bool) {
        assert_eq!(Verdict::decode(&verdict.encode()), Ok(verdict));
        let (to, id, tacit) = self.seats[i].owed.remove(&receipt.0).expect("an answer is owed");
        let life = self.seats[to].life;
        self.seats[i].kept.insert((to, life, id.0), verdict);
        if always || !tacit {
            self.verdicts += 1;
            let what = What::Verdict { id, verdict };
            self.fly(HOP, Flight { from: i, to, life, what });
        }
    }

    pub fn arrive(&mut self, flight: Flight) {
        let Flight { from, to, life, what } = flight;
        if self.seats[to].ring.is_none() || self.seats[to].life != life {
            return;
        }
        if self.cut[from][to] && !matches!(what, What::Failed { .. }) {
            return;
        }
        if self.lose == Some((from, to)) && matches!(what, What::Message { .. }) {
            self.lose = None;
            return;
        }
        let seat = &mut self.seats[to];
        let node = NodeId(from as u8);
        let input = match what {
            What::Message { id, message, tacit } => {
                let life = self.seats[from].life;
                let seat = &mut self.seats[to];
                if let Some(verdict) = seat.kept.get(&(from, life, id.0)).copied() {
                    let what = What::Verdict { id, verdict };
                    self.fly(HOP, Flight { from: to, to: from, life, what });
                    return self.input(to, Input::Repeated { from: node });
                }
                self.next += 1;
                let receipt = Receipt(self.next);
                seat.owed.insert(receipt.0, (from, id, tacit));
                let incarnation = Incarnation(100 * (from as u64 + 1) + self.seats[from].life);
                Input::Received { from: node, incarnation, receipt, message: *message }
            }
            What::Verdict { id, verdict } => {
                if seat.answered.insert(id.0, true).is_some() {
                    return;
                }
                Input::Delivered { id, verdict }
            }
            What::Failed { id } => {
                if seat.answered.insert(id.0, true).is_some() {
                    return;
                }
                Input::Failed { id }
            }
            What::Beacon(beacon) => {
                let incarnation = Incarnation(100 * (from as u64 + 1) + self.seats[from].life);
                Input::Beacon { from: node, incarnation, beacon }
            }
        };
        self.input(to, input);
    }
}
