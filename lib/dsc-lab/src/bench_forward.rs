//! `dsc-lab bench forward`: how much goes through the nodes to the hosts behind, for DSC beside plain forwarding, nftables
//! DNAT and HAProxy on the same topology. Every round measures each system once, so that rounds can be compared. It
//! prints what it measured and never judges.

use crate::bpf::{self, Timed};
use crate::bulk::{self, Through};
use crate::error::{Error, Result};
use crate::flood;
use crate::lab::Lab;
use crate::measures::{Measure, Values};
use crate::nginx;
use crate::process::Pid;
use crate::segments::{Target, datagram, plain_datagram};
use crate::services;
use crate::topology::{Beside, Plan, System};
use crate::{live, packets, program, wait};
use std::net::IpAddr;

/// What can be measured, in the order of the rows.
pub const SYSTEMS: [&str; 4] = ["dsc", "forwarding", "nftables", "haproxy"];
/// Clients that open connections one after the other.
const CLIENTS: usize = 8;
/// Flows of the packets.
const FLOWS: u32 = 1_000;
/// Packets that arrived.
const PACKETS: Measure = ("packets", "1000/s");
/// What is compared round by round: DSC's in percent of each other system's.
const COMPARED: [Measure; 4] =
    [("tcp-1-stream", "Gbit/s"), ("tcp-4-streams", "Gbit/s"), ("http-connections", "1/s"), PACKETS];

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

impl BenchForward {
    /// Measures everything, then prints the rows. Returns how many runs of DSC failed.
    ///
    /// # Errors
    /// A system is unknown, or a lab cannot be brought up. A run that fails is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        let systems: Vec<(&String, System)> =
            self.systems.iter().map(|s| Ok((s, system(s)?))).collect::<Result<_>>()?;
        let mut values = vec![Values::default(); systems.len()];
        let mut ratios = vec![Values::default(); systems.len()];
        let mut failed = 0;
        for run in 1..=self.runs {
            let mut round: Vec<Option<Vec<(Measure, f64)>>> = vec![None; systems.len()];
            // None is always the first.
            for turn in (0..systems.len()).map(|turn| (turn + run - 1) % systems.len()) {
                let (name, system) = &systems[turn];
                eprintln!("# round {run}: {name}");
                match self.once(lab_name, name, system) {
                    Ok(measured) => {
                        values[turn].extend(measured.iter().copied());
                        round[turn] = Some(measured);
                    }
                    Err(error) => {
                        failed += usize::from(*system == System::Dsc);
                        eprintln!("dsc-lab: {name}, round {run}: {error}");
                    }
                }
            }
            compare(&systems, &round, &mut ratios);
        }
        if !self.json {
            println!("min/median/max over the rounds; dsc/...: of the same round");
        }
        for ((name, _), values) in systems.iter().zip(&values) {
            values.rows("forward", name).iter().try_for_each(|row| row.print(self.json))?;
        }
        for ((name, _), ratios) in systems.iter().zip(&ratios) {
            let rows = ratios.rows("forward", &format!("dsc/{name}"));
            rows.iter().try_for_each(|row| row.print(self.json))?;
        }
        Ok(failed)
    }

    /// One lab.
    fn once(&self, lab_name: &str, name: &str, system: &System) -> Result<Vec<(Measure, f64)>> {
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

    /// CPU is the whole machine's, clients and hosts included.
    fn measure(&self, lab: &Lab, name: &str) -> Result<Vec<(Measure, f64)>> {
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
        nginx::read_large(&lab.dir())?;
        let one = bulk::streams(lab, &to, 1, self.window_ms)?;
        let four = bulk::streams(lab, &to, 4, self.window_ms)?;
        let fresh = bulk::connections(lab, &to, CLIENTS, self.window_ms)?;
        let packets = if name == "haproxy" { Vec::new() } else { self.packets(lab, name)? };
        let gbit = |through: Through| through.per_s * 8.0 / 1e9;
        let mut measured = vec![
            (("tcp-1-stream", "Gbit/s"), gbit(one)),
            (("tcp-1-stream-cpu", "%"), one.cpu_percent),
            (("tcp-4-streams", "Gbit/s"), gbit(four)),
            (("tcp-4-streams-cpu", "%"), four.cpu_percent),
            (("http-connections", "1/s"), fresh.per_s),
            (("http-connections-cpu", "%"), fresh.cpu_percent),
        ];
        measured.extend(packets);
        Ok(measured)
    }

    /// Datagrams of a thousand flows to one address. HAProxy has no way for them.
    fn packets(&self, lab: &Lab, name: &str) -> Result<Vec<(Measure, f64)>> {
        packets::prepare(lab)?;
        let target = *flood::targets(lab)?
            .first()
            .ok_or_else(|| Error::new("send packets", "there is no IPv4 address on ext"))?;
        let source = Plan::client_address(0, false);
        let host = services::host_address(0, false);
        let (IpAddr::V4(source), IpAddr::V4(host)) = (source, host) else {
            return Err(Error::new("send packets", "the lab's addresses are not IPv4"));
        };
        let frame = |flow| match name {
            "forwarding" => plain_datagram(&Target { vip: host, ..target }, source, flow),
            _ => datagram(&target, source, flow),
        };
        let frames: Vec<Vec<u8>> = (0..FLOWS).map(frame).collect();
        let window = || {
            wait::observe(self.window_ms);
            Ok(())
        };
        let (seen, ()) = packets::through(lab, &frames, window)?;
        let mut measured = vec![
            (PACKETS, seen.delivered / 1e3),
            (("packets-lost", "%"), seen.lost_percent),
            (("packets-sender-waits", "%"), seen.full_percent),
        ];
        if lab.plan.system == System::Dsc {
            // Timing is a cost of its own, so it has a window of its own.
            let timed = Timed::begin()?;
            let nodes = 0..lab.plan.nodes;
            let fwd: Vec<Pid> = nodes.filter_map(|n| program::find(lab, n, "dsc-fwd")).collect();
            let (_, mean) = packets::through(lab, &frames, || {
                let before = bpf::runs(&fwd);
                wait::observe(self.window_ms);
                Ok(bpf::runs(&fwd).mean_since(before))
            })?;
            drop(timed);
            let mean = mean.ok_or_else(|| Error::new("time the programs", "they did not run"))?;
            measured.push((("packets-program", "ns"), mean));
        }
        Ok(measured)
    }
}

