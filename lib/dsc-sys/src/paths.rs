//! The paths of a daemon to its like on the other nodes: one socket per subnet of this node, the cluster's seal on every
//! datagram. What cannot be opened, or does not belong where it came in, is counted by kind and goes no further.

use crate::arrival::{BAD, Bad, Opened, Place, Strays};
use crate::nic::{self, Nic};
use crate::udp::{Arrivals, BATCH, UdpPort};
use dsc_wire::local::{Counter, Mac};
use dsc_wire::packet::Packet;
use dsc_wire::seal::Keyring;
use dsc_wire::{NodeId, SubnetId, Time};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

/// Between two log lines about bad datagrams of one kind.
const COMPLAINT: Duration = Duration::from_secs(10);

/// A packet that is authentic and came by the path it names.
pub struct Arrived {
    /// Its sender.
    pub from: NodeId,
    /// The subnet it came by.
    pub path: SubnetId,
    /// When the kernel had it, if arrivals are stamped; else when it was taken from the kernel.
    pub at: Time,
    /// The packet.
    pub packet: Packet,
}

/// An authentic packet of one that has another configuration than this node, or none yet: it is not from the address of a node,
/// or its numbers are not those that sender, receiver and path have here.
pub struct Stray {
    /// The subnet it came by.
    pub path: SubnetId,
    /// Where it came from.
    pub sender: SocketAddr,
    /// The packet.
    pub packet: Packet,
}

/// Where the nodes are.
#[derive(Clone, Debug)]
pub struct Sites<'a> {
    /// The daemon's UDP port on every node.
    pub port: u16,
    /// What people call the subnets, by [`SubnetId`].
    pub subnets: Vec<&'a str>,
    /// Each node's address on each subnet, by [`NodeId`], then by [`SubnetId`].
    pub nodes: Vec<&'a [Option<IpAddr>]>,
    /// Most datagrams taken from one socket in one turn, a multiple of [`BATCH`]: a flood must not keep a daemon from
    /// its own deadlines.
    pub turn_max: usize,
    /// Does the kernel say when something came?
    pub arrivals: Arrivals,
}

/// All sockets.
pub struct Paths {
    me: NodeId,
    keyring: Keyring,
    ports: Vec<Option<Port>>,
    /// By node, then by subnet.
    peers: Vec<Vec<Option<SocketAddr>>>,
    turn_max: usize,
    arrivals: Arrivals,
    sealed: Vec<u8>,
    bad: [Complaint; BAD.len()],
    strays: Strays,
    stray: Vec<Stray>,
}

struct Port {
    address: SocketAddr,
    socket: UdpPort,
    device: String,
    /// The interface's number when the socket was bound to it.
    number: Option<u32>,
    /// Counted by sockets that were bound before.
    unsent_before: u64,
}

#[derive(Clone, Copy, Default)]
struct Complaint {
    count: u64,
    told: u64,
    not_before: Time,
}

impl Paths {
    /// Binds this node's address on each of its subnets. Must be called inside a runtime.
    ///
    /// # Errors
    /// Text for people: the address, the cause, what to do.
    pub fn open(
        sites: &Sites<'_>,
        me: NodeId,
        keyring: Keyring,
        nics: &[Nic],
    ) -> Result<Paths, String> {
        let mut ports = Vec::new();
        let own = sites.nodes.get(me.index()).ok_or("this node is not configured")?;
        for (address, subnet) in own.iter().zip(&sites.subnets) {
            let port = address.map(|address| Port::open(address, subnet, sites, nics));
            ports.push(port.transpose()?);
        }
        let peers = addresses(sites);
        let turn_max = sites.turn_max;
        Ok(Paths {
            me,
            keyring,
            ports,
            peers,
            turn_max,
            arrivals: sites.arrivals,
            sealed: Vec::new(),
            bad: Default::default(),
            strays: Strays::default(),
            stray: Vec::new(),
        })
    }

    /// Goes on with nodes and subnets of another configuration. What cannot be bound is told, and goes without.
    pub fn change(&mut self, sites: &Sites<'_>, nics: &[Nic]) {
        self.peers = addresses(sites);
        let own = sites.nodes.get(self.me.index()).copied().unwrap_or_default();
        self.ports.resize_with(own.len(), || None);
        for ((port, address), subnet) in self.ports.iter_mut().zip(own).zip(&sites.subnets) {
            if port.as_ref().map(|p| p.address.ip()) == *address {
                continue;
            }
            *port = None;
            if let Some(address) = address {
                match Port::open(*address, subnet, sites, nics) {
                    Ok(opened) => *port = Some(opened),
                    Err(e) => tracing::warn!("{e}"),
                }
            }
        }
    }

    /// Keeps authentic packets of who has another configuration, for [`Paths::strays`].
    pub fn want_strays(&mut self) {
        self.strays.wanted = true;
    }

    /// What came from who has another configuration since the last call.
    pub fn strays(&mut self) -> Vec<Stray> {
        std::mem::take(&mut self.stray)
    }

    /// Answers a stray.
    pub fn send_back(&mut self, path: SubnetId, to: SocketAddr, packet: &Packet) {
        let port = self.ports.get_mut(path.index()).and_then(Option::as_mut);
        if let Some(port) = port.filter(|_| self.keyring.seal(packet, &mut self.sealed).is_ok()) {
            port.socket.send(to, &self.sealed);
        }
    }

    /// Seals and opens with other keys from now on.
    pub fn set_keyring(&mut self, keyring: Keyring) {
        self.keyring = keyring;
    }

