//! What `dsc-lab bench flows` measures of DSC beside events: how late new flows come to the other nodes, what sharing them
//! costs, and, in `bench_table.rs`, a full table. It prints what it measured and never judges.

use crate::bench_flows::{BenchFlows, Half, label};
use crate::bench_table;
use crate::bulk;
use crate::error::Result;
use crate::lab::Lab;
use crate::live::{self, Whose};
use crate::measures::Values;
use crate::openings::Openings;
use crate::topology::{Plan, Subnet, System};
use crate::{cluster, program, services, wait};
use std::time::Instant;

/// What can be asked for, in the order of the rows.
pub const NAMES: [&str; 6] =
    ["sharing-lag", "new-flows", "apart-direct", "apart-symmetric", "table", "syn-flood"];

/// Longest wait for the first connections, ms.
const BEGIN_MS: u64 = 60_000;
/// How long flows are made while their lag is measured, ms.
const LAG_MS: u64 = 20_000;
/// Clients that open connections one after the other.
const CLIENTS: usize = 8;
/// How long they do, ms.
const OPENING_MS: u64 = 5_000;
/// Longest wait for a node to have all addresses, ms.
const DRAIN_MS: u64 = 30_000;

impl BenchFlows {
    /// Measures one of [`NAMES`] and prints its rows. Returns how many runs failed.
    ///
    /// # Errors
    /// None but those of printing; a run that fails is said on stderr and left out.
    pub(crate) fn measure_one(&self, lab_name: &str, profile: &str, name: &str) -> Result<usize> {
        let mut measured = Measured::default();
        let mut failed = 0;
        for run in 1..=self.runs {
            eprintln!("# {name}, run {run}");
            let result = match name {
                "sharing-lag" => self.sharing_lag(lab_name, profile, &mut measured),
                "new-flows" => self.new_flows(lab_name, profile, &mut measured),
                "apart-direct" | "apart-symmetric" => {
                    self.apart(lab_name, profile, name).map(|half| measured.halves.push(half))
                }
                "table" => bench_table::table(self, lab_name, profile, &mut measured.dsc),
                _ => bench_table::syn_flood(self, lab_name, profile, &mut measured.dsc)
                    .map(|half| measured.halves.push(half)),
            };
            if let Err(error) = result {
                eprintln!("dsc-lab: {name} run {run}: {error}");
                failed += 1;
            }
        }
        let Measured { alone, dsc, halves } = measured;
        let label = label(&System::Dsc, profile);
        if name == "syn-flood" || name.starts_with("apart-") {
            self.print_event(&label, name, &halves, failed)?;
        }
        let rows = [alone.rows("flows", &format!("{label}-alone")), dsc.rows("flows", &label)];
        rows.iter().flatten().try_for_each(|row| row.print(self.json))?;
        Ok(failed)
    }

    /// The lab of a measurement.
    pub(crate) fn plan_of(&self, nodes: usize, profile: &str) -> Plan {
        Plan {
            nodes,
            vips: self.vips,
            vips6: 0,
            hosts: self.hosts,
            services: true,
            timing: format!("\"{profile}\""),
            ..Plan::default()
        }
    }

    /// New connections at a rate, to addresses that are spread over the nodes; of each figure the worst node's.
    fn sharing_lag(&self, name: &str, profile: &str, measured: &mut Measured) -> Result<()> {
        let lab = Lab::up(name, self.plan_of(self.nodes, profile))?;
        let measure = || {
            live::settle(&lab, Whose::Outside)?;
            spread(&lab)?;
            let load = Openings::start(&lab, &services::web(&lab.plan, false), self.per_s)?;
            load.wait_served(self.per_s.into(), BEGIN_MS)?;
            let (before, begun) = (load.counts().served, Instant::now());
            wait::observe(LAG_MS);
            let per_s = (load.counts().served - before) as f64 / begun.elapsed().as_secs_f64();
            let lags: Result<Vec<_>> =
                (0..lab.plan.nodes).map(|node| cluster::sharing_lag(&lab, node)).collect();
            drop(load.stop());
            Ok((per_s, lags?))
        };
        let result = measure();
        let (per_s, lags) = lab.down().and(result)?;
        let worst = |of: fn(&cluster::Lag) -> u64| lags.iter().map(of).max().unwrap_or(0) as f64;
        measured.dsc.extend([
            (("sharing-lag-p50", "us"), worst(|l| l.p50_us)),
            (("sharing-lag-p99", "us"), worst(|l| l.p99_us)),
            (("sharing-lag-max", "us"), worst(|l| l.max_us)),
            (("sharing-lag-rate", "1/s"), per_s),
        ]);
        Ok(())
    }

