//! Shares flows with the data path daemons of the other members: the sockets beside [`dsc_flow::share`]. The daemon's loop
//! waits with it, tells it what changed, and carries out what it wants done to the table.
//!
//! ```text
//!   changed, members, copy_part ─▶ Share ─▶ Todo (the table)
//!                                   │ ▲
//!                                   ▼ │ datagrams
//!                peers ◀─ Paths ◀─▶ Rml
//! ```
//!
//! The datagrams travel as those of `dsc-rml`, which the ring daemon has for its beacons: it proves which life of a peer is
//! the present one, refuses what was seen before, and brings one copy on each path, so that a dead switch costs no flow and
//! no wait. Its reliable messages are not used: they would hold new flows back behind an old one that was lost, and know
//! nothing of a stream that goes to all. The price of a second copy is one more seal and system call for a datagram, which
//! holds up to 56 flows; it is taken for what it saves where a switch dies.

use dsc_conf::Config;
use dsc_flow::share::{self, Lag, Progress, Share};
use dsc_rml::Rml;
use dsc_sys::clock;
use dsc_sys::nic::Nic;
use dsc_sys::paths::{Arrived, Paths, Sites};
use dsc_sys::udp::{Arrivals, BATCH};
use dsc_wire::local::{Counter, FwdLag, FwdPeer, FwdSharing};
use dsc_wire::seal::Keyring;
use dsc_wire::{Flow, Incarnation, NodeId, NodeSet, SubnetSet, Time, Timing};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

/// `dsc-rml` probes paths at the pace of a rotation, for the ring, which has to know the dead ones at once. A datagram goes
/// over all of them anyway, so here it looks at them once in a while.
const TIMING: Timing =
    Timing { rotation: Duration::from_secs(2), stall: Duration::from_secs(1), ..Timing::DEFAULT };

/// Most datagrams of one path in one turn. Each brings up to 56 flows, and replies wait while they are put into the table.
const TURN_MAX: usize = BATCH;

/// What is to be done to the table, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Bring these in, each where [`dsc_flow::share::supersedes`] says so; remove those that are gone.
    Apply(Vec<Flow>),
    /// When the flows before this are in the table, say so with [`Sharing::entered`].
    Entered {
        /// How many of them a peer has made.
        flows: u32,
        /// See [`share::Output::Entered`].
        made: Time,
    },
    /// Walk on through the table and answer with [`Sharing::copy_part`]; see [`share::Output::NeedCopy`].
    NeedCopy {
        /// Who takes the copy: a new `part` 0 for it ends its walk before.
        to: NodeId,
        /// As to be answered.
        copy: u64,
        /// 0 begins the walk.
        part: u32,
        /// Most flows to give.
        flows_max: usize,
    },
    /// This node knows all flows that there are to know: it may host.
    Ready,
}

/// The sockets, and what is known about the others' flows.
pub struct Sharing {
    share: Share,
    rml: Rml,
    paths: Paths,
    arrived: Vec<Arrived>,
    from_rml: Vec<dsc_rml::Output>,
    from_share: Vec<share::Output>,
    todo: Vec<Todo>,
}

impl Sharing {
    /// Binds the port after the configuration's on each of this node's addresses. `incarnation` is drawn for this life.
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Text for people: the address, the cause, what to do.
    pub fn open(
        config: &Config,
        me: NodeId,
        keyring: Keyring,
        nics: &[Nic],
        incarnation: Incarnation,
        now: Time,
    ) -> Result<Sharing, String> {
        let paths = Paths::open(&sites(config)?, me, keyring, nics)?;
        let (nodes, rml) = peers(config);
        Ok(Sharing {
            share: Share::new(nodes, me, incarnation, now),
            rml: Rml::new(rml, me, incarnation, now),
            paths,
            arrived: Vec::new(),
            from_rml: Vec::new(),
            from_share: Vec::new(),
            todo: Vec::new(),
        })
    }

    /// Goes on with the nodes of another configuration. What is known of those that stay is kept; what cannot be bound is told,
    /// and goes without.
    pub fn change(&mut self, now: Time, config: &Config, nics: &[Nic]) {
        let (nodes, rml) = peers(config);
        self.share.change(now, nodes);
        // It sends no messages, so none can fail.
        self.rml.change(now, rml, &mut Vec::new());
        match sites(config) {
            Ok(sites) => self.paths.change(&sites, nics),
            Err(e) => tracing::warn!("{e}"),
        }
    }

