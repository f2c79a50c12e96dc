//! The story of a run, told on standard output as it happens: what the nodes did, and, at level 2, every packet.
//! Silent at level 0, where it costs a comparison.

use crate::fault::Span;
use dsc_wire::message::{Beacon, Message, Verdict};
use dsc_wire::packet::{Body, Packet};
use dsc_wire::{NodeId, SubnetId};

/// How much is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace(pub u8);

/// Is it an acknowledgement?
pub fn is_ack(packet: &Packet) -> bool {
    matches!(packet.body, Body::Ack { .. })
}

fn text(packet: &Packet) -> String {
    match &packet.body {
        Body::Data { message, index, count, fragment, .. } => match Message::decode(fragment) {
            Ok(inner) if *count == 1 => format!("#{message} {inner:?}"),
            _ => format!("#{message} piece {index} of {count}"),
        },
        Body::Ack { message, verdict: Some(verdict), .. } => {
            format!("ack #{message} {:?}", Verdict::decode(verdict))
        }
        Body::Datagram { body, .. } => format!("{:?}", Beacon::decode(body)),
        body => format!("{body:?}"),
    }
}

impl Trace {
    /// Tells something that happened at `at`.
    pub fn say(self, at: Span, what: impl FnOnce() -> String) {
        if self.0 > 0 {
            println!("{:10.3} {}", at as f64 / 1e6, what());
        }
    }

    /// Tells of a packet that was read.
    pub fn packet(self, at: Span, to: NodeId, from: NodeId, path: SubnetId, packet: &Packet) {
        if self.0 > 1 {
            self.say(at, || format!("  {}->{} on {}: {}", from.0, to.0, path.0, text(packet)));
        }
    }

    /// Tells of a packet that went nowhere.
    pub fn lost(self, at: Span, from: NodeId, to: NodeId, path: SubnetId, packet: &Packet) {
        if self.0 > 1 {
            self.say(at, || format!("  {}->{} on {} LOST: {}", from.0, to.0, path.0, text(packet)));
        }
    }
}
