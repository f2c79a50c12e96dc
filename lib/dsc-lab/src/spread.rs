//! Unequal loads, all on one node, and how the cluster spreads them: downloads of addresses that are free to move, watched until
//! they lie well and for a while after. Bench and tests share it.

use crate::downloads::{Downloads, Report};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::live::{self, Whose};
use crate::pace::Pace;
use crate::services::{self, Ends};
use crate::topology::Plan;
use crate::{clock, cluster, wait};

/// How many downloads each address has; as many addresses.
pub const SHARES: [usize; 8] = [60, 50, 40, 30, 20, 20, 10, 10];
/// Routing by which the bytes of a download pass by the host of its address.
pub const FLOWS: &str = "routing = \"symmetric\"\nhold_ms = 500";
/// So much more than at best may the most loaded node carry.
pub const GOOD: f64 = 1.2;
/// Longest wait for the downloads to begin, and for them to be spread, ms.
const BEGIN_MS: u64 = 60_000;
const SPREAD_MS: u64 = 60_000;
/// Between two looks at who hosts what, ms.
const LOOK_MS: u64 = 100;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Spread {
    /// From the first request until the loads lay well for good, s.
    pub good_s: f64,
    /// Until the last move, s.
    pub last_s: f64,
    /// Moves in all.
    pub moves: u64,
    /// Of them, those in the quiet time after the loads lay well.
    pub late_moves: u64,
    /// The most loaded node's downloads beside those of the best placement, at the end.
    pub ratio: f64,
    /// What the downloads lived through.
    pub report: Report,
}

/// The lab that this needs.
pub fn plan(nodes: usize) -> Plan {
    Plan {
        nodes,
        hosts: 2,
        services: true,
        vips: SHARES.len(),
        vips6: 0,
        flows: FLOWS.into(),
        ..Plan::default()
    }
}

/// Puts every address on the first node, lets it go, loads it, and watches.
///
/// # Errors
/// The lab does not calm down, a command is refused, or the loads are not spread within a minute.
pub fn run(lab: &Lab, quiet_ms: u64) -> Result<Spread> {
    live::settle(lab, Whose::Outside)?;
    cluster::wait_whole(lab, BEGIN_MS)?;
    for vip in 0..SHARES.len() {
        cluster::move_vip(lab, vip, 0)?;
        let address = lab.plan.vip_list()[vip].address.to_string();
        cluster::dscctl(lab, 0, &["unpin", &address])?;
    }
    let web = services::web(&lab.plan, false);
    let of = |vip: usize| {
        let address = lab.plan.vip_list()[vip].address;
        let ends = web.iter().find(|ends| ends.to.ip() == address).copied();
        ends.ok_or_else(|| Error::new("load the addresses", format!("no service on {address}")))
    };
    let mut to: Vec<Ends> = Vec::new();
    for (vip, share) in SHARES.into_iter().enumerate() {
        to.extend(std::iter::repeat_n(of(vip)?, share));
    }
    let before = moves(lab)?;
    let start_ns = clock::now_ns();
    let since_s = |ns: u64| ns.saturating_sub(start_ns) as f64 / 1e9;
    let load = Downloads::start(lab, &to, to.len(), Pace::Steady)?;
    load.wait_live(BEGIN_MS)?;
    load.mark();
    let best = best(lab.plan.nodes) as f64;
    let (mut good_ns, mut last_ns, mut count) = (None, start_ns, before);
    let mut at_good = before;
    loop {
        let (now_ns, hosts) = (clock::now_ns(), hosts(lab)?);
        let seen = moves(lab)?;
        if seen != count {
            (count, last_ns) = (seen, now_ns);
        }
        let ratio = most(&hosts, lab.plan.nodes) as f64 / best;
        match good_ns {
            Some(good) if ratio <= GOOD => {
                if now_ns >= good + quiet_ms * 1_000_000 {
                    return Ok(Spread {
                        good_s: since_s(good),
                        last_s: since_s(last_ns),
                        moves: count - before,
                        late_moves: count - at_good,
                        ratio,
                        report: load.report(),
                    });
                }
            }
            None if ratio <= GOOD => (good_ns, at_good) = (Some(now_ns), count),
            _ => good_ns = None,
        }
        if now_ns > start_ns + (SPREAD_MS + quiet_ms) * 1_000_000 {
            let said = format!("{hosts:?} after {:.0} s, {:?}", since_s(now_ns), load.report());
            return Err(Error::new("spread the load", said));
        }
        wait::observe(LOOK_MS);
    }
}

fn hosts(lab: &Lab) -> Result<Vec<usize>> {
    let find = |vip| {
        let host = cluster::host_of(lab, vip);
        host.ok_or_else(|| Error::new("find hosts", format!("address {vip} has none")))
    };
    (0..SHARES.len()).map(find).collect()
}

/// Assignments of all addresses so far.
fn moves(lab: &Lab) -> Result<u64> {
    let status = cluster::status(lab, 0)?;
    let vips = status["vips"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(vips.iter().filter_map(|vip| vip["moves"].as_u64()).sum())
}

/// Downloads of the node that has most.
fn most(hosts: &[usize], nodes: usize) -> usize {
    let mut carried = vec![0; nodes];
    for (host, share) in hosts.iter().zip(SHARES) {
        carried[*host] += share;
    }
    carried.into_iter().max().unwrap_or(0)
}

/// The same if the addresses were placed as well as can be: every placement is tried.
fn best(nodes: usize) -> usize {
    let all = nodes.pow(SHARES.len() as u32);
    let place = |mut number: usize| {
        let hosts = SHARES.map(|_| {
            let host = number % nodes;
            number /= nodes;
            host
        });
        most(&hosts, nodes)
    };
    (0..all).map(place).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_placement_is_known() {
        assert_eq!((best(1), best(2), best(4)), (240, 120, 60));
        assert_eq!(most(&[0, 0, 1, 1, 2, 2, 3, 3], 4), 110);
    }
}
