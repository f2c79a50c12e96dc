//! Between a flow in our words and its two entries in the kernel's table: keys, marks, states. Pure.

use crate::layout::{
    BACKEND_NONE, Entry, EntryKey, MARK_FIN, MARK_JUDGED, MARK_OPEN, MARK_RESET, TICK_BITS,
    WAY_REQUEST,
};
use crate::octets;
use dsc_wire::{Flow, FlowKey, FlowKind, FlowState, Protocol, Time};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) fn tick(now: Time) -> u32 {
    (now.0 >> TICK_BITS) as u32
}

pub(crate) fn entry_key(protocol: Protocol, source: SocketAddr, dest: SocketAddr) -> EntryKey {
    EntryKey {
        source: octets(source.ip()),
        dest: octets(dest.ip()),
        source_port: source.port().to_be_bytes(),
        dest_port: dest.port().to_be_bytes(),
        protocol: protocol.number(),
        six: u8::from(source.is_ipv6()),
        unused: [0; 2],
    }
}

pub(crate) fn request_key(key: &FlowKey) -> EntryKey {
    entry_key(key.protocol, key.client, key.vip)
}

pub(crate) fn reply_key(flow: &Flow) -> EntryKey {
    entry_key(flow.key.protocol, flow.backend, flow.key.client)
}

pub(crate) fn end(key: &EntryKey, address: [u8; 16], port: [u8; 2]) -> SocketAddr {
    let ip = if key.six == 0 {
        IpAddr::V4(Ipv4Addr::new(address[0], address[1], address[2], address[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(address))
    };
    SocketAddr::new(ip, u16::from_be_bytes(port))
}

/// The flow that an entry of either direction belongs to, as far as this direction has come. None if it is nonsense.
pub(crate) fn flow_of(key: &EntryKey, entry: &Entry) -> Option<Flow> {
    let protocol = Protocol::of_number(key.protocol)?;
    let source = end(key, key.source, key.source_port);
    let dest = end(key, key.dest, key.dest_port);
    let replaced = end(key, entry.address, entry.port);
    let inside = entry.backend == BACKEND_NONE;
    let kind = if inside { FlowKind::SourceNat } else { FlowKind::Nat };
    Some(if entry.way == WAY_REQUEST {
        let (state, key) =
            (joined(entry.marks, 0), FlowKey { protocol, client: source, vip: dest });
        Flow { key, backend: replaced, state, kind }
    } else {
        let state = joined(0, entry.marks);
        Flow {
            key: FlowKey { protocol, client: dest, vip: replaced },
            backend: source,
            state,
            kind,
        }
    })
}

pub(crate) fn joined(request: u32, reply: u32) -> FlowState {
    let either = request | reply;
    if either & MARK_RESET != 0 || request & reply & MARK_FIN != 0 {
        FlowState::Closed
    } else if request & MARK_FIN != 0 {
        FlowState::ClientClosed
    } else if reply & MARK_FIN != 0 {
        FlowState::ServerClosed
    } else if either & MARK_OPEN != 0 {
        FlowState::Open
    } else {
        FlowState::Opening
    }
}

/// What a state says about the two directions.
pub(crate) fn marks(state: FlowState) -> (u32, u32) {
    match state {
        FlowState::Opening => (0, 0),
        FlowState::Open => (MARK_OPEN, MARK_JUDGED),
        FlowState::ClientClosed => (MARK_OPEN | MARK_FIN, MARK_JUDGED),
        FlowState::ServerClosed => (MARK_OPEN, MARK_JUDGED | MARK_FIN),
        FlowState::Closed | FlowState::Gone => (MARK_OPEN | MARK_FIN, MARK_JUDGED | MARK_FIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::WAY_REPLY;

    fn flow(state: FlowState) -> Flow {
        let end = |text: &str| text.parse().unwrap();
        let key = FlowKey {
            protocol: Protocol::Tcp,
            client: end("10.1.0.250:4000"),
            vip: end("10.1.0.100:80"),
        };
        Flow { key, backend: end("10.2.0.101:8080"), state, kind: FlowKind::Nat }
    }

    #[test]
    fn a_state_is_the_same_after_its_marks() {
        for state in [
            FlowState::Opening,
            FlowState::Open,
            FlowState::ClientClosed,
            FlowState::ServerClosed,
            FlowState::Closed,
        ] {
            let (request, reply) = marks(state);
            assert_eq!(joined(request, reply), state);
        }
        assert_eq!(joined(MARK_RESET, 0), FlowState::Closed);
        assert_eq!(joined(0, MARK_RESET), FlowState::Closed);
    }

    #[test]
    fn both_entries_tell_the_same_flow() {
        for (kind, backend) in [(FlowKind::Nat, 7), (FlowKind::SourceNat, BACKEND_NONE)] {
            tell_the_same(Flow { kind, ..flow(FlowState::Opening) }, backend);
        }
    }

    fn tell_the_same(flow: Flow, backend: u16) {
        let request = Entry {
            address: octets(flow.backend.ip()),
            port: flow.backend.port().to_be_bytes(),
            way: WAY_REQUEST,
            backend,
            ..Entry::default()
        };
        let reply = Entry {
            address: octets(flow.key.vip.ip()),
            port: flow.key.vip.port().to_be_bytes(),
            way: WAY_REPLY,
            backend,
            ..Entry::default()
        };
        assert_eq!(flow_of(&request_key(&flow.key), &request), Some(flow));
        assert_eq!(flow_of(&reply_key(&flow), &reply), Some(flow));
    }
}
