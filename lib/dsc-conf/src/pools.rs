//! The pools and the rules for single VIPs: every VIP inside its subnet, not taken by a node, with a host that
//! can have it.

use crate::addresses::{Row, expected_networks};
use crate::config::Vip;
use crate::draft::{Draft, SubnetDraft, VipDraft};
use crate::keys;
use crate::network::AddressRange;
use crate::problem::{Problem, Problems};
use dsc_wire::ids::VIPS_MAX;
use dsc_wire::{NodeId, Persistence, SubnetId};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

/// Every VIP in its order, with the place of the entry that made it.
pub(crate) fn check(
    draft: &Draft,
    rows: &[Row],
    problems: &mut Problems,
) -> (Vec<Vip>, Vec<Range<usize>>) {
    let mut vips: Vec<Vip> = Vec::new();
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut at: HashMap<IpAddr, usize> = HashMap::new();
    for (index, subnet) in draft.subnets.iter().enumerate() {
        for entry in &subnet.pool {
            let range = entry.get_ref();
            if !fits(subnet, entry, problems) {
                continue;
            }
            if range.count() > (VIPS_MAX - vips.len()) as u128 {
                let message = format!("{range} makes more than {VIPS_MAX} VIPs in all pools");
                let expected = format!("expected at most {} more", VIPS_MAX - vips.len());
                problems.add(Problem::at(entry.span(), message, expected));
                return (vips, places);
            }
            for address in range.iter() {
                if let Some(&earlier) = at.get(&address) {
                    let message = format!("VIP {address} is in the pools twice");
                    let expected = "expected each VIP once".to_owned();
                    let there = places[earlier].clone();
                    let problem = Problem::at(entry.span(), message, expected);
                    problems.add(problem.also(there, "it is here already"));
                    break;
                }
                at.insert(address, vips.len());
                places.push(entry.span());
                vips.push(Vip {
                    address,
                    subnet: SubnetId(index as u8),
                    preferred: None,
                    persistence: Persistence::Current,
                });
            }
        }
        hosts(draft, rows, index, subnet, problems);
    }
    for (node, row) in draft.nodes.iter().zip(rows) {
        for (address, place) in row.iter().flatten() {
            if let Some(&vip) = at.get(address) {
                let message = format!("VIP {address} is the address of node `{}`", node.called());
                let expected = "expected a pool without the nodes' own addresses";
                let problem = Problem::at(places[vip].clone(), message, expected);
                problems.add(problem.also(place.clone(), "the node's address"));
            }
        }
    }
    let mut ruled: HashMap<IpAddr, Range<usize>> = HashMap::new();
    for entry in &draft.vips {
        rule(draft, rows, entry, &at, &mut ruled, &mut vips, problems);
    }
    (vips, places)
}

/// Does the entry lie inside one network of its subnet and leave out the reserved addresses?
fn fits(subnet: &SubnetDraft, entry: &Spanned<AddressRange>, problems: &mut Problems) -> bool {
    let range = entry.get_ref();
    let inside = |a| subnet.networks.iter().find(|n| n.get_ref().contains(a));
    let (first, last) = (inside(range.first), inside(range.last));
    let Some(network) = first.filter(|n| last.is_some_and(|l| l.get_ref() == n.get_ref())) else {
        if subnet.networks_whole {
            let outside = if first.is_none() { range.first } else { range.last };
            let message = match (first, last) {
                (Some(_), Some(_)) => format!("pool range {range} spans two networks"),
                _ => format!("VIP {outside} is outside subnet `{}`", subnet.called()),
            };
            problems.add(Problem::at(entry.span(), message, expected_networks(subnet)));
        }
        return false;
    };
    for end in [range.first, range.last] {
        if let Some(what) = network.get_ref().reserved(end) {
            let message = format!("VIP {end} is {what}");
            let expected = format!("expected a machine's address in {}", network.get_ref());
            problems.add(Problem::at(entry.span(), message, expected));
            return false;
        }
    }
    true
}

