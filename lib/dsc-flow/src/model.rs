//! The decision of the kernel programs about a packet of a service, once more, in Rust and without their shortcuts: what is
//! looked up is looked up plainly, and a packet that goes on is built anew with all its checksums. Tests run both on the
//! same packets; nothing else uses it.

use dsc_wire::local::HostState;
use dsc_wire::{
    BackendState, Flow, FlowKey, FlowKind, FlowState, Protocol, Routing, ServiceKind, SubnetId,
};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

mod source;

pub use source::{Source, Zone};

/// Slots that are tried when a backend already has a connection from the client's port.
const CLASHES_MAX: u32 = 24;
/// Flags of a TCP segment.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// The longest frame that is held.
const HELD_MAX: usize = 256;

/// A packet with its ends, as far as the decision looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes to.
    pub dest: SocketAddr,
    /// Of TCP.
    pub flags: u8,
    /// TTL or hop limit.
    pub hops: u8,
    /// Of the whole frame.
    pub bytes: usize,
    /// Another member handed it on.
    pub from_member: bool,
    /// The subnet by whose interface it came.
    pub by: SubnetId,
}

/// A service of the model.
#[derive(Clone, Debug)]
pub struct Service {
    /// What becomes of its packets.
    pub kind: ServiceKind,
    /// Its table, see [`crate::maglev`].
    pub slots: Vec<u16>,
}

/// A backend of the model.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// Where it is.
    pub address: SocketAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The subnet it is on.
    pub subnet: SubnetId,
    /// What it is given.
    pub state: BackendState,
}

/// What becomes of a packet; the name is the verdict's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to the stack as it is.
    Pass(&'static str),
    /// It ends here.
    Drop(&'static str),
    /// It goes to another member as it is, or one hop less.
    Steer(&'static str),
    /// Its sender is told that it cannot go on.
    Tell(&'static str),
    /// It goes on with other ends, one hop less.
    Route(&'static str, SocketAddr, SocketAddr),
}

/// One node.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its number.
    pub me: u16,
    /// Does its lease hold?
    pub lease: bool,
    /// By which node replies leave.
    pub routing: Routing,
    /// Of every VIP.
    pub host: HostState,
    /// Every VIP, and its subnet.
    pub vips: BTreeMap<IpAddr, SubnetId>,
    /// By protocol and VIP's end.
    pub services: HashMap<(Protocol, SocketAddr), Service>,
    /// By number.
    pub backends: Vec<Backend>,
    /// By number.
    pub sources: Vec<Source>,
    /// What is known of addresses.
    pub zones: Vec<Zone>,
    /// Subnets on which it has an interface.
    pub doors: Vec<SubnetId>,
    /// Flows, and what each end has done.
    pub flows: BTreeMap<FlowKey, State>,
    /// What became of beginnings, by the number of the backend.
    pub begun: BTreeMap<u16, Begun>,
}

/// Flows of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Both ends were heard.
    pub opened: u64,
    /// The first answer was a reset.
    pub refused: u64,
}

/// A flow as the model keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its end inside.
    pub inner: Inner,
    /// Both ends have spoken.
    pub open: bool,
    /// The end outside has closed.
    pub client_fin: bool,
    /// The end inside has closed.
    pub server_fin: bool,
    /// Either has reset it.
    pub reset: bool,
    /// Its inner end was heard.
    pub judged: bool,
}

/// The end of a flow inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// A backend, by number.
    Backend(u16),
    /// Who began it, and the subnet that it is on.
    Server(SocketAddr, SubnetId),
}

impl State {
    fn new(inner: Inner, open: bool) -> State {
        State { inner, open, client_fin: false, server_fin: false, reset: false, judged: false }
    }

    fn ended(&self) -> bool {
        self.reset || self.client_fin && self.server_fin
    }

    /// In the words of [`Flow`].
    pub fn state(&self) -> FlowState {
        match self {
            s if s.ended() => FlowState::Closed,
            s if s.client_fin => FlowState::ClientClosed,
            s if s.server_fin => FlowState::ServerClosed,
            s if s.open => FlowState::Open,
            _ => FlowState::Opening,
        }
    }
}

