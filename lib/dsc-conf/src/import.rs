//! Files of the old kind (§A.6) as a `dsc.toml`: `nodemap.cfg` lists the nodes, `vip.cfg` the VIPs of each network (Table 2),
//! `localmonitor.cfg` the machines to be pinged. They have no names, so names are made. Pure: the caller reads the files.

mod monitor;
mod nodemap;
mod scan;
mod vips;

use crate::config::Config;
use crate::network::AddressRange;
use crate::print::{list, quoted};
use crate::problem::{Problem, Problems};
use nodemap::NodeLine;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use vips::Block;

/// What an old file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKind {
    /// `nodemap.cfg`
    NodeMap,
    /// `vip.cfg`
    Vip,
    /// `localmonitor.cfg`
    LocalMonitor,
}

impl OldKind {
    /// The names, as they were always written.
    pub const NAMES: [(&str, OldKind); 3] = [
        ("nodemap.cfg", OldKind::NodeMap),
        ("vip.cfg", OldKind::Vip),
        ("localmonitor.cfg", OldKind::LocalMonitor),
    ];

    /// By a file's name without its directory, in capitals or not: it comes from a system that did not care.
    pub fn of(name: &str) -> Option<OldKind> {
        OldKind::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

/// An old file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldFile<'a> {
    /// What it is.
    pub kind: OldKind,
    /// What messages call it.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// The `dsc.toml` of a cluster of this name that old files describe: at most one of each kind; a node map and VIPs there must
/// be.
///
/// # Errors
/// All that is wrong, file by file; what is wrong with the whole comes last.
pub fn import(cluster: &str, files: &[OldFile]) -> Result<String, Vec<Problems>> {
    let mut wrong = Vec::new();
    let (mut blocks, mut nodes, mut machines) = (None, None, None);
    for file in files {
        let mut problems = Problems::none(file.name, Arc::from(file.text));
        let again = match file.kind {
            OldKind::NodeMap => {
                nodes.replace((file, nodemap::read(file.text, &mut problems))).is_some()
            }
            OldKind::Vip => blocks.replace((file, vips::read(file.text, &mut problems))).is_some(),
            OldKind::LocalMonitor => {
                machines.replace(monitor::read(file.text, &mut problems)).is_some()
            }
        };
        if again {
            let message = "there are two files of this kind".to_owned();
            problems.add(Problem::without_place(message, "expected one"));
        }
        if !problems.is_empty() {
            wrong.push(problems.sorted());
        }
    }
    for (there, kind) in [(nodes.is_some(), 0), (blocks.is_some(), 1)] {
        if !there {
            let (name, _) = OldKind::NAMES[kind];
            let mut problems = Problems::none(name, Arc::from(""));
            let message = format!("there is no {name}");
            let expected = "expected nodemap.cfg and vip.cfg at least: no cluster is without them";
            problems.add(Problem::without_place(message, expected));
            wrong.push(problems);
        }
    }
    let (Some((node_file, nodes)), Some((_, blocks))) = (nodes, blocks) else { return Err(wrong) };
    if wrong.is_empty() {
        let mut problems = Problems::none(node_file.name, Arc::from(node_file.text));
        nodemap::place(&nodes, &blocks, &mut problems);
        if !problems.is_empty() {
            wrong.push(problems.sorted());
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let text = written(cluster, &blocks, &nodes, &machines.unwrap_or_default());
    match Config::parse(&text, "the imported configuration") {
        Ok(_) => Ok(text),
        Err(problems) => Err(vec![problems]),
    }
}

fn written(
    cluster: &str,
    blocks: &[Block],
    nodes: &[NodeLine],
    machines: &monitor::Machines,
) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line("# Made by dscctl config import. The names are made up: give subnets and nodes better ones.\n".to_owned());
    line(format!("[cluster]\nname = {}", quoted(cluster)));
    for (n, block) in blocks.iter().enumerate() {
        line(format!("\n[[subnet]]\nname = \"net{}\"", n + 1));
        line(format!("networks = {}", list([block.network.to_string()].into_iter())));
        let pool = ranges(block.addresses.iter().map(|a| *a.get_ref()));
        line(format!("pool = {}", list(pool.iter().map(AddressRange::to_string))));
    }
    for (n, node) in nodes.iter().enumerate() {
        let on = |address: &IpAddr| blocks.iter().position(|b| b.network.contains(*address));
        let addresses = node.addresses.iter().filter_map(|a| {
            let subnet = on(a.get_ref())? + 1;
            Some(format!("net{subnet} = \"{}\"", a.get_ref()))
        });
        let addresses: Vec<String> = addresses.collect();
        line(format!(
            "\n[[node]]\nname = \"n{}\"\naddresses = {{ {} }}",
            n + 1,
            addresses.join(", ")
        ));
    }
    monitor::write(machines, &mut line);
    out
}

/// Addresses in their order, with each next to the one before it drawn into a range.
fn ranges(addresses: impl Iterator<Item = IpAddr>) -> Vec<AddressRange> {
    let mut out: Vec<AddressRange> = Vec::new();
    for address in addresses {
        match out.last_mut() {
            Some(range) if range.is_followed_by(address) => range.last = address,
            _ => out.push(AddressRange { first: address, last: address }),
        }
    }
    out
}
