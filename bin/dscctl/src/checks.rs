//! `check`: what the checks of nodes say, every check on every node that should make it. Called by `lib.rs`; what its rows
//! are made of also serves `status`, `node`, `metrics` and the warnings. Pure but for the one question.

use crate::ask::{self, Ask};
use crate::failure::{DONE, Failure};
use crate::names;
use crate::reads::Reader;
use crate::show::Shown;
use crate::shown::CheckRow;
use dsc_wire::health::{CheckId, NodeLight};
use dsc_wire::local::{CheckName, NodeView, View};
use dsc_wire::{Light, NodeId, NodeSet, Reason};
use std::time::Duration;

/// `check`: all of them.
pub fn show_checks(world: &dyn Ask, reader: &mut Reader) -> Result<u8, Failure> {
    let view = ask::view(world, 0, Duration::ZERO, reader.timeout)?;
    reader.print(&Shown::Checks(rows(&view, world.wall_ms())))?;
    Ok(DONE)
}

/// Check by check in the order of the configuration, node by node.
pub fn rows(view: &View, wall_ms: u64) -> Vec<CheckRow> {
    let mut rows = Vec::new();
    for (check, known) in all(view) {
        for node in view.nodes.iter().filter(|n| known.nodes.contains(n.id)) {
            let light = light(view, check, node);
            let said = (light.since_ms > 0 && light.light != Light::Green)
                .then(|| wall_ms.saturating_sub(light.since_ms) / 1000);
            rows.push(CheckRow {
                check: known.name.clone(),
                node: names::node(&view.names, node.id),
                light: light.light,
                reason: match node.member {
                    true => light.reason.to_string(),
                    false => "not in the ring".into(),
                },
                age_s: said,
                critical: known.critical.iter().map(|s| names::subnet(&view.names, s)).collect(),
                enabled: !off(view, check).contains(node.id),
            });
        }
    }
    rows
}

/// The checks that the configuration has.
pub(crate) fn all(view: &View) -> impl Iterator<Item = (CheckId, &CheckName)> {
    (0u8..).map(CheckId).zip(&view.names.checks).filter(|(_, known)| !known.name.is_empty())
}

/// What the node says of the check; yellow if it says nothing, as a node does that is not in the ring.
pub(crate) fn light(view: &View, check: CheckId, node: &NodeView) -> NodeLight {
    let said = node.lights.iter().find(|l| l.check == check).filter(|_| node.member).copied();
    let switched = off(view, check).contains(node.id);
    let reason = if switched { Reason::Disabled } else { Reason::Unknown };
    let none = NodeLight { check, light: Light::Yellow, reason, since_ms: 0 };
    said.unwrap_or(none)
}

/// On which nodes operators switched it off.
pub(crate) fn off(view: &View, check: CheckId) -> NodeSet {
    view.switches.iter().find(|s| s.check == check).map_or(NodeSet::EMPTY, |s| s.off)
}

/// One light for a node: red if any check is, green if all are; none if it makes no checks.
pub(crate) fn worst(view: &View, node: &NodeView) -> Option<Light> {
    let rank = |light: &Light| match light {
        Light::Green => 0,
        Light::Yellow => 1,
        Light::Red => 2,
    };
    of_node(view, node.id).map(|(check, _)| light(view, check, node).light).max_by_key(rank)
}

/// The checks that the node should make, by the configuration.
pub(crate) fn of_node(view: &View, node: NodeId) -> impl Iterator<Item = (CheckId, &CheckName)> {
    all(view).filter(move |(_, known)| known.nodes.contains(node))
}
