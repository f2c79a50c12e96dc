//! A copy that a peer takes from this node. The peer sets the pace: it tells what it has, and gets what is missing within a
//! window beyond that. Nothing here has a time-out but the memory of a peer that went away. Called by `machine`.

use super::api::{COPY_FLOWS_MAX, Output};
use super::codec::fitting;
use super::message::{Message, Position};
use dsc_wire::{Flow, NodeId, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// Pieces beyond the first missing one that may be on their way: what a request can tell of, and 37 KiB.
pub(crate) const WINDOW: u32 = 32;
/// A copy that nobody asked for this long is forgotten.
const KEPT: Duration = Duration::from_secs(5);

/// The copy.
#[derive(Clone, Debug)]
pub(crate) struct Gift {
    to: NodeId,
    pub copy: u64,
    /// Number of the first of the pieces, which are kept until the peer has them.
    base: u32,
    pieces: VecDeque<Vec<u8>>,
    /// Bit `i`: piece `base + 1 + i` is there.
    beyond: u32,
    /// All before this were sent once.
    sent: u32,
    again: bool,
    /// The next part to ask the driver for, and whether it was asked for.
    part: u32,
    awaited: bool,
    ended: bool,
    used: Time,
}

impl Gift {
    /// `positions` are those of this moment, before the walk begins.
    pub fn new(to: NodeId, copy: u64, positions: Vec<Position>, now: Time) -> Gift {
        let head = Message::CopyHead { copy, positions };
        Gift {
            to,
            copy,
            base: 0,
            pieces: VecDeque::from([head.encode()]),
            beyond: 0,
            sent: 0,
            again: false,
            part: 0,
            awaited: false,
            ended: false,
            used: now,
        }
    }

    /// The peer has all before `base`, and those that `beyond` names.
    pub fn asked(&mut self, base: u32, beyond: u32, again: bool, now: Time) {
        self.used = now;
        if base < self.base || base > self.sent {
            return;
        }
        self.pieces.drain(..(base - self.base) as usize);
        self.base = base;
        self.beyond = beyond;
        self.again |= again;
    }

    /// The driver's answer. False if it was not asked for.
    pub fn part(&mut self, flows: &[Flow], last: bool) -> bool {
        if !std::mem::take(&mut self.awaited) {
            return false;
        }
        self.part += 1;
        self.ended = last;
        let mut rest = &flows[..flows.len().min(COPY_FLOWS_MAX)];
        while !rest.is_empty() || last {
            let (flows, after) = rest.split_at(fitting(rest.iter()));
            let index = self.base + self.pieces.len() as u32;
            let ends = last && after.is_empty();
            let piece =
                Message::CopyPart { copy: self.copy, index, last: ends, flows: flows.to_vec() };
            self.pieces.push_back(piece.encode());
            rest = after;
            if ends {
                break;
            }
        }
        true
    }

    /// Sends what the peer may have now, and wants more from the driver when the window could not be filled.
    pub fn turn(&mut self, out: &mut Vec<Output>) {
        let end = (self.base + self.pieces.len() as u32).min(self.base + WINDOW + 1);
        let again = std::mem::take(&mut self.again);
        for index in self.base..end {
            let there = index > self.base && self.beyond >> (index - self.base - 1) & 1 == 1;
            if index >= self.sent || (again && !there) {
                let body = self.pieces[(index - self.base) as usize].clone();
                out.push(Output::Send { to: self.to, body });
            }
        }
        self.sent = self.sent.max(end);
        if !self.ended && !self.awaited && self.pieces.len() <= WINDOW as usize {
            self.awaited = true;
            let Gift { to, copy, part, .. } = *self;
            out.push(Output::NeedCopy { to, copy, part, flows_max: COPY_FLOWS_MAX });
        }
    }

    /// Has [`Gift::turn`] something to do?
    pub fn owes(&self) -> bool {
        let end = (self.base + self.pieces.len() as u32).min(self.base + WINDOW + 1);
        self.again || self.sent < end
    }

    /// Does the peer have all of it?
    pub fn is_over(&self) -> bool {
        self.ended && self.pieces.is_empty()
    }

    /// When to forget it.
    pub fn expires(&self) -> Time {
        self.used + KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::{FlowKey, FlowKind, FlowState, Protocol};

    const NOW: Time = Time::from_ms(1);

    fn flows(count: u16) -> Vec<Flow> {
        let end = |port| std::net::SocketAddr::from(([10, 1, 0, 1], port));
        let key = |n| FlowKey { protocol: Protocol::Udp, client: end(n), vip: end(53) };
        let flow =
            |n| Flow { key: key(n), backend: end(53), state: FlowState::Open, kind: FlowKind::Nat };
        (0..count).map(flow).collect()
    }

    /// The pieces it sends now; the head is 0.
    fn sent(gift: &mut Gift) -> Vec<u32> {
        let mut out = Vec::new();
        gift.turn(&mut out);
        let index = |output| match output {
            Output::Send { body, .. } => match Message::decode(&body) {
                Ok(Message::CopyPart { index, .. }) => Some(index),
                Ok(Message::CopyHead { .. }) => Some(0),
                other => panic!("{other:?}"),
            },
            _ => None,
        };
        out.into_iter().filter_map(index).collect()
    }

    #[test]
    fn the_peer_gets_a_window_and_again_only_what_it_lacks() {
        let mut gift = Gift::new(NodeId(2), 7, Vec::new(), NOW);
        assert_eq!(sent(&mut gift), [0]);
        let mut parts = 0;
        while gift.pieces.len() <= WINDOW as usize {
            assert!(gift.part(&flows(COPY_FLOWS_MAX as u16), false));
            assert!(!gift.part(&flows(1), false), "it was not asked for");
            sent(&mut gift);
            parts += 1;
        }
        assert_eq!(gift.sent, WINDOW + 1);
        assert_eq!(sent(&mut gift), [], "nothing beyond the window");
        gift.asked(2, 0b101, true, NOW);
        let again = sent(&mut gift);
        assert_eq!(again[..4], [2, 4, 6, 7]);
        assert_eq!(again.last(), Some(&(2 + WINDOW)), "and the window moved");
        gift.asked(1, 0, true, NOW);
        gift.asked(gift.sent + 1, 0, true, NOW);
        assert_eq!(sent(&mut gift), [], "an old request, and one of what was never sent");
        while !gift.is_over() {
            gift.asked(gift.sent, 0, false, NOW);
            sent(&mut gift);
            if gift.part(&flows(COPY_FLOWS_MAX as u16), parts == 9) {
                parts += 1;
            }
        }
        assert_eq!((parts, gift.owes()), (10, false));
    }
}
