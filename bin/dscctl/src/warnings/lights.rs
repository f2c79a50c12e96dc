//! Warnings about checks of nodes: one line for each light that is red or that operators put out, one for each node that
//! should not host on a subnet for no red light (its hold-down), one for each subnet on which no node should.

use super::{ago, warning};
use crate::checks;
use crate::names::{self, node as node_name, subnet as subnet_name};
use crate::shown::Warning;
use dsc_wire::local::{Duty, NodeView, View};
use dsc_wire::{Light, SubnetId};

pub const RED: &str = "check-red";
pub const DISABLED: &str = "check-disabled";
pub const UNFIT: &str = "node-unfit";
pub const ALL_UNFIT: &str = "subnet-unfit";

/// Adds them for the nodes for which `about` is true; those about subnets if `everywhere`.
pub(super) fn find(
    view: &View,
    wall_ms: u64,
    everywhere: bool,
    about: impl Fn(&NodeView) -> bool,
    found: &mut Vec<Warning>,
) {
    let members = || view.nodes.iter().filter(|n| n.member && about(n));
    for subnet in SubnetId::all().filter(|_| everywhere) {
        of_subnet(view, subnet, found);
    }
    for node in members() {
        of_node(view, node, wall_ms, found);
    }
    for (check, known) in checks::all(view) {
        let off = view.nodes.iter().filter(|n| about(n));
        let off =
            off.filter(|n| known.nodes.contains(n.id) && checks::off(view, check).contains(n.id));
        let off: Vec<String> = off.map(|n| node_name(&view.names, n.id)).collect();
        if !off.is_empty() {
            let switch = view.switches.iter().find(|s| s.check == check);
            let ago = ago(wall_ms.saturating_sub(switch.map_or(wall_ms, |s| s.changed_ms)));
            let text = format!(
                "check {} was switched off by an operator {ago}, on {}",
                known.name,
                names::list(off.into_iter())
            );
            found.push(warning(DISABLED, known.name.clone(), text));
        }
    }
}

/// Lights do not decide there (rule 22), and nobody who looks at the VIPs could tell why they do not move.
fn of_subnet(view: &View, subnet: SubnetId, found: &mut Vec<Warning>) {
    let could = |n: &&NodeView| n.member && n.duty == Duty::Open && n.able.contains(subnet);
    let mut could = view.nodes.iter().filter(could).peekable();
    if could.peek().is_some() && could.all(|n| n.unfit.contains(subnet)) {
        let name = subnet_name(&view.names, subnet);
        let text = format!(
            "{name}: critical checks are red on every node that could host: the VIPs stay where they are"
        );
        found.push(warning(ALL_UNFIT, name, text));
    }
}

fn of_node(view: &View, node: &NodeView, wall_ms: u64, found: &mut Vec<Warning>) {
    let name = node_name(&view.names, node.id);
    let mut waits = node.unfit;
    for (check, known) in checks::of_node(view, node.id) {
        let light = checks::light(view, check, node);
        if light.light != Light::Red {
            continue;
        }
        let critical: Vec<String> =
            known.critical.iter().map(|s| subnet_name(&view.names, s)).collect();
        known.critical.iter().for_each(|s| waits.remove(s));
        let since = ago(wall_ms.saturating_sub(light.since_ms));
        let so = match critical.len() {
            0 => String::new(),
            _ => format!("; critical for {}", critical.join(", ")),
        };
        let text = format!("{name}: check {} is red: {}, {since}{so}", known.name, light.reason);
        found.push(warning(RED, name.clone(), text));
    }
    if !waits.is_empty() {
        let on: Vec<String> = waits.iter().map(|s| subnet_name(&view.names, s)).collect();
        let text = format!(
            "{name} takes no VIP on {} yet: a critical check was red and has not been green for long enough",
            on.join(", ")
        );
        found.push(warning(UNFIT, name, text));
    }
}
