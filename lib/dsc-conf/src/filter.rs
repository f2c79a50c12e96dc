//! Checks of kind "filter" (§A.6): what packet is sent through the node, and whether it must pass.

use crate::checks::{CheckKind, FilterProtocol};
use crate::draft::{Draft, NodeDraft, SubnetDraft};
use crate::fields::Fields;
use crate::node_checks::NodeCheckDraft;
use crate::problem::{Problem, Problems};
use crate::read::ip;
use dsc_wire::{NodeId, NodeSet};
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

const PROTOCOLS: &[(&str, FilterProtocol)] =
    &[("tcp", FilterProtocol::Tcp), ("udp", FilterProtocol::Udp), ("icmp", FilterProtocol::Icmp)];
const ENDS: &[(&str, bool)] = &[("pass", true), ("drop", false)];

/// What the table says; `None` if something is missing or wrong.
pub(crate) fn read(
    own: &Fields,
    at: &Range<usize>,
    expect: Option<Spanned<String>>,
    port: Option<u16>,
    problems: &mut Problems,
) -> Option<CheckKind> {
    let mut must = |key: &str, expected: &str| {
        if own.get(key).is_none() {
            let message = format!("the check of kind filter has no `{key}`");
            problems.add(Problem::at(at.clone(), message, format!("expected {expected}")));
        }
    };
    must("from", "the address that the packet is from, such as \"10.1.0.250\"");
    must("protocol", "\"tcp\", \"udp\" or \"icmp\"");
    must("expect", "\"pass\" or \"drop\"");
    let from = own.get("from").and_then(|value| ip("from", value, problems));
    let protocol = own.choice("protocol", PROTOCOLS, problems).map(Spanned::into_inner);
    let pass = match expect {
        Some(_) => own.choice("expect", ENDS, problems).map(Spanned::into_inner),
        None => None,
    };
    let protocol = protocol?;
    if (protocol == FilterProtocol::Icmp) == own.get("port").is_some() {
        let place = own.get("port").map_or(at.clone(), |value| value.span());
        let problem = match port {
            Some(_) => Problem::at(place, "ICMP has no ports".to_owned(), "expected no `port`"),
            None => {
                let message = "the check of kind filter has no `port`".to_owned();
                Problem::at(place, message, "expected the port that the packet is for")
            }
        };
        problems.add(problem);
        return None;
    }
    Some(CheckKind::Filter { from: *from?.get_ref(), protocol, pass: pass? })
}

/// Both ends must be neighbours of every node of the check, on two subnets; or the far end is the node itself.
pub(crate) fn check(
    draft: &Draft,
    from: IpAddr,
    own: &NodeCheckDraft,
    nodes: &NodeSet,
    problems: &mut Problems,
) {
    if !draft.subnets.iter().all(|s| s.networks_whole && s.pool_whole) {
        return;
    }
    let Some(near) = neighbour(draft, from, &own.from, nodes, problems) else { return };
    let Some(to) = &own.address else { return };
    let (to, place) = (*to.get_ref(), to.span());
    if to.is_ipv6() != from.is_ipv6() {
        let message = format!("{to} and {from} are of two families");
        problems.add(Problem::at(place, message, "expected one family"));
        return;
    }
    let Some(far) = neighbour(draft, to, &place, nodes, problems) else { return };
    if std::ptr::eq(near, far) {
        let message = format!("{from} and {to} are both on subnet `{}`", near.called());
        let expected = "expected an address of another subnet, or none: the node itself";
        problems.add(Problem::at(place, message, expected));
    }
}

/// The subnet of an address that is no node's and no VIP, and which all these nodes are on.
fn neighbour<'a>(
    draft: &'a Draft,
    address: IpAddr,
    place: &Range<usize>,
    nodes: &NodeSet,
    problems: &mut Problems,
) -> Option<&'a SubnetDraft> {
    let mut complain = |message: String, expected: &str| {
        problems.add(Problem::at(place.clone(), message, expected));
        None
    };
    let within = |s: &&SubnetDraft| s.networks.iter().any(|n| n.get_ref().contains(address));
    let Some(subnet) = draft.subnets.iter().find(within) else {
        return complain(format!("{address} is on no subnet"), "expected a neighbour of the nodes");
    };
    if subnet
        .pool
        .iter()
        .any(|range| (range.get_ref().first..=range.get_ref().last).contains(&address))
    {
        return complain(format!("{address} is a VIP"), "expected an address of another machine");
    }
    let has = |n: &&NodeDraft| n.addresses.iter().any(|(_, a)| *a.get_ref() == address);
    if let Some(node) = draft.nodes.iter().find(has) {
        let message = format!("{address} is node `{}`", node.called());
        return complain(message, "expected an address of another machine");
    }
    let is_on = |n: &NodeDraft| {
        !n.addresses_whole || n.addresses.iter().any(|(s, _)| s.get_ref() == subnet.called())
    };
    let all = (0u8..).map(NodeId).zip(&draft.nodes).filter(|(id, _)| nodes.contains(*id));
    if let Some((_, off)) = all.into_iter().find(|(_, node)| !is_on(node)) {
        let message = format!(
            "{address} is on subnet `{}`, but node `{}` is not",
            subnet.called(),
            off.called()
        );
        return complain(message, "expected neighbours of all `nodes` of the check");
    }
    Some(subnet)
}

/// As it is written in a file.
pub(crate) fn values(from: IpAddr, protocol: FilterProtocol, pass: bool) -> [String; 3] {
    let protocol = PROTOCOLS.iter().find(|(_, p)| *p == protocol).map_or("", |(word, _)| word);
    let expect = ENDS.iter().find(|(_, p)| *p == pass).map_or("", |(word, _)| word);
    [
        format!("from = \"{from}\""),
        format!("protocol = \"{protocol}\""),
        format!("expect = \"{expect}\""),
    ]
}
