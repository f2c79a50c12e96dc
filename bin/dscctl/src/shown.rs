//! The values that commands fill and `show_text.rs` and `show_json.rs` print. The field names are those of the
//! JSON output and are promised in dscctl(8): add to them, never rename. No printing and no asking here.

use dsc_wire::local::{Counter, Duty, FlowTotals, RingState};
use dsc_wire::{BackendState, FlowKind, FlowState, Persistence, Protocol, ServiceKind};
use serde::Serialize;
use std::collections::BTreeMap;

/// `status`: the cluster as this node knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// What the cluster is called.
    pub cluster: String,
    /// The node that speaks.
    pub node: String,
    /// What its ring daemon is doing.
    pub state: RingState,
    /// This life of its ring daemon, 16 hexadecimal digits.
    pub incarnation: String,
    /// Number of the view in that life.
    pub view: u64,
    /// In ring order.
    pub members: Vec<String>,
    /// Re-formations of the ring.
    pub epoch: u32,
    /// Passes of the token.
    pub seq: u64,
    /// May this side serve?
    pub quorum: bool,
    /// `serve` or `majority`.
    pub partition: dsc_wire::Partition,
    /// May this node answer for its VIPs now?
    pub lease_valid: bool,
    /// For how long.
    pub lease_left_ms: u64,
    /// Length of a new lease.
    pub lease_ms: u64,
    /// A full turn of the token, smoothed.
    pub rotation_us: u64,
    /// Digest of the configuration in force, 16 hexadecimal digits.
    pub config_digest: String,
    /// Every configured node.
    pub nodes: Vec<NodeRow>,
    /// Every VIP.
    pub vips: Vec<VipRow>,
    /// What somebody should look at.
    pub warnings: Vec<Warning>,
    /// A quorum, and every VIP served: what the exit code says.
    pub serving: bool,
}

/// One configured node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// In the ring now?
    pub member: bool,
    /// What it may do.
    pub duty: Duty,
    /// Subnets on which it can host now.
    pub able: Vec<String>,
    /// VIPs that it hosts.
    pub vips: Vec<String>,
    /// Busy share of its processors.
    pub cpu_permille: u16,
    /// Received and sent, per subnet.
    pub bytes_per_s: BTreeMap<String, u64>,
    /// Its MAC address per subnet, where known.
    pub macs: BTreeMap<String, String>,
}

/// Is a VIP answered for?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serving {
    /// One node answers for it.
    Served,
    /// It answers, and is about to be handed to another on purpose.
    HandingOver,
    /// Its host is lost and its heir waits until that host's lease must have ended.
    Fenced,
    /// Nobody answers, and nobody is about to.
    Unserved,
}

/// One VIP.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VipRow {
    /// The VIP.
    pub address: String,
    /// The subnet whose pool it belongs to.
    pub subnet: String,
    /// The node it is assigned to.
    pub host: Option<String>,
    /// Is it answered for?
    pub state: Serving,
    /// Who takes over when the fence has passed.
    pub heir: Option<String>,
    /// To whom it is being handed over.
    pub next: Option<String>,
    /// What is left of the fence.
    pub fence_ms: u64,
    /// Its preferred host.
    pub preferred: Option<String>,
    /// 0, 1 or 3.
    pub persistence: Persistence,
    /// Assignments so far.
    pub moves: u64,
    /// Earlier hosts, most recent first.
    pub past: Vec<String>,
}

/// Something an operator should act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// A stable word per cause.
    pub warning: &'static str,
    /// The VIP, node, subnet or daemon.
    pub about: String,
    /// A sentence for people.
    pub text: String,
}

/// `status --local`: what this node's daemons and kernel do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Local {
    /// What the cluster is called.
    pub cluster: String,
    /// This node.
    pub node: String,
    /// What its ring daemon is doing.
    pub state: RingState,
    /// This life of its ring daemon, 16 hexadecimal digits.
    pub incarnation: String,
    /// Number of its view.
    pub view: u64,
    /// May this node answer for its VIPs now?
    pub lease_valid: bool,
    /// For how long.
    pub lease_left_ms: u64,
    /// Length of a new lease.
    pub lease_ms: u64,
    /// Since the health daemon spoke; none if it never did.
    pub mon_silent_ms: Option<u64>,
    /// Since the data path daemon spoke to the ring daemon; none if it never did.
    pub fwd_silent_ms: Option<u64>,
    /// Programs in the kernel: interface, hook, direction.
    pub links: Vec<String>,
    /// What the kernel does for each VIP.
    pub vips: Vec<LocalVip>,
    /// How flows are shared; none without nat services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Frames by what the kernel decided.
    pub verdicts: Vec<Counter>,
    /// What somebody should look at.
    pub warnings: Vec<Warning>,
    /// Every daemon answers, and the lease lasts if one is needed: what the exit code says.
    pub serving: bool,
}

/// One VIP in this node's kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalVip {
    /// The VIP.
    pub address: String,
    /// `off`, `on`, `incoming` or `steer`.
    pub state: &'static str,
    /// Where its frames are steered.
    pub steer_to: Option<String>,
    /// Frames delivered here.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames steered to another node.
    pub steered: u64,
}