    /// Ready when packets may be waiting.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ready = false;
        for port in self.ports.iter().flatten() {
            match port.socket.poll_readable(cx) {
                Poll::Ready(Ok(())) => ready = true,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {}
            }
        }
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Takes all packets that are waiting, up to a bound; with `insist` also those that the runtime has not heard of yet.
    pub fn receive(&mut self, now: Time, insist: bool, out: &mut Vec<Arrived>) {
        let Paths { me, keyring, ports, peers, turn_max, bad, strays, stray, .. } = self;
        for (subnet, port) in (0u8..).map(SubnetId).zip(ports) {
            let Some(Port { socket, .. }) = port else { continue };
            let place = Place { me: *me, peers, path: subnet };
            let mut left = *turn_max;
            while left > 0 {
                let taken = socket.receive(insist);
                for i in 0..taken {
                    let (sender, at) = (socket.sender(i), socket.arrived(i));
                    let datagram = socket.datagram(i);
                    match place.open(keyring, sender, datagram, strays, now) {
                        Ok(Opened::Ours { from, packet }) => {
                            out.push(Arrived { from, path: subnet, at, packet });
                        }
                        Ok(Opened::Stray { sender: to, packet, wrong }) => {
                            stray.push(Stray { path: subnet, sender: to, packet });
                            if let Some(kind) = wrong {
                                bad[kind as usize].add(now, kind, sender);
                            }
                        }
                        Err(kind) => bad[kind as usize].add(now, kind, sender),
                    }
                }
                left = if taken < BATCH { 0 } else { left.saturating_sub(taken) };
            }
        }
    }

    /// Seals and sends one packet; one that cannot be sent is counted and lost, as on any network.
    pub fn send(&mut self, to: NodeId, path: SubnetId, packet: &Packet) {
        let address = self.peers.get(to.index()).and_then(|p| *p.get(path.index())?);
        let port = self.ports.get_mut(path.index()).and_then(Option::as_mut);
        let (Some(address), Some(port)) = (address, port) else {
            debug_assert!(false, "a packet to {to} on a path that the two do not share");
            return;
        };
        if self.keyring.seal(packet, &mut self.sealed).is_err() {
            debug_assert!(false, "a packet longer than any can be");
            return;
        }
        port.socket.send(address, &self.sealed);
    }

    /// True if an interface was made again since its socket was bound, which is deaf and dumb then.
    pub fn is_stale(&self) -> bool {
        self.ports.iter().flatten().any(|p| nic::number(&p.device) != p.number)
    }

    /// Binds again where the interface is another one now, or the address is on another; where it is on none, the next
    /// call tries again.
    pub fn follow(&mut self, nics: &[Nic]) {
        for port in self.ports.iter_mut().flatten() {
            let Some(found) = nic::carrying(nics, port.address.ip()) else { continue };
            let number = nic::number(&found.name);
            if found.name == port.device && number == port.number {
                continue;
            }
            match UdpPort::bind(port.address, &found.name, self.arrivals) {
                Ok(socket) => {
                    tracing::info!("bound {} again, on {}", port.address, found.name);
                    let old = std::mem::replace(&mut port.socket, socket);
                    port.unsent_before += old.unsent;
                    port.device.clone_from(&found.name);
                    port.number = number;
                }
                Err(e) => tracing::warn!("{e}"),
            }
        }
    }

    /// The MAC address of each subnet's interface, by subnet.
    pub fn macs(&self, nics: &[Nic]) -> Vec<Option<Mac>> {
        let mac = |port: &Option<Port>| {
            let device = &port.as_ref()?.device;
            nics.iter().find(|n| n.name == *device)?.mac
        };
        self.ports.iter().map(mac).collect()
    }

    /// What was dropped.
    pub fn counters(&self) -> impl Iterator<Item = Counter> {
        let unsent = self.ports.iter().flatten().map(|p| p.unsent_before + p.socket.unsent).sum();
        let bad =
            BAD.iter().zip(&self.bad).map(|((_, name, _), complaint)| (*name, complaint.count));
        bad.chain([("datagrams_refused_by_the_kernel", unsent)])
            .map(|(name, count)| Counter { name: name.to_owned(), count })
    }
}

fn addresses(sites: &Sites<'_>) -> Vec<Vec<Option<SocketAddr>>> {
    let socket_address = |a: &Option<_>| a.map(|a| SocketAddr::new(a, sites.port));
    sites.nodes.iter().map(|n| n.iter().map(socket_address).collect()).collect()
}

impl Port {
    fn open(
        address: IpAddr,
        subnet: &str,
        sites: &Sites<'_>,
        nics: &[Nic],
    ) -> Result<Port, String> {
        let device = &nic::carrying(nics, address)
            .ok_or_else(|| {
                format!(
                    "cannot bind {address} on subnet {subnet}: no interface has it: is the interface up and configured?"
                )
            })?
            .name;
        let address = SocketAddr::new(address, sites.port);
        let number = nic::number(device);
        let socket = UdpPort::bind(address, device, sites.arrivals).map_err(|e| e.to_string())?;
        let device = device.clone();
        Ok(Port { address, socket, device, number, unsent_before: 0 })
    }
}

impl Complaint {
    fn add(&mut self, now: Time, kind: Bad, sender: Option<SocketAddr>) {
        self.count += 1;
        if now < self.not_before {
            return;
        }
        self.not_before = now + COMPLAINT;
        let since = self.count - self.told;
        self.told = self.count;
        let sender = sender.map_or_else(|| "unknown address".to_owned(), |s| s.to_string());
        let (_, _, words) = BAD[kind as usize];
        tracing::warn!(
            "dropped a datagram from {sender}: {words} ({since} since the last such line)"
        );
    }
}
