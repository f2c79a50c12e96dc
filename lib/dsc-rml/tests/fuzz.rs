//! Any packets, in any order, from a peer that holds the key and has gone mad: no panic, bounded output, and the node
//! still talks to the others.

use bolero::check;
use dsc_rml::{Config, Input, Output, Rml};
use dsc_wire::cursor::{Reader, Writer};
use dsc_wire::packet::{Body, FRAGMENT_MAX, Header, PACKET_MAX, Packet};
use dsc_wire::{Incarnation, NodeId, Receipt, SendId, SubnetId, SubnetSet, Time, Timing};
use std::time::Duration;

const ME: NodeId = NodeId(0);
const MAD: NodeId = NodeId(1);
const MINE: Incarnation = Incarnation(1_000);
const ITS: Incarnation = Incarnation(2_000);
/// Most packets that one input may cause: all of a window on each path, and probes.
const BURST_MAX: usize = 16 * 2 * 40;

struct Target {
    rml: Rml,
    now: Time,
    counter: u64,
    sends: u64,
    receipts: Vec<Receipt>,
    /// The last challenge it was asked.
    challenge: u64,
}

impl Target {
    /// A node that believes the peer.
    fn new() -> Target {
        let config = Config { subnets: vec![SubnetSet(3); 3], timing: Timing::DEFAULT };
        let now = Time::from_ms(1_000);
        let mut target = Target {
            rml: Rml::new(config, ME, MINE, now),
            now,
            counter: 0,
            sends: 0,
            receipts: Vec::new(),
            challenge: 0,
        };
        let hello = target.step(Input::Datagram { to: MAD, body: vec![] });
        let Some(Output::Packet { packet, .. }) = hello.first() else { panic!("{hello:?}") };
        let Body::Hello { stamp, challenge } = packet.body else { panic!("{packet:?}") };
        target.packet(MINE, ITS, Body::HelloReply { stamp, challenge, counter: None });
        target
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.rml.step(self.now, input, &mut out);
        assert!(out.len() <= BURST_MAX, "{} outputs", out.len());
        for output in &out {
            match output {
                Output::Packet { packet, .. } => {
                    let mut w = Writer::new(PACKET_MAX);
                    packet.encode(&mut w);
                    let bytes = w.finish().expect("too long to send");
                    assert_eq!(Packet::decode(&bytes).as_ref(), Ok(packet));
                    if let Body::Hello { challenge, .. }
                    | Body::HelloReply { counter: Some((_, challenge)), .. } = packet.body
                    {
                        self.challenge = challenge;
                    }
                }
                Output::Received { receipt, .. } => self.receipts.push(*receipt),
                _ => {}
            }
        }
        out
    }

    fn packet(&mut self, receiver: Incarnation, incarnation: Incarnation, body: Body) {
        self.counter += 1;
        let path = SubnetId((self.counter % 2) as u8);
        let header =
            Header { from: MAD, to: ME, path, incarnation, receiver, counter: self.counter };
        self.step(Input::Packet { from: MAD, path, packet: Packet { header, body } });
    }

