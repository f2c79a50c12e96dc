//! The tables [[check]]: what the nodes try of themselves and of their surroundings. From text to values; compared with nodes and
//! subnets here, which no later part of the file needs.

use crate::checks::{CheckKind, NodeCheck};
use crate::config::Config;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::filter;
use crate::keys;
use crate::problem::{Problem, Problems};
use crate::read::{ip, legal_name};
use crate::services::probe::{self, Kind, NODE_KINDS};
use dsc_wire::health::CHECKS_MAX;
use dsc_wire::{NodeId, NodeSet, SubnetId, SubnetSet};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeTable;

/// One as it is written.
pub(crate) struct NodeCheckDraft {
    pub at: Range<usize>,
    pub name: Option<Spanned<String>>,
    /// Where it says what packets are from.
    pub from: Range<usize>,
    nodes: Option<Vec<Spanned<String>>>,
    critical: Option<Spanned<String>>,
    hold_down_s: i64,
    kind: Option<Kind>,
    check: Option<crate::Check>,
    pub address: Option<Spanned<IpAddr>>,
    subnet: Option<Spanned<String>>,
}

/// All of them.
pub(crate) fn read(file: &Fields, problems: &mut Problems) -> Vec<NodeCheckDraft> {
    let tables = file.tables("check", problems);
    tables.into_iter().map(|(at, table)| one(at, table, problems)).collect()
}

fn one(at: Range<usize>, table: &DeTable, problems: &mut Problems) -> NodeCheckDraft {
    let own = Fields::open("check", at.clone(), table, problems);
    let name = own.string("name", problems).filter(|n| legal_name("check", n, problems));
    let (kind, check) = probe::settings(&own, at.clone(), NODE_KINDS, problems);
    let address = own.get("address").and_then(|value| ip("address", value, problems));
    let mut must = |key: &str, kinds: &[Kind], expected: &str| {
        if kind.is_some_and(|kind| kinds.contains(&kind)) && own.get(key).is_none() {
            let word = kind.map_or("", Kind::word);
            let message = format!("the check of kind {word} has no `{key}`");
            problems.add(Problem::at(at.clone(), message, expected));
        }
    };
    must("address", &[Kind::Ping, Kind::Neighbour], "expected an address to be tried");
    must("port", &[Kind::Tcp, Kind::Http, Kind::Tls, Kind::Udp], "expected the port to be tried");
    must("subnet", &[Kind::Nic], "expected the subnet whose interface is looked at");
    NodeCheckDraft {
        name,
        from: own.get("from").map_or(at.clone(), |value| value.span()),
        nodes: own.get("nodes").map(|_| own.strings("nodes", problems).0),
        critical: own.string("critical", problems),
        hold_down_s: own.integer("hold_down_s", 1, 3600, problems).unwrap_or(30),
        kind,
        check,
        address,
        subnet: own.string("subnet", problems),
        at,
    }
}

/// Compares them with the rest. Not complete while there are problems.
pub(crate) fn check(draft: &Draft, problems: &mut Problems) -> Vec<NodeCheck> {
    if let Some(beyond) = draft.checks.get(CHECKS_MAX) {
        let message = format!("{} checks are too many", draft.checks.len());
        problems.add(Problem::at(
            beyond.at.clone(),
            message,
            format!("expected at most {CHECKS_MAX}"),
        ));
        return Vec::new();
    }
    let all = draft.checks.iter();
    all.filter_map(|own| {
        let nodes = nodes(draft, own, problems);
        let critical = own.critical.as_ref().map(|word| critical(draft, word, problems));
        let subnet = own.subnet.as_ref().and_then(|word| subnet(draft, word, problems));
        if own.kind == Some(Kind::Neighbour) {
            neighbour(draft, own, problems);
        }
        if let Some(CheckKind::Filter { from, .. }) = own.check.as_ref().map(|c| &c.kind) {
            filter::check(draft, *from, own, &nodes, problems);
        }
        Some(NodeCheck {
            name: own.name.as_ref()?.get_ref().clone(),
            nodes,
            critical: critical.unwrap_or(SubnetSet::EMPTY),
            hold_down: Duration::from_secs(own.hold_down_s as u64),
            address: own.address.as_ref().map(|a| *a.get_ref()),
            subnet,
            check: own.check.clone()?,
        })
    })
    .collect()
}

