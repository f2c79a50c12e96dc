//! The values that commands fill and `show_text.rs` and `show_json.rs` print. The field names are those of the
//! JSON output and are promised in dscctl(8): add to them, never rename. No printing and no asking here.

mod config;
mod link;

pub use config::{
    Applied, Checked, ConfigChange, ConfigProblem, ConfigValue, Contents, Imported, ImportedFile,
    InForce,
};
pub use link::{DownloadRow, Downloads, LinkRow};

use dsc_wire::local::{ConfigFile, Counter, Duty, FlowTotals, RingState};
use dsc_wire::{BackendState, FlowKind, FlowState, Light, Persistence, Protocol, ServiceKind};
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
    /// Its version; 0 if it was never applied.
    pub config_version: u64,
    /// The file that this node's dsc-ringd was started with, if that says something else.
    pub config_file: Option<ConfigFile>,
    /// Every configured node.
    pub nodes: Vec<NodeRow>,
    /// Every VIP.
    pub vips: Vec<VipRow>,
    /// The latest move that evened out the load, if this node remembers one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced: Option<EventRow>,
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
    /// Subnets on which it should not host, because of critical checks.
    pub unfit: Vec<String>,
    /// Of all its checks: red if any is, green if all are; none if it makes none, or is out of the ring.
    pub light: Option<Light>,
    /// Of each of its checks.
    pub lights: BTreeMap<String, Light>,
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
    /// What its host carries for it, both directions.
    pub bytes_per_s: u64,
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
    /// What people call the cluster keys in force, that which seals first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
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
    /// What people call the cluster keys in force in the data path daemon, that which seals first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
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
    /// `nat`, `local` or `link`.
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
    /// `green`, `yellow` or `red`, as all its checkers together find it.
    pub light: Light,
    /// Why, for people.
    pub reason: String,
    /// How long a checker has found it red; none if none does.
    pub age_s: Option<u64>,
    /// The nodes that check it and have a verdict, and what light each finds.
    pub checkers: BTreeMap<String, Light>,
    /// Does this node give it new flows?
    pub balanced: bool,
    /// Its flows in this node's table.
    pub flows: u64,
    /// Packets that this node forwarded to it and from it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One check on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    /// Its name.
    pub check: String,
    /// The node.
    pub node: String,
    /// `green`, `yellow` or `red`.
    pub light: Light,
    /// Why, for people.
    pub reason: String,
    /// How long it has been red or yellow; none if it is green, or nobody knows.
    pub age_s: Option<u64>,
    /// On these subnets the node should host nothing while it is red.
    pub critical: Vec<String>,
    /// False if operators switched it off.
    pub enabled: bool,
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
