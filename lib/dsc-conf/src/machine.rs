//! The configuration against the machine it is on. The caller brings the list of addresses; nothing is asked
//! of the system here.

use crate::config::{Config, Node, Subnet};
use crate::network::Network;
use crate::problem::{Problem, Problems};
use dsc_wire::{NodeId, SubnetId};
use std::net::IpAddr;
use std::ops::Range;

/// The interface on which DSC itself keeps every VIP; VIPs there are its own.
const LOOPBACK: &str = "lo";

impl Config {
    /// What contradicts the machine, if it is to be `node` and has these addresses (interface, address, prefix
    /// length): a missing address, a wrong prefix length, a VIP that another program configured. Empty if all is well.
    pub fn check_machine(&self, node: NodeId, own: &[(String, IpAddr, u8)]) -> Problems {
        let mut problems = Problems::none(&self.source.file, self.source.text.clone());
        let Some(plan) = self.nodes.get(node) else { return problems };
        for (index, address) in plan.addresses.iter().enumerate() {
            let Some(address) = address else { continue };
            let subnet = &self.subnets[SubnetId(index as u8)];
            let places = self.source.node_addresses.get(node.index());
            let place = places.and_then(|p| p.get(index)).cloned().flatten();
            if let Some(problem) = address_problem(plan, subnet, *address, place, own) {
                problems.add(problem);
            }
        }
        for (interface, address, prefix) in own.iter().filter(|(i, ..)| i != LOOPBACK) {
            let Some(vip) = self.vip_with_address(*address) else { continue };
            let message = format!("VIP {address} is configured on {interface} of this machine");
            let expected = "expected VIPs on no interface but lo, where dsc-fwd puts them";
            problems.add(
                placed(self.source.vips.get(vip.index()).cloned(), message, expected.to_owned())
                    .help(format!(
                        "find what configures it (keepalived, a network configuration?), then: \
                         ip address del {address}/{prefix} dev {interface}"
                    )),
            );
        }
        problems.sorted()
    }
}

fn address_problem(
    node: &Node,
    subnet: &Subnet,
    address: IpAddr,
    place: Option<Range<usize>>,
    own: &[(String, IpAddr, u8)],
) -> Option<Problem> {
    let network = subnet.networks.iter().find(|n| n.contains(address))?;
    let who = format!("address {address} of node `{}` on subnet `{}`", node.name, subnet.name);
    let Some((interface, _, prefix)) = own.iter().find(|(_, a, _)| *a == address) else {
        let message = format!("no interface of this machine has {who}");
        let on_it = own.iter().find(|(i, a, _)| i != LOOPBACK && network.contains(*a));
        let problem = placed(
            place,
            message,
            format!("expected {address}/{} on an interface", network.prefix),
        );
        return Some(match on_it {
            Some((interface, other, _)) => problem.help(format!(
                "{interface} has {other}, which is in {network}: is this another node?"
            )),
            None => problem.help("is the interface up and configured?"),
        });
    };
    if interface == LOOPBACK {
        let message = format!("{who} is on {LOOPBACK}");
        let expected = "expected it on the interface that carries the subnet".to_owned();
        return Some(placed(place, message, expected));
    }
    if *prefix != network.prefix {
        let found = Network::around(address, *prefix).map_or(String::new(), |n| n.to_string());
        let message = format!("{who} has prefix length {prefix} on {interface}: that is {found}");
        let expected = format!("expected prefix length {}, as in {network}", network.prefix);
        return Some(placed(place, message, expected));
    }
    None
}

fn placed(place: Option<Range<usize>>, message: String, expected: String) -> Problem {
    match place {
        Some(place) => Problem::at(place, message, expected),
        None => Problem::without_place(message, expected),
    }
}
