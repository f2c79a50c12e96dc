//! keepalived on the same nodes, for comparison: one VRRP instance per virtual address, spread over the nodes by
//! priority, everything else as keepalived comes.

use crate::topology::{Plan, Subnet};
use std::fmt::Write as _;

/// VRRP's router number is one byte, not zero.
pub const INSTANCES_MAX: usize = 255;
/// Priority that beats every other: for a move on purpose.
const PRIORITY_MOVED: usize = 254;
/// Priority of the node that an instance belongs to.
const PRIORITY_BEST: usize = 200;

/// The node that an instance prefers.
pub fn preferred(plan: &Plan, vip: usize) -> usize {
    vip % plan.nodes
}

/// Configuration of one node. `moved` names addresses that were moved on purpose, with their new nodes.
pub fn config(plan: &Plan, node: usize, advert_ms: u32, moved: &[(usize, usize)]) -> String {
    let mut text =
        format!("global_defs {{\n    router_id {}\n    vrrp_version 3\n}}\n", plan.node(node));
    for (k, vip) in plan.vip_list().into_iter().enumerate().take(INSTANCES_MAX) {
        let distance = (node + plan.nodes - preferred(plan, k)) % plan.nodes;
        let priority = if moved.contains(&(k, node)) {
            PRIORITY_MOVED
        } else {
            PRIORITY_BEST - distance * (PRIORITY_BEST - 20) / plan.nodes
        };
        let interface = vip.subnet.interface();
        let prefix = if vip.address.is_ipv4() { 32 } else { 128 };
        let source = if vip.address.is_ipv6() {
            format!("        {}/64 dev {interface}\n", link_local(vip.subnet, k))
        } else {
            String::new()
        };
        let _ = write!(
            text,
            "vrrp_instance V{k} {{\n    state BACKUP\n    interface {interface}\n    virtual_router_id {}\n    priority {priority}\n    advert_int {}\n    virtual_ipaddress {{\n{source}        {}/{prefix} dev {interface}\n    }}\n}}\n",
            k + 1,
            f64::from(advert_ms) / 1000.0,
            vip.address,
        );
    }
    text
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
