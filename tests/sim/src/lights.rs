//! The audit of lights: when nothing goes wrong any more, every view shows what every member's checks say of it, and nobody
//! hosts where a critical check of its own is red while another could. Called by `settle`.

use crate::fault::Span;
use crate::plan::MS;
use crate::world::World;
use dsc_wire::health::{CheckId, NodeLight};
use dsc_wire::local::View;
use dsc_wire::{Light, NodeId, Reason, SubnetId};

/// Three checks, each red if its bit is set, else green.
pub fn lights(at: Span, red: u8) -> Vec<NodeLight> {
    let light = |n: u8| {
        let (light, reason, since_ms) = match red & (1 << n) {
            0 => (Light::Green, Reason::Answered, 0),
            _ => (Light::Red, Reason::Exit { status: 2 }, at / MS),
        };
        NodeLight { check: CheckId(n), light, reason, since_ms }
    };
    (0..3).map(light).collect()
}

/// Do all views show what each member's checks say?
pub fn agree(world: &World, views: &[&View]) -> Result<(), String> {
    for view in views {
        for member in views {
            let (lights, unfit) = &world.machines[member.me.index()].lights;
            let shown = &view.nodes[member.me.index()];
            if (&shown.lights, &shown.unfit) != (lights, unfit) {
                return Err(format!(
                    "node {} shows {:?} and {:?} of node {}, which has {lights:?} and {unfit:?}",
                    view.me.0, shown.lights, shown.unfit, member.me.0
                ));
            }
        }
    }
    Ok(())
}

/// Should the node rather not host on the subnet?
pub fn unfit(view: &View, node: NodeId, subnet: SubnetId) -> bool {
    view.nodes.get(node.index()).is_some_and(|n| n.unfit.contains(subnet))
}