    /// New connections whose requests come to the first node and whose replies come to the second: what is on its way to it at
    /// the same time is the flow.
    fn apart(&self, name: &str, profile: &str, measure: &str) -> Result<Half> {
        let routing = measure.trim_start_matches("apart-");
        let plan = self.plan_of(self.nodes, profile);
        let lab = Lab::up(name, Plan { flows: format!("routing = \"{routing}\""), ..plan })?;
        let measure = || {
            live::settle(&lab, Whose::Outside)?;
            for (vip, plan) in lab.plan.vip_list().iter().enumerate() {
                let host = usize::from(plan.subnet == Subnet::Int).min(self.nodes - 1);
                if cluster::host_of(&lab, vip) != Some(host) {
                    cluster::move_vip(&lab, vip, host)?;
                }
            }
            let load = Openings::start(&lab, &services::web(&lab.plan, false), self.per_s)?;
            load.wait_served(self.connections as u64, BEGIN_MS)?;
            Ok(load.stop())
        };
        let result = measure();
        Ok(Half::from(&lab.down().and(result)?))
    }

    /// As many new connections as go through one node: alone in its cluster, and with the others, who get its flows.
    fn new_flows(&self, name: &str, profile: &str, measured: &mut Measured) -> Result<()> {
        let alone = self.opened(name, profile, 1)?;
        let shared = self.opened(name, profile, self.nodes)?;
        let rows = |opened: &Opened| {
            [(("new-flows", "1/s"), opened.per_s), (("new-flows-fwd-cpu", "us"), opened.fwd_us)]
        };
        measured.alone.extend(rows(&alone));
        measured.dsc.extend(rows(&shared));
        measured.dsc.add(("new-flows-of-alone", "%"), shared.per_s / alone.per_s * 100.0);
        Ok(())
    }

    fn opened(&self, name: &str, profile: &str, nodes: usize) -> Result<Opened> {
        let lab = Lab::up(name, self.plan_of(nodes, profile))?;
        let measure = || {
            live::settle(&lab, Whose::Outside)?;
            // All addresses on one node, so that both have the same way for every packet.
            (1..nodes).try_for_each(|node| cluster::drain(&lab, node).map(drop))?;
            wait::until("the first node has all addresses", DRAIN_MS, || {
                let all = 0..lab.plan.vip_list().len();
                all.into_iter().all(|vip| cluster::host_of(&lab, vip) == Some(0)).then_some(())
            })?;
            let to = services::web(&lab.plan, false);
            let cpu = || program::find(&lab, 0, "dsc-fwd").map_or(0, |p| p.cpu_ns());
            let (made, used) = (cluster::flow_totals(&lab, 0)?.made, cpu());
            let through = bulk::connections(&lab, &to, CLIENTS, OPENING_MS)?;
            let made = cluster::flow_totals(&lab, 0)?.made - made;
            let fwd_us = (cpu() - used) as f64 / 1e3 / made.max(1) as f64;
            Ok(Opened { per_s: through.per_s, fwd_us })
        };
        let result = measure();
        lab.down().and(result)
    }
}

/// Every node hosts as many addresses as the others, so that every one makes flows and learns flows.
fn spread(lab: &Lab) -> Result<()> {
    for vip in 0..lab.plan.vip_list().len() {
        let node = vip % lab.plan.nodes;
        if cluster::host_of(lab, vip) != Some(node) {
            cluster::move_vip(lab, vip, node)?;
        }
    }
    Ok(())
}

/// What goes through one node.
struct Opened {
    /// New connections per second.
    per_s: f64,
    /// Processor time of its data path's daemon for each, µs.
    fwd_us: f64,
}

/// Values of a cluster of one node, and of one with all.
#[derive(Default)]
struct Measured {
    alone: Values,
    dsc: Values,
    /// What live downloads, or new connections, lived through.
    halves: Vec<Half>,
}
