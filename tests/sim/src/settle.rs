//! What must hold when nothing has gone wrong for a while: one ring of all nodes that run, and every VIP answered
//! by exactly one node that can. Called by `run`, now and then.

use crate::machine::Machine;
use crate::world::World;
use dsc_wire::ids::SUBNETS_MAX;
use dsc_wire::local::{Duty, HostState, RingState, View, VipView};
use dsc_wire::{NodeId, NodeSet, Partition, Persistence, SubnetId, VipId};

/// Is everything as it shall be? If not, what is missing.
pub fn settled(world: &World) -> Result<(), String> {
    settled_but(world, &[])
}

/// The same, but for who answers for some VIPs.
pub fn settled_but(world: &World, but: &[VipId]) -> Result<(), String> {
    let at = world.at;
    let mut views: Vec<&View> = Vec::with_capacity(world.machines.len());
    if crate::configs::latest(world).is_none() {
        let back = |m: &&crate::machine::Machine| m.returns && m.disk.stored.nodes.contains(m.id);
        return match world.machines.iter().find(back) {
            Some(m) => Err(format!("node {} is still off", m.id.0)),
            // Every node that is configured is off for good.
            None => Ok(()),
        };
    }
    let configured = crate::configs::nodes(world);
    for machine in &world.machines {
        let node = machine.id.0;
        if !configured.contains(machine.id) {
            if machine.member.is_some() {
                return Err(format!("node {node} runs, but is not configured"));
            }
            continue;
        }
        if !machine.on {
            if machine.returns {
                return Err(format!("node {node} is still off"));
            }
            continue;
        }
        let Some(view) = machine.view(at) else {
            return Err(format!("the ring daemon of node {node} does not run"));
        };
        if machine.leaving.is_some() {
            return Err(format!("node {node} is still leaving"));
        }
        views.push(view);
    }
    let Some(first) = views.first().copied() else { return Ok(()) };
    one_ring(&views)?;
    commands(world)?;
    crate::configs::agree(world)?;
    crate::backends::agree(world, &views)?;
    crate::health::agree(world, &views)?;
    crate::lights::agree(world, &views)?;
    let votes = views.len();
    let majority = world.plan.cluster.partition == Partition::Majority;
    let serves = !majority || 2 * votes > configured.len();
    let able: [usize; SUBNETS_MAX] =
        std::array::from_fn(|s| able_on(world, first, SubnetId(s as u8)));
    let latest = crate::configs::latest(world);
    let vips = (0..world.plan.cluster.vips.len() as u16).map(VipId);
    for vip in vips.filter(|v| !but.contains(v)) {
        if latest.is_some_and(|c| !c.cluster.is_vip(vip)) {
            nobody(world, vip)?;
            continue;
        }
        one_host(world, &views, vip, serves.then_some(&able))?;
    }
    Ok(())
}

fn one_ring(views: &[&View]) -> Result<(), String> {
    let running: NodeSet = views.iter().map(|v| v.me).collect();
    let first = views[0];
    for view in views {
        let me = view.me.0;
        let right = match view.state {
            RingState::Member => views.len() > 1,
            RingState::Alone => views.len() == 1,
            RingState::Quiet | RingState::Joining | RingState::Starving => false,
        };
        if !right {
            return Err(format!("node {me} is {:?}", view.state));
        }
        let members: NodeSet = view.members.iter().copied().collect();
        if members != running || view.members.len() != views.len() {
            let members = &view.members;
            let running: Vec<NodeId> = running.iter().collect();
            return Err(format!("node {me} sees members {members:?}, running are {running:?}"));
        }
        if view.key.epoch != first.key.epoch {
            return Err(format!("nodes {me} and {} are in different epochs", first.me.0));
        }
    }
    Ok(())
}

fn commands(world: &World) -> Result<(), String> {
    for given in &world.commands {
        let machine = &world.machines[given.node.index()];
        if given.result.is_none() && machine.life == given.life {
            return Err(format!(
                "command on node {} has no end: {:?}",
                given.node.0, given.command
            ));
        }
    }
    Ok(())
}

/// May the node host on the subnet, as `view` shows it?
fn may(view: &View, node: NodeId, subnet: SubnetId) -> bool {
    let Some(node) = view.nodes.get(node.index()) else { return false };
    node.member && node.duty == Duty::Open && node.able.contains(subnet)
}

