//! The audit of the states that operators give to backends: what was done is in every member's view, and as long as one of
//! those members lives it is not lost, only followed by something later. Called by `audit` when a command is done and by
//! `settle` when all views must agree.

use crate::world::{Violation, World};
use dsc_wire::local::{BackendView, Command, View};
use dsc_wire::{BackendId, BackendState, NodeId};

/// A change that was done.
#[derive(Clone, Debug)]
pub struct Done {
    what: BackendView,
    /// Who showed it then, or something later, and in which life.
    by: Vec<(NodeId, u32)>,
}

fn shown(view: &View, backend: BackendId) -> Option<BackendView> {
    view.backends.iter().find(|b| b.id == backend).copied()
}

/// Is `that` what was changed, or later?
fn has(that: Option<BackendView>, what: BackendView) -> bool {
    let order = |b: BackendView| {
        let state = match b.state {
            BackendState::Enabled => 0,
            BackendState::Draining => 1,
            BackendState::Disabled => 2,
        };
        (b.changed_ms, b.by, state)
    };
    that.is_some_and(|that| order(that) >= order(what))
}

/// A command that `node` was given is done. One whose end was told `late`, after a stall, says nothing about the views of
/// now.
pub fn done(
    world: &mut World,
    node: NodeId,
    command: Command,
    late: bool,
) -> Result<(), Violation> {
    let Command::Backend { backend, state } = command else { return Ok(()) };
    let at = world.at;
    let Some(own) = world.machines[node.index()].view(at) else { return Ok(()) };
    let Some(what) = shown(own, backend) else {
        return Err(format!("{command:?} is done, but node {} shows no state", node.0));
    };
    if what.state != state {
        // A later command at the same node, in the same turn.
        return Ok(());
    }
    let mut by = Vec::new();
    for machine in &world.machines {
        let Some(view) = machine.view(at) else { continue };
        let that = shown(view, backend);
        if has(that, what) {
            by.push((machine.id, machine.life));
        } else if !late
            && view.key.epoch == own.key.epoch
            && view.members.contains(&machine.id)
            && that.is_none_or(|that| that.state != state)
        {
            let (other, all) = (machine.id.0, &view.backends);
            return Err(format!("{command:?} is done, but node {other} shows {all:?}"));
        }
    }
    world.done.push(Done { what, by });
    Ok(())
}

/// Do all views agree, and does none show less than was done?
pub fn agree(world: &World, views: &[&View]) -> Result<(), String> {
    let Some(first) = views.first() else { return Ok(()) };
    for view in views {
        if view.backends != first.backends {
            let (a, b) = (first.me.0, view.me.0);
            let (one, other) = (&first.backends, &view.backends);
            return Err(format!("node {a} shows the states {one:?}, node {b} {other:?}"));
        }
    }
    for Done { what, by } in &world.done {
        let lives = |(node, life): &(NodeId, u32)| {
            let machine = &world.machines[node.index()];
            machine.on && machine.member.is_some() && machine.life == *life
        };
        if by.iter().any(lives) && !has(shown(first, what.id), *what) {
            return Err(format!("{what:?} was done, seen by {by:?}, and is lost"));
        }
    }
    Ok(())
}
