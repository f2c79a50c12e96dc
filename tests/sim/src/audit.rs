//! What must hold at every step. Called by the world whenever a kernel map changes, a daemon has had its turn or
//! time has passed; an error ends the run. What must hold at the end is in `settle`.

use crate::fault::Span;
use crate::machine::Machine;
use crate::plan::{Class, MS, Plan, nanos};
use crate::world::{Violation, World};
use dsc_wire::local::{Command, HostState, RingState};
use dsc_wire::{Key, NodeId, NodeSet, Partition, Persistence, Time, Timing, VipId};
use std::collections::HashMap;

/// Most turns of one daemon in [`COUNTED`]: a packet may wake it, so this is far above a busy ring's, and
/// far below what one that spins would take.
const TURNS_MAX: u32 = 4_000;
/// Most packets sent by one daemon in [`COUNTED`].
const SENT_MAX: u32 = 20_000;
/// The time over which the two above are counted.
const COUNTED: Span = 50 * MS;
/// Accepted keys that are remembered; an older one cannot be accepted again without growing backwards.
const KEYS_MAX: usize = 4_096;

/// Two nodes that answer for one VIP where that is not forbidden at once.
#[derive(Clone, Copy, Debug)]
struct Overlap {
    vip: VipId,
    nodes: [NodeId; 2],
    /// Since when they could have known of each other.
    since: Span,
}

/// What a run has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From a crash until a VIP of the crashed node was answered again.
    pub gaps: Vec<Span>,
    /// From the end of all faults until everything had settled.
    pub settled: Vec<Span>,
    /// From the first start until the first ring served everything.
    pub formed: Vec<Span>,
    /// VIPs that changed hosts.
    pub moves: u64,
    /// Of them, those that moved to even out the load.
    pub balanced: u64,
    /// Leases that ended while a VIP was answered.
    pub lapses: u64,
    /// Time with two hosts where that was allowed.
    pub double: Span,
    /// Turns of daemons.
    pub turns: u64,
    /// World time.
    pub span: Span,
}

/// The state of all checks.
pub struct Audit {
    class: Class,
    /// Two hosts across a cut are forgiven.
    lenient: bool,
    lease_max: Span,
    double_max: Span,
    overlaps: Vec<Overlap>,
    looked: Span,
    on: Vec<u16>,
    /// When the set of nodes that are host of something last changed.
    pub changed: Span,
    /// VIPs whose host changed; emptied by whoever wants to know.
    pub moved: Vec<VipId>,
    /// From now on nothing may lapse or move by itself.
    pub calm: bool,
    /// Nodes that were in the greater ring all along: what they host stays with them.
    pub keepers: NodeSet,
    /// From now on every VIP that was answered must be taken care of at every instant.
    pub covered: Vec<bool>,
    gap_from: Vec<Option<Span>>,
    keys: Vec<Key>,
    accepted: HashMap<Key, NodeId>,
    /// For the statistics.
    pub seen: Seen,
}

impl Audit {
    /// For a run of `plan`.
    pub fn new(plan: &Plan) -> Audit {
        let timing = &plan.cluster.timing;
        let vips = plan.cluster.vips.len();
        let beacons = 3 * nanos(timing.beacon) + 4 * plan.weather.hop();
        let lossy = plan.weather.loss_permille > 0;
        Audit {
            class: plan.class,
            lenient: plan.class == Class::Cut
                || (plan.class == Class::Heal && plan.cluster.partition == Partition::Serve),
            lease_max: nanos(timing.lease_max),
            double_max: if lossy { 2 * beacons } else { beacons },
            overlaps: Vec::new(),
            looked: 0,
            on: vec![0; vips],
            changed: 0,
            moved: Vec::new(),
            calm: false,
            keepers: NodeSet::EMPTY,
            covered: vec![false; vips],
            gap_from: vec![None; vips],
            keys: vec![Key::ZERO; plan.nodes()],
            accepted: HashMap::new(),
            seen: Seen::default(),
        }
    }

    /// A daemon was started: its keys begin anew.
    pub fn started(&mut self, node: NodeId) {
        self.keys[node.index()] = Key::ZERO;
    }

    /// A daemon had a turn at `at`.
    pub fn turn(&mut self, machine: &mut Machine, at: Span) -> Result<(), Violation> {
        self.seen.turns += 1;
        if at > machine.counted + COUNTED {
            (machine.counted, machine.turns, machine.sent) = (at, 0, 0);
        }
        machine.turns += 1;
        if machine.turns > TURNS_MAX {
            return Err(format!("node {} spins: {TURNS_MAX} turns in 50 ms", machine.id.0));
        }
        if machine.sent > SENT_MAX {
            return Err(format!("node {} storms: {SENT_MAX} packets in 50 ms", machine.id.0));
        }
        let Some(member) = &machine.member else { return Ok(()) };
        let key = member.accepted();
        let last = std::mem::replace(&mut self.keys[machine.id.index()], key);
        if key == last {
            return Ok(());
        }
        if key < last {
            return Err(format!("node {} accepted {key:?} after {last:?}", machine.id.0));
        }
        if self.accepted.len() > KEYS_MAX {
            let lowest = self.keys.iter().min().copied().unwrap_or(Key::ZERO);
            self.accepted.retain(|k, _| *k >= lowest);
        }
        match self.accepted.insert(key, machine.id) {
            Some(other) if other != machine.id => {
                Err(format!("{key:?} accepted by {} and {}", other.0, machine.id.0))
            }
            _ => Ok(()),
        }
    }
}

