//! A flood of connections that only begin, and of malformed packets, from strangers, into a full table, beside live
//! downloads: what these live through, what the nodes count, and how much memory the daemons take meanwhile. Bench and tests
//! share it.

use crate::downloads::{Downloads, Report};
use crate::error::{Error, Result};
use crate::flood::{self, Flood};
use crate::lab::Lab;
use crate::live;
use crate::openings::Openings;
use crate::pace::Pace;
use crate::segments::{STRANGERS, STRANGERS_PREFIX, malformed, syn};
use crate::services::Ends;
use crate::topology::Plan;
use crate::{clock, cluster, program, wait};

/// Longest wait for the downloads to begin, and for them to go on after the flood, ms.
const BEGIN_MS: u64 = 120_000;
/// Bytes that are no later than this come in time, ms.
const SLACK_MS: u64 = 300;
/// Between two looks at the daemons, ms.
const LOOK_MS: u64 = 1_000;
/// Looks at the daemons for each look at the tables, which costs a node some work.
const TABLE_LOOKS: u64 = 5;
/// Of so many frames one is malformed.
const MALFORMED: u64 = 10;
/// Longest wait for a new connection to be served after the flood, ms: flows that were never answered go after half a
/// minute, and a walk through a large table takes as long.
const RECOVERY_MS: u64 = 120_000;

/// What a flood is like.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Frames per second.
    pub per_s: u64,
    /// Its length, ms.
    pub length_ms: u64,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the downloads lived through.
    pub report: Report,
    /// Frames sent per second.
    pub per_s: f64,
    /// New flows that the nodes refused because their tables were full.
    pub refused: u64,
    /// Packets that no client can have sent, as counted by the nodes.
    pub martian: u64,
    /// Most flows seen in any node's table, and its room.
    pub flows: (u64, u64),
    /// Memory of all daemons of one node before, the most at any node, MB.
    pub before_mb: f64,
    /// The most during the flood.
    pub most_mb: f64,
    /// From the end of the flood until a new connection was served, s.
    pub recovery_s: f64,
}

/// Runs it. The lab's tables should have little room, or the flood be long.
///
/// # Errors
/// The lab does not calm down, a download does not begin, a daemon does not answer, or new connections are not served
/// within two minutes after the flood.
pub fn run(
    lab: &Lab,
    to: &[Ends],
    connections: usize,
    pace: Pace,
    attack: Attack,
) -> Result<Outcome> {
    live::settle(lab, live::Whose::Outside)?;
    lead_strangers(lab)?;
    let load = Downloads::start(lab, to, connections, pace)?;
    load.wait_live(BEGIN_MS)?;
    wait::observe(pace.every_ms());
    let before = Counted::of(lab)?;
    let before_mb = memory_mb(lab)?;
    load.mark();
    let targets = flood::targets(lab)?;
    let begun_ns = clock::now_ns();
    let flood = Flood::start(lab, attack.per_s, u64::MAX, move |number| {
        let target = &targets[number as usize % targets.len()];
        if number % MALFORMED == 0 { malformed(target, number) } else { syn(target, number) }
    })?;
    let end_ns = begun_ns + attack.length_ms * 1_000_000;
    let (mut most_mb, mut flows, mut looks) = (before_mb, (0, 0), 0);
    while clock::now_ns() < end_ns {
        clock::sleep_until((clock::now_ns() + LOOK_MS * 1_000_000).min(end_ns));
        most_mb = most_mb.max(memory_mb(lab)?);
        looks += 1;
        let nodes = if looks % TABLE_LOOKS == 0 { 0..lab.plan.nodes } else { 0..0 };
        for node in nodes {
            let table = cluster::flow_totals(lab, node)?;
            flows = flows.max((table.now, table.max));
        }
    }
    let per_s = flood.sent() as f64 * 1e9 / (clock::now_ns() - begun_ns) as f64;
    drop(flood);
    let ended_ns = clock::now_ns();
    let recovery_s = recovered(lab, to, ended_ns)?;
    // A time that runs out is a result: what is silent then is reported as broken.
    let flowing = || load.flowing(SLACK_MS).then_some(());
    let _ = wait::until("the downloads flow", BEGIN_MS, flowing);
    let after = Counted::of(lab)?;
    Ok(Outcome {
        report: load.report(),
        per_s,
        refused: after.full - before.full,
        martian: after.martian - before.martian,
        flows,
        before_mb,
        most_mb,
        recovery_s,
    })
}

/// Replies to strangers go the way of all that is outside, and end at the client, which has no use for them.
fn lead_strangers(lab: &Lab) -> Result<()> {
    let via = Plan::client_address(0, false).to_string();
    let network = format!("{STRANGERS}/{STRANGERS_PREFIX}");
    for node in 0..lab.plan.nodes {
        lab.node(node)?.run(&["ip", "route", "replace", &network, "via", &via])?;
    }
    Ok(())
}

/// Until a connection that begins now is served.
fn recovered(lab: &Lab, to: &[Ends], since_ns: u64) -> Result<f64> {
    let load = Openings::start(lab, to, 10)?;
    let served = load.wait_served(1, RECOVERY_MS);
    let s = (clock::now_ns() - since_ns) as f64 / 1e9;
    drop(load.stop());
    served.map(|()| s)
}

/// The most that the daemons of any node take, MB.
fn memory_mb(lab: &Lab) -> Result<f64> {
    let mut most = 0;
    for node in 0..lab.plan.nodes {
        let daemons = program::daemon_processes(lab, node)?;
        most = most.max(daemons.iter().map(|p| p.pss_kib()).sum());
    }
    Ok(most as f64 / 1024.0)
}

/// Counts of all nodes together.
struct Counted {
    full: u64,
    martian: u64,
}

impl Counted {
    fn of(lab: &Lab) -> Result<Counted> {
        let mut counted = Counted { full: 0, martian: 0 };
        for node in 0..lab.plan.nodes {
            let counters = cluster::counters(lab, node)?;
            let count = |name: &str| {
                let count = counters.get(name).copied();
                count.ok_or_else(|| Error::new(format!("read the counter {name}"), "none"))
            };
            counted.full += count("nat_full")?;
            counted.martian += count("nat_martian")?;
        }
        Ok(counted)
    }
}
