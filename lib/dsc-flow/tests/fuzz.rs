//! Any bytes from a peer that holds the key and has gone mad: what decodes is what would be encoded, there is no panic,
//! output is bounded, and the node still shares with the others.

use crate::world::flow;
use bolero::{ValueGenerator, check};
use dsc_flow::share::{Config, Input, Message, Output, Share};
use dsc_wire::packet::FRAGMENT_MAX;
use dsc_wire::{FlowState, Incarnation, NodeId, NodeSet, Time};
use std::time::Duration;

const ME: NodeId = NodeId(1);
const MAD: NodeId = NodeId(0);
const SANE: NodeId = NodeId(2);
/// A tick repeats at most one request's records and one window for each of two peers, with what is due besides.
const BURST_MAX: usize = 2 * (60 + 40) + 50;

/// Of any length: what the fuzzer makes by itself is seldom longer than a few fields.
fn bytes(max: usize) -> impl ValueGenerator<Output = Vec<u8>> {
    bolero::generator::produce::<Vec<u8>>().with().len(0..max)
}

#[test]
fn what_decodes_is_what_would_be_encoded() {
    let any = bytes(FRAGMENT_MAX + 8);
    check!().with_iterations(20_000).with_generator(any).cloned().for_each(|mut bytes| {
        if let [version, tag, ..] = &mut bytes[..] {
            *version = 2;
            *tag %= 9;
        }
        if let Ok(message) = Message::decode(&bytes) {
            assert_eq!(message.encode(), bytes);
        }
    });
}

/// Takes numbers off the fuzzer's bytes; zeros after the end.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u32 {
        u32::from(self.byte()) << 8 | u32::from(self.byte())
    }

    /// Small, near a boundary, or anything.
    fn position(&mut self) -> u64 {
        match self.byte() % 8 {
            0 => u64::MAX - u64::from(self.byte()),
            1 => (1 << 40) - 1 + u64::from(self.byte() % 4),
            2 => u64::from(self.number()) << 20,
            _ => u64::from(self.byte()),
        }
    }
}

fn message(draw: &mut Draw<'_>) -> Message {
    let copy = u64::from(draw.byte() % 4);
    let flows = |draw: &mut Draw<'_>, least| {
        let states = [FlowState::Opening, FlowState::Open, FlowState::Closed, FlowState::Gone];
        let count = least + draw.byte() % 20;
        let one = |n| flow(u32::from(n % 8), draw.byte(), states[usize::from(n % 4)]);
        (0..count).map(one).collect()
    };
    match draw.byte() % 7 {
        0 => {
            let us = Duration::from_micros(u64::from(draw.number()));
            let age = (!draw.byte().is_multiple_of(4)).then_some(us);
            Message::Flows { first: draw.position().min(1 << 60), age, flows: flows(draw, 1) }
        }
        1 => {
            let position = draw.position();
            let oldest = draw.position().min(position);
            Message::At { oldest, position, ready: draw.byte().is_multiple_of(2) }
        }
        2 => Message::Ask { first: draw.position(), count: draw.number() + 1 },
        3 => Message::CopyAsk {
            copy,
            base: u32::from(draw.byte() % 8),
            beyond: draw.number(),
            any: draw.byte().is_multiple_of(2),
            again: draw.byte().is_multiple_of(2),
        },
        4 => Message::CopyRefused { copy },
        5 => {
            let position = |n| dsc_flow::share::Position {
                node: NodeId(n),
                incarnation: Incarnation(u64::from(draw.byte() % 3)),
                position: draw.position(),
            };
            Message::CopyHead { copy, positions: (0..5).map(position).collect() }
        }
        _ => {
            let (index, last) = (1 + draw.number() % 40, draw.byte().is_multiple_of(8));
            Message::CopyPart { copy, index, last, flows: flows(draw, 0) }
        }
    }
}

struct Target {
    share: Share,
    now: Time,
}

impl Target {
    fn new() -> Target {
        let now = Time::from_ms(1_000);
        let share = Share::new(Config { nodes: 3 }, ME, Incarnation(77), now);
        let mut target = Target { share, now };
        target.step(Input::Members([MAD, ME, SANE].into_iter().collect()));
        target
    }

