//! The audit of what checks of backends find: when nothing goes wrong any more, every view shows what every member's checks
//! found last, and of nodes that are gone only what is red and nobody knows better. Called by `settle`.

use crate::fault::Span;
use crate::plan::MS;
use crate::world::World;
use dsc_wire::health::{Checker, Verdict};
use dsc_wire::local::View;
use dsc_wire::{BackendId, NodeId, Reason};

/// Verdicts on the backends whose bit is in `has`, red if it is in `red` too.
pub fn verdicts(at: Span, has: u8, red: u8) -> Vec<Verdict> {
    let verdict = |n: u16| {
        let red = red & (1 << n) != 0;
        let reason = if red { Reason::Status { status: 500 } } else { Reason::Answered };
        Verdict { backend: BackendId(n), red, reason, since_ms: at / MS }
    };
    (0..3).filter(|n| has & (1 << n) != 0).map(verdict).collect()
}

/// A node that is gone, and what it found is still shown somewhere.
pub fn outlived(world: &World) -> Option<NodeId> {
    let views = world.machines.iter().filter_map(|m| m.view(world.at));
    let gone =
        |view: &View| view.health.iter().map(|c| c.node).find(|node| !view.members.contains(node));
    views.map(gone).find(Option::is_some).flatten()
}

/// Do all views agree, and show what was found?
pub fn agree(world: &World, views: &[&View]) -> Result<(), String> {
    let Some(first) = views.first() else { return Ok(()) };
    for view in views {
        if view.health != first.health {
            let (a, b) = (first.me.0, view.me.0);
            let (one, other) = (&first.health, &view.health);
            return Err(format!("node {a} shows the health {one:?}, node {b} {other:?}"));
        }
    }
    for view in views {
        let checked = &world.machines[view.me.index()].checked;
        let shown = first.health.iter().find(|c| c.node == view.me);
        let green = checked.iter().filter(|v| !v.red).map(|v| v.backend).collect();
        let red = checked.iter().filter(|v| v.red).copied().collect();
        let wanted =
            Checker { node: view.me, green, red, growing: Vec::new(), failing: Vec::new() };
        if shown.is_none() != checked.is_empty() || shown.is_some_and(|s| *s != wanted) {
            return Err(format!("node {} found {wanted:?}, shown is {shown:?}", view.me.0));
        }
    }
    for gone in first.health.iter().filter(|c| !first.members.contains(&c.node)) {
        let known = |v: &Verdict| {
            let members = views.iter().map(|view| &world.machines[view.me.index()].checked);
            members.flatten().any(|other| other.backend == v.backend)
        };
        if !gone.green.is_empty() || gone.red.iter().any(known) {
            return Err(format!("node {} is gone, and shown is {gone:?}", gone.node.0));
        }
    }
    Ok(())
}
