//! Whatever a peer with the key sends, the ring neither panics nor works without bound: mutated messages of a live
//! ring, answers nobody asked for, time in leaps.

use crate::world::cluster;
use bolero::ValueGenerator;
use dsc_ring::{Beacon, Input, Message, Output, Ring, Verdict};
use dsc_wire::local::{Command, Duty};
use dsc_wire::message::{Outcome, TokenVerdict, VERSION};
use dsc_wire::*;
use std::time::Duration;

fn bytes(max: usize) -> impl ValueGenerator<Output = Vec<u8>> {
    bolero::generator::produce::<Vec<u8>>().with().len(0..max)
}

/// Takes numbers off the fuzzer's bytes; zeros after the end.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }
}

fn command(draw: &mut Draw<'_>) -> Command {
    let (vip, node) = (VipId(u16::from(draw.byte() % 5)), NodeId(draw.byte() % 5));
    match draw.byte() % 6 {
        0 => Command::Pin { vip, node: None },
        1 => Command::Pin { vip, node: Some(node) },
        2 => Command::Unpin { vip },
        3 => Command::Duty {
            node,
            duty: [Duty::Open, Duty::Draining, Duty::Closed][draw.number() % 3],
        },
        4 => Command::Backend {
            backend: BackendId(u16::from(draw.byte() % 4)),
            state: [BackendState::Enabled, BackendState::Draining, BackendState::Disabled]
                [draw.number() % 3],
        },
        _ => Command::MoveVip { vip, node },
    }
}

/// The next input: often a message that the ring sent itself, with some bytes changed.
fn input(draw: &mut Draw<'_>, seen: &[Vec<u8>], beacons: &[Vec<u8>], last: u64) -> Input {
    let from = NodeId(draw.byte() % 5);
    let incarnation = Incarnation(u64::from(draw.byte() % 3));
    let receipt = Receipt(draw.number() as u64);
    let id = SendId(last.saturating_sub(u64::from(draw.byte() % 4)));
    match draw.byte() % 13 {
        0..=4 => {
            let mut bytes = match seen.len() {
                0 => Message::Reach.encode(),
                n => seen[draw.number() % n].clone(),
            };
            for _ in 0..draw.byte() % 5 {
                let at = draw.number() % bytes.len();
                bytes[at] = draw.byte();
            }
            let message = Message::decode(&bytes).unwrap_or(Message::Reach);
            Input::Received { from, incarnation, receipt, message }
        }
        5 => {
            let mut bytes = match beacons.len() {
                0 => return Input::Tick,
                n => beacons[draw.number() % n].clone(),
            };
            let at = draw.number() % bytes.len();
            bytes[at] = draw.byte();
            match Beacon::decode(&bytes) {
                Ok(beacon) => Input::Beacon { from, incarnation, beacon },
                Err(_) => Input::Tick,
            }
        }
        6 => Input::Failed { id },
        7 => {
            let outcome = [Outcome::Accepted, Outcome::Stale, Outcome::Stranger][draw.number() % 3];
            let (counter, member) = (u32::from(draw.byte()), draw.byte() & 1 == 1);
            let verdict = match draw.byte() % 5 {
                0 => Verdict::Quiet,
                1 => Verdict::Forwarded,
                2 => Verdict::Noted,
                3 => Verdict::Token(TokenVerdict { outcome, counter, member }),
                _ => {
                    let (deny, differs, duty) = (member, draw.byte() == 1, Duty::Open);
                    let version = u64::from(draw.byte() & 1);
                    Verdict::Notice {
                        deny,
                        counter,
                        differs,
                        incarnation,
                        duty,
                        version,
                        digest: 9,
                    }
                }
            };
            Input::Delivered { id, verdict }
        }
        8 => Input::Able { subnets: SubnetSet(draw.byte() & 3) },
        9 => Input::Linked { subnets: SubnetSet(draw.byte() & 3) },
        10 => Input::Command { id: 1, command: command(draw) },
        11 => Input::Repeated { from },
        _ if draw.byte() == 1 => Input::Leave,
        _ => Input::Tick,
    }
}

#[test]
fn no_sequence_of_inputs_breaks_the_ring() {
    bolero::check!()
        .with_iterations(1_500)
        .with_max_len(4_000)
        .with_generator(bytes(4_000))
        .for_each(|bytes| {
            let mut draw = Draw(bytes);
            let mut plan = cluster(4, 4);
            if draw.byte() & 1 == 1 {
                plan.partition = Partition::Majority;
            }
            let mut now = Time::from_ms(1_000);
            let mut ring = Ring::new(plan, NodeId(1), Incarnation(1), now);
            let (mut seen, mut beacons, mut last) = (Vec::new(), Vec::new(), 0);
            while !draw.0.is_empty() {
                now += match draw.byte() {
                    n @ 0..=99 => Duration::from_micros(u64::from(n) * 37),
                    n @ 100..=199 => {
                        now.until(ring.deadline().min(now + Duration::from_secs(u64::from(n))))
                    }
                    n => Duration::from_millis(u64::from(n)),
                };
                let mut out = Vec::new();
                ring.step(now, input(&mut draw, &seen, &beacons, last), &mut out);
                assert!(out.len() < 1_000, "{} outputs of one step", out.len());
                for output in out {
                    match output {
                        Output::Send { id, message, .. }
                        | Output::SendTacit { id, message, .. } => {
                            last = id.0;
                            let bytes = message.encode();
                            assert!(!bytes.is_empty());
                            seen.push(bytes);
                        }
                        Output::Beacon { beacon, .. } => beacons.push(beacon.encode()),
                        _ => {}
                    }
                }
                seen.truncate(64);
                beacons.truncate(16);
                ring.view(now);
            }
        });
}

#[test]
fn no_bytes_break_the_decoders() {
    bolero::check!()
        .with_iterations(4_000)
        .with_max_len(2_000)
        .with_generator(bytes(2_000))
        .for_each(|bytes| {
            if let Ok(message) = Message::decode(bytes) {
                assert_eq!(
                    Message::decode(&message.encode()),
                    Ok(message),
                    "decoded means understood"
                );
            }
            let _ = Verdict::decode(bytes);
            let _ = Message::decode(&[&[VERSION, 1][..], bytes].concat());
            let _ = Beacon::decode(bytes);
            dsc_wire::event::decode_kind(bytes);
        });
}