    /// Ready when datagrams may be waiting for [`Sharing::turn`].
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.paths.poll_readable(cx)
    }

    /// Waits until datagrams may be waiting for [`Sharing::turn`]. May be dropped and called again.
    ///
    /// # Errors
    /// A socket that is beyond use.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// When [`Sharing::turn`] is due; [`Time::ZERO`] for at once.
    pub fn deadline(&self) -> Time {
        self.share.deadline().min(self.rml.deadline())
    }

    /// The view's members; none while this node is in no ring.
    pub fn members(&mut self, now: Time, members: &[NodeId]) {
        let set: NodeSet = members.iter().copied().collect();
        self.feed(now, share::Input::Members(set));
    }

    /// A flow was made, changed or removed in the table here; it is told in the next turn. A key that begins anew is told
    /// as gone first.
    pub fn changed(&mut self, now: Time, flow: Flow) {
        self.feed(now, share::Input::Changed(flow));
    }

    /// The kernel made a flow here at `at`; otherwise as [`Sharing::changed`].
    pub fn made(&mut self, now: Time, flow: Flow, at: Time) {
        self.feed(now, share::Input::Made { flow, at });
    }

    /// The answer to [`Todo::Entered`].
    pub fn entered(&mut self, now: Time, flows: u32, made: Time) {
        self.feed(now, share::Input::Entered { flows, made });
    }

    /// The answer to [`Todo::NeedCopy`]; the next turn sends it.
    pub fn copy_part(&mut self, now: Time, to: NodeId, copy: u64, flows: Vec<Flow>, last: bool) {
        self.feed(now, share::Input::CopyPart { to, copy, flows, last });
    }

    /// Takes what has arrived and sends what is due: once in each wake-up of the daemon, after everything that it had to
    /// tell, so that all of it leaves at once.
    pub fn turn(&mut self, now: Time) -> Vec<Todo> {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.paths.receive(now, false, &mut arrived);
        for Arrived { from, path, at, packet } in arrived.drain(..) {
            self.feed_rml(now, at, dsc_rml::Input::Packet { from, path, packet });
        }
        self.arrived = arrived;
        // What is sent now tells how old it is now.
        let now = now.max(clock::now());
        self.feed(now, share::Input::Tick);
        self.feed_rml(now, now, dsc_rml::Input::Tick);
        std::mem::take(&mut self.todo)
    }

    /// Does this node know all flows that there are to know?
    pub fn is_ready(&self) -> bool {
        self.share.is_ready()
    }

    /// How far everything has come, for people; whoever has the keys adds what they are called.
    pub fn status(&self, now: Time) -> FwdSharing {
        let counters = self.share.counters();
        let count = |name: &str| counters.iter().find(|c| c.name == name).map_or(0, |c| c.count);
        let peer = |of: Progress| FwdPeer {
            node: of.node,
            ready: of.ready,
            told: of.known,
            missing: of.known.saturating_sub(of.received),
        };
        let lag = |of: Lag| FwdLag {
            flows: of.flows,
            p50_us: of.p50_us,
            p99_us: of.p99_us,
            max_us: of.max_us,
        };
        FwdSharing {
            ready: self.share.is_ready(),
            told: self.share.position(),
            backlog: count("log_records"),
            gaps: count("gaps"),
            lag: self.share.lag(now).map(lag),
            peers: self.share.progress().map(peer).collect(),
            keys: Vec::new(),
        }
    }

    /// Seals and opens with other keys, made for flows, from now on.
    pub fn set_keyring(&mut self, keyring: Keyring) {
        self.paths.set_keyring(keyring);
    }

    /// Follows the node's addresses to other interfaces, or to one that was made again.
    pub fn follow(&mut self, nics: &[Nic]) {
        self.paths.follow(nics);
    }

    /// What was counted: records, copies, datagrams. Those of the messages below have names of their own.
    pub fn counters(&self) -> Vec<Counter> {
        let below = self.rml.counters().into_iter().filter(|c| c.name.starts_with("packets_"));
        let below = below.chain(self.paths.counters());
        let below = below.map(|c| Counter { name: format!("share_{}", c.name), ..c });
        self.share.counters().into_iter().chain(below).collect()
    }

    fn feed(&mut self, now: Time, input: share::Input<'_>) {
        let mut out = std::mem::take(&mut self.from_share);
        self.share.step(now, input, &mut out);
        for output in out.drain(..) {
            match output {
                share::Output::Send { to, body } => {
                    self.feed_rml(now, now, dsc_rml::Input::Datagram { to, body });
                }
                share::Output::Apply(flows) => self.todo.push(Todo::Apply(flows)),
                share::Output::Entered { flows, made } => {
                    self.todo.push(Todo::Entered { flows, made });
                }
                share::Output::NeedCopy { to, copy, part, flows_max } => {
                    self.todo.push(Todo::NeedCopy { to, copy, part, flows_max });
                }
                share::Output::Ready => self.todo.push(Todo::Ready),
            }
        }
        self.from_share = out;
    }

    /// What it brings for sharing is fed at once, and answers nothing before the tick; it came at `at`.
    fn feed_rml(&mut self, now: Time, at: Time, input: dsc_rml::Input) {
        let mut out = std::mem::take(&mut self.from_rml);
        self.rml.step(now, input, &mut out);
        for output in out.drain(..) {
            match output {
                dsc_rml::Output::Packet { to, path, packet } => self.paths.send(to, path, &packet),
                dsc_rml::Output::Datagram { from, incarnation, body } => {
                    self.feed(now, share::Input::Received { from, incarnation, at, body: &body });
                }
                // Nobody here sends messages, so a peer that does is of another build; without an answer it gives up.
                dsc_rml::Output::Received { .. }
                | dsc_rml::Output::Repeated { .. }
                | dsc_rml::Output::Delivered { .. }
                | dsc_rml::Output::Failed { .. }
                | dsc_rml::Output::PathChanged { .. } => {}
            }
        }
        self.from_rml = out;
    }
}

/// Where the daemons of a configuration are.
fn sites(config: &Config) -> Result<Sites<'_>, String> {
    Ok(Sites {
        port: config.port.checked_add(1).ok_or("there is no port after the last one")?,
        subnets: config.subnets.slots().map(|s| s.map_or("", |s| &s.name)).collect(),
        nodes: config.nodes.slots().map(|n| n.map_or(&[][..], |n| &n.addresses)).collect(),
        turn_max: TURN_MAX,
        arrivals: Arrivals::Stamped,
    })
}

/// The nodes of a configuration, for the rooms below.
fn peers(config: &Config) -> (share::Config, dsc_rml::Config) {
    let subnets: Vec<SubnetSet> = config.cluster().nodes.iter().map(|n| n.subnets).collect();
    (share::Config { nodes: subnets.len() }, dsc_rml::Config { subnets, timing: TIMING })
}