    /// Does one thing that the next bytes tell.
    fn act(&mut self, r: &mut Reader<'_>) -> Option<()> {
        match r.u8().ok()? % 16 {
            0 => {
                self.now += Duration::from_micros(u64::from(r.u16().ok()?) * 4);
                self.step(Input::Tick);
            }
            1 => {
                self.now = self.rml.deadline().min(self.now + Duration::from_secs(1)).max(self.now);
                self.step(Input::Tick);
            }
            2 => {
                self.sends += 1;
                let message = vec![7; usize::from(r.u16().ok()?) * 4];
                let to = NodeId(r.u8().ok()? % 4);
                let id = SendId(self.sends);
                self.step(match r.u8().ok()? % 2 {
                    0 => Input::Send { id, to, message },
                    _ => Input::SendTacit { id, to, message },
                });
            }
            3 => {
                let id = SendId(u64::from(r.u8().ok()?));
                self.step(match r.u8().ok()? % 3 {
                    0 => Input::Cancel { id },
                    1 => Input::Arrived { id },
                    _ => Input::Insist { id },
                });
            }
            4 => {
                let receipt = self.receipts.pop().unwrap_or(Receipt(u64::from(r.u16().ok()?)));
                let verdict = vec![1];
                self.step(match r.u8().ok()? % 2 {
                    0 => Input::Answer { receipt, verdict },
                    _ => Input::Keep { receipt, verdict },
                });
            }
            5 => {
                let raw = r.count(PACKET_MAX).ok()?.min(r.left());
                let packet = Packet::decode(r.bytes(raw).ok()?).ok()?;
                let path = packet.header.path;
                self.step(Input::Packet { from: packet.header.from, path, packet });
            }
            6 => {
                let (number, index, count) = (r.u8().ok()?, r.u16().ok()?, r.u16().ok()?);
                self.data(u64::from(number), index, count);
            }
            7 | 8 => self.data(u64::from(r.u8().ok()? % 4), u16::from(r.u8().ok()?), 0),
            9 | 10 => {
                let (message, base, beyond) = (r.u8().ok()? % 8, r.u8().ok()?, r.u32().ok()?);
                let body = Body::Ack {
                    message: u64::from(message),
                    stamp: beyond,
                    via: SubnetId(base % 2),
                    base: u16::from(base),
                    beyond,
                    verdict: (beyond % 8 == 0).then(Vec::new),
                };
                self.packet(MINE, ITS, body);
            }
            11 => {
                let life = Incarnation(ITS.0 + u64::from(r.u8().ok()? % 3));
                let (stamp, challenge) = (r.u32().ok()?, self.challenge.max(1));
                let counter = (stamp % 2 == 0).then_some((stamp, 5));
                self.packet(MINE, life, Body::HelloReply { stamp, challenge, counter });
            }
            _ => {
                let (kind, lives, len) = (r.u8().ok()? % 8, r.u8().ok()?, r.u8().ok()?);
                let receiver = [MINE, MINE, MINE, Incarnation(0)][usize::from(lives % 4)];
                let its = [ITS, ITS, ITS, Incarnation(3_000)][usize::from(lives / 4 % 4)];
                let len = usize::from(len).min(r.left());
                let body = Body::decode(kind, r.bytes(len).ok()?).ok()?;
                self.packet(receiver, its, body);
            }
        }
        Some(())
    }

    fn data(&mut self, message: u64, index: u16, count: u16) {
        let tacit = message % 2 == 1;
        let count = count % 228 + 1;
        let index = index % count;
        let len = if index + 1 == count { 1 } else { FRAGMENT_MAX };
        let fragment = vec![index as u8; len];
        self.packet(MINE, ITS, Body::Data { message, stamp: 0, index, count, tacit, fragment });
    }
}

#[test]
fn a_mad_peer_does_no_harm() {
    check!().with_iterations(8_000).with_max_len(4_000).for_each(|bytes: &[u8]| {
        let mut target = Target::new();
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let _ = target.act(&mut r);
        }
        // It is not left waiting for ever, nor awake for ever.
        for _ in 0..10_000 {
            let due = target.rml.deadline();
            if due == Time::NEVER || due > target.now + Duration::from_secs(2) {
                break;
            }
            target.now = target.now.max(due);
            target.step(Input::Tick);
        }
        let sent = target.rml.counters();
        let count = |name: &str| sent.iter().find(|c| c.name == name).map_or(0, |c| c.count);
        let arrived = count("messages_arrived");
        let ended = count("messages_delivered") + count("messages_failed") + arrived;
        assert!(ended <= count("messages_sent"));
    });
}

#[test]
fn half_messages_without_end_take_bounded_memory() {
    let mut target = Target::new();
    for message in 1..4_000 {
        // A debug assertion in the machine compares what it holds with its bound after each piece.
        target.data(message, 0, 227);
        if message % 64 == 0 {
            target.now += Duration::from_millis(1);
            target.step(Input::Tick);
        }
    }
    let counters = target.rml.counters();
    let evicted = counters.iter().find(|c| c.name == "messages_evicted").expect("a counter").count;
    assert!(evicted > 1_000, "{evicted}");
}
