//! The model's source NAT: what begins a connection from inside, as whom it leaves, and whose the packets for its port are.

use super::{ACK, FIN, Inner, Model, Outcome, Packet, RST, SYN, State, hash, stirred};
use dsc_wire::local::HostState;
use dsc_wire::{FlowKey, Protocol, SubnetId};
use std::net::{IpAddr, SocketAddr};

/// Ports that are tried for a connection.
const PORTS_TRIED: u64 = 32;

/// A source NAT of the model.
#[derive(Clone, Debug)]
pub struct Source {
    /// As whom connections leave, all on one subnet.
    pub vips: Vec<IpAddr>,
    /// The lowest port of the first node.
    pub first: u16,
    /// Ports of each node.
    pub slice: u16,
    /// So many nodes have some.
    pub nodes: u16,
}

/// Addresses of which something is known.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    /// The lowest.
    pub address: IpAddr,
    /// Bits that they have in common; the longest counts.
    pub prefix: u8,
    /// Where they are.
    pub subnet: SubnetId,
    /// The source NAT that they get.
    pub source: Option<usize>,
    /// A node's own.
    pub node: bool,
}

impl Zone {
    fn contains(&self, address: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let differ = bits(self.address) ^ bits(address);
        self.address.is_ipv4() == address.is_ipv4()
            && differ.leading_zeros() >= u32::from(self.prefix)
    }
}

/// May a packet to it be sent on by a router?
fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            first != 0 && !ip.is_loopback() && !ip.is_link_local() && first < 224
        }
        // Up to ::1:0:0:0 there are loopback and IPv4 in IPv6.
        IpAddr::V6(ip) => {
            !ip.is_multicast() && !ip.is_unicast_link_local() && ip.to_bits() >> 48 != 0
        }
    }
}

impl Model {
    fn zone(&self, address: IpAddr) -> Option<&Zone> {
        self.zones.iter().filter(|zone| zone.contains(address)).max_by_key(|zone| zone.prefix)
    }

    /// A packet that opens a connection between the ends of an ended one that began inside takes its place.
    pub(super) fn forget_ended(&mut self, packet: &Packet) {
        let found = self.replied(packet).filter(|(_, state)| {
            is_opening(packet) && state.ended() && matches!(state.inner, Inner::Server(..))
        });
        if let Some((key, _)) = found {
            self.flows.remove(&key);
        }
    }

    /// A packet through this node, of no flow.
    pub(super) fn originate(&mut self, packet: &Packet) -> Option<Outcome> {
        let zone = *self.zone(packet.source.ip())?;
        let source = self.sources[zone.source?].clone();
        let outside = *self.vips.get(source.vips.first()?)?;
        let there = self.zone(packet.dest.ip());
        let stays = there.is_some_and(|there| there.node || there.subnet != outside);
        if zone.subnet != packet.by || stays || !is_routable(packet.dest.ip()) {
            return None;
        }
        let tcp = packet.protocol == Protocol::Tcp;
        if tcp && !is_opening(packet) {
            return Some(Outcome::Pass("source_unknown"));
        }
        if !self.lease {
            return Some(Outcome::Drop("source_lease"));
        }
        let Some(vip) = self.free(&source, packet) else {
            return Some(Outcome::Drop("source_full"));
        };
        let key = FlowKey { protocol: packet.protocol, client: packet.dest, vip };
        self.flows.insert(key, State::new(Inner::Server(packet.source, zone.subnet), false));
        Some(self.route(packet, "source_new", Some(outside), vip, packet.dest))
    }

    /// The end that the packet is to come from.
    fn free(&self, source: &Source, packet: &Packet) -> Option<SocketAddr> {
        let mut bytes = [0u8; 16];
        match packet.source.ip() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.copy_from_slice(&ip.octets()),
        }
        let pick = (stirred(0, &bytes) >> 16) as u32 as usize % source.vips.len();
        let (protocol, client) = (packet.protocol, packet.dest);
        let mut hash = hash(&FlowKey { protocol, client: packet.source, vip: packet.dest });
        for turn in 1..=PORTS_TRIED {
            let own = source.first + self.me * source.slice;
            let port = own + (hash % u32::from(source.slice)) as u16;
            let vip = SocketAddr::new(source.vips[pick], port);
            if !self.flows.contains_key(&FlowKey { protocol, client, vip }) {
                return Some(vip);
            }
            hash = (stirred(u64::from(hash), &turn.to_ne_bytes()) >> 16) as u32;
        }
        None
    }

    /// A packet for a port of source NAT. None for any other, and where it is treated as such.
    pub(super) fn for_source(&mut self, packet: &Packet) -> Option<Outcome> {
        let port = u32::from(packet.dest.port());
        let of = |source: &&Source| {
            let first = u32::from(source.first);
            let ports = first..first + u32::from(source.slice) * u32::from(source.nodes);
            source.vips.contains(&packet.dest.ip()) && ports.contains(&port)
        };
        let source = self.sources.iter().find(of)?;
        let owner = (packet.dest.port() - source.first) / source.slice;
        let hosted = self.host == HostState::On && self.lease;
        let key = FlowKey { protocol: packet.protocol, client: packet.source, vip: packet.dest };
        if self.flows.contains_key(&key) {
            return Some(match self.host {
                _ if packet.from_member || hosted => self.inward(packet, key),
                HostState::On => Outcome::Drop("dropped_lease"),
                HostState::Steer(_) => Outcome::Steer("steered"),
                _ => Outcome::Drop("dropped_off"),
            });
        }
        if is_opening(packet) {
            return None;
        }
        if owner == self.me {
            let tells = packet.from_member && packet.protocol == Protocol::Tcp;
            return tells.then_some(Outcome::Pass("refused"));
        }
        if !packet.from_member {
            return hosted.then_some(Outcome::Steer("source_asked"));
        }
        let serves = hosted || self.host == HostState::Incoming;
        let last = packet.hops <= 1;
        serves.then_some(if last {
            Outcome::Drop("dropped_hops")
        } else {
            Outcome::Steer("steered_past")
        })
    }

    fn inward(&mut self, packet: &Packet, key: FlowKey) -> Outcome {
        let (server, subnet) = self.inner(&self.flows[&key]);
        let outcome = self.route(packet, "source_in", Some(subnet), packet.source, server);
        if let (Outcome::Route(..), Some(state)) = (outcome, self.flows.get_mut(&key)) {
            let tcp = packet.protocol == Protocol::Tcp;
            state.open = true;
            state.client_fin |= tcp && packet.flags & FIN != 0;
            state.reset |= tcp && packet.flags & RST != 0;
        }
        outcome
    }
}

fn is_opening(packet: &Packet) -> bool {
    packet.protocol == Protocol::Tcp && packet.flags & (SYN | ACK) == SYN
}
