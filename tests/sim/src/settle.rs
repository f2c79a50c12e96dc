//! What must hold when nothing has gone wrong for a while: one ring of all nodes that run, and every VIP answered
//! by exactly one node that can. Called by `run`, now and then.

use crate::world::World;
use dsc_wire::local::{Duty, RingState, View, VipView};
use dsc_wire::{NodeId, Partition, Persistence, VipId};

/// Is everything as it shall be? If not, what is missing.
pub fn settled(world: &World) -> Result<(), String> {
    settled_but(world, &[])
}

/// The same, but for who answers for some VIPs.
pub fn settled_but(world: &World, but: &[VipId]) -> Result<(), String> {
    let at = world.at;
    let mut views: Vec<View> = Vec::new();
    for machine in &world.machines {
        let node = machine.id.0;
        if !machine.on {
            if machine.returns {
                return Err(format!("node {node} is still off"));
            }
            continue;
        }
        let Some(member) = &machine.member else {
            return Err(format!("the ring daemon of node {node} does not run"));
        };
        if machine.leaving.is_some() {
            return Err(format!("node {node} is still leaving"));
        }
        views.push(member.view(machine.clock.local(at)));
    }
    let Some(first) = views.first() else { return Ok(()) };
    one_ring(&views, first)?;
    commands(world)?;
    let votes = views.len();
    let majority = world.plan.cluster.partition == Partition::Majority;
    let serves = !majority || 2 * votes > world.plan.nodes();
    let vips = (0..world.plan.cluster.vips.len() as u16).map(VipId);
    for vip in vips.filter(|v| !but.contains(v)) {
        one_host(world, &views, vip, serves)?;
    }
    Ok(())
}

fn one_ring(views: &[View], first: &View) -> Result<(), String> {
    let mut running: Vec<NodeId> = views.iter().map(|v| v.me).collect();
    running.sort();
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
        let mut members = view.members.clone();
        members.sort();
        if members != running {
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

fn one_host(world: &World, views: &[View], vip: VipId, serves: bool) -> Result<(), String> {
    let at = world.at;
    let plan = &world.plan.cluster;
    let subnet = plan.vips[vip.index()].subnet;
    let answering: Vec<NodeId> =
        world.machines.iter().filter(|m| m.answers(vip, at)).map(|m| m.id).collect();
    let number = vip.0;
    let first = &views[0];
    let can = |n: NodeId| {
        let node = &first.nodes[n.index()];
        node.member && node.duty == Duty::Open && node.able.contains(subnet)
    };
    let able = (0..plan.nodes.len() as u8)
        .map(NodeId)
        .filter(|n| can(*n) && !plan.nodes[n.index()].witness && runs_on(world, *n, vip))
        .count();
    if !serves {
        return match answering.first() {
            Some(n) => Err(format!("vip {number} answered by {} in a minority", n.0)),
            None => Ok(()),
        };
    }
    if able == 0 {
        return if answering.len() > 1 {
            Err(format!("vip {number} answered by {answering:?}"))
        } else {
            Ok(())
        };
    }
    let [host] = answering[..] else {
        return Err(format!("vip {number} answered by {answering:?}, {able} nodes could"));
    };
    if !can(host) {
        return Err(format!("vip {number} answered by node {}, which may not", host.0));
    }
    for view in views {
        let shown = &view.vips[vip.index()];
        if shown.host != Some(host) || shown.heir.is_some() || shown.next.is_some() {
            return Err(format!("node {} shows {shown:?}, answered by {}", view.me.0, host.0));
        }
    }
    Ok(())
}

fn runs_on(world: &World, node: NodeId, vip: VipId) -> bool {
    let subnet = world.plan.cluster.vips[vip.index()].subnet;
    let machine = &world.machines[node.index()];
    machine.member.is_some() && world.plan.cluster.nodes[node.index()].subnets.contains(subnet)
}

/// VIPs with persistence 3 that are not where they belong although they could be. They go home when their preferred
/// host has been able for a while, which is not part of settling.
pub fn away(world: &World) -> Vec<VipId> {
    let at = world.at;
    let Some(view) = world
        .machines
        .iter()
        .find_map(|m| m.member.as_ref().map(|member| member.view(m.clock.local(at))))
    else {
        return Vec::new();
    };
    let could = |vip: VipId, n: NodeId| {
        let node = &view.nodes[n.index()];
        let subnet = world.plan.cluster.vips[vip.index()].subnet;
        node.member
            && node.duty == Duty::Open
            && node.able.contains(subnet)
            && !world.plan.cluster.nodes[n.index()].witness
            && runs_on(world, n, vip)
    };
    let away = |vip: &&VipView| {
        vip.persistence == Persistence::Preferred
            && vip.preferred.is_some_and(|home| vip.host != Some(home) && could(vip.id, home))
    };
    view.vips.iter().filter(away).map(|v| v.id).collect()
}