/// A node's ring daemon stores its lease.
pub fn lease(world: &mut World, node: NodeId, end: Time) -> Result<(), Violation> {
    let at = world.at;
    let machine = &mut world.machines[node.index()];
    let now = machine.clock.local(at);
    let old = std::mem::replace(&mut machine.kernel.lease, end);
    if nanos(end.since(now)) > world.audit.lease_max {
        return Err(format!("lease of node {} set {:?} ahead", node.0, end.since(now)));
    }
    if old > now && end > now {
        return Ok(());
    }
    let hosts = machine.kernel.on().next().is_some();
    if old <= now && end > now {
        world.trace.say(at, || format!("node {} has a lease, {:?}", node.0, end.since(now)));
        if hosts && old != Time::ZERO {
            world.audit.seen.lapses += 1;
            if world.audit.calm {
                let late = now.since(old);
                return Err(format!("the lease of node {} lapsed for {late:?} in peace", node.0));
            }
        }
        let on: Vec<VipId> = world.machines[node.index()].kernel.on().collect();
        for vip in on {
            answered(world, node, vip)?;
        }
    } else if old > now {
        world.trace.say(at, || format!("node {} ends its lease", node.0));
        return cover(world, None);
    }
    Ok(())
}

/// A node's ring daemon stores who answers for a VIP.
pub fn host(
    world: &mut World,
    node: NodeId,
    vip: VipId,
    state: HostState,
    past: Vec<NodeId>,
) -> Result<(), Violation> {
    let at = world.at;
    world.trace.say(at, || format!("node {} vip {} {state:?} past {past:?}", node.0, vip.0));
    if past.len() > dsc_wire::ids::PAST_MAX {
        return Err(format!("vip {} has {} past hosts", vip.0, past.len()));
    }
    let kernel = &mut world.machines[node.index()].kernel;
    let was = kernel.host(vip) == HostState::On;
    kernel.set(vip, state, past);
    let is = state == HostState::On;
    if was != is {
        world.audit.changed = at;
        if !world.audit.moved.contains(&vip) {
            world.audit.moved.push(vip);
        }
        world.audit.on[vip.index()] += u16::from(is);
        world.audit.on[vip.index()] -= u16::from(was);
        world.audit.seen.moves += u64::from(is);
    }
    let stays = world.plan.cluster.vips[vip.index()].persistence != Persistence::Preferred;
    if was && !is && stays && world.audit.keepers.contains(node) {
        return Err(format!("vip {} moved off {}, in the greater ring all along", vip.0, node.0));
    }
    if is && !was && world.machines[node.index()].answers(vip, at) {
        answered(world, node, vip)?;
    }
    cover(world, Some(vip))
}

/// A node's power goes: its kernel answers nothing any more.
pub fn dies(world: &mut World, node: NodeId) {
    let at = world.at;
    let on: Vec<VipId> = world.machines[node.index()].kernel.on().collect();
    let left = world.machines.iter().filter(|m| m.on && m.id != node).count();
    let majority = world.plan.cluster.partition == Partition::Majority;
    let serves = left > 0 && (!majority || 2 * left > world.plan.nodes());
    for vip in on {
        world.audit.on[vip.index()] -= 1;
        if serves && world.machines[node.index()].answers(vip, at) {
            world.audit.gap_from[vip.index()] = Some(at);
        }
    }
}

/// `node` has begun to answer for `vip`.
fn answered(world: &mut World, node: NodeId, vip: VipId) -> Result<(), Violation> {
    let at = world.at;
    gap(world, node, vip)?;
    if world.audit.on[vip.index()] < 2 {
        return Ok(());
    }
    let others = world.machines.iter().filter(|m| m.id != node && m.answers(vip, at));
    let others: Vec<NodeId> = others.map(|m| m.id).collect();
    for other in others {
        if !world.audit.lenient {
            return Err(format!("P3: vip {} answered by {} and {}", vip.0, other.0, node.0));
        }
        world.trace.say(at, || format!("vip {} answered by {} and {}", vip.0, other.0, node.0));
        let nodes = [other.min(node), other.max(node)];
        if !world.audit.overlaps.iter().any(|o| o.vip == vip && o.nodes == nodes) {
            world.audit.overlaps.push(Overlap { vip, nodes, since: at });
        }
    }
    Ok(())
}