/// A pool needs a node that can host it.
fn hosts(draft: &Draft, rows: &[Row], index: usize, subnet: &SubnetDraft, problems: &mut Problems) {
    let Some(first) = subnet.pool.first() else { return };
    let has_namesake = draft.subnets[..index].iter().any(|s| s.called() == subnet.called());
    let legible = draft.nodes.iter().all(|n| n.addresses_whole)
        && draft.subnets.iter().all(|s| s.name.is_some());
    let mut able =
        draft.nodes.iter().zip(rows).filter(|(n, r)| !n.is_witness() && r[index].is_some());
    if legible && !has_namesake && !draft.nodes.is_empty() && able.next().is_none() {
        let message = format!("no node can host the VIPs of subnet `{}`", subnet.called());
        let expected = "expected a node, no witness, with an address on this subnet";
        problems.add(Problem::at(first.span(), message, expected));
    }
}

/// Applies one [[vip]] entry.
fn rule(
    draft: &Draft,
    rows: &[Row],
    entry: &VipDraft,
    at: &HashMap<IpAddr, usize>,
    ruled: &mut HashMap<IpAddr, Range<usize>>,
    vips: &mut [Vip],
    problems: &mut Problems,
) {
    let Some(address) = &entry.address else { return };
    let own = *address.get_ref();
    if let Some(earlier) = ruled.insert(own, address.span()) {
        let message = format!("VIP {own} has two [[vip]] entries");
        let problem = Problem::at(address.span(), message, "expected one entry per VIP");
        problems.add(problem.also(earlier, "the first is here"));
        return;
    }
    let persistence = entry.persistence.as_ref().map_or(Persistence::Current, |p| *p.get_ref());
    if persistence == Persistence::Preferred && entry.preferred.is_none() {
        let place = entry.persistence.as_ref().map_or(address.span(), |p| p.span());
        let message = format!("VIP {own} has persistence 3 but no preferred host");
        let problem = Problem::at(place, message, "expected a key `preferred` beside it");
        problems.add(problem.help("persistence 1 keeps it with whatever node has it"));
    }
    let Some(&index) = at.get(&own) else {
        if draft.subnets.iter().all(|s| s.pool_whole && s.networks_whole) {
            let message = format!("VIP {own} is in no pool");
            let expected = "expected an address of a subnet's pool";
            problems.add(Problem::at(address.span(), message, expected));
        }
        return;
    };
    let vip = &mut vips[index];
    vip.persistence = persistence;
    if let Some(name) = &entry.preferred {
        vip.preferred = preferred(draft, rows, vip, name, problems);
    }
}

/// The node that a VIP prefers, if it can host it.
fn preferred(
    draft: &Draft,
    rows: &[Row],
    vip: &Vip,
    name: &Spanned<String>,
    problems: &mut Problems,
) -> Option<NodeId> {
    let word = name.get_ref().as_str();
    let known = || draft.nodes.iter().filter(|n| n.name.is_some()).map(|n| n.called());
    let Some(index) = draft.nodes.iter().position(|n| n.name.is_some() && n.called() == word)
    else {
        if draft.nodes.iter().all(|n| n.name.is_some()) {
            let written = word.escape_debug();
            let message =
                format!("preferred host `{written}` of VIP {} is not a node", vip.address);
            let mut problem = Problem::at(name.span(), message, "expected the name of a [[node]]");
            if let Some(near) = keys::nearest(word, known()) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            problems.add(problem);
        }
        return None;
    };
    let node = &draft.nodes[index];
    let subnet = &draft.subnets[vip.subnet.index()];
    let mut complain = |what: String, expected: String| {
        let message = format!("preferred host `{word}` of VIP {} {what}", vip.address);
        problems.add(Problem::at(name.span(), message, expected));
    };
    if node.is_witness() {
        complain("is a witness".to_owned(), "expected a node that hosts VIPs".to_owned());
    } else if rows[index][vip.subnet.index()].is_none() && node.addresses_whole {
        complain(
            format!("is not on subnet `{}`", subnet.called()),
            format!("expected a node with an address on `{}`", subnet.called()),
        );
    }
    Some(NodeId(index as u8))
}
