//! The cluster in one process: the queue of what happens next and the turn of a node. Called by `run`; what
//! faults do is in `inject`, what must hold in `audit` and `settle`.

use crate::audit::Audit;
use crate::backends::{self, Done, Word};
use crate::clock::Clock;
use crate::configs::{Asked, Doc};
use crate::disk::Job;
use crate::fault::Span;
use crate::machine::{Item, Machine};
use crate::network::{Fate, Network};
use crate::plan::{MS, Plan};
use crate::random::Random;
use crate::trace::Trace;
use dsc_ringd::member::{Effect, Member};
use dsc_wire::local::EventKind;
use dsc_wire::packet::Packet;
use dsc_wire::{Incarnation, NodeId, SubnetId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Why a run failed, for people.
pub type Violation = String;

/// What happens at a time fixed in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The parcel in this place arrives.
    Arrive(u32),
    /// Power on, in this life.
    Boot(NodeId, u32),
    /// The daemon is started, in this life.
    Start(NodeId, u32),
    /// The other daemons tell the ring daemon how things stand.
    Facts(NodeId),
    /// The disk is done with what the daemon of this life wanted stored.
    Disk(NodeId, u32, Job),
}

struct Parcel {
    from: NodeId,
    to: NodeId,
    path: SubnetId,
    packet: Packet,
}

/// The whole simulated cluster.
pub struct World {
    /// What it was made from.
    pub plan: Plan,
    /// World time.
    pub at: Span,
    /// The nodes.
    pub machines: Vec<Machine>,
    /// The wires.
    pub network: Network,
    /// What must hold, and what was seen.
    pub audit: Audit,
    /// The story, if somebody wants it.
    pub trace: Trace,
    /// When a fault last began or ended.
    pub disturbed: Span,
    /// Commands given: (number, at, on which node, what).
    pub commands: Vec<Given>,
    /// Changes of the configuration that were asked for.
    pub asked: Vec<Asked>,
    /// Documents that came to some node.
    pub documents: Vec<Doc>,
    /// States of backends that were done.
    pub done: Vec<Done>,
    queue: BinaryHeap<Reverse<(Span, u64, Due)>>,
    order: u64,
    parcels: Vec<Option<Parcel>>,
    free: Vec<u32>,
    pub(crate) random: Random,
    incarnations: u64,
    effects: Vec<Effect>,
}

/// A command and what became of it.
#[derive(Clone, Debug)]
pub struct Given {
    /// When.
    pub at: Span,
    /// To whom.
    pub node: NodeId,
    /// In which of its lives.
    pub life: u32,
    /// What.
    pub command: dsc_wire::local::Command,
    /// What the audit of backends remembers of it.
    pub word: Word,
    /// The end of it.
    pub result: Option<Result<String, String>>,
}

impl World {
    /// All nodes are switched on within the first 20 ms.
    pub fn new(plan: Plan, trace: Trace) -> World {
        let nodes = plan.nodes();
        let vips = plan.cluster.vips.len();
        let mut world = World {
            network: Network::new(&plan, Random::new(plan.seed, 3)),
            machines: (0..nodes as u8)
                .map(|n| Machine::new(NodeId(n), vips, plan.first.clone()))
                .collect(),
            audit: Audit::new(&plan),
            random: Random::new(plan.seed, 4),
            plan,
            at: 0,
            trace,
            disturbed: 0,
            commands: Vec::new(),
            asked: Vec::new(),
            documents: Vec::new(),
            done: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            parcels: Vec::new(),
            free: Vec::new(),
            incarnations: 0,
            effects: Vec::new(),
        };
        for node in 0..nodes as u8 {
            let at = world.random.below(20 * MS);
            world.due(at, Due::Boot(NodeId(node), 0));
        }
        world
    }

    /// A node.
    pub fn machine(&mut self, node: NodeId) -> &mut Machine {
        &mut self.machines[node.index()]
    }

