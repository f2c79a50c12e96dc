//! The way out: puts headers on bodies and counts. Every room that sends is handed this for the turn.

use crate::api::Output;
use crate::count::{Count, Counts};
use crate::links::Links;
use crate::pace::Pace;
use dsc_wire::packet::{Body, Header, Packet};
use dsc_wire::{Incarnation, NodeId, SubnetId, Time};

/// What outlives a turn.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub me: NodeId,
    pub incarnation: Incarnation,
    pub pace: Pace,
    pub counts: Counts,
    pub links: Links,
    /// The last packet counter used.
    pub counter: u64,
    /// The last receipt given.
    pub receipt: u64,
}

/// One turn.
pub(crate) struct Post<'a> {
    pub now: Time,
    pub desk: &'a mut Desk,
    pub out: &'a mut Vec<Output>,
}

impl Post<'_> {
    pub fn send(&mut self, to: NodeId, path: SubnetId, receiver: Incarnation, body: Body) {
        self.desk.counter += 1;
        let header = Header {
            from: self.desk.me,
            to,
            path,
            incarnation: self.desk.incarnation,
            receiver,
            counter: self.desk.counter,
        };
        self.count(Count::PacketSent);
        self.out.push(Output::Packet { to, path, packet: Packet { header, body } });
    }

    pub fn count(&mut self, count: Count) {
        self.desk.counts.add(count, 1);
    }

    pub fn pace(&self) -> Pace {
        self.desk.pace
    }
}
