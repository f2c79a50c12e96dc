//! The switch, its bridges, and the cables to every machine. Called when a lab comes up and when a node is put
//! back after a crash; later changes to cables are faults and belong to `fault.rs`.

use crate::error::Result;
use crate::lab::Lab;
use crate::topology::{CLIENT_ADDRESSES, Machine, PREFIX4, Plan, Subnet, mac_text};
use std::fmt::Write as _;

/// Bridges that forward at once, flood multicast like a plain switch, and are not filtered by iptables.
///
/// # Errors
/// A command failed; its words are in the error.
pub fn make_switch(lab: &Lab) -> Result<()> {
    lab.switch.sysctl(&[("net/ipv6/conf/default/disable_ipv6", "1")])?;
    let mut batch = String::from("link set lo up\n");
    for subnet in &lab.plan.subnets {
        let name = subnet.name();
        let _ = writeln!(
            batch,
            "link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set {name} up"
        );
    }
    lab.switch.run_with(&["ip", "-batch", "-"], &batch)?;
    // Only where the module br_netfilter is loaded do bridged frames meet iptables, and only there are these.
    if std::path::Path::new("/proc/sys/net/bridge").exists() {
        lab.switch.sysctl(&[
            ("net/bridge/bridge-nf-call-iptables", "0"),
            ("net/bridge/bridge-nf-call-ip6tables", "0"),
            ("net/bridge/bridge-nf-call-arptables", "0"),
        ])?;
    }
    // An empty table from the start: a cut between two nodes is then one rule in one transaction.
    let table =
        "add table bridge lab\nadd chain bridge lab cut { type filter hook forward priority 0; }\n";
    lab.switch.run_with(&["nft", "-f", "-"], table).map(drop)
}

/// Connects a machine: a cable per interface, addresses, routes, kernel settings.
///
/// # Errors
/// A command failed; its words are in the error.
pub fn attach(lab: &Lab, machine: &Machine) -> Result<()> {
    let space = lab.space(&machine.name)?;
    let is_node = lab.plan.node_index(&machine.name).is_ok();
    // Addresses must work at once: no duplicate-address detection, nothing learned from routers.
    space.sysctl(&[
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv4/conf/all/accept_redirects", "0"),
        ("net/ipv4/conf/default/accept_redirects", "0"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
    ])?;
    let mut switch = String::new();
    let mut inside = String::from("link set lo up\n");
    for (subnet, interface) in &machine.interfaces {
        let port = machine.port(*subnet);
        let mac = mac_text(machine.mac(*subnet));
        let holder = space.holder.pid;
        let _ = writeln!(
            switch,
            "link add name {port} type veth peer name {interface} address {mac} netns {holder}\nlink set dev {port} master {} up",
            subnet.name()
        );
        let _ = writeln!(
            inside,
            "link set dev {interface} up\naddr add {}/{PREFIX4} brd + dev {interface}\naddr add {}/64 dev {interface} nodad",
            subnet.v4(machine.low),
            subnet.v6(machine.low)
        );
    }
    if machine.name == "client" && lab.plan.services {
        for k in 0..usize::from(CLIENT_ADDRESSES) {
            for (v6, prefix) in [(false, u32::from(PREFIX4)), (true, 64)] {
                let address = Plan::client_address(k, v6);
                let _ = writeln!(inside, "addr add {address}/{prefix} dev eth0");
            }
        }
    }
    lab.switch.run_with(&["ip", "-batch", "-"], &switch)?;
    inside.push_str(&routes(lab, machine));
    space.run_with(&["ip", "-batch", "-"], &inside)?;
    if is_node && lab.plan.hosts > 0 {
        space.sysctl(&[("net/ipv4/ip_forward", "1")])?;
    }
    if is_node && lab.plan.vips6_int > 0 {
        space.sysctl(&[("net/ipv6/conf/all/forwarding", "1")])?;
    }
    Ok(())
}

/// Hosts behind reach the client through an internal VIP, and the client them through an external one, unless it is to know
/// no address from inside.
fn routes(lab: &Lab, machine: &Machine) -> String {
    let route = |to: &str, subnet: Subnet, v6: bool| {
        let via = lab.plan.gateway(subnet, v6);
        via.map(|via| format!("route add {to} via {via}\n")).unwrap_or_default()
    };
    match machine.name.as_bytes()[0] {
        b'h' => route("default", Subnet::Int, false) + &route("::/0", Subnet::Int, true),
        b'c' if lab.plan.hosts > 0 && !lab.plan.source_nat => {
            let v6 = if lab.plan.vips6_int > 0 {
                route("fd00:2::/64", Subnet::Ext, true)
            } else {
                String::new()
            };
            route(&format!("10.2.0.0/{PREFIX4}"), Subnet::Ext, false) + &v6
        }
        _ => String::new(),
    }
}

/// Removes a machine's cables, both ends.
///
/// # Errors
/// A command failed; its words are in the error.
pub fn detach(lab: &Lab, machine: &Machine) -> Result<()> {
    let mut batch = String::new();
    for (subnet, _) in &machine.interfaces {
        let _ = writeln!(batch, "link del dev {}", machine.port(*subnet));
    }
    lab.switch.run_with(&["ip", "-batch", "-"], &batch).map(drop)
}
