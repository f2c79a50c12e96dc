//! What the configuration means on this machine: which interface carries which subnet, which VIPs concern this node. Called
//! at the start and whenever interfaces or addresses change; it changes nothing.

use dsc_bpf::Nic;
use dsc_conf::Config;
use dsc_sys::{address, nic};
use dsc_wire::{NodeId, SubnetId, VipId};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The VIPs of the subnets that `me` has an address on. A witness has none: to it they are any machine's addresses.
pub fn vips(config: &Config, me: NodeId) -> Vec<(VipId, IpAddr, SubnetId)> {
    let node = &config.nodes[me];
    (config.vips.iter())
        .filter(|(_, vip)| !node.witness && node.address_on(vip.subnet).is_some())
        .map(|(id, vip)| (id, vip.address, vip.subnet))
        .collect()
}

/// The interfaces of the subnets of `me`, and the subnets for which there is none now.
///
/// # Errors
/// The machine's interfaces cannot be read.
pub fn nics(config: &Config, me: NodeId) -> Result<(Vec<Nic>, Vec<SubnetId>), String> {
    let machine = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (subnet, address) in (0u8..).map(SubnetId).zip(&config.nodes[me].addresses) {
        let Some(address) = address else { continue };
        match nic::carrying(&machine, *address).and_then(|nic| interface(config, nic, subnet)) {
            Some(nic) => found.push(nic),
            None => missing.push(subnet),
        }
    }
    Ok((found, missing))
}

fn interface(config: &Config, nic: &nic::Nic, subnet: SubnetId) -> Option<Nic> {
    // None if it went away since it was listed.
    let index = address::index_of(&nic.name)?;
    let forwarding = format!("/proc/sys/net/ipv6/conf/{}/forwarding", nic.name);
    let own = || nic.addresses.iter().filter(|(a, _)| config.vip_with_address(*a).is_none());
    let address4 = own().find_map(|(a, _)| match a {
        IpAddr::V4(a) => Some(*a),
        IpAddr::V6(_) => None,
    });
    let of_version6: Vec<Ipv6Addr> = own()
        .filter_map(|(a, _)| match a {
            IpAddr::V6(a) if !a.is_multicast() => Some(*a),
            _ => None,
        })
        .collect();
    // Every neighbour can answer a link-local address.
    let address6 = of_version6.iter().find(|a| a.is_unicast_link_local()).or(of_version6.first());
    Some(Nic {
        index,
        name: nic.name.clone(),
        subnet,
        mac: nic.mac?,
        router: fs::read_to_string(forwarding).is_ok_and(|text| text.trim() == "1"),
        address4: address4.filter(|a| *a != Ipv4Addr::UNSPECIFIED),
        address6: address6.copied(),
    })
}
