//! The bytes of a [`Message`]. Knows the layout, no rule about when to send or believe what.

use super::message::{Message, Position};
use dsc_wire::cursor::{Malformed, Reader, Writer};
use dsc_wire::ids::NODES_MAX;
use dsc_wire::packet::FRAGMENT_MAX;
use dsc_wire::{Flow, Incarnation, NodeId};
use std::time::Duration;

/// The version of this build; any other layout of a message or a flow raises it.
pub(crate) const VERSION: u8 = 2;
/// Bytes for the flows of one datagram, beside the fields of a piece of a copy, which has the most.
pub(crate) const FLOWS_ROOM: usize = FRAGMENT_MAX - 15;

/// In the place of an age: there is none.
const NO_AGE: u32 = u32::MAX;

/// Bytes of an encoded flow.
fn length(flow: &Flow) -> usize {
    if flow.backend.is_ipv6() { 56 } else { 20 }
}

/// How many of `flows`, from the front, one datagram holds; at least one if there is one.
pub(crate) fn fitting<'a>(flows: impl Iterator<Item = &'a Flow>) -> usize {
    let mut room = FLOWS_ROOM;
    let fits = flows.take_while(|flow| {
        let left = room.checked_sub(length(flow));
        room = left.unwrap_or(0);
        left.is_some()
    });
    fits.count()
}

/// Puts `flows` together as [`Message::Flows`] does, without a copy of them.
pub(crate) fn encode_flows<'a>(
    first: u64,
    age: Option<Duration>,
    flows: impl Iterator<Item = &'a Flow>,
) -> Vec<u8> {
    let mut w = begin(1);
    w.u64(first);
    let us = |age: Duration| u32::try_from(age.as_micros()).unwrap_or(NO_AGE).min(NO_AGE - 1);
    w.u32(age.map_or(NO_AGE, us));
    flows.for_each(|flow| flow.encode(&mut w));
    end(w)
}

fn begin(tag: u8) -> Writer {
    let mut w = Writer::reuse(Vec::with_capacity(FRAGMENT_MAX), FRAGMENT_MAX);
    w.u8(VERSION);
    w.u8(tag);
    w
}

/// A message above the bound is a fault of our own; sent as nothing, it is counted by its receiver as malformed.
fn end(w: Writer) -> Vec<u8> {
    let bytes = w.finish();
    debug_assert!(bytes.is_ok(), "a message longer than a datagram");
    bytes.unwrap_or_default()
}

fn flows(r: &mut Reader<'_>) -> Result<Vec<Flow>, Malformed> {
    let mut flows = Vec::with_capacity(r.left() / 20);
    while !r.is_empty() {
        flows.push(Flow::decode(r)?);
    }
    Ok(flows)
}

impl Message {
    /// Its bytes, at most [`FRAGMENT_MAX`]; the flows must fit.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Message::Flows { first, age, flows } => encode_flows(*first, *age, flows.iter()),
            Message::At { oldest, position, ready } => {
                let mut w = begin(2);
                w.u64(*oldest);
                w.u64(*position);
                w.bool(*ready);
                end(w)
            }
            Message::Ask { first, count } => {
                let mut w = begin(3);
                w.u64(*first);
                w.u32(*count);
                end(w)
            }
            Message::CopyAsk { copy, base, beyond, any, again } => {
                let mut w = begin(4);
                w.u64(*copy);
                w.u32(*base);
                w.u32(*beyond);
                w.bool(*any);
                w.bool(*again);
                end(w)
            }
            Message::CopyRefused { copy } => {
                let mut w = begin(5);
                w.u64(*copy);
                end(w)
            }
            Message::CopyHead { copy, positions } => {
                let mut w = begin(6);
                w.u64(*copy);
                w.u8(positions.len() as u8);
                for Position { node, incarnation, position } in positions {
                    w.u8(node.0);
                    w.u64(incarnation.0);
                    w.u64(*position);
                }
                end(w)
            }
            Message::CopyPart { copy, index, last, flows } => {
                let mut w = begin(7);
                w.u64(*copy);
                w.u32(*index);
                w.bool(*last);
                flows.iter().for_each(|flow| flow.encode(&mut w));
                end(w)
            }
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not one exactly.
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        if bytes.len() > FRAGMENT_MAX {
            return Err(Malformed::TooLong);
        }
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed::Version);
        }
        let message = match r.u8()? {
            1 => {
                let first = r.u64()?;
                let age = Some(r.u32()?).filter(|us| *us != NO_AGE);
                let age = age.map(|us| Duration::from_micros(us.into()));
                let flows = flows(&mut r)?;
                if flows.is_empty() {
                    return Err(Malformed::Short);
                }
                first.checked_add(flows.len() as u64).ok_or(Malformed::Value)?;
                Message::Flows { first, age, flows }
            }
            2 => {
                let (oldest, position) = (r.u64()?, r.u64()?);
                if oldest > position {
                    return Err(Malformed::Value);
                }
                Message::At { oldest, position, ready: r.bool()? }
            }
            3 => match (r.u64()?, r.u32()?) {
                (_, 0) => return Err(Malformed::Value),
                (first, count) => Message::Ask { first, count },
            },
            4 => Message::CopyAsk {
                copy: r.u64()?,
                base: r.u32()?,
                beyond: r.u32()?,
                any: r.bool()?,
                again: r.bool()?,
            },
            5 => Message::CopyRefused { copy: r.u64()? },
            6 => Message::CopyHead { copy: r.u64()?, positions: positions(&mut r)? },
            7 => {
                let (copy, index, last) = (r.u64()?, r.u32()?, r.bool()?);
                if index == 0 {
                    return Err(Malformed::Value);
                }
                Message::CopyPart { copy, index, last, flows: flows(&mut r)? }
            }
            _ => return Err(Malformed::Value),
        };
        r.end()?;
        Ok(message)
    }
}

