//! Flows of peers in the kernel's table, against the same rules in Rust: random ones, told in any order, in calls of any size.

use crate::node::{FLOWS, node, sources};
use crate::rows::Row;
use crate::rows::nat::{CLOSED, WEB, at, backend, client, flow, vip};
use dsc_bpf::{Backend, Put};
use dsc_wire::{BackendState, Flow, FlowKey, FlowKind, FlowState, Protocol, SubnetId, Time, VipId};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const SEEDS: u64 = 200;
const STEPS: usize = 60;

/// Of each family, and not in the order that their bytes have in this machine.
const VIPS: [&str; 4] = ["10.1.0.100", "10.2.0.100", "fd00:1::100", "fd00:2::100"];
const BACKENDS: [&str; 6] =
    ["10.2.0.201", "10.2.1.7", "10.3.0.1", "fd00:2::2ff", "fd00:2::1:7", "fd00:3:0:1::7"];
const PORTS: [u16; 2] = [0x1F90, 0x901E];

const OPEN: u8 = 1;
const FIN: u8 = 2;

/// What an entry replaces, and its marks.
type Side = (SocketAddr, u8);

/// Both entries of each flow: by client and VIP, by backend and client.
#[derive(Default)]
struct Table {
    requests: BTreeMap<(SocketAddr, SocketAddr), Side>,
    replies: BTreeMap<(SocketAddr, SocketAddr), Side>,
}

fn marks(state: FlowState) -> (u8, u8) {
    match state {
        FlowState::Opening => (0, 0),
        FlowState::Open => (OPEN, 0),
        FlowState::ClientClosed => (OPEN | FIN, 0),
        FlowState::ServerClosed => (OPEN, FIN),
        FlowState::Closed | FlowState::Gone => (OPEN | FIN, FIN),
    }
}

fn joined(request: u8, reply: u8) -> FlowState {
    match (request & FIN != 0, reply & FIN != 0) {
        (true, true) => FlowState::Closed,
        (true, false) => FlowState::ClientClosed,
        (false, true) => FlowState::ServerClosed,
        (false, false) if (request | reply) & OPEN != 0 => FlowState::Open,
        (false, false) => FlowState::Opening,
    }
}

impl Table {
    fn put(&mut self, told: &Flow) -> Put {
        let Flow { key: FlowKey { client, vip, .. }, backend, state, kind } = *told;
        let (request, back) = ((client, vip), (backend, client));
        let (ours, theirs) = marks(state);
        let mut old = self.requests.get(&request).copied();
        let mut there = self.replies.get(&back).copied();
        if let Some((known, seen)) = old {
            let other = self.replies.get(&(known, client)).map_or(0, |(_, marks)| *marks);
            let so_far = joined(seen, other);
            let anew = state == FlowState::Opening && so_far == FlowState::Closed;
            let wins = (state, known) > (so_far, backend);
            if known != backend && !anew && !wins {
                return Put::Known;
            }
            if anew || known != backend {
                self.replies.remove(&(known, client));
                there = self.replies.get(&back).copied();
            }
        }
        if let Some((other, marks)) = there.filter(|(other, _)| *other != vip) {
            if state != FlowState::Opening {
                return Put::Clash;
            }
            let request = self.requests.get(&(client, other));
            if kind == FlowKind::SourceNat
                && request.is_some_and(|(_, ours)| joined(*ours, marks) == FlowState::Opening)
                && other < vip
            {
                return Put::Clash;
            }
            self.requests.remove(&(client, other));
            there = None;
        }
        old = old.filter(|_| there.is_some());
        self.replies.insert(back, (vip, theirs | there.map_or(0, |(_, marks)| marks)));
        self.requests.insert(request, (backend, ours | old.map_or(0, |(_, marks)| marks)));
        if old.is_some() { Put::Known } else { Put::New }
    }

    fn flows(&self) -> Vec<(SocketAddr, SocketAddr, SocketAddr, FlowState)> {
        let state = |client, backend, marks| {
            joined(marks, self.replies.get(&(backend, client)).map_or(0, |(_, theirs)| *theirs))
        };
        let flow = |(&(client, vip), &(backend, marks)): (&_, &Side)| {
            (client, vip, backend, state(client, backend, marks))
        };
        self.requests.iter().map(flow).collect()
    }
}

