//! The cluster as its operator sees and steers it, whichever system it is: commands on a node, waiting until every
//! node agrees. DSC is asked through `dscctl`, like anybody would.

use crate::clock;
use crate::error::{Doing, Error, Result};
use crate::keepalived;
use crate::lab::Lab;
use crate::program;
use crate::topology::System;
use crate::wait;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Runs `dscctl` on a node and returns what it printed.
///
/// # Errors
/// It cannot be started, or its exit status is not zero.
pub fn dscctl(lab: &Lab, node: usize, words: &[&str]) -> Result<String> {
    let program = lab.bin_dir.join("dscctl").display().to_string();
    let mut argv = vec![&*program];
    argv.extend(words);
    lab.node(node)?.run(&argv)
}

/// `dscctl status --json` of a node.
///
/// # Errors
/// It cannot be started, or what it prints is no JSON; the error has its words.
pub fn status(lab: &Lab, node: usize) -> Result<Value> {
    let program = lab.bin_dir.join("dscctl").display().to_string();
    let output = lab.node(node)?.output(&[&program, "status", "--json"], "")?;
    // Exit code 1 is an answer too: not everything is served.
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Error::new("read dscctl status --json", format!("{error}; {said}"))
    })
}

/// How late new flows of the others come to a node, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Lag {
    /// Flows that this is about.
    pub flows: u64,
    /// Half of them took no longer, microseconds.
    pub p50_us: u64,
    /// Of hundred, 99 took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// The lag of a node's `dscctl status --local`.
///
/// # Errors
/// No new flow of another node came to it.
pub fn sharing_lag(lab: &Lab, node: usize) -> Result<Lag> {
    let status: Value = parsed(&dscctl(lab, node, &["status", "--local", "--json"])?)?;
    let lag = Lag::deserialize(&status["sharing"]["lag"]);
    lag.doing(|| format!("read the lag of {}", lab.plan.node(node)))
}

/// A node's table of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct FlowTotals {
    /// Flows that it has room for.
    pub max: u64,
    /// Flows in it.
    pub now: u64,
    /// Flows that this node made.
    pub made: u64,
}

/// `dscctl flows --count` of a node.
///
/// # Errors
/// It is not answered.
pub fn flow_totals(lab: &Lab, node: usize) -> Result<FlowTotals> {
    // A large table takes its time.
    parsed(&dscctl(lab, node, &["--timeout", "30", "flows", "--count", "--json"])?)
}

/// `dscctl counters` of a node: the data path's.
///
/// # Errors
/// It is not answered.
pub fn counters(lab: &Lab, node: usize) -> Result<BTreeMap<String, u64>> {
    #[derive(Deserialize)]
    struct Counter {
        of: String,
        name: String,
        count: u64,
    }
    let text = dscctl(lab, node, &["counters", "--json"])?;
    let all: Vec<Counter> = text.lines().map(parsed).collect::<Result<_>>()?;
    let own = all.into_iter().filter(|c| c.of == "verdict");
    Ok(own.map(|c| (c.name, c.count)).collect())
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).doing(|| "read what dscctl prints".into())
}

/// Waits until every node with power says that all of them are members that can host, and that every address has a host.
///
/// # Errors
/// Not within `limit_ms`; the error has what the last node said.
pub fn wait_whole(lab: &Lab, limit_ms: u64) -> Result<()> {
    if lab.plan.system != System::Dsc {
        return Ok(());
    }
    let nodes: Vec<usize> = (0..lab.plan.nodes).filter(|n| !lab.dark.contains(n)).collect();
    let mut last = String::new();
    let result = wait::until("all nodes agree on one whole cluster", limit_ms, || {
        for node in &nodes {
            match status(lab, *node) {
                Ok(status) if is_whole(&status, nodes.len(), lab.plan.subnets.len()) => {}
                Ok(status) => {
                    last = status.to_string();
                    return None;
                }
                Err(error) => {
                    last = error.to_string();
                    return None;
                }
            }
        }
        Some(())
    });
    result.map_err(|error| Error::new(format!("see a whole cluster ({error})"), last))
}

/// Does a status show this many members, each of which can host on all subnets (its data path takes a second to load), and no
/// address without a host?
fn is_whole(status: &Value, members: usize, subnets: usize) -> bool {
    let list = |name: &str| status[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let able = |node: &&Value| {
        let on = node["able"].as_array().map_or(0, Vec::len);
        node["member"] == true && (node["duty"] == "witness" || on == subnets)
    };
    let joined = list("nodes").iter().filter(able).count();
    let vips = list("vips");
    let served = vips.iter().all(|v| v["state"] == "served");
    joined == members && !vips.is_empty() && served
}

/// The node that an address is on: DSC's host, or the first on which the address stands.
pub fn host_of(lab: &Lab, vip: usize) -> Option<usize> {
    let address = lab.plan.vip_list().get(vip)?.address.to_string();
    let mut nodes = (0..lab.plan.nodes).filter(|n| !lab.dark.contains(n));
    if lab.plan.system == System::Dsc {
        let status = status(lab, nodes.next()?).ok()?;
        let vip = status["vips"].as_array()?.iter().find(|v| v["address"] == *address)?;
        return lab.plan.node_index(vip["host"].as_str()?).ok();
    }
    let argv = ["ip", "-o", "address", "show", "to", &address];
    nodes.find(|n| lab.node(*n).and_then(|s| s.run(&argv)).is_ok_and(|said| !said.is_empty()))
}

/// Moves an address on purpose, as an operator of this system would. Returns the moment before.
///
/// # Errors
/// The command is refused.
pub fn move_vip(lab: &Lab, vip: usize, to: usize) -> Result<u64> {
    let at = clock::now_ns();
    match lab.plan.system {
        System::Dsc => {
            let address = lab.plan.vip_list()[vip].address.to_string();
            let node = lab.plan.node(to);
            dscctl(lab, to, &["move-vip", &address, &node])?;
        }
        System::Keepalived { advert_ms, .. } => {
            rewrite(lab, to, advert_ms, &[(vip, to)])?;
        }
    }
    Ok(at)
}

/// Empties a node on purpose. Returns the moment before.
///
/// # Errors
/// The command is refused.
pub fn drain(lab: &Lab, node: usize) -> Result<u64> {
    let at = clock::now_ns();
    match lab.plan.system {
        System::Dsc => {
            dscctl(lab, node, &["node", "drain", &lab.plan.node(node)])?;
        }
        System::Keepalived { .. } => program::stop(lab, node, "keepalived")?,
    }
    Ok(at)
}

/// Undoes [`move_vip`] and [`drain`].
///
/// # Errors
/// The command is refused.
pub fn undo(lab: &Lab, node: usize) -> Result<u64> {
    let at = clock::now_ns();
    match lab.plan.system {
        System::Dsc => {
            dscctl(lab, node, &["node", "open", &lab.plan.node(node)])?;
        }
        System::Keepalived { advert_ms, .. }
            if program::find(lab, node, "keepalived").is_some() =>
        {
            rewrite(lab, node, advert_ms, &[])?;
        }
        System::Keepalived { .. } => {
            program::start(lab, node, "keepalived")?;
        }
    }
    Ok(at)
}

fn rewrite(lab: &Lab, node: usize, advert_ms: u32, moved: &[(usize, usize)]) -> Result<()> {
    let text = keepalived::config(&lab.plan, node, advert_ms, moved);
    lab.node(node)?.write("/etc/dsc/keepalived.conf", &text, 0o644)?;
    program::signal(lab, node, "keepalived", Signal::SIGHUP)
}