/// How many nodes could host on the subnet.
fn able_on(world: &World, view: &View, subnet: SubnetId) -> usize {
    let plan = &world.plan.cluster;
    let nodes = (0..plan.nodes.len() as u8).map(NodeId);
    let able = |n: &NodeId| {
        may(view, *n, subnet) && !plan.nodes[n.index()].witness && runs_on(world, *n, subnet)
    };
    nodes.filter(able).count()
}

/// What is no VIP any more is answered by nobody.
fn nobody(world: &World, vip: VipId) -> Result<(), String> {
    match world.machines.iter().find(|m| m.answers(vip, world.at)) {
        Some(m) => Err(format!("vip {} is not configured, but answered by {}", vip.0, m.id.0)),
        None => Ok(()),
    }
}

/// `able` tells how many could host on each subnet; without it the ring must not serve.
fn one_host(
    world: &World,
    views: &[&View],
    vip: VipId,
    able: Option<&[usize; SUBNETS_MAX]>,
) -> Result<(), String> {
    let at = world.at;
    let subnet = world.plan.cluster.vips[vip.index()].subnet;
    let answering: NodeSet =
        world.machines.iter().filter(|m| m.answers(vip, at)).map(|m| m.id).collect();
    let number = vip.0;
    let first = answering.iter().next();
    let Some(able) = able.map(|able| able[subnet.index()]) else {
        return match first {
            Some(n) => Err(format!("vip {number} answered by {} in a minority", n.0)),
            None => Ok(()),
        };
    };
    let list = || answering.iter().collect::<Vec<NodeId>>();
    if able == 0 {
        // Nobody may take it; who has it still answers as soon as it has a lease again.
        let waits = |m: &&Machine| m.kernel.host(vip) == HostState::On && !m.answers(vip, at);
        return match world.machines.iter().filter(|m| m.member.is_some()).find(waits) {
            _ if answering.len() > 1 => Err(format!("vip {number} answered by {:?}", list())),
            Some(m) => Err(format!("vip {number} is on at node {}, which has no lease", m.id.0)),
            None => Ok(()),
        };
    }
    let Some(host) = first.filter(|_| answering.len() == 1) else {
        return Err(format!("vip {number} answered by {:?}, {able} nodes could", list()));
    };
    if !may(views[0], host, subnet) {
        return Err(format!("vip {number} answered by node {}, which may not", host.0));
    }
    let better = |n: &NodeId| {
        may(views[0], *n, subnet)
            && !crate::lights::unfit(views[0], *n, subnet)
            && !world.plan.cluster.nodes[n.index()].witness
            && runs_on(world, *n, subnet)
    };
    let mut all = (0..world.machines.len() as u8).map(NodeId);
    if crate::lights::unfit(views[0], host, subnet)
        && let Some(better) = all.find(better)
    {
        return Err(format!("vip {number} is on node {}, unfit; {} is fit", host.0, better.0));
    }
    for view in views {
        let shown = &view.vips[vip.index()];
        if shown.host != Some(host) || shown.heir.is_some() || shown.next.is_some() {
            return Err(format!("node {} shows {shown:?}, answered by {}", view.me.0, host.0));
        }
    }
    Ok(())
}

fn runs_on(world: &World, node: NodeId, subnet: SubnetId) -> bool {
    let machine = &world.machines[node.index()];
    machine.member.is_some() && world.plan.cluster.nodes[node.index()].subnets.contains(subnet)
}

/// VIPs that may move at any time to even out the load.
pub fn balanced(world: &World) -> Vec<VipId> {
    let at = world.at;
    let view = world.machines.iter().find_map(|m| m.view(at));
    let Some(view) = view.filter(|_| world.plan.cluster.balance.on) else { return Vec::new() };
    let free = |vip: &&VipView| vip.persistence == Persistence::Free;
    view.vips.iter().filter(free).map(|v| v.id).collect()
}

/// VIPs with persistence 3 that are not where they belong although they could be. They go home when their preferred
/// host has been able for a while, which is not part of settling.
pub fn away(world: &World) -> Vec<VipId> {
    let at = world.at;
    let Some(view) = world.machines.iter().find_map(|m| m.view(at)) else { return Vec::new() };
    let could = |vip: VipId, n: NodeId| {
        let subnet = world.plan.cluster.vips[vip.index()].subnet;
        may(view, n, subnet)
            && !crate::lights::unfit(view, n, subnet)
            && !world.plan.cluster.nodes[n.index()].witness
            && runs_on(world, n, subnet)
    };
    let away = |vip: &&VipView| {
        vip.persistence == Persistence::Preferred
            && vip.preferred.is_some_and(|home| vip.host != Some(home) && could(vip.id, home))
    };
    view.vips.iter().filter(away).map(|v| v.id).collect()
}