    pub(crate) fn due(&mut self, at: Span, what: Due) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, what)));
    }

    /// When the next thing happens.
    pub fn next(&self) -> Span {
        let wake = self.machines.iter().map(|m| m.wake).min().unwrap_or(Span::MAX);
        self.queue.peek().map_or(Span::MAX, |Reverse((at, ..))| *at).min(wake)
    }

    /// Lets happen everything up to `until`.
    pub fn run_until(&mut self, until: Span) -> Result<(), Violation> {
        loop {
            let at = self.next();
            if at > until {
                self.at = until;
                return Ok(());
            }
            self.at = self.at.max(at);
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        if let Some(Reverse((at, _, _))) = self.queue.peek()
            && *at <= self.at
        {
            let Some(Reverse((_, _, due))) = self.queue.pop() else { return Ok(()) };
            self.happen(due);
        } else if let Some(node) = self.machines.iter().find(|m| m.wake <= self.at).map(|m| m.id) {
            self.turn(node)?;
        }
        crate::audit::overlaps(self)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Arrive(place) => self.arrive(place),
            Due::Boot(node, life) if self.machines[node.index()].life == life => self.boot(node),
            Due::Start(node, life) if self.machines[node.index()].life == life => self.start(node),
            Due::Facts(node) => self.facts(node),
            Due::Disk(node, life, job) if self.machines[node.index()].life == life => {
                self.stored(node, job);
            }
            Due::Disk(..) => {}
            Due::Boot(..) | Due::Start(..) => {}
        }
    }

    fn arrive(&mut self, place: u32) {
        let Some(parcel) = self.parcels[place as usize].take() else { return };
        self.free.push(place);
        let wake = self.at + self.latency();
        let machine = &mut self.machines[parcel.to.index()];
        if !machine.on || machine.member.is_none() {
            return;
        }
        if machine.inbox.len() >= machine.places {
            return;
        }
        let Parcel { from, path, packet, .. } = parcel;
        machine.inbox.push_back(Item::Packet { from, path, packet });
        machine.wake_at(wake);
    }

    fn latency(&mut self) -> Span {
        let weather = &self.plan.weather;
        let (wake, tail) = (weather.wake, weather.wake_tail);
        let mut latency = self.random.below(wake + 1);
        if self.random.chance(5) {
            latency += self.random.below(tail + 1);
        }
        latency
    }

    /// Plans the node's power to come back.
    pub fn boot_at(&mut self, at: Span, node: NodeId) {
        let life = self.machines[node.index()].life;
        self.due(at, Due::Boot(node, life));
    }

    /// Plans the start of the node's daemon.
    pub fn start_at(&mut self, at: Span, node: NodeId) {
        let life = self.machines[node.index()].life;
        self.due(at, Due::Start(node, life));
    }

    /// Plans to tell the node's daemon how its interfaces stand.
    pub fn facts_at(&mut self, at: Span, node: NodeId) {
        self.due(at, Due::Facts(node));
    }

    /// Power on: an empty kernel, a clock that shows what it likes, and the daemon.
    pub fn boot(&mut self, node: NodeId) {
        if self.machines[node.index()].on {
            return;
        }
        let shown = self.random.range(1_000 * MS, 1_000_000 * MS);
        let drift = self.plan.drift_ppm[node.index()];
        let vips = self.plan.cluster.vips.len();
        let at = self.at;
        let machine = self.machine(node);
        machine.on = true;
        machine.clock = Clock::new(at, shown, drift);
        machine.kernel = crate::kernel::Kernel::new(vips);
        self.start(node);
    }

    /// Starts the daemon, unless it runs or there is no power.
    pub fn start(&mut self, node: NodeId) {
        let at = self.at;
        // Drawn and not used: the seeds that once showed a fault go on naming the same runs.
        let _ = self.random.bits();
        let machine = &self.machines[node.index()];
        if !machine.on || machine.member.is_some() {
            return;
        }
        let Some(doc) = self.bootable(node) else {
            // It is not configured: its daemon ends at once, and is started when it is.
            return self.start_at(at + 30 * MS, node);
        };
        let machine = &self.machines[node.index()];
        // Not in the order of time: nothing may rely on a later life having a greater number.
        self.incarnations += 1;
        let incarnation = Incarnation((self.random.bits() << 20 | self.incarnations) | 1 << 63);
        let now = machine.clock.local(at);
        let member = Member::new(doc.configuration(&self.plan), node, incarnation, now);
        let next = machine.disk.next.clone().filter(|next| next.version > doc.version);
        let machine = self.machine(node);
        machine.disk.stored = doc;
        machine.inbox.extend(next.map(Item::Stored));
        machine.life += 1;
        machine.member = Some(member);
        machine.paused = 0;
        machine.wake = at;
        self.disturbed = at;
        self.audit.started(node);
        self.trace.say(at, || format!("node {} starts", node.0));
        let facts = at + self.random.below(5 * MS);
        self.facts_at(facts, node);
    }

    /// Hands a fact or a command to the node's daemon.
    pub fn give(&mut self, node: NodeId, input: dsc_ring::Input) {
        let at = self.at;
        let machine = self.machine(node);
        if machine.member.is_some() {
            machine.inbox.push_back(Item::Input(input));
            machine.wake_at(at);
        }
    }

    /// One turn of a node's daemon: what an earlier one left undone, the packets, the tick, and the effects.
    fn turn(&mut self, node: NodeId) -> Result<(), Violation> {
        let at = self.at;
        let machine = &mut self.machines[node.index()];
        let mut effects = std::mem::take(&mut self.effects);
        effects.extend(machine.rest.drain(..));
        let late = effects.len();
        machine.shown.take();
        let now = machine.clock.local(at);
        let Some(member) = machine.member.as_mut() else {
            machine.wake = Span::MAX;
            return Ok(());
        };
        let run = (node, machine.life);
        let mut told = late;
        for item in machine.inbox.drain(..) {
            match item {
                Item::Packet { from, path, packet } => {
                    self.trace.packet(at, node, from, path, &packet);
                    if member.configuration().cluster.is_node(from) {
                        member.packet(now, from, path, packet, &mut effects);
                    } else {
                        let answers = member.stray(now, packet, &mut effects).into_iter();
                        effects.extend(answers.map(|packet| Effect::Packet {
                            to: from,
                            path,
                            packet,
                        }));
                    }
                }
                Item::Input(input) => member.input(now, input, &mut effects),
                Item::Stored(doc) if doc.refused_by == Some(node) => {
                    let digest = doc.configuration(&self.plan).cluster.digest;
                    let reason = Some("cannot work with it".to_owned());
                    member.input(now, dsc_ring::Input::Unfit { digest, reason }, &mut effects);
                }
                Item::Stored(doc) => {
                    member.prepared(now, doc.configuration(&self.plan), &mut effects);
                }
                Item::Proposed(id, doc) => {
                    member.propose(now, id, doc.configuration(&self.plan), &mut effects);
                }
            }
            backends::step(&mut self.commands, run, &effects[told..], || member.view(now));
            told = effects.len();
        }
        if let Some(pending) = member.pending() {
            machine.disk.next = Some(Doc::read(&pending.document));
        }
        member.tick(now, &mut effects);
        backends::step(&mut self.commands, run, &effects[told..], || member.view(now));
        let deadline = machine.clock.world(member.deadline());
        let stall = machine.stall.take();
        machine.wake = Span::MAX;
        self.audit.turn(&mut self.machines[node.index()], at)?;
        let cut = stall.map_or(usize::MAX, |(n, _)| usize::from(n));
        let mut list = effects.drain(..).enumerate();
        for (i, effect) in list.by_ref().take(cut) {
            self.carry_out(node, effect, i < late)?;
        }
        let machine = &mut self.machines[node.index()];
        machine.rest.extend(list.map(|(_, e)| e));
        self.effects = effects;
        let latency = self.latency();
        let machine = &mut self.machines[node.index()];
        machine.wake_at(deadline.max(at + 1).saturating_add(latency));
        if let Some((_, lasts)) = stall {
            machine.pause(at + lasts);
            machine.wake_at(at);
        }
        Ok(())
    }

    /// `late`: it was left undone in an earlier turn.
    fn carry_out(&mut self, node: NodeId, effect: Effect, late: bool) -> Result<(), Violation> {
        match effect {
            Effect::Packet { to, path, packet } => self.send(node, to, path, packet),
            Effect::Lease { end } => return crate::audit::lease(self, node, end),
            Effect::Host { vip, state, past } => {
                return crate::audit::host(self, node, vip, state, past);
            }
            Effect::Event(event) => {
                self.trace.say(self.at, || format!("node {}: {:?}", node.0, event.kind));
                let own = event.node == node && matches!(event.kind, EventKind::Balanced { .. });
                self.audit.seen.balanced += u64::from(own);
                self.machine(node).events.push(event);
            }
            Effect::Done { id, result } if id >= crate::configs::FIRST => {
                return crate::configs::done(self, node, id, result);
            }
            Effect::Done { id, result } => return crate::audit::done(self, node, id, result, late),
            Effect::Changed => {}
            Effect::Prepare { document, .. } => {
                self.documents.push(Doc::read(&document));
                self.disk_at(node, Job::Prepare(self.documents.len() as u32 - 1));
            }
            Effect::Configured { version, .. } => {
                self.trace.say(self.at, || format!("node {} runs version {version}", node.0));
                self.restate(node, version);
                self.disk_at(node, Job::Commit);
            }
            Effect::Removed { configuration } => {
                self.trace.say(self.at, || format!("node {} is removed", node.0));
                self.machine(node).removed = Some(Doc::read(&configuration.document));
            }
            Effect::Left => {
                self.trace.say(self.at, || format!("node {} has left", node.0));
                let lasts = self.machines[node.index()].leaving.take();
                let machine = self.machine(node);
                if let Some(removed) = machine.removed.take() {
                    machine.disk.stored = removed;
                    machine.stop();
                    self.start_at(self.at + 30 * MS, node);
                    return Ok(());
                }
                machine.stop();
                if let Some(lasts) = lasts {
                    self.start_at(self.at + lasts, node);
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, from: NodeId, to: NodeId, path: SubnetId, packet: Packet) {
        self.machines[from.index()].sent += 1;
        let ack = crate::trace::is_ack(&packet);
        match self.network.fate(self.at, from, to, path, ack) {
            Fate::Lost => self.trace.lost(self.at, from, to, path, &packet),
            Fate::Once(at) => self.post(at, Parcel { from, to, path, packet }),
            Fate::Twice(first, second) => {
                self.post(first, Parcel { from, to, path, packet: packet.clone() });
                self.post(second, Parcel { from, to, path, packet });
            }
        }
    }

    fn post(&mut self, at: Span, parcel: Parcel) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.parcels.push(None);
            self.parcels.len() as u32 - 1
        });
        self.parcels[place as usize] = Some(parcel);
        self.due(at, Due::Arrive(place));
    }
}
