//! The nodes' addresses against the subnets and against each other.

use crate::draft::{Draft, NodeDraft, SubnetDraft};
use crate::keys;
use crate::problem::{Problem, Problems};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

/// A node's address on each subnet, with its place.
pub(crate) type Row = Vec<Option<(IpAddr, Range<usize>)>>;

/// The address of every node on every subnet.
pub(crate) fn check(draft: &Draft, problems: &mut Problems) -> Vec<Row> {
    let mut owners: HashMap<IpAddr, (&str, Range<usize>)> = HashMap::new();
    let mut rows = Vec::new();
    for node in &draft.nodes {
        let mut row: Row = vec![None; draft.subnets.len()];
        for (name, address) in &node.addresses {
            let Some(index) = subnet_named(draft, name, problems) else { continue };
            let own = *address.get_ref();
            if let Some((owner, place)) = owners.get(&own) {
                let message = if *owner == node.called() {
                    format!("node `{owner}` has address {own} twice")
                } else {
                    format!("nodes `{owner}` and `{}` have the same address {own}", node.called())
                };
                let expected = "expected an address that no other node has";
                problems.add(
                    Problem::at(address.span(), message, expected)
                        .also(place.clone(), "it is used here"),
                );
                continue;
            }
            owners.insert(own, (node.called(), address.span()));
            inside(node, &draft.subnets[index], address, problems);
            row[index] = Some((own, address.span()));
        }
        rows.push(row);
    }
    for (index, subnet) in draft.subnets.iter().enumerate() {
        one_network(draft, &rows, index, subnet, problems);
    }
    connected(draft, &rows, problems);
    rows
}

/// Position of the subnet of this name; an unknown one is reported.
fn subnet_named(draft: &Draft, name: &Spanned<String>, problems: &mut Problems) -> Option<usize> {
    let word = name.get_ref().as_str();
    let found = draft.subnets.iter().position(|s| s.name.is_some() && s.called() == word);
    if found.is_none() && draft.subnets.iter().all(|s| s.name.is_some()) {
        let known: Vec<&str> = draft.subnets.iter().map(SubnetDraft::called).collect();
        let expected = match known.as_slice() {
            [] => "expected a [[subnet]] of this name".to_owned(),
            names => format!("expected one of {}", names.join(", ")),
        };
        let message = format!("subnet `{}` is not known", word.escape_debug());
        let mut problem = Problem::at(name.span(), message, expected);
        if let Some(near) = keys::nearest(word, known.into_iter()) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        problems.add(problem);
    }
    found
}

/// Is the address one that a machine of this subnet may have?
fn inside(
    node: &NodeDraft,
    subnet: &SubnetDraft,
    address: &Spanned<IpAddr>,
    problems: &mut Problems,
) {
    let own = *address.get_ref();
    let who = format!("address {own} of node `{}`", node.called());
    match subnet.networks.iter().find(|n| n.get_ref().contains(own)) {
        Some(network) => {
            if let Some(what) = network.get_ref().reserved(own) {
                let message = format!("{who} is {what}");
                let expected = format!("expected a machine's address in {}", network.get_ref());
                problems.add(Problem::at(address.span(), message, expected));
            }
        }
        None if subnet.networks_whole => {
            let message = format!("{who} is outside subnet `{}`", subnet.called());
            problems.add(Problem::at(address.span(), message, expected_networks(subnet)));
        }
        None => {}
    }
}

/// "expected an address in A or B".
pub(crate) fn expected_networks(subnet: &SubnetDraft) -> String {
    let networks: Vec<String> = subnet.networks.iter().map(|n| n.get_ref().to_string()).collect();
    format!("expected an address in {}", networks.join(" or "))
}

/// All nodes talk to each other directly on a subnet, so their addresses must lie in one of its networks.
fn one_network(
    draft: &Draft,
    rows: &[Row],
    index: usize,
    subnet: &SubnetDraft,
    problems: &mut Problems,
) {
    let network_of = |a: IpAddr| subnet.networks.iter().find(|n| n.get_ref().contains(a));
    let mut first: Option<(&str, &Spanned<_>, Range<usize>)> = None;
    for (node, row) in draft.nodes.iter().zip(rows) {
        let Some((address, place)) = &row[index] else { continue };
        let Some(network) = network_of(*address) else { continue };
        match &first {
            None => first = Some((node.called(), network, place.clone())),
            Some((other, theirs, there)) if theirs.get_ref() != network.get_ref() => {
                let message = format!(
                    "nodes `{other}` and `{}` cannot reach each other on subnet `{}`: \
                     their addresses are in different networks",
                    node.called(),
                    subnet.called()
                );
                let expected = format!("expected an address in {}", theirs.get_ref());
                problems.add(
                    Problem::at(place.clone(), message, expected)
                        .also(there.clone(), format!("{other} is in {}", theirs.get_ref())),
                );
            }
            Some(_) => {}
        }
    }
}

/// Every node must be reachable from the first over shared subnets, or there can be no ring of all.
fn connected(draft: &Draft, rows: &[Row], problems: &mut Problems) {
    let legible = draft.nodes.iter().all(|n| n.addresses_whole)
        && draft.subnets.iter().all(|s| s.name.is_some());
    if rows.len() < 2 || !legible {
        return;
    }
    let shared = |a: &Row, b: &Row| a.iter().zip(b).any(|(x, y)| x.is_some() && y.is_some());
    let mut reached = vec![false; rows.len()];
    let mut open = vec![0];
    reached[0] = true;
    while let Some(from) = open.pop() {
        for to in 0..rows.len() {
            if !reached[to] && shared(&rows[from], &rows[to]) {
                reached[to] = true;
                open.push(to);
            }
        }
    }
    for (index, node) in draft.nodes.iter().enumerate() {
        let island = rows[index].iter().all(|a| a.is_none());
        if reached[index] || island {
            continue;
        }
        let lonely = (0..rows.len()).all(|o| o == index || !shared(&rows[index], &rows[o]));
        let message = if lonely {
            format!("node `{}` shares no subnet with any other node", node.called())
        } else {
            format!("no path of shared subnets leads from node `{}` to the first", node.called())
        };
        problems.add(Problem::at(
            node.name.as_ref().map_or(node.at.clone(), |n| n.span()),
            message,
            "expected an address on a subnet where other nodes are",
        ));
    }
}