impl Model {
    /// What becomes of a packet; flows are made and followed. None where the decision is not the load balancer's.
    pub fn step(&mut self, packet: &Packet) -> Option<Outcome> {
        if self.vips.contains_key(&packet.dest.ip()) {
            if let Some(outcome) = self.for_source(packet) {
                return Some(outcome);
            }
            let service = self.services.get(&(packet.protocol, packet.dest))?;
            return (service.kind == ServiceKind::Nat).then(|| self.for_service(packet));
        }
        self.forget_ended(packet);
        if let Some(outcome) = self.reply(packet) {
            return Some(outcome);
        }
        let from = |b: &Backend| (b.protocol, b.address) == (packet.protocol, packet.source);
        if self.backends.iter().any(from) {
            Some(Self::ahead(packet))
        } else {
            self.originate(packet)
        }
    }

    /// The end of a flow inside, and its subnet.
    fn inner(&self, state: &State) -> (SocketAddr, SubnetId) {
        match state.inner {
            Inner::Backend(number) => {
                let backend = &self.backends[usize::from(number)];
                (backend.address, backend.subnet)
            }
            Inner::Server(address, subnet) => (address, subnet),
        }
    }

    /// The flow whose reply the packet is.
    fn replied(&self, packet: &Packet) -> Option<(FlowKey, State)> {
        let found = self.flows.iter().find(|(key, state)| {
            key.protocol == packet.protocol
                && key.client == packet.dest
                && self.inner(state).0 == packet.source
        });
        found.map(|(key, state)| (*key, *state))
    }

    /// The flows in the words of the table.
    pub fn flows(&self) -> Vec<Flow> {
        let flow = |(key, state): (&FlowKey, &State)| Flow {
            key: *key,
            backend: self.inner(state).0,
            state: state.state(),
            kind: match state.inner {
                Inner::Backend(_) => FlowKind::Nat,
                Inner::Server(..) => FlowKind::SourceNat,
            },
        };
        self.flows.iter().map(flow).collect()
    }

    fn for_service(&mut self, packet: &Packet) -> Outcome {
        match self.host {
            HostState::On if self.lease => self.request(packet),
            HostState::On => Outcome::Drop("dropped_lease"),
            HostState::Incoming if packet.from_member => self.request(packet),
            HostState::Steer(_) if !packet.from_member => Outcome::Steer("steered"),
            HostState::Steer(_) if packet.hops <= 1 => Outcome::Drop("dropped_hops"),
            HostState::Steer(_) => Outcome::Steer("steered_past"),
            _ => Outcome::Drop("dropped_off"),
        }
    }

    /// Does the flow's backend get nothing?
    fn refuses(&self, state: &State) -> bool {
        let disabled = |n: u16| self.backends[usize::from(n)].state == BackendState::Disabled;
        matches!(state.inner, Inner::Backend(number) if disabled(number))
    }

    fn request(&mut self, packet: &Packet) -> Outcome {
        let key = FlowKey { protocol: packet.protocol, client: packet.source, vip: packet.dest };
        let tcp = packet.protocol == Protocol::Tcp;
        let syn = tcp && packet.flags & (SYN | ACK) == SYN;
        let refused = self.flows.get(&key).is_some_and(|state| self.refuses(state));
        if let Some(state) = self.flows.get_mut(&key).filter(|_| refused) {
            state.reset = true;
        }
        if (syn || refused && !tcp) && self.flows.get(&key).is_some_and(State::ended) {
            self.flows.remove(&key);
        }
        if let Some(state) = self.flows.get(&key).copied() {
            if refused {
                return Outcome::Pass("nat_refused");
            }
            let (inner, subnet) = self.inner(&state);
            let outcome = self.route(packet, "nat_request", Some(subnet), packet.source, inner);
            if let (Outcome::Route(..), Some(state), true) =
                (outcome, self.flows.get_mut(&key), tcp)
            {
                if packet.flags & SYN == 0 && !std::mem::replace(&mut state.open, true) {
                    count(&mut self.begun, state.inner).opened += 1;
                }
                state.client_fin |= packet.flags & FIN != 0;
                state.reset |= packet.flags & RST != 0;
            }
            return outcome;
        }
        if tcp && packet.flags & RST != 0 {
            return Outcome::Drop("nat_stray");
        }
        let name = if tcp && !syn { "nat_adopted" } else { "nat_new" };
        match self.begin(key, tcp && !syn) {
            Ok(backend) => {
                self.route(packet, name, Some(backend.subnet), packet.source, backend.address)
            }
            Err(outcome) => outcome,
        }
    }