/// How this node's flows come to the others, and theirs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// This node knows all flows that there are to know.
    pub ready: bool,
    /// Flows and changes that it has told.
    pub told: u64,
    /// Those that it can still repeat.
    pub backlog: u64,
    /// Gaps found in what the others told.
    pub gaps: u64,
    /// How late new flows of the others come here; none if none came in the last minute.
    pub lag: Option<SharingLag>,
    /// The others.
    pub peers: Vec<SharingPeer>,
}

/// From the moment that another node's kernel made a flow until it was in this node's table, but for the time on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SharingLag {
    /// Flows of the last one to two minutes.
    pub flows: u64,
    /// Half of them took no longer.
    pub p50_us: u32,
    /// Of hundred, 99 took no longer.
    pub p99_us: u32,
    /// The longest.
    pub max_us: u32,
}

/// What another node tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharingPeer {
    /// Its name.
    pub node: String,
    /// It knows all flows, as it says.
    pub ready: bool,
    /// Flows and changes that it has told.
    pub told: u64,
    /// Those that are not here yet.
    pub missing: u64,
}

/// One service on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// Its port on each VIP.
    pub port: u16,
    /// `nat` or `local`.
    pub kind: ServiceKind,
    /// Its VIPs, in the order of the configuration.
    pub vips: Vec<String>,
    /// How many backends it has.
    pub backends: usize,
    /// How many of them get new flows.
    pub enabled: usize,
    /// Its flows in this node's table.
    pub flows: u64,
    /// Packets that this node forwarded for it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The VIPs again, neighbours as ranges, for people.
    #[serde(skip)]
    pub ranges: Vec<String>,
}

/// One backend on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendRow {
    /// The service it serves.
    pub service: String,
    /// Where it listens.
    pub backend: String,
    /// Its share of new flows.
    pub weight: u32,
    /// `enabled`, `draining` or `disabled`.
    pub state: BackendState,
    /// Its flows in this node's table.
    pub flows: u64,
    /// Packets that this node forwarded to it and from it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Some flows of this node's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows {
    /// Ordered by service's end, then client.
    pub rows: Vec<FlowRow>,
    /// How many there are, of which the rows may be a part.
    pub count: FlowCount,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowRow {
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// `nat`: begun by a client outside. `source-nat`: begun by a server inside.
    pub kind: FlowKind,
    /// The end outside.
    pub client: String,
    /// The VIP's end.
    pub vip: String,
    /// The end inside: a backend, or the server that began it.
    pub backend: String,
    /// The service; none of source NAT, or if the configuration no longer has it.
    pub service: Option<String>,
    /// `opening`, `open`, `client-closed`, `server-closed`, `closed` or `gone`.
    pub state: FlowState,
    /// Seconds since its last packet.
    pub age_s: u64,
    /// The node that forwards it, if known.
    pub owner: Option<String>,
}

/// How many flows there are on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FlowCount {
    /// As were asked for.
    pub matched: u32,
    /// The whole table.
    #[serde(flatten)]
    pub totals: FlowTotals,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventRow {
    /// Position in the log of the node that was asked.
    pub number: u64,
    /// When, milliseconds since 1970.
    pub wall_ms: u64,
    /// When, ISO 8601 in UTC.
    pub wall: String,
    /// Where.
    pub node: String,
    /// What, as on the daemons' sockets, with names instead of indices.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// A sentence for people.
    pub text: String,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The command, as on the command line.
    pub command: &'static str,
    /// The VIP or node it is about.
    pub about: String,
    /// `done`, `pending` or `refused`.
    pub result: &'static str,
    /// What happened, or what did not and why.
    pub text: String,
    /// VIPs that have another host than before.
    pub moved: Vec<Moved>,
}

/// A VIP that changed its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The VIP.
    pub vip: String,
    /// Its host before.
    pub from: Option<String>,
    /// Its host now.
    pub to: Option<String>,
}

/// One counter of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CounterRow {
    /// `ring` or `verdict`.
    pub of: &'static str,
    /// Its name.
    pub name: String,
    /// Since that daemon started, or since the programs were loaded.
    pub count: u64,
}

/// Whether a configuration file is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file.
    pub file: String,
    /// Nothing wrong with it?
    pub right: bool,
    /// What is in it, if it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// What is wrong with it, if it is not.
    pub problems: Vec<ConfigProblem>,
    /// The problems drawn into the file's text, for people.
    #[serde(skip)]
    pub drawn: String,
}

/// What a right configuration file describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// What the cluster is called.
    pub cluster: String,
    /// How many nodes.
    pub nodes: usize,
    /// How many subnets.
    pub subnets: usize,
    /// How many VIPs.
    pub vips: usize,
    /// How many services.
    pub services: usize,
    /// How many backends of all services.
    pub backends: usize,
    /// Digest of what must be the same on every node, 16 hexadecimal digits.
    pub config_digest: String,
}

/// One thing wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// From 1; none if it concerns the file as a whole.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// The offending text.
    pub found: String,
    /// What is wrong.
    pub text: String,
    /// What was expected there.
    pub expected: String,
    /// What to do, where that is not plain.
    pub help: Option<String>,
}

/// What was done to a key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyWritten {
    /// The file; none if the key was printed.
    pub file: Option<String>,
    /// The new key, only if it was to be printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many keys are in the file now.
    pub keys: usize,
    /// What to do next, for people.
    pub text: String,
}
