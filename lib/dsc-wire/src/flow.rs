//! The words of the load balancer: services, backends, flows, and the form in which a flow travels between nodes.
//! Addresses rather than numbers, so that a flow means the same to a node whose configuration is another one.

use crate::cursor::{Malformed, Reader, Writer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Most services of a configuration; the kernel maps have this size.
pub const SERVICES_MAX: usize = 128;
/// Most backends over all services; the kernel maps have this size.
pub const BACKENDS_MAX: usize = 1024;
/// Most VIPs and ports of all services together; the kernel maps have this size.
pub const SERVICE_ENDS_MAX: usize = 16_384;
/// Most `[[source_nat]]` entries of a configuration; the kernel maps have this size.
pub const SOURCES_MAX: usize = 16;
/// Most VIPs of one of them; the kernel maps have this size.
pub const SOURCE_VIPS_MAX: usize = 16;
/// Most inside networks of one of them; the kernel maps have this size.
pub const SOURCE_NETWORKS_MAX: usize = 16;
/// Most bytes of an encoded flow: three IPv6 addresses with ports, protocol and state.
pub const FLOW_BYTES_MAX: usize = 2 + 3 * 18;

/// A service: its position in the configuration's list of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId(pub u16);

/// A backend: its position in the list of all services' backends, in the configuration's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BackendId(pub u16);

impl ServiceId {
    /// As an index into per-service arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl BackendId {
    /// As an index into per-backend arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend#{}", self.0)
    }
}

/// What a service is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its number in an IP header (IANA).
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    /// Of the number in an IP header; None for any other.
    pub fn of_number(number: u8) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// How frames of a service are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    /// Rewritten to a backend, which sees the client's address and replies through the cluster (§B.3).
    Nat,
    /// Ends in a socket of the node that hosts the VIP (§B.2).
    Local,
    /// Likewise: in one of dsc-link, which is a client of the backends (§B.5).
    Link,
}

/// By which node a backend's reply leaves the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// By the one that it reaches.
    #[default]
    Direct,
    /// By the one where the requests of its flow come in (§B.7).
    Symmetric,
}

/// What a backend may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// New flows and those it has.
    #[default]
    Enabled,
    /// Only the flows it has.
    Draining,
    /// Nothing: its flows are reset.
    Disabled,
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendState::Enabled => "enabled",
            BackendState::Draining => "draining",
            BackendState::Disabled => "disabled",
        })
    }
}

/// Which side began a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowKind {
    /// A client outside, to a `nat` service: the destination of its packets is replaced.
    #[default]
    Nat,
    /// A server inside (source NAT): the source of its packets is replaced.
    SourceNat,
}

impl fmt::Display for FlowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlowKind::Nat => "nat",
            FlowKind::SourceNat => "source-nat",
        })
    }
}

/// What tells one flow from another: both ends as the machine outside sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowKey {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The end outside: the client's, or that of whom a server inside speaks to.
    pub client: SocketAddr,
    /// The VIP's end.
    pub vip: SocketAddr,
}

/// How far a flow has come; it decides how long a silent one is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowState {
    /// Who began has sent the first packet.
    Opening,
    /// Both ends have spoken.
    Open,
    /// The end outside has closed its direction.
    ClientClosed,
    /// The end inside has closed its direction.
    ServerClosed,
    /// Reset, or both ends have closed.
    Closed,
    /// No node needs to know it any more.
    Gone,
}

/// How long a flow is kept after its last packet. The names are those of Linux' connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTimeouts {
    /// A connection that was never answered.
    pub tcp_syn_sent: Duration,
    /// An open one.
    pub tcp_established: Duration,
    /// One that one end has closed.
    pub tcp_fin_wait: Duration,
    /// One that was reset, or that both ends have closed.
    pub tcp_time_wait: Duration,
    /// Datagrams that were never answered.
    pub udp: Duration,
    /// Datagrams both ways.
    pub udp_stream: Duration,
}

impl FlowTimeouts {
    /// Where the configuration says nothing.
    pub const DEFAULT: FlowTimeouts = FlowTimeouts {
        // A flood of them must not stay; nor of single datagrams.
        tcp_syn_sent: Duration::from_secs(30),
        // RFC 5382, requirement 5: at least 2 hours and 4 minutes, so that the ends' keep-alives (every 2 hours, RFC 9293
        // §3.8.4) come in time.
        tcp_established: Duration::from_secs(2 * 3600 + 4 * 60),
        // The other end may still send for long, as in a half-closed download, but not be silent for long.
        tcp_fin_wait: Duration::from_secs(10 * 60),
        // Late segments are still rewritten. Twice the longest life of a segment in a network of our days; the backend's own
        // TIME-WAIT goes on without us.
        tcp_time_wait: Duration::from_secs(30),
        udp: Duration::from_secs(30),
        // RFC 4787, requirement 5: at least 2 minutes; 5 are recommended.
        udp_stream: Duration::from_secs(5 * 60),
    };
}