fn positions(r: &mut Reader<'_>) -> Result<Vec<Position>, Malformed> {
    let count = usize::from(r.u8()?);
    if count > NODES_MAX {
        return Err(Malformed::TooLong);
    }
    let mut positions = Vec::with_capacity(count);
    for _ in 0..count {
        let node = NodeId::try_from(r.u8()?).map_err(|_| Malformed::Value)?;
        let (incarnation, position) = (Incarnation(r.u64()?), r.u64()?);
        positions.push(Position { node, incarnation, position });
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::{FlowKey, FlowKind, FlowState, Protocol};

    fn flow(six: bool) -> Flow {
        let [client, vip, backend] = if six {
            ["[fd00:1::fa]:4000", "[fd00:1::100]:80", "[fd00:2::65]:8080"]
        } else {
            ["10.1.0.250:4000", "10.1.0.100:80", "10.2.0.101:8080"]
        }
        .map(|end| end.parse().unwrap());
        let key = FlowKey { protocol: Protocol::Tcp, client, vip };
        Flow { key, backend, state: FlowState::Open, kind: FlowKind::SourceNat }
    }

    fn samples() -> Vec<Message> {
        let position = |n| Position { node: NodeId(n), incarnation: Incarnation(9), position: 77 };
        vec![
            Message::Flows { first: 7, age: None, flows: vec![flow(false), flow(true)] },
            Message::Flows {
                first: 7,
                age: Some(Duration::from_micros(70_000)),
                flows: vec![flow(false)],
            },
            Message::At { oldest: 3, position: 1 << 50, ready: true },
            Message::Ask { first: 5, count: 6 },
            Message::CopyAsk { copy: 1, base: 2, beyond: 3, any: true, again: false },
            Message::CopyRefused { copy: 4 },
            Message::CopyHead { copy: 5, positions: (0..64).map(position).collect() },
            Message::CopyPart { copy: 6, index: 1, last: true, flows: vec![] },
            Message::CopyPart { copy: 6, index: 9, last: false, flows: vec![flow(true); 20] },
        ]
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for message in samples() {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes).as_ref(), Ok(&message));
            for cut in 0..bytes.len() {
                assert_ne!(Message::decode(&bytes[..cut]).as_ref(), Ok(&message));
            }
            let version = [&[VERSION + 1], &bytes[1..]].concat();
            assert_eq!(Message::decode(&version), Err(Malformed::Version));
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let wrong = [
            Message::At { oldest: 2, position: 1, ready: true },
            Message::Ask { first: 5, count: 0 },
            Message::CopyPart { copy: 1, index: 0, last: true, flows: vec![] },
            Message::Flows { first: u64::MAX, age: None, flows: vec![flow(false)] },
        ];
        for message in wrong {
            assert_eq!(Message::decode(&message.encode()), Err(Malformed::Value));
        }
        let empty = Message::Flows { first: 0, age: None, flows: vec![] };
        assert_eq!(Message::decode(&empty.encode()), Err(Malformed::Short));
        assert_eq!(Message::decode(&[VERSION, 8]), Err(Malformed::Value));
        assert_eq!(Message::decode(&[0; FRAGMENT_MAX + 1]), Err(Malformed::TooLong));
    }

    #[test]
    fn as_many_flows_as_fit_go_together() {
        for (six, most) in [(false, 56), (true, 20)] {
            let flows = vec![flow(six); 100];
            assert_eq!(fitting(flows.iter()), most);
            let flows = flows[..most].to_vec();
            let part = Message::CopyPart { copy: 1, index: 1, last: false, flows: flows.clone() };
            assert!(part.encode().len() > FRAGMENT_MAX - 56);
            let whole = Message::Flows { first: 3, age: None, flows: flows.clone() }.encode();
            assert!(whole.len() <= FRAGMENT_MAX);
            assert_eq!(encode_flows(3, None, flows.iter()), whole);
        }
        assert_eq!(fitting([].iter()), 0);
    }

    #[test]
    fn an_age_that_does_not_fit_is_the_longest_and_not_none() {
        let age = |age| {
            let bytes = encode_flows(3, Some(age), [flow(false)].iter());
            match Message::decode(&bytes) {
                Ok(Message::Flows { age, .. }) => age,
                other => panic!("{other:?}"),
            }
        };
        let longest = Duration::from_micros(u64::from(u32::MAX) - 1);
        assert_eq!(age(Duration::MAX), Some(longest));
        assert_eq!(age(Duration::from_micros(u32::MAX.into())), Some(longest));
        assert_eq!(age(Duration::ZERO), Some(Duration::ZERO));
    }
}
