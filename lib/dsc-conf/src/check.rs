//! From a draft to a configuration: everything that can contradict something else. The order of checks does
//! not matter; problems are sorted by place at the end.

use crate::config::{Config, Node, Source, Subnet};
use crate::draft::Draft;
use crate::problem::{Problem, Problems};
use crate::{addresses, node_checks, pools, services, source_nat};
use dsc_wire::Partition;
use dsc_wire::flow::{BACKENDS_MAX, SERVICES_MAX, SOURCES_MAX};
use dsc_wire::ids::{NODES_MAX, SUBNETS_MAX};
use std::collections::HashMap;
use std::ops::Range;
use toml::Spanned;

/// The configuration that the draft describes. It may be returned while there are problems; the caller looks.
pub(crate) fn config(draft: Draft, problems: &mut Problems) -> Option<Config> {
    let few_subnets = at_most("subnet", SUBNETS_MAX, draft.subnets.iter().map(|s| &s.at), problems);
    let few_nodes = at_most("node", NODES_MAX, draft.nodes.iter().map(|n| &n.at), problems);
    let services = draft.services.iter().map(|s| &s.at);
    let few_services = at_most("service", SERVICES_MAX, services, problems);
    let backends: Vec<_> = draft.services.iter().flat_map(|s| &s.backends).map(|b| &b.at).collect();
    let few_backends = at_most("backend", BACKENDS_MAX, backends.into_iter(), problems);
    let sources = draft.source_nats.iter().map(|s| &s.at);
    let few_sources = at_most("source_nat", SOURCES_MAX, sources, problems);
    unique("subnet", draft.subnets.iter().filter_map(|s| s.name.as_ref()), problems);
    unique("node", draft.nodes.iter().filter_map(|n| n.name.as_ref()), problems);
    unique("service", draft.services.iter().filter_map(|s| s.name.as_ref()), problems);
    unique("check", draft.checks.iter().filter_map(|c| c.name.as_ref()), problems);
    partition(&draft, problems);
    draft.timing.check(draft.nodes.len(), problems);
    if !few_subnets || !few_nodes || !few_services || !few_backends || !few_sources {
        // What follows compares each with each, which only the limits keep cheap.
        return None;
    }
    disjoint(&draft, problems);
    let rows = addresses::check(&draft, problems);
    let (vips, vip_places) = pools::check(&draft, &rows, problems);
    let (services, backends) = services::check(&draft, &rows, &vips, problems);
    let source_nats = source_nat::check(&draft, &rows, &vips, &services, problems);
    let checks = node_checks::check(&draft, problems);
    if !problems.is_empty() {
        return None;
    }
    let place = |p: &Option<(_, Range<usize>)>| p.as_ref().map(|(_, place)| place.clone());
    let source = Source {
        node_addresses: rows.iter().map(|r| r.iter().map(place).collect()).collect(),
        vips: vip_places,
        ..Source::default()
    };
    let mut subnets = Vec::new();
    for subnet in draft.subnets {
        subnets.push(Subnet {
            name: subnet.name?.into_inner(),
            networks: subnet.networks.into_iter().map(Spanned::into_inner).collect(),
            pool: subnet.pool.into_iter().map(Spanned::into_inner).collect(),
        });
    }
    let mut nodes = Vec::new();
    for (node, row) in draft.nodes.into_iter().zip(rows) {
        nodes.push(Node {
            witness: node.is_witness(),
            name: node.name?.into_inner(),
            addresses: row.into_iter().map(|a| a.map(|(address, _)| address)).collect(),
        });
    }
    let config = Config {
        name: draft.name?.into_inner(),
        key_file: draft.key_file,
        port: draft.port,
        partition: draft.partition.into_inner(),
        rejoin: draft.rejoin,
        timing: draft.timing.timing,
        version: draft.version,
        subnets: subnets.into_iter().collect(),
        nodes: nodes.into_iter().collect(),
        vips: vips.into_iter().collect(),
        services: services.into_iter().collect(),
        backends: backends.into_iter().collect(),
        source_nats,
        checks: checks.into_iter().collect(),
        flows: draft.flows,
        balance: draft.balance,
        source,
    };
    draft.numbers.give(config, problems)
}

/// Are there no more than `most`? Else the first beyond is reported.
fn at_most<'a>(
    what: &str,
    most: usize,
    mut places: impl ExactSizeIterator<Item = &'a Range<usize>>,
    problems: &mut Problems,
) -> bool {
    let count = places.len();
    let Some(place) = places.nth(most) else { return true };
    let message = format!("{count} {what}s are too many");
    problems.add(Problem::at(place.clone(), message, format!("expected at most {most}")));
    false
}

fn unique<'a>(
    what: &str,
    names: impl Iterator<Item = &'a Spanned<String>>,
    problems: &mut Problems,
) {
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for name in names {
        if let Some(earlier) = seen.get(name.get_ref().as_str()) {
            let message = format!("two {what}s are called `{}`", name.get_ref());
            let problem = Problem::at(name.span(), message, "expected a name of its own");
            problems.add(problem.also(earlier.clone(), "the first is here"));
        } else {
            seen.insert(name.get_ref(), name.span());
        }
    }
}

/// A network belongs to one subnet, and once: else an address would be on two.
fn disjoint(draft: &Draft, problems: &mut Problems) {
    let mut seen: Vec<(&str, &Spanned<_>)> = Vec::new();
    for subnet in &draft.subnets {
        for network in &subnet.networks {
            let (own, place) = (network.get_ref(), network.span());
            if let Some((other, earlier)) = seen.iter().find(|(_, n)| {
                let n: &crate::Network = n.get_ref();
                n.overlaps(own)
            }) {
                let message = format!(
                    "network {own} of subnet `{}` overlaps {} of subnet `{other}`",
                    subnet.called(),
                    earlier.get_ref()
                );
                let problem =
                    Problem::at(place, message, "expected networks that share no address");
                problems.add(problem.also(earlier.span(), "overlaps this"));
            }
            seen.push((subnet.called(), network));
        }
    }
}

/// What the partition mode demands of the nodes.
fn partition(draft: &Draft, problems: &mut Problems) {
    let mode = &draft.partition;
    match mode.get_ref() {
        Partition::Serve => {
            for node in draft.nodes.iter().filter(|n| n.is_witness()) {
                let Some(place) = &node.witness else { continue };
                let message =
                    format!("node `{}` is a witness, but partition is \"serve\"", node.called());
                let expected = "expected no witness, or partition = \"majority\"";
                let problem = Problem::at(place.span(), message, expected);
                problems.add(problem.help("a witness only votes, and only a majority is voted on"));
            }
        }
        Partition::Majority => {
            if draft.nodes.len() == 2 {
                let message = "partition is \"majority\", but there are only two nodes".to_owned();
                let expected = "expected a third node, or partition = \"serve\"";
                problems.add(Problem::at(mode.span(), message, expected).help(
                    "more than half of two is both: either node's crash would silence every VIP. \
                     A third node with witness = true votes without hosting",
                ));
            }
        }
    }
}