/// Overlaps that are allowed across a cut end soon after it.
pub fn overlaps(world: &mut World) -> Result<(), Violation> {
    let at = world.at;
    if world.audit.overlaps.is_empty() {
        world.audit.looked = at;
        return Ok(());
    }
    world.audit.seen.double += at - world.audit.looked;
    world.audit.looked = at;
    let mut list = std::mem::take(&mut world.audit.overlaps);
    list.retain(|o| o.nodes.iter().all(|n| world.machines[n.index()].answers(o.vip, at)));
    for overlap in &mut list {
        let [a, b] = overlap.nodes;
        let awake = |n: NodeId| {
            let machine = &world.machines[n.index()];
            machine.runs(at)
                && machine.places >= crate::machine::QUEUE_MAX
                && machine.view(at).is_some_and(|view| view.state != RingState::Quiet)
        };
        if !world.network.connected(at, a, b) || !awake(a) || !awake(b) {
            overlap.since = at;
        }
        if at - overlap.since > world.audit.double_max {
            let long = (at - overlap.since) as f64 / 1e6;
            return Err(format!(
                "P3: vip {} answered by {} and {}, which have heard each other for {long:.1} ms",
                overlap.vip.0, a.0, b.0
            ));
        }
    }
    world.audit.overlaps = list;
    Ok(())
}

/// The longest that the VIPs of a crashed node may be silent: its lease must have ended by every clock, and the
/// heir needs its turn after that; one more turn for the hops.
fn gap_max(world: &World, node: NodeId) -> Span {
    let machine = &world.machines[node.index()];
    let timing = &world.plan.cluster.timing;
    let lease_ms = machine.view(world.at).map_or(0, |view| view.lease_ms);
    let lease = timing.lease.max(std::time::Duration::from_millis(lease_ms + 1));
    let hops = 2 * world.plan.nodes() as u64 * world.plan.weather.hop();
    nanos(Timing::fence(lease)) + 2 * nanos(timing.rotation) + hops
}

fn gap(world: &mut World, node: NodeId, vip: VipId) -> Result<(), Violation> {
    let Some(from) = world.audit.gap_from[vip.index()].take() else { return Ok(()) };
    if world.audit.class != Class::Crash {
        return Ok(());
    }
    let gap = world.at - from;
    world.audit.seen.gaps.push(gap);
    let most = gap_max(world, node);
    if gap > most {
        let (gap, most) = (gap as f64 / 1e6, most as f64 / 1e6);
        return Err(format!("vip {} silent for {gap:.1} ms after a crash, over {most:.1}", vip.0));
    }
    Ok(())
}

/// Is `vip`, or each VIP, answered, or led on to a node that takes what is led to it?
fn cover(world: &mut World, vip: Option<VipId>) -> Result<(), Violation> {
    let at = world.at;
    let all = 0..world.audit.covered.len() as u16;
    for vip in all.map(VipId).filter(|v| vip.is_none_or(|only| only == *v)) {
        if !world.audit.covered[vip.index()] {
            continue;
        }
        let takes = |m: &Machine| match m.kernel.host(vip) {
            HostState::On => m.answers(vip, at),
            HostState::Incoming => m.on,
            _ => false,
        };
        let led = |m: &Machine| match m.kernel.host(vip) {
            HostState::On => m.answers(vip, at),
            HostState::Steer(to) => m.on && takes(&world.machines[to.index()]),
            _ => false,
        };
        if !world.machines.iter().any(led) {
            return Err(format!("vip {} is taken care of by nobody, in peace", vip.0));
        }
    }
    Ok(())
}

/// A command came to its end; `late`, after a stall.
pub fn done(
    world: &mut World,
    node: NodeId,
    id: u64,
    result: Result<String, String>,
    late: bool,
) -> Result<(), Violation> {
    let at = world.at;
    world.trace.say(at, || format!("node {} command {id}: {result:?}", node.0));
    let Some(given) = world.commands.get_mut(id as usize) else {
        return Err(format!("node {} ended command {id}, which nobody gave", node.0));
    };
    if given.result.is_some() || given.node != node {
        return Err(format!("command {id} ended twice, or elsewhere: {given:?}"));
    }
    given.result = Some(result);
    let given = given.clone();
    if given.result.as_ref().is_some_and(Result::is_ok) {
        crate::backends::done(world, &given, late)?;
    }
    if world.audit.class != Class::Operator || given.result.as_ref().is_some_and(Result::is_err) {
        return Ok(());
    }
    for machine in &world.machines {
        let Some(view) = machine.view(at) else { continue };
        // A node that is not in the ring has no view to show it in.
        if !view.members.contains(&machine.id) || machine.leaving.is_some() {
            continue;
        }
        let shown = match given.command {
            Command::MoveVip { vip, node } => view.vips[vip.index()].host == Some(node),
            Command::Pin { vip, node } => {
                let vip = &view.vips[vip.index()];
                node.is_none() || vip.preferred == node
            }
            Command::Unpin { vip } => view.vips[vip.index()].persistence == Persistence::Free,
            Command::Duty { node, duty } => {
                use dsc_wire::local::Duty;
                let shown = view.nodes[node.index()].duty;
                shown == duty || (duty == Duty::Draining && shown == Duty::Closed)
            }
            // Audited in every class, by `backends`.
            Command::Backend { .. } => true,
            // None is drawn.
            Command::Check { .. } => true,
        };
        if !shown {
            return Err(format!("{given:?} is done, but node {} does not show it", machine.id.0));
        }
    }
    Ok(())
}
