//! The table of packet rows, one drawer per subject. Node 1 is this node; node 3 has no known MAC address.

mod arp;
mod egress;
pub mod errors;
mod forward;
pub mod fragments;
pub mod mtu;
pub mod nat;
mod neighbour;
mod odd;
pub mod source;
pub mod symmetric;

use crate::frames::{self, ACK, Mac, PLAIN, SYN};
use dsc_wire::NodeId;
use dsc_wire::local::HostState;

pub const NODE0: Mac = [2, 0, 0, 0, 0, 0];
pub const ME: Mac = [2, 0, 0, 0, 0, 1];
pub const NODE2: Mac = [2, 0, 0, 0, 0, 2];
pub const CLIENT: Mac = [2, 0, 0, 0, 0, 0xFA];
/// Claims VIPs.
pub const STRANGER: Mac = [2, 0, 0, 0, 0, 0xBB];

/// Names of rows that other tests use.
pub const ARRIVAL: &str = "forward: udp4 to the host";
pub const STEERED: &str = "forward: tcp4 syn to the old host";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// What becomes of the frame.
#[derive(Clone, Debug)]
pub enum Expect {
    Pass,
    Changed(Vec<u8>),
    Drop,
    Send(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    pub way: Way,
    /// It comes by the interface inside.
    pub inside: bool,
    pub frame: Vec<u8>,
    pub host: HostState,
    pub past: &'static [u8],
    pub lease: bool,
    /// In the table before the frame comes.
    pub flows: Vec<dsc_wire::Flow>,
    /// What came before it.
    pub before: Vec<Vec<u8>>,
    /// The counter that grows; none for what the OS sends unhindered.
    pub verdict: Option<&'static str>,
    pub expect: Expect,
}

pub const ON: HostState = HostState::On;
pub const OFF: HostState = HostState::Off;
pub const INCOMING: HostState = HostState::Incoming;

pub const fn steer(node: u8) -> HostState {
    HostState::Steer(NodeId(node))
}

impl Row {
    /// An incoming frame at a host with a lease and no past.
    pub fn new(name: &'static str, frame: Vec<u8>) -> Row {
        Row {
            name,
            way: Way::In,
            inside: false,
            frame,
            host: ON,
            past: &[],
            lease: true,
            flows: Vec::new(),
            before: Vec::new(),
            verdict: None,
            expect: Expect::Pass,
        }
    }

    pub fn out(mut self) -> Row {
        self.way = Way::Out;
        self
    }

    pub fn inside(mut self) -> Row {
        self.inside = true;
        self
    }

    pub fn host(mut self, host: HostState) -> Row {
        self.host = host;
        self
    }

    pub fn past(mut self, past: &'static [u8]) -> Row {
        self.past = past;
        self
    }

    pub fn flows(mut self, flows: &[dsc_wire::Flow]) -> Row {
        self.flows = flows.to_vec();
        self
    }

    pub fn after(mut self, frame: Vec<u8>) -> Row {
        self.before.push(frame);
        self
    }

    pub fn no_lease(mut self) -> Row {
        self.lease = false;
        self
    }

    pub fn pass(self, verdict: &'static str) -> Row {
        self.ends(verdict, Expect::Pass)
    }

    pub fn drop(self, verdict: &'static str) -> Row {
        self.ends(verdict, Expect::Drop)
    }

    pub fn send(self, verdict: &'static str, frame: Vec<u8>) -> Row {
        self.ends(verdict, Expect::Send(frame))
    }

    pub fn changed(self, verdict: &'static str, frame: Vec<u8>) -> Row {
        self.ends(verdict, Expect::Changed(frame))
    }

    fn ends(mut self, verdict: &'static str, expect: Expect) -> Row {
        self.verdict = Some(verdict);
        self.expect = expect;
        self
    }
}

pub const VIP4: &str = "10.1.0.100";
pub const VIP6: &str = "fd00:1::100";

/// An IP packet of either version to the VIP, in a frame to this node.
pub fn to_vip(from: Mac, version: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    if version == 4 {
        let packet = frames::ip4_packet("10.1.0.250", VIP4, PLAIN, protocol, payload);
        frames::ethernet(ME, from, 0x0800, &packet)
    } else {
        let packet = frames::ip6_packet("fd00:1::250", VIP6, 64, protocol, payload);
        frames::ethernet(ME, from, 0x86DD, &packet)
    }
}

/// A segment that belongs to no connection of this node.
pub fn foreign_segment(from: Mac, version: u8) -> Vec<u8> {
    to_vip(from, version, 6, &frames::tcp(4444, 80, ACK))
}

pub fn opening(from: Mac, version: u8) -> Vec<u8> {
    to_vip(from, version, 6, &frames::tcp(4444, 80, SYN))
}

/// The frame as this node hands it on: own source, the node's destination.
pub fn steered(mut frame: Vec<u8>, to: Mac) -> Vec<u8> {
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&ME);
    frame
}

/// The client's ports of connections from it that end on this node.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub four: u16,
    pub six: u16,
    /// An IPv4 connection that this node closed: its socket only waits for late segments.
    pub closed: u16,
    /// This node's ports of connections that it has with the backend of `nat::WEB`, IPv4 and IPv6.
    pub probes: [u16; 2],
    /// Its ports inside at which somebody listens.
    pub listening: [u16; 2],
    /// Its port at which somebody listens on all addresses.
    pub everywhere: u16,
}

/// All rows.
pub fn table(ports: Ports) -> Vec<Row> {
    [
        arp::rows(),
        neighbour::rows(),
        egress::rows(),
        forward::rows(ports),
        odd::rows(ports),
        nat::rows(),
        nat::own_connections(ports),
        errors::rows(),
        fragments::rows(),
        mtu::rows(),
        source::rows(),
    ]
    .concat()
}
