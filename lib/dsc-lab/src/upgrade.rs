//! `dsc-lab upgrade`: a cluster that runs the programs of another build gets these, node by node as the README says, under
//! traffic; then both builds have been in one ring. It prints what the clients lived through.

use crate::error::{Doing, Result};
use crate::lab::{self, Lab};
use crate::topology::Plan;
use crate::traffic::{self, Seen};
use crate::{cluster, program};
use serde::Serialize;
use std::path::PathBuf;

/// Longest wait for the cluster to be whole after a node, ms.
const WHOLE_MS: u64 = 60_000;
/// In the order of the README: the kernel goes on without the first two, and the last one hands everything over.
const ORDER: [&str; 3] = ["dsc-mon", "dsc-fwd", "dsc-ringd"];

/// What the clients lived through while one node was replaced; a line of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which node.
    pub node: String,
    /// Probes that were not answered.
    pub probes_lost: usize,
    /// Longest gap of an address, ms.
    pub lost_ms: f64,
    /// Time with two nodes answering for an address, ms.
    pub duplicate_ms: u64,
    /// Live downloads.
    pub downloads: usize,
    /// Those of them that broke.
    pub broken: usize,
    /// Longest pause of one, ms.
    pub pause_ms: f64,
    /// New connections that were accepted.
    pub accepted: u64,
    /// Those of them that were not served.
    pub unserved: u64,
}

impl Row {
    fn of(node: String, seen: &Seen) -> Row {
        let Seen { figures, downloads, openings } = seen;
        Row {
            node,
            probes_lost: figures.probes_lost,
            lost_ms: figures.lost_ms,
            duplicate_ms: figures.duplicate_ms,
            downloads: downloads.connections,
            broken: downloads.broken,
            pause_ms: downloads.longest_ms,
            accepted: openings.accepted,
            unserved: openings.accepted.saturating_sub(openings.served),
        }
    }

    /// Did no client notice?
    pub fn is_unnoticed(&self) -> bool {
        self.probes_lost == 0 && self.duplicate_ms == 0 && self.broken == 0 && self.unserved == 0
    }

    fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self).doing(|| "write a row".into())?);
            return Ok(());
        }
        let Row {
            node,
            probes_lost,
            duplicate_ms,
            downloads,
            broken,
            pause_ms,
            accepted,
            unserved,
            ..
        } = self;
        println!(
            "{node}: {probes_lost} probes lost, two answers for {duplicate_ms} ms, {broken} of {downloads} downloads broken (longest pause \
             {pause_ms:.0} ms), {unserved} of {accepted} new connections not served"
        );
        Ok(())
    }
}

/// Runs it from the programs in `from` to those next to this one; true if no client noticed.
///
/// # Errors
/// Programs are missing, the lab does not come up, or a node does not come back.
pub fn run(name: &str, from: PathBuf, nodes: usize, json: bool) -> Result<bool> {
    let (old, new) = (lab::has_programs(from)?, lab::bin_dir()?);
    let plan = Plan { nodes, hosts: 2, services: true, ..Plan::default() };
    eprintln!("# {nodes} nodes, from {} to {}", old.display(), new.display());
    let mut lab = Lab::up_from(name, plan, old)?;
    lab.bin_dir = new;
    let result = all(&mut lab, json);
    lab.down().and(result)
}

fn all(lab: &mut Lab, json: bool) -> Result<bool> {
    let mut unnoticed = true;
    for node in 0..lab.plan.nodes {
        let ((), seen) = traffic::beside(lab, |lab| replace(lab, node))?;
        let row = Row::of(lab.plan.node(node), &seen);
        row.print(json)?;
        unnoticed &= row.is_unnoticed();
    }
    Ok(unnoticed)
}

/// Replaces the daemons of one node, one after the other, as an upgrade does.
///
/// # Errors
/// One does not end or start, or the cluster does not become whole.
pub fn replace(lab: &Lab, node: usize) -> Result<()> {
    for daemon in ORDER {
        program::stop(lab, node, daemon)?;
        program::start(lab, node, daemon)?;
    }
    cluster::wait_whole(lab, WHOLE_MS)
}