/// A flow of a `nat` service or of source NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Which.
    pub key: FlowKey,
    /// The end inside, a backend or a server that began it; of the same family as the ends of the key.
    pub backend: SocketAddr,
    /// How far it has come.
    pub state: FlowState,
    /// Which side began it.
    #[serde(default)]
    pub kind: FlowKind,
}

impl Flow {
    /// Appends it.
    ///
    /// ```text
    ///   u8 state · u8 protocol | 0x80 if IPv6 | 0x40 if source NAT · client, vip, backend: address (4 or 16 bytes) · port u16
    /// ```
    pub fn encode(&self, w: &mut Writer) {
        w.u8(match self.state {
            FlowState::Opening => 0,
            FlowState::Open => 1,
            FlowState::ClientClosed => 2,
            FlowState::ServerClosed => 3,
            FlowState::Closed => 4,
            FlowState::Gone => 5,
        });
        let six = if self.backend.is_ipv6() { 0x80 } else { 0 };
        let source = if self.kind == FlowKind::SourceNat { 0x40 } else { 0 };
        w.u8(self.key.protocol.number() | six | source);
        for end in [self.key.client, self.key.vip, self.backend] {
            match end.ip() {
                IpAddr::V4(a) => w.bytes(&a.octets()),
                IpAddr::V6(a) => w.bytes(&a.octets()),
            }
            w.u16(end.port());
        }
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(r: &mut Reader<'_>) -> Result<Flow, Malformed> {
        let state = match r.u8()? {
            0 => FlowState::Opening,
            1 => FlowState::Open,
            2 => FlowState::ClientClosed,
            3 => FlowState::ServerClosed,
            4 => FlowState::Closed,
            5 => FlowState::Gone,
            _ => return Err(Malformed::Value),
        };
        let kind = r.u8()?;
        let protocol = Protocol::of_number(kind & 0x3f).ok_or(Malformed::Value)?;
        let mut end = || -> Result<SocketAddr, Malformed> {
            let ip = if kind & 0x80 == 0 {
                let octets: [u8; 4] = r.bytes(4)?.try_into().map_err(|_| Malformed::Short)?;
                IpAddr::from(Ipv4Addr::from(octets))
            } else {
                let octets: [u8; 16] = r.bytes(16)?.try_into().map_err(|_| Malformed::Short)?;
                IpAddr::from(Ipv6Addr::from(octets))
            };
            Ok(SocketAddr::new(ip, r.u16()?))
        };
        let (client, vip, backend) = (end()?, end()?, end()?);
        let kind = if kind & 0x40 == 0 { FlowKind::Nat } else { FlowKind::SourceNat };
        Ok(Flow { key: FlowKey { protocol, client, vip }, backend, state, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [FlowState; 6] = [
        FlowState::Opening,
        FlowState::Open,
        FlowState::ClientClosed,
        FlowState::ServerClosed,
        FlowState::Closed,
        FlowState::Gone,
    ];

    fn flow(six: bool, state: FlowState) -> Flow {
        let end = |text: &str| text.parse().unwrap();
        let [client, vip, backend] = if six {
            ["[fd00:1::fa]:4000", "[fd00:1::100]:80", "[fd00:2::65]:8080"].map(end)
        } else {
            ["10.1.0.250:4000", "10.1.0.100:80", "10.2.0.101:8080"].map(end)
        };
        let protocol = if six { Protocol::Udp } else { Protocol::Tcp };
        let kind = FlowKind::Nat;
        Flow { key: FlowKey { protocol, client, vip }, backend, state, kind }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (six, kind) in
            [false, true].into_iter().flat_map(|s| [(s, FlowKind::Nat), (s, FlowKind::SourceNat)])
        {
            for state in STATES {
                let flow = Flow { kind, ..flow(six, state) };
                let mut w = Writer::new(FLOW_BYTES_MAX);
                flow.encode(&mut w);
                let bytes = w.finish().unwrap();
                assert_eq!(bytes.len(), if six { FLOW_BYTES_MAX } else { 20 });
                let mut r = Reader::new(&bytes);
                assert_eq!(Flow::decode(&mut r), Ok(flow));
                assert!(r.is_empty());
                for cut in 0..bytes.len() {
                    assert_eq!(
                        Flow::decode(&mut Reader::new(&bytes[..cut])),
                        Err(Malformed::Short)
                    );
                }
            }
        }
    }

    #[test]
    fn unknown_states_and_protocols_are_refused() {
        let mut w = Writer::new(FLOW_BYTES_MAX);
        flow(false, FlowState::Open).encode(&mut w);
        let good = w.finish().unwrap();
        for (at, value) in [(0, 6), (0, 255), (1, 1), (1, 0x80 | 58), (1, 0x40 | 1)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert_eq!(Flow::decode(&mut Reader::new(&bytes)), Err(Malformed::Value));
        }
    }
}
