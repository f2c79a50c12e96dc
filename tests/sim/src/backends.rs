//! The audit of the states that operators give to backends: what was done is in every member's view, and as long as one of
//! those members lives it is not lost, only followed by something later. Called by `audit` when a command is done and by
//! `settle` when all views must agree.

use crate::world::{Given, Violation, World};
use dsc_ringd::member::Effect;
use dsc_wire::local::{BackendView, Command, View};
use dsc_wire::{BackendId, BackendState, Epoch, NodeId};

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

/// What is to be known of a command from the very step that worked on it: the next packet of the same turn may bring
/// another formation, or another's later word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Word {
    /// What its node showed when it was given.
    before: Option<BackendView>,
    /// What it made of that, or of another command in the same step.
    made: Option<BackendView>,
    /// The formation in which it was done.
    epoch: Option<Epoch>,
}

impl Word {
    /// `command` is given to the node that shows `view`.
    pub fn given(view: Option<&View>, command: Command) -> Word {
        let Command::Backend { backend, .. } = command else { return Word::default() };
        Word { before: view.and_then(|view| shown(view, backend)), ..Word::default() }
    }
}

/// A node in one of its lives took one step of its turn, in which it said `effects`.
pub fn step(
    commands: &mut [Given],
    run: (NodeId, u32),
    effects: &[Effect],
    view: impl Fn() -> View,
) {
    for (number, given) in commands.iter_mut().enumerate() {
        let Command::Backend { backend, .. } = given.command else { continue };
        if (given.node, given.life) != run || given.word.epoch.is_some() {
            continue;
        }
        let view = view();
        let later = |that: &BackendView| !given.word.before.is_some_and(|b| has(Some(b), *that));
        let own = shown(&view, backend).filter(|b| b.by == run.0);
        given.word.made = given.word.made.or(own.filter(later));
        let done = |e: &Effect| matches!(e, Effect::Done { id, .. } if *id == number as u64);
        if effects.iter().any(done) {
            given.word.epoch = Some(view.key.epoch);
        }
    }
}

/// A command that a node was given is done. One whose end was told `late`, after a stall, says nothing about the views of
/// now.
pub fn done(world: &mut World, given: &Given, late: bool) -> Result<(), Violation> {
    let Command::Backend { backend, .. } = given.command else { return Ok(()) };
    let Some(what) = given.word.made else {
        return Err(format!("{given:?} is done, but its node showed no such state"));
    };
    let at = world.at;
    let mut by = Vec::new();
    for machine in &world.machines {
        let Some(view) = machine.view(at) else { continue };
        if has(shown(view, backend), what) {
            by.push((machine.id, machine.life));
        } else if !late
            && Some(view.key.epoch) == given.word.epoch
            && view.members.contains(&machine.id)
        {
            let (other, all) = (machine.id.0, &view.backends);
            return Err(format!("{given:?} is done, but node {other} shows {all:?}"));
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
