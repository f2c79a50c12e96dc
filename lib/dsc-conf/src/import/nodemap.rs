//! `nodemap.cfg`: the primary addresses of the nodes, a line for each node, in the order of the ring. A node that is on several
//! networks has several addresses on its line.

use super::scan;
use super::vips::{Block, address};
use crate::problem::{Problem, Problems};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

const TITLES: &[&str] = &["node map", "nodemap", "primary ip pool"];

/// A node.
pub(super) struct NodeLine {
    pub addresses: Vec<Spanned<IpAddr>>,
}

/// All nodes. Not complete if there are problems.
pub(super) fn read(text: &str, problems: &mut Problems) -> Vec<NodeLine> {
    let mut seen: HashMap<IpAddr, Range<usize>> = HashMap::new();
    let mut nodes = Vec::new();
    for line in scan::lines(text).filter(|line| !scan::is_title(line, TITLES)) {
        let mut addresses = Vec::new();
        for token in line.iter().filter(|token| token.text != ",") {
            addresses.extend(address(token, problems));
        }
        for address in &addresses {
            if let Some(earlier) = seen.insert(*address.get_ref(), address.span()) {
                let message = format!("address {} stands twice", address.get_ref());
                let problem = Problem::at(address.span(), message, "expected each address once");
                problems.add(problem.also(earlier, "the first is here"));
            }
        }
        if !addresses.is_empty() {
            nodes.push(NodeLine { addresses });
        }
    }
    if nodes.is_empty() && problems.is_empty() {
        let message = "there is no node in it".to_owned();
        problems.add(Problem::without_place(message, "expected an address on a line"));
    }
    nodes
}

/// Every address is in a network that has VIPs, and no node has two in one.
pub(super) fn place(nodes: &[NodeLine], blocks: &[Block], problems: &mut Problems) {
    for node in nodes {
        let mut taken: HashMap<usize, &Spanned<IpAddr>> = HashMap::new();
        for address in &node.addresses {
            let own = *address.get_ref();
            let Some(at) = blocks.iter().position(|b| b.network.contains(own)) else {
                let networks: Vec<String> = blocks.iter().map(|b| b.network.to_string()).collect();
                let message = format!("address {own} is in no network of vip.cfg");
                let expected = format!("expected an address in {}", networks.join(" or "));
                problems.add(Problem::at(address.span(), message, expected));
                continue;
            };
            if let Some(other) = taken.insert(at, address) {
                let message = format!(
                    "{own} and {} stand on one line, and are both in {}",
                    other.get_ref(),
                    blocks[at].network
                );
                let expected = "expected a line for each node";
                let problem = Problem::at(address.span(), message, expected);
                problems.add(problem.also(other.span(), "the other is here"));
            }
        }
    }
}