    fn step(&mut self, input: Input<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        self.share.step(self.now, input, &mut out);
        assert!(out.len() <= BURST_MAX, "{} outputs", out.len());
        for output in &out {
            if let Output::Send { body, .. } = output {
                assert!(body.len() <= FRAGMENT_MAX && Message::decode(body).is_ok());
            }
        }
        out
    }

    fn receive(&mut self, from: NodeId, incarnation: Incarnation, body: &[u8]) -> Vec<Output> {
        let out = self.step(Input::Received { from, incarnation, at: self.now, body });
        for output in &out {
            if let Output::Entered { flows, made } = *output {
                self.step(Input::Entered { flows, made });
            }
        }
        out
    }

    fn act(&mut self, draw: &mut Draw<'_>) {
        match draw.byte() % 16 {
            0 => {
                let flow = flow(u32::from(draw.byte() % 16), draw.byte(), FlowState::Opening);
                self.step(Input::Changed(flow));
            }
            1 => {
                self.step(Input::Members(NodeSet(u64::from(draw.byte()) << 56 | 0b10)));
                self.step(Input::Members(NodeSet(u64::from(draw.byte() % 8))));
            }
            2 => {
                let length = usize::from(draw.byte()).min(draw.0.len());
                let (body, rest) = draw.0.split_at(length);
                draw.0 = rest;
                self.receive(NodeId(3), Incarnation(1), body);
                self.receive(MAD, Incarnation(1), body);
            }
            3 => {
                self.now += Duration::from_micros(u64::from(draw.number()) * 100);
                self.tick();
            }
            4 => self.tick(),
            _ => {
                let incarnation = Incarnation(1 + u64::from(draw.byte() / 200));
                let body = message(draw).encode();
                self.receive(MAD, incarnation, &body);
            }
        }
    }

    fn tick(&mut self) {
        for output in self.step(Input::Tick) {
            if let Output::NeedCopy { to, copy, part, flows_max } = output {
                let flows = (0..flows_max as u32).map(|n| flow(n, 1, FlowState::Open));
                let flows = flows.collect();
                self.step(Input::CopyPart { to, copy, flows, last: part > 2 });
            }
        }
    }
}

#[test]
fn a_mad_peer_does_no_harm() {
    check!().with_iterations(2_000).with_generator(bytes(4_000)).for_each(|bytes| {
        let mut target = Target::new();
        let mut draw = Draw(bytes);
        while !draw.0.is_empty() {
            target.act(&mut draw);
        }
        target.step(Input::Members([MAD, ME, SANE].into_iter().collect()));
        // It is not awake for ever.
        for _ in 0..20_000 {
            if target.share.deadline() > target.now + Duration::from_millis(1) {
                break;
            }
            target.now += Duration::from_micros(50);
            target.tick();
        }
        assert!(target.share.deadline() > target.now);
        target.step(Input::Changed(flow(9, 9, FlowState::Open)));
        let out = target.step(Input::Tick);
        assert!(out.iter().any(|o| matches!(o, Output::Send { to: SANE, .. })));
        let flows = vec![flow(5_000, 9, FlowState::Open)];
        let body = Message::Flows { first: 0, age: None, flows }.encode();
        let out = target.receive(SANE, Incarnation(5), &body);
        assert!(matches!(&out[..], [Output::Apply(flows)] if flows.len() == 1));
    });
}

#[test]
fn gaps_without_end_take_bounded_memory() {
    let mut target = Target::new();
    for n in 0..100_000 {
        let flows = vec![flow(n as u32, 1, FlowState::Open)];
        let body = Message::Flows { first: n * 2 + 1, age: None, flows }.encode();
        target.receive(MAD, Incarnation(1), &body);
    }
    let counters = target.share.counters();
    let count = |name: &str| counters.iter().find(|c| c.name == name).expect("a counter").count;
    assert_eq!(count("records_received"), 4_097);
    assert_eq!(count("records_unheld"), 100_000 - 4_097);
}
