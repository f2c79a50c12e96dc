//! One event in a lab while connections through the cluster are alive: live downloads, or new connections at a rate. Like
//! `scenario.rs`, but what counts is what the connections lived through. Bench and tests share it.

use crate::downloads::{Downloads, PATIENCE_MS, Report};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::openings::{Counts, Openings};
use crate::pace::Pace;
use crate::probe::Prober;
use crate::scenario::{self, Event};
use crate::services::Ends;
use crate::topology::{Subnet, System};
use crate::{cluster, wait};

/// Most addresses that are probed until they are settled.
const PROBED_MAX: usize = 4;
/// Longest wait for the downloads to begin, ms.
const BEGIN_MS: u64 = 120_000;
/// Longest wait for an address of `int` to have a host, ms.
const HOST_MS: u64 = 60_000;
/// Bytes that are no later than this come in time, ms: the machine of a test is busy.
const SLACK_MS: u64 = 300;
/// How long new connections are opened before an event, and at least after it, ms.
const AROUND_MS: u64 = 2_000;

/// Whose node an event happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The host of the first virtual address of `ext`: where requests arrive.
    Outside,
    /// The host of the first virtual address of `int`: where replies arrive.
    Inside,
}

/// What happened while the event lasted, and while it was undone.
#[derive(Clone, Debug)]
pub struct Outcome<T> {
    /// From the event on.
    pub event: T,
    /// From its undoing on.
    pub undoing: T,
    /// The node that it happened to.
    pub victim: usize,
}

/// Runs one event, or none, beside this many live downloads and returns the lab as it found it. Without an event both
/// halves are quiet.
///
/// # Errors
/// The lab does not calm down, a download does not even begin, or a step of the fault cannot be done.
pub fn downloads(
    lab: &mut Lab,
    event: Option<&Event>,
    whose: Whose,
    to: &[Ends],
    connections: usize,
    pace: Pace,
) -> Result<Outcome<Report>> {
    let (vip, victim) = settle(lab, whose)?;
    let load = Downloads::start(lab, to, connections, pace)?;
    load.wait_live(BEGIN_MS)?;
    // Every one has kept its pace at least once before anything happens.
    wait::observe(pace.every_ms());
    let watch = |lab: &Lab| {
        wait::observe(pace.every_ms() + react_ms(lab));
        // A time that runs out is a result: what is silent then is reported as broken.
        let _ = wait::until("the downloads flow", PATIENCE_MS + BEGIN_MS / 10, || {
            load.flowing(SLACK_MS).then_some(())
        });
        load.report()
    };
    load.mark();
    if let Some(event) = event {
        scenario::apply(lab, event, victim, vip)?;
    }
    let first = watch(lab);
    load.mark();
    if let Some(event) = event {
        let now = cluster::host_of(lab, vip).unwrap_or(victim);
        scenario::undo(lab, event, victim, vip, now)?;
        cluster::wait_whole(lab, HOST_MS)?;
    }
    let second = watch(lab);
    Ok(Outcome { event: first, undoing: second, victim })
}

/// The same beside new connections at this rate.
///
/// # Errors
/// As [`downloads`].
pub fn openings(
    lab: &mut Lab,
    event: Option<&Event>,
    whose: Whose,
    to: &[Ends],
    per_s: u32,
) -> Result<Outcome<Counts>> {
    let (vip, victim) = settle(lab, whose)?;
    let load = Openings::start(lab, to, per_s)?;
    load.wait_served(u64::from(per_s), BEGIN_MS)?;
    wait::observe(AROUND_MS);
    if let Some(event) = event {
        scenario::apply(lab, event, victim, vip)?;
    }
    wait::observe(AROUND_MS + react_ms(lab));
    let first = load.stop();
    let load = Openings::start(lab, to, per_s)?;
    if let Some(event) = event {
        let now = cluster::host_of(lab, vip).unwrap_or(victim);
        scenario::undo(lab, event, victim, vip, now)?;
        cluster::wait_whole(lab, HOST_MS)?;
    }
    wait::observe(AROUND_MS + react_ms(lab));
    Ok(Outcome { event: first, undoing: load.stop(), victim })
}

/// Waits until the lab is calm; the address that an event is about, and its host.
///
/// # Errors
/// Not within a minute.
pub fn settle(lab: &Lab, whose: Whose) -> Result<(usize, usize)> {
    let list = lab.plan.vip_list();
    let on = |subnet| (0..list.len()).filter(move |v| list[*v].subnet == subnet);
    let probed: Vec<usize> = on(Subnet::Ext).take(PROBED_MAX).collect();
    let prober = Prober::start(lab, &probed)?;
    scenario::calm(lab, &prober)?;
    drop(prober);
    let list = lab.plan.vip_list();
    let subnet = if whose == Whose::Outside { Subnet::Ext } else { Subnet::Int };
    let vip = (0..list.len()).find(|v| list[*v].subnet == subnet);
    let vip = vip.ok_or_else(|| Error::new("find a victim", "no virtual address there"))?;
    let host = wait::until("every address has a host", HOST_MS, || {
        let hosts: Option<Vec<usize>> = (0..list.len()).map(|v| cluster::host_of(lab, v)).collect();
        hosts?.get(vip).copied()
    })?;
    Ok((vip, host))
}

/// How long a system may take until it begins to react, and two of its retransmissions, ms.
fn react_ms(lab: &Lab) -> u64 {
    match lab.plan.system {
        System::Dsc => 2_000,
        // Three adverts and a part of one (RFC 5798).
        System::Keepalived { advert_ms, .. } => 2_000 + u64::from(advert_ms) * 4,
    }
}
