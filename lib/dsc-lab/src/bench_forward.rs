//! `dsc-lab bench forward`: how much goes through the nodes to the hosts behind, for DSC beside plain forwarding, nftables
//! DNAT and HAProxy on the same topology. Every round measures each system once, so that rounds can be compared. It
//! prints what it measured and never judges.

use crate::bulk::{self, Through};
use crate::error::{Doing, Error, Result};
use crate::figures::Spread;
use crate::lab::Lab;
use crate::services;
use crate::topology::{Beside, Plan, System};
use crate::{live, program, wait};
use serde::Serialize;
use std::collections::BTreeMap;

/// What can be measured, in the order of the rows.
pub const SYSTEMS: [&str; 4] = ["dsc", "forwarding", "nftables", "haproxy"];
/// Clients that open connections one after the other.
const CLIENTS: usize = 8;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchForward {
    /// Rows as JSON instead of a table.
    pub json: bool,
    /// Rounds.
    pub runs: usize,
    /// Length of each measurement, ms.
    pub window_ms: u64,
    /// Nodes of the lab.
    pub nodes: usize,
    /// Hosts behind.
    pub hosts: usize,
    /// Of [`SYSTEMS`].
    pub systems: Vec<String>,
}

/// One line of the bench.
#[derive(Clone, Debug, Serialize)]
struct Row {
    bench: &'static str,
    system: String,
    measure: &'static str,
    /// Of min, median and max.
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
    runs: usize,
}

impl BenchForward {
    /// Measures everything, then prints the rows. Returns how many runs of DSC failed.
    ///
    /// # Errors
    /// A system is unknown, or a lab cannot be brought up. A run that fails is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        let systems: Vec<(&String, System)> =
            self.systems.iter().map(|s| Ok((s, system(s)?))).collect::<Result<_>>()?;
        let mut values: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
        let mut failed = 0;
        for run in 1..=self.runs {
            for (turn, (name, system)) in systems.iter().enumerate() {
                eprintln!("# round {run}: {name}");
                match self.once(lab_name, name, system) {
                    Ok(measured) => {
                        for (measure, value) in measured.into_iter().enumerate() {
                            values.entry((turn, measure)).or_default().push(value);
                        }
                    }
                    Err(error) => {
                        failed += usize::from(*system == System::Dsc);
                        eprintln!("dsc-lab: {name}, round {run}: {error}");
                    }
                }
            }
        }
        if !self.json {
            println!("min/median/max over the rounds");
        }
        for ((turn, measure), values) in values {
            let (measure, unit) = MEASURES[measure];
            let runs = values.len();
            let Some(spread) = Spread::of(values) else { continue };
            let system = systems[turn].0.clone();
            self.print(&Row { bench: "forward", system, measure, unit, spread, runs })?;
        }
        Ok(failed)
    }

    /// One lab; the values of [`MEASURES`].
    fn once(&self, lab_name: &str, name: &str, system: &System) -> Result<[f64; MEASURES.len()]> {
        let plan = Plan {
            nodes: self.nodes,
            vips6: 0,
            hosts: self.hosts,
            services: true,
            system: system.clone(),
            ..Plan::default()
        };
        let lab = Lab::up(lab_name, plan)?;
        let result = self.measure(&lab, name);
        lab.down().and(result)
    }

    fn measure(&self, lab: &Lab, name: &str) -> Result<[f64; MEASURES.len()]> {
        live::settle(lab, live::Whose::Outside)?;
        if name == "nftables" {
            // DNAT alone: nothing is copied to the other nodes.
            for node in 0..lab.plan.nodes {
                program::stop(lab, node, "conntrackd")?;
            }
        }
        let to = match name {
            "forwarding" => services::hosts(&lab.plan, false),
            _ => services::web(&lab.plan, false),
        };
        wait::until("the service answers", 30_000, || bulk::connections(lab, &to, 1, 1).ok())?;
        let one = bulk::streams(lab, &to, 1, self.window_ms)?;
        let four = bulk::streams(lab, &to, 4, self.window_ms)?;
        let fresh = bulk::connections(lab, &to, CLIENTS, self.window_ms)?;
        let gbit = |through: Through| through.per_s * 8.0 / 1e9;
        Ok([
            gbit(one),
            one.cpu_percent,
            gbit(four),
            four.cpu_percent,
            fresh.per_s,
            fresh.cpu_percent,
        ])
    }

    fn print(&self, row: &Row) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(row).doing(|| "write a row".into())?);
            return Ok(());
        }
        let Spread { min, median, max } = row.spread;
        let spread = format!("{min:.1}/{median:.1}/{max:.1}");
        println!("{:<12}{:<24}{spread:>28} {}", row.system, row.measure, row.unit);
        Ok(())
    }
}

/// Names and units, in the order in which they are measured. CPU is the whole machine's, clients and hosts included.
const MEASURES: [(&str, &str); 6] = [
    ("tcp-1-stream", "Gbit/s"),
    ("tcp-1-stream-cpu", "%"),
    ("tcp-4-streams", "Gbit/s"),
    ("tcp-4-streams-cpu", "%"),
    ("http-connections", "1/s"),
    ("http-connections-cpu", "%"),
];

/// A system by its word here. keepalived only moves the addresses.
fn system(word: &str) -> Result<System> {
    let beside = |beside| System::Keepalived { advert_ms: 50, beside };
    match word {
        "dsc" => Ok(System::Dsc),
        "forwarding" => Ok(beside(Beside::Nothing)),
        "nftables" => Ok(beside(Beside::Conntrackd)),
        "haproxy" => Ok(beside(Beside::Haproxy)),
        _ => Err(Error::new(format!("measure {word}"), format!("systems: {}", SYSTEMS.join(" ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_promised_fields() {
        let spread = Spread { min: 1.0, median: 2.04, max: 3.0 };
        let row = Row {
            bench: "forward",
            system: "dsc".into(),
            measure: MEASURES[0].0,
            unit: MEASURES[0].1,
            spread,
            runs: 3,
        };
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            "{\"bench\":\"forward\",\"system\":\"dsc\",\"measure\":\"tcp-1-stream\",\"unit\":\"Gbit/s\",\
             \"min\":1.0,\"median\":2.0,\"max\":3.0,\"runs\":3}"
        );
    }

    #[test]
    fn every_system_is_known() {
        assert!(SYSTEMS.iter().all(|s| system(s).is_ok()));
        assert!(system("pf").is_err());
    }
}