/// Notes DSC's figures of a round in percent of each other system's.
fn compare(
    systems: &[(&String, System)],
    round: &[Option<Vec<(Measure, f64)>>],
    ratios: &mut [Values],
) {
    let value = |measured: &Option<Vec<(Measure, f64)>>, measure: Measure| {
        let found = measured.iter().flatten().find(|(m, _)| *m == measure);
        found.map(|(_, value)| *value)
    };
    let Some(dsc) = systems.iter().position(|(_, system)| *system == System::Dsc) else { return };
    for (turn, other) in round.iter().enumerate().filter(|(turn, _)| *turn != dsc) {
        for measure in COMPARED {
            if let (Some(own), Some(other)) = (value(&round[dsc], measure), value(other, measure)) {
                ratios[turn].add((measure.0, "%"), own / other * 100.0);
            }
        }
    }
}

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
    fn rounds_are_compared_where_both_were_measured() {
        let names = ["dsc", "nftables", "haproxy"].map(String::from);
        let systems: Vec<_> = names.iter().map(|n| (n, system(n).unwrap())).collect();
        let mut ratios = vec![Values::default(); 3];
        let web = |per_s| vec![(("http-connections", "1/s"), per_s)];
        compare(&systems, &[Some(web(300.0)), Some(web(200.0)), None], &mut ratios);
        compare(&systems, &[Some(web(100.0)), None, Some(web(50.0))], &mut ratios);
        compare(&systems, &[None, Some(web(1.0)), Some(web(1.0))], &mut ratios);
        let seen = ratios.iter().map(|r| r.of(("http-connections", "%")).to_vec());
        assert_eq!(seen.collect::<Vec<_>>(), [vec![], vec![150.0], vec![200.0]]);
    }

    #[test]
    fn every_system_is_known() {
        assert!(SYSTEMS.iter().all(|s| system(s).is_ok()));
        assert!(system("pf").is_err());
    }
}
