//! Prints nodes for people. Decides nothing.

use super::{duty, percent, print_table, show_facts, table, traffic, words};
use crate::shown::NodeRow;
use std::io::{self, Write};

pub(super) fn show_nodes(out: &mut dyn Write, nodes: &[NodeRow]) -> io::Result<()> {
    let mut table =
        table(&["NODE", "RING", "DUTY", "LIGHT", "ABLE", "VIPS", "CPU", "TRAFFIC"], &[5, 6]);
    for node in nodes {
        let known = |text: String| if node.member { text } else { "-".into() };
        table.add_row([
            node.name.clone(),
            ring(node).to_string(),
            duty(node.duty).to_string(),
            node.light.map_or_else(|| "-".into(), |light| light.to_string()),
            known(words(&node.able)),
            node.vips.len().to_string(),
            known(percent(node.cpu_permille)),
            known(traffic(node)),
        ]);
    }
    print_table(out, &table)
}

pub(super) fn show_node(out: &mut dyn Write, node: &NodeRow) -> io::Result<()> {
    let mut facts = vec![
        ("node", node.name.clone()),
        ("ring", ring(node).to_string()),
        ("duty", duty(node.duty).to_string()),
        ("hosts", words(&node.vips)),
    ];
    if node.member {
        let macs: Vec<String> =
            node.macs.iter().map(|(subnet, mac)| format!("{subnet} {mac}")).collect();
        facts.extend([
            ("light", lights(node)),
            ("able", words(&node.able)),
            ("unfit", words(&node.unfit)),
            ("cpu", percent(node.cpu_permille)),
            ("traffic", traffic(node)),
            ("macs", words(&macs)),
        ]);
    }
    show_facts(out, &facts)
}

/// `red: uplink red, disk green`, or a dash without checks.
fn lights(node: &NodeRow) -> String {
    let Some(light) = node.light else { return "-".into() };
    let each: Vec<String> =
        node.lights.iter().map(|(check, light)| format!("{check} {light}")).collect();
    format!("{light}: {}", words(&each))
}

fn ring(node: &NodeRow) -> &'static str {
    if node.member { "member" } else { "out" }
}