fn nodes(draft: &Draft, own: &NodeCheckDraft, problems: &mut Problems) -> NodeSet {
    let all = (0u8..).map(NodeId).zip(&draft.nodes);
    let Some(named) = &own.nodes else {
        return all.filter(|(_, n)| !n.is_witness()).map(|(id, _)| id).collect();
    };
    let mut found = NodeSet::EMPTY;
    for word in named {
        let at = draft.nodes.iter().position(|n| n.name.is_some() && n.called() == word.get_ref());
        match at {
            Some(at) => found.insert(NodeId(at as u8)),
            None if draft.nodes.iter().all(|n| n.name.is_some()) => {
                let names = draft.nodes.iter().map(|n| n.called());
                problems.add(unknown("node", word, names));
            }
            None => {}
        }
    }
    found
}

fn critical(draft: &Draft, word: &Spanned<String>, problems: &mut Problems) -> SubnetSet {
    if word.get_ref() == "all" {
        return (0..draft.subnets.len() as u8).map(SubnetId).collect();
    }
    subnet(draft, word, problems).into_iter().collect()
}

fn subnet(draft: &Draft, word: &Spanned<String>, problems: &mut Problems) -> Option<SubnetId> {
    let known = |s: &crate::draft::SubnetDraft| s.name.is_some() && s.called() == word.get_ref();
    let at = draft.subnets.iter().position(known);
    if at.is_none() && draft.subnets.iter().all(|s| s.name.is_some()) {
        problems.add(unknown("subnet", word, draft.subnets.iter().map(|s| s.called())));
    }
    at.map(|at| SubnetId(at as u8))
}

/// Who is asked by ARP or neighbour discovery must be a neighbour.
fn neighbour(draft: &Draft, own: &NodeCheckDraft, problems: &mut Problems) {
    let Some(address) = &own.address else { return };
    let networks = || draft.subnets.iter().flat_map(|s| &s.networks);
    let whole = draft.subnets.iter().all(|s| s.networks_whole);
    if whole && !networks().any(|n| n.get_ref().contains(*address.get_ref())) {
        let message = format!("{} is on no subnet", address.get_ref());
        problems.add(Problem::at(address.span(), message, "expected a neighbour of the nodes"));
    }
}

fn unknown<'a>(
    what: &str,
    word: &Spanned<String>,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Problem {
    let message = format!("there is no {what} `{}`", word.get_ref());
    let all: Vec<&str> = known.clone().collect();
    let problem = Problem::at(word.span(), message, format!("expected one of {}", all.join(", ")));
    match keys::nearest(word.get_ref(), known) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}

/// As they are written in a file, every value spelled out.
pub(crate) fn toml(config: &Config, quoted: impl Fn(&str) -> String + Copy) -> String {
    let mut out = String::new();
    let hosts = config.nodes.iter().filter(|(_, node)| !node.witness).map(|(id, _)| id);
    let hosts: NodeSet = hosts.collect();
    for own in config.checks.values() {
        let mut values = vec![format!("name = {}", quoted(&own.name))];
        // Left out, it holds for nodes that come later too.
        if own.nodes != hosts {
            let name = |n: NodeId| quoted(&config.nodes[n].name);
            let nodes: Vec<String> = own.nodes.iter().map(name).collect();
            values.push(format!("nodes = [{}]", nodes.join(", ")));
        }
        values.extend(probe::values(&own.check, quoted));
        values.extend(own.address.map(|a| format!("address = \"{a}\"")));
        let on = |s: SubnetId| quoted(&config.subnets[s].name);
        values.extend(own.subnet.map(|s| format!("subnet = {}", on(s))));
        let every = own.critical.iter().count() == config.subnets.count();
        let first = own.critical.iter().next().map(on);
        let critical = if every { Some("\"all\"".to_owned()) } else { first };
        values.extend(critical.map(|word| format!("critical = {word}")));
        values.push(format!("hold_down_s = {}", own.hold_down.as_secs()));
        out += &format!("\n[[check]]\n{}\n", values.join("\n"));
    }
    out
}