/// A generator that needs no crate (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Few clients, VIPs and backends, so that they meet often.
fn random(dice: &mut Dice) -> Flow {
    let states = [
        FlowState::Opening,
        FlowState::Open,
        FlowState::ClientClosed,
        FlowState::ServerClosed,
        FlowState::Closed,
    ];
    let state = states[dice.below(states.len())];
    let version = [4, 6][dice.below(2)];
    if version == 4 && dice.below(3) == 0 {
        let (far, inside) = (at("192.0.2.9", 443), at("10.2.0.70", 5000 + dice.below(2) as u16));
        // Ports that are in another order as bytes of this machine.
        let vip = vip(4, [0x9C40, 0xA028, 0x9CFF][dice.below(3)]);
        let kind = FlowKind::SourceNat;
        return Flow { state, kind, ..flow(Protocol::Udp, far, vip, inside) };
    }
    let client = client(version, 7000 + dice.below(2) as u16);
    let family = usize::from(version == 6);
    let vip = at(VIPS[2 * family + dice.below(2)], [WEB, CLOSED][dice.below(2)]);
    let backend = at(BACKENDS[3 * family + dice.below(3)], PORTS[dice.below(2)]);
    Flow { state, ..flow(Protocol::Tcp, client, vip, backend) }
}

#[test]
fn the_kernel_joins_what_peers_tell_as_the_rules_say() {
    let mut node = node();
    let vips: Vec<_> =
        (0..).zip(VIPS).map(|(n, ip)| (VipId(n), at(ip, 0).ip(), SubnetId(0))).collect();
    let ends = BACKENDS.iter().flat_map(|ip| PORTS.map(|port| at(ip, port)));
    let (protocol, subnet, state) = (Protocol::Tcp, SubnetId(1), BackendState::Enabled);
    let backends: Vec<_> =
        ends.map(|address| Backend { address, protocol, subnet, state }).collect();
    node.flows.know(&vips, &backends, &sources(false).1).unwrap();
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut table = Table::default();
        node.prepare(&Row::new("random", Vec::new()));
        let mut steps = 0;
        while steps < STEPS {
            let told: Vec<Flow> = (0..=dice.below(5)).map(|_| random(&mut dice)).collect();
            steps += told.len();
            let mut became = Vec::new();
            node.flows.put(&told, Time(1), &mut became).unwrap();
            let expected: Vec<Put> = told.iter().map(|flow| table.put(flow)).collect();
            assert_eq!(became, expected, "seed {seed}, step {steps}: {told:#?}");
            let seen = node.all_flows().into_iter().map(|seen| seen.flow);
            let mut seen: Vec<_> =
                seen.map(|f| (f.key.client, f.key.vip, f.backend, f.state)).collect();
            seen.sort();
            assert_eq!(seen, table.flows(), "seed {seed}, step {steps}: {told:#?}");
        }
    }
}

/// More than one call takes, and more than the table has room for.
#[test]
fn many_are_put_in_until_the_table_is_full() {
    let mut node = node();
    node.prepare(&Row::new("many", Vec::new()));
    let one = |port| flow(Protocol::Tcp, client(4, port), vip(4, WEB), backend(4, WEB));
    let foreign = flow(Protocol::Tcp, client(4, 1), vip(4, WEB), at("10.2.0.99", WEB));
    let many: Vec<Flow> =
        [foreign].into_iter().chain((0..2 * FLOWS as u16).map(|n| one(8000 + n))).collect();
    let mut became = Vec::new();
    node.flows.put(&many, Time(1), &mut became).unwrap();
    assert_eq!(became[0], Put::Foreign);
    let (new, rest) = became[1..].split_at(FLOWS as usize);
    assert!(new.iter().all(|put| *put == Put::New), "{new:?}");
    assert!(rest.len() == FLOWS as usize && rest.iter().all(|put| *put == Put::Full), "{rest:?}");
    let seen: Vec<_> = node.all_flows().iter().map(|seen| seen.flow.key.client.port()).collect();
    assert_eq!(seen.len(), FLOWS as usize);
    assert!(seen.iter().all(|port| (8000..8000 + FLOWS as u16).contains(port)));
}
