//! What is tried, of a backend or of a node: the values of a check; and what follows for flows when a backend is red.

use dsc_wire::{NodeSet, Protocol, SubnetId, SubnetSet};
use std::net::IpAddr;
use std::time::Duration;

/// How the backends of a service are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// The TCP port; each backend's own if none is given.
    pub port: Option<u16>,
    /// From the begin of one probe to that of the next; 100 ms to an hour, whole milliseconds.
    pub every: Duration,
    /// A probe that takes longer has failed; 10 ms to `every`.
    pub timeout: Duration,
    /// Successes in a row that turn it green; 1..=100.
    pub rise: u32,
    /// Failures in a row that turn it red; 1..=100.
    pub fall: u32,
}

/// What nodes try of themselves and of their surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCheck {
    /// Its name, which no other has.
    pub name: String,
    /// On which nodes.
    pub nodes: NodeSet,
    /// On these subnets a node that it finds red should host nothing; one of them, all or none.
    pub critical: SubnetSet,
    /// How long it must have been green before the node may host again there; whole seconds, 1 s to an hour.
    pub hold_down: Duration,
    /// What is tried; the node itself if none is given: by its loopback address, or with a filter by its own one where the packet
    /// comes in.
    pub address: Option<IpAddr>,
    /// Whose interface is looked at: `nic` only.
    pub subnet: Option<SubnetId>,
    /// How.
    pub check: Check,
}

/// What the packets of a filter check are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterProtocol {
    /// A SYN.
    Tcp,
    /// A datagram.
    Udp,
    /// An echo, of ICMP or ICMPv6.
    Icmp,
}

/// What a probe tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A handshake, and a certificate that is valid for so many days more.
    Tls {
        /// The name that is asked for; the address if none is given.
        host: Option<String>,
        /// Fewest days left.
        days: u16,
    },
    /// A datagram that is answered.
    Udp {
        /// What is sent.
        send: String,
        /// Text that must appear in the answer; any answer will do if none is given.
        expect: Option<String>,
    },
    /// A program that ends with status 0.
    Script {
        /// Its absolute path and its arguments.
        command: Vec<String>,
    },
    /// An echo that is answered, by ICMP or ICMPv6; checks of nodes only.
    Ping,
    /// A neighbour that answers ARP or neighbour discovery; checks of nodes only.
    Neighbour,
    /// An interface that is up, counts no more errors than this from probe to probe, and whose address nobody else has; checks
    /// of nodes only.
    Nic {
        /// Most errors.
        errors: u16,
    },
    /// A packet that is brought in on the interface near its source, and must leave by the one near its destination, or reach the
    /// node itself, or must not; checks of nodes only.
    Filter {
        /// Where it is from: on a subnet of all nodes of the check, and no node's.
        from: IpAddr,
        /// What is spoken. The destination has a port unless it is ICMP.
        protocol: FilterProtocol,
        /// It must; else it must not.
        pass: bool,
    },
    /// A connection that is accepted.
    Tcp,
    /// A page.
    Http {
        /// Begins with a slash; no spaces.
        path: String,
        /// The request's host name; the backend's address if none is given.
        host: Option<String>,
        /// Statuses that are in order, from and to; 1..=16, each 100..=599.
        status: Vec<(u16, u16)>,
        /// Text that must appear in the answer's body.
        body: Option<String>,
    },
}

/// What becomes of the flows of a red backend, unless every enabled backend of its service is red.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRed {
    /// They go on.
    Keep,
    /// They end: a connection is reset, datagrams begin a new flow.
    Reset,
}

impl OnRed {
    /// Where the file does not say: a connection ends by its own ends, but datagrams would go to a dead server for as long as
    /// the client sends any.
    pub fn of(protocol: Protocol) -> OnRed {
        match protocol {
            Protocol::Tcp => OnRed::Keep,
            Protocol::Udp => OnRed::Reset,
        }
    }
}
