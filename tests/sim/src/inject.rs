//! Lets faults happen to the world and ends them all. Called by `run` at the times of the plan.

use crate::backends::Word;
use crate::fault::{Fault, Span};
use crate::machine::QUEUE_MAX;
use crate::world::{Given, World};
use dsc_wire::{NodeId, SubnetSet};

/// Lets `fault` begin now.
pub fn inject(world: &mut World, fault: &Fault) {
    let at = world.at;
    world.disturbed = at;
    world.trace.say(at, || format!("*** {fault}"));
    let until = |lasts: Span| at.saturating_add(lasts);
    match *fault {
        Fault::Pause { node, lasts } => world.machine(node).pause(until(lasts)),
        Fault::Stall { node, effects, lasts } => {
            world.machine(node).stall = Some((effects, lasts));
        }
        Fault::Crash { node, lasts } => crash(world, node, lasts),
        Fault::Kill { node, lasts } => {
            if world.machine(node).member.is_some() {
                world.machine(node).stop();
                world.start_at(until(lasts), node);
            }
        }
        Fault::Leave { node, lasts } => leave(world, node, lasts),
        Fault::Cut { from, to, subnets, both, lasts } => {
            world.network.cut(from, to, subnets, until(lasts));
            if both {
                world.network.cut(to, from, subnets, until(lasts));
            }
        }
        Fault::Acks { from, to, lasts } => world.network.lose_acks(from, to, until(lasts)),
        Fault::Loss { permille, lasts } => world.network.lose(u64::from(permille), until(lasts)),
        Fault::Slow { from, to, extra, lasts } => {
            world.network.slow(from, to, extra, until(lasts));
        }
        Fault::Queue { node, places } => world.machine(node).places = places,
        Fault::Carrier { node, subnet, lasts } => {
            world.network.unplug(node, subnet, until(lasts));
            // The monitor notices after a while, and the node's ring may find out by itself before.
            world.facts_at(at + 2_000_000, node);
            world.facts_at(until(lasts) + 2_000_000, node);
        }
        Fault::Unable { node, subnet, lasts } => {
            world.machine(node).unable[subnet.index()] = until(lasts);
            world.facts_at(at, node);
            world.facts_at(until(lasts), node);
        }
        Fault::Checked { node, has, red } => {
            world.machine(node).checked = crate::health::verdicts(at, has, red);
            world.facts_at(at, node);
        }
        Fault::Lights { node, red, unfit } => {
            world.machine(node).lights = (crate::lights::lights(at, red), SubnetSet(unfit));
            world.facts_at(at, node);
        }
        Fault::Change { node, change } => crate::configs::ask(world, node, change),
        Fault::Command { node, command } => {
            let id = world.commands.len() as u64;
            let machine = world.machine(node);
            let life = machine.life;
            if machine.member.is_some() {
                let word = Word::given(machine.view(at), command);
                world.commands.push(Given { at, node, life, command, word, result: None });
                world.give(node, dsc_ring::Input::Command { id, command });
            }
        }
    }
}

fn crash(world: &mut World, node: NodeId, lasts: Span) {
    let at = world.at;
    if !world.machine(node).on {
        return;
    }
    crate::audit::dies(world, node);
    let machine = world.machine(node);
    machine.checked.clear();
    machine.lights = Default::default();
    machine.stop();
    machine.on = false;
    machine.returns = lasts != Span::MAX;
    if lasts != Span::MAX {
        world.boot_at(at + lasts, node);
    }
}

fn leave(world: &mut World, node: NodeId, lasts: Span) {
    // Changes may have left nobody who could serve meanwhile.
    let alone = world.plan.paced && crate::configs::nodes(world).len() < 2;
    let machine = world.machine(node);
    if machine.member.is_some() && machine.leaving.is_none() && !alone {
        machine.leaving = Some(lasts);
        world.give(node, dsc_ring::Input::Leave);
    }
}

/// Ends every fault now. Nodes that were to come back do so at once; those that were to stay off do.
pub fn heal(world: &mut World) {
    let at = world.at;
    world.disturbed = at;
    world.trace.say(at, || "*** all faults end".into());
    world.network.heal();
    for node in (0..world.machines.len() as u8).map(NodeId) {
        let machine = world.machine(node);
        machine.places = QUEUE_MAX;
        machine.unable = [0; 2];
        machine.stall = None;
        if machine.paused > at {
            machine.paused = at;
            machine.wake = Span::MAX;
            machine.wake_at(at);
        }
        let (on, returns, down) = (machine.on, machine.returns, machine.member.is_none());
        if on {
            world.facts_at(at, node);
            if down {
                world.start_at(at, node);
            }
        } else if returns {
            world.boot_at(at, node);
        }
    }
}