    fn begin(&mut self, key: FlowKey, open: bool) -> Result<Backend, Outcome> {
        let slots = &self.services[&(key.protocol, key.vip)].slots;
        let hash = hash(&key);
        let mut tried = None;
        for turn in 0..CLASHES_MAX {
            let slot = hash.wrapping_add(turn) as usize % slots.len();
            let number = slots[slot];
            if tried.replace(number) == Some(number) {
                continue;
            }
            let backend = self.backends.get(usize::from(number)).copied();
            let Some(backend) = backend.filter(|b| b.state != BackendState::Disabled) else {
                return Err(Outcome::Pass("nat_refused"));
            };
            // The reply of a flow is found by its backend and client alone.
            let clash = self.flows.iter().find(|(other, state)| {
                other.protocol == key.protocol
                    && other.client == key.client
                    && other.vip != key.vip
                    && self.inner(state).0 == backend.address
            });
            match clash.map(|(other, state)| (*other, *state)) {
                Some((_, state)) if !state.ended() => continue,
                Some((other, _)) => {
                    self.flows.remove(&other);
                }
                None => {}
            }
            self.flows.insert(key, State::new(Inner::Backend(number), open));
            return Ok(backend);
        }
        Err(Outcome::Drop("nat_clash"))
    }

    fn route(
        &self,
        packet: &Packet,
        name: &'static str,
        subnet: Option<SubnetId>,
        source: SocketAddr,
        dest: SocketAddr,
    ) -> Outcome {
        if !subnet.is_some_and(|subnet| self.doors.contains(&subnet)) {
            return Outcome::Drop("nat_no_way");
        }
        if packet.hops <= 1 {
            return Outcome::Tell("nat_time_exceeded");
        }
        Outcome::Route(name, source, dest)
    }

    /// A packet from inside, of a flow.
    fn reply(&mut self, packet: &Packet) -> Option<Outcome> {
        let tcp = packet.protocol == Protocol::Tcp;
        let (key, state) = self.replied(packet)?;
        let server = matches!(state.inner, Inner::Server(..));
        if let (Routing::Symmetric, HostState::Steer(_), false) = (self.routing, self.host, server)
        {
            let lost = packet.from_member && packet.hops <= 1;
            return Some(if lost {
                Outcome::Drop("dropped_hops")
            } else {
                Outcome::Steer("nat_steered")
            });
        }
        let name = if server { "source_out" } else { "nat_reply" };
        let subnet = self.vips.get(&key.vip.ip()).copied();
        let outcome = self.route(packet, name, subnet, key.vip, packet.dest);
        if let (Outcome::Route(..), Some(state)) = (outcome, self.flows.get_mut(&key)) {
            let first = !std::mem::replace(&mut state.judged, true);
            if first && tcp && packet.flags & RST != 0 {
                count(&mut self.begun, state.inner).refused += 1;
            }
            if !tcp && !server && !state.open {
                count(&mut self.begun, state.inner).opened += 1;
            }
            if tcp {
                state.server_fin |= packet.flags & FIN != 0;
                state.reset |= packet.flags & RST != 0;
            } else {
                state.open |= !server;
            }
        }
        Some(outcome)
    }

    /// A packet from a backend, of no flow: it may be ahead of it.
    fn ahead(packet: &Packet) -> Outcome {
        if packet.protocol == Protocol::Tcp && packet.flags & (SYN | ACK) != SYN | ACK {
            return Outcome::Drop("nat_unknown");
        }
        let held = packet.bytes <= HELD_MAX;
        Outcome::Drop(if held { "nat_held" } else { "nat_held_lost" })
    }
}

/// Where a flow is counted: of source NAT, nowhere that is looked at.
fn count(begun: &mut BTreeMap<u16, Begun>, inner: Inner) -> &mut Begun {
    let number = if let Inner::Backend(number) = inner { number } else { u16::MAX };
    begun.entry(number).or_default()
}

/// The programs' hash of a flow: of the bytes of its request's key, eight at a time, as the machine orders them. Nodes of
/// one byte order agree.
pub fn hash(key: &FlowKey) -> u32 {
    let mut bytes = [0u8; 40];
    for (end, at) in [(key.client, 0), (key.vip, 16)] {
        match end.ip() {
            IpAddr::V4(ip) => bytes[at..at + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[at..at + 16].copy_from_slice(&ip.octets()),
        }
    }
    bytes[32..34].copy_from_slice(&key.client.port().to_be_bytes());
    bytes[34..36].copy_from_slice(&key.vip.port().to_be_bytes());
    bytes[36] = key.protocol.number();
    bytes[37] = u8::from(key.client.is_ipv6());
    (stirred(0, &bytes) >> 16) as u32
}

/// `hash` after these bytes, eight at a time.
fn stirred(mut hash: u64, bytes: &[u8]) -> u64 {
    for word in bytes.chunks_exact(8) {
        let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
        hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    }
    hash
}
