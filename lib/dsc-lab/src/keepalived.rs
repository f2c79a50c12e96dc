//! keepalived on the same nodes, for comparison: one VRRP instance per virtual address, spread over the nodes by
//! priority (with conntrackd all on one node), everything else as keepalived comes.

use crate::peers;
use crate::topology::{Beside, Plan, Subnet};
use std::fmt::Write as _;

/// VRRP's router number is one byte, not zero.
pub const INSTANCES_MAX: usize = 255;
/// Priority that beats every other: for a move on purpose.
const PRIORITY_MOVED: usize = 254;
/// Priority of the node that an instance belongs to.
const PRIORITY_BEST: usize = 200;

/// The node that an instance prefers. Connections through conntrackd need one node for all addresses: what comes
/// back must pass the node that sent it on.
pub fn preferred(plan: &Plan, vip: usize) -> usize {
    if together(plan) { 0 } else { vip % plan.nodes }
}

/// Do all addresses move as one?
fn together(plan: &Plan) -> bool {
    plan.system.beside() == Beside::Conntrackd
}

/// Configuration of one node. `moved` names addresses that were moved on purpose, with their new nodes.
pub fn config(plan: &Plan, node: usize, advert_ms: u32, moved: &[(usize, usize)]) -> String {
    let mut text =
        format!("global_defs {{\n    router_id {}\n    vrrp_version 3\n}}\n", plan.node(node));
    if together(plan) {
        text.push_str(&sync_group(plan));
    }
    for (k, vip) in plan.vip_list().into_iter().enumerate().take(INSTANCES_MAX) {
        let distance = (node + plan.nodes - preferred(plan, k)) % plan.nodes;
        let asked = |(vip, to): &(usize, usize)| *to == node && (*vip == k || together(plan));
        let is_moved = moved.iter().any(asked);
        let priority = if is_moved {
            PRIORITY_MOVED
        } else {
            PRIORITY_BEST - distance * (PRIORITY_BEST - 20) / plan.nodes
        };
        // A node that comes back has no connections yet: it must not take the addresses from one that has.
        let stays = if together(plan) && !is_moved { "    nopreempt\n" } else { "" };
        let interface = vip.subnet.interface();
        let prefix = if vip.address.is_ipv4() { 32 } else { 128 };
        let source = if vip.address.is_ipv6() {
            format!("        {}/64 dev {interface}\n", link_local(vip.subnet, k))
        } else {
            String::new()
        };
        let _ = write!(
            text,
            "vrrp_instance V{k} {{\n    state BACKUP\n    interface {interface}\n    virtual_router_id {}\n    priority {priority}\n{stays}    advert_int {}\n    virtual_ipaddress {{\n{source}        {}/{prefix} dev {interface}\n    }}\n}}\n",
            k + 1,
            f64::from(advert_ms) / 1000.0,
            vip.address,
        );
    }
    text
}

/// All instances change state together, and tell conntrackd.
fn sync_group(plan: &Plan) -> String {
    let count = plan.vip_list().len().min(INSTANCES_MAX);
    let group: String = (0..count).map(|k| format!("        V{k}\n")).collect();
    let script = peers::NOTIFY_SCRIPT;
    format!(
        "vrrp_sync_group ALL {{\n    group {{\n{group}    }}\n    notify_master \"{script} primary\" root\n    notify_backup \"{script} backup\" root\n    notify_fault \"{script} fault\" root\n}}\n"
    )
}

/// VRRP for IPv6 wants a link-local virtual address first.
fn link_local(subnet: Subnet, vip: usize) -> String {
    format!("fe80::{}:{:x}", subnet.interface().len(), vip + 0x100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_one_best_node_and_all_priorities_differ() {
        let plan = Plan { nodes: 16, ..Plan::default() };
        let configs: Vec<String> = (0..16).map(|n| config(&plan, n, 50, &[])).collect();
        for k in 0..plan.vip_list().len() {
            let mut priorities: Vec<(usize, usize)> = configs
                .iter()
                .enumerate()
                .map(|(n, text)| {
                    let instance = &text[text.find(&format!("vrrp_instance V{k} ")).unwrap()..];
                    let line = instance.lines().find(|l| l.contains("priority")).unwrap();
                    (line.split_whitespace().last().unwrap().parse().unwrap(), n)
                })
                .collect();
            priorities.sort();
            assert_eq!(priorities.last().unwrap().1, preferred(&plan, k));
            priorities.dedup_by_key(|p| p.0);
            assert_eq!(priorities.len(), 16);
        }
    }
}
