//! `dsc-lab bench link`: the highly available link beside HAProxy and nginx, all three on one node of one lab, to the same hosts
//! behind: what goes through, how much later an answer comes, memory of idle connections, and what becomes of downloads whose
//! server dies. Every round measures each proxy once. It prints what it measured and never judges.

use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::measures::{Measure, Values};
use crate::process::Pid;
use crate::services::{self, Ends, host_address};
use crate::topology::{Plan, host_machine};
use crate::transfers::{Tally, Transfers};
use crate::{bulk, change, cluster, fault, kept, links, nginx, program, proxies, wait};
use serde::Serialize;
use std::net::SocketAddr;

/// The proxies, in the order of the rows.
pub const SYSTEMS: [&str; 3] = ["dsc", "haproxy", "nginx"];
/// Hosts behind.
const HOSTS: usize = 3;
/// The one that dies.
const VICTIM: usize = 0;
/// Streams of large bodies.
const STREAMS: usize = 4;
/// Clients that ask on kept connections.
const CLIENTS: usize = 32;
/// Answers that are timed one after the other.
const ANSWERS: usize = 10_000;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 60_000;
/// What is compared round by round: DSC's in percent of each other proxy's.
const COMPARED: [Measure; 2] = [("large-bodies", "Gbit/s"), ("requests", "1/s")];

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchLink {
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Rounds; each measures every proxy once.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Length of each measurement.
    #[arg(long, default_value_t = 3_000)]
    pub window_ms: u64,
    /// Idle connections of which the memory is measured; 0: none.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Downloads of which a server dies, at most 1000; 0: none.
    #[arg(long, default_value_t = 200)]
    pub downloads: usize,
    /// Which: dsc, haproxy, nginx.
    #[arg(long, value_delimiter = ',', default_value = "dsc,haproxy,nginx")]
    pub system: Vec<String>,
}

/// A line about downloads whose server died; counts are of all rounds together.
#[derive(Clone, Debug, Serialize)]
struct Row {
    bench: &'static str,
    system: String,
    event: &'static str,
    runs: usize,
    connections: usize,
    /// How many of them the server sent when it died.
    affected: Option<usize>,
    broken: usize,
    wrong_bytes: usize,
}

/// What one proxy has shown.
#[derive(Clone, Default)]
struct Shown {
    /// Memory before anything was asked of it, KiB.
    begun_kib: u64,
    values: Values,
    /// DSC's in percent of this one's.
    ratios: Values,
    died: Vec<(Tally, Option<usize>)>,
}

impl BenchLink {
    /// Measures everything, then prints the rows. Returns how many runs of DSC failed.
    ///
    /// # Errors
    /// A proxy is unknown, or the lab does not come up. A run that fails is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        if let Some(word) = self.system.iter().find(|s| !SYSTEMS.contains(&s.as_str())) {
            let known = format!("systems: {}", SYSTEMS.join(" "));
            return Err(Error::new(format!("measure {word}"), known));
        }
        let plan = Plan {
            nodes: 1,
            vips: 1,
            vips6: 0,
            hosts: HOSTS,
            services: true,
            link: Some(", connections = 20000, idle_s = 600".into()),
            ..Plan::default()
        };
        let lab = Lab::up(lab_name, plan)?;
        let result = self.rounds(&lab);
        let (shown, failed) = lab.down().and(result)?;
        if !self.json {
            println!("min/median/max over the rounds; dsc/...: of the same round");
        }
        for (name, shown) in self.system.iter().zip(&shown) {
            shown.values.rows("link", name).iter().try_for_each(|row| row.print(self.json))?;
            let ratios = shown.ratios.rows("link", &format!("dsc/{name}"));
            ratios.iter().try_for_each(|row| row.print(self.json))?;
        }
        for (name, shown) in self.system.iter().zip(&shown) {
            self.print(name, &shown.died)?;
        }
        Ok(failed)
    }

    fn rounds(&self, lab: &Lab) -> Result<(Vec<Shown>, usize)> {
        cluster::wait_whole(lab, LIMIT_MS)?;
        change::replace(lab, 0, "\n[flows]", &(proxies::toml(&lab.plan) + "\n[flows]"))?;
        change::wait_same(lab, &[0])?;
        // What is measured has the name nginx too.
        program::stop(lab, 0, program::NGINX)?;
        proxies::start(lab, 0)?;
        nginx::read_large(&lab.dir())?;
        let mut shown = Vec::new();
        for name in &self.system {
            answers(lab, &ends(&lab.plan, name))?;
            shown.push(Shown { begun_kib: memory_kib(lab, name)?, ..Shown::default() });
        }
        let mut failed = 0;
        for run in 1..=self.runs {
            let mut round: Vec<Option<Vec<(Measure, f64)>>> = vec![None; self.system.len()];
            // None is always the first.
            for turn in (0..self.system.len()).map(|turn| (turn + run - 1) % self.system.len()) {
                let name = &self.system[turn];
                eprintln!("# round {run}: {name}");
                let result = self.through(lab, name, shown[turn].begun_kib).and_then(|measured| {
                    shown[turn].values.extend(measured.iter().copied());
                    round[turn] = Some(measured);
                    if self.downloads > 0 {
                        shown[turn].died.push(self.server_dies(lab, name)?);
                    }
                    Ok(())
                });
                if let Err(error) = result {
                    failed += usize::from(name == "dsc");
                    eprintln!("dsc-lab: {name}, round {run}: {error}");
                }
            }
            let value = |turn: usize, measure: Measure| {
                let found = round[turn].iter().flatten().find(|(m, _)| *m == measure);
                found.map(|(_, value)| *value)
            };
            let Some(dsc) = self.system.iter().position(|s| s == "dsc") else { continue };
            for (turn, shown) in shown.iter_mut().enumerate().filter(|(turn, _)| *turn != dsc) {
                for measure in COMPARED {
                    if let (Some(own), Some(other)) = (value(dsc, measure), value(turn, measure)) {
                        shown.ratios.add((measure.0, "%"), own / other * 100.0);
                    }
                }
            }
        }
        Ok((shown, failed))
    }

    /// CPU is the whole machine's, clients and hosts included.
    fn through(&self, lab: &Lab, name: &str, begun_kib: u64) -> Result<Vec<(Measure, f64)>> {
        let to = ends(&lab.plan, name);
        answers(lab, &to)?;
        let memory = self.idle_memory(lab, name, &to, begun_kib)?;
        let large = bulk::streams(lab, &to, STREAMS, self.window_ms)?;
        let small = bulk::requests(lab, &to, CLIENTS, self.window_ms)?;
        let behind = services::hosts(&lab.plan, false);
        let [direct, through] =
            [behind[0], to[0]].map(|ends| kept::answer_times(lab, ends, ANSWERS));
        let (direct, through) = (direct?, through?);
        let added = |share: usize| {
            let us = |times: &[u64]| {
                times[(times.len() * share / 100).min(times.len() - 1)] as f64 / 1e3
            };
            us(&through) - us(&direct)
        };
        let mut measured = vec![
            (("large-bodies", "Gbit/s"), large.per_s * 8.0 / 1e9),
            (("large-bodies-cpu", "%"), large.cpu_percent),
            (("requests", "1/s"), small.per_s),
            (("requests-cpu", "%"), small.cpu_percent),
            (("added-latency-p50", "us"), added(50)),
            (("added-latency-p99", "us"), added(99)),
        ];
        measured.extend(memory);
        Ok(measured)
    }

    /// Memory of the proxy's processes since they began, what it keeps of earlier rounds included; the kernel's is the same for
    /// all.
    fn idle_memory(
        &self,
        lab: &Lab,
        name: &str,
        to: &[Ends],
        begun_kib: u64,
    ) -> Result<Option<(Measure, f64)>> {
        if self.connections == 0 {
            return Ok(None);
        }
        let connections = kept::resting(lab, to, self.connections)?;
        let more_kib = memory_kib(lab, name)?.saturating_sub(begun_kib);
        drop(connections);
        let kb = more_kib as f64 * 1.024 / self.connections as f64;
        Ok(Some((("idle-memory", "KB/connection"), kb)))
    }

    /// What becomes of downloads when the server of some of them dies, and of how many it is, if the proxy tells.
    fn server_dies(&self, lab: &Lab, name: &str) -> Result<(Tally, Option<usize>)> {
        let to = ends(&lab.plan, name);
        let downloads = Transfers::start(lab, &to, self.downloads)?;
        downloads.wait_running(LIMIT_MS)?;
        let affected = if name == "dsc" {
            let victim = host_address(VICTIM, false);
            let running = links::running(lab, 0)?;
            Some(running.iter().filter(|r| r.backend.is_some_and(|b| b.ip() == victim)).count())
        } else {
            None
        };
        let machine = host_machine(VICTIM).name;
        fault::kill_on(lab, &machine, program::NGINX)?;
        let tally = downloads.wait_ended(LIMIT_MS)?;
        program::start_web(lab, &machine)?;
        if let Some(latest) = &tally.latest {
            eprintln!("# {name}: {latest}");
        }
        Ok((tally, affected))
    }

    fn print(&self, name: &str, died: &[(Tally, Option<usize>)]) -> Result<()> {
        if died.is_empty() {
            return Ok(());
        }
        let sum = |of: fn(&Tally) -> usize| died.iter().map(|(tally, _)| of(tally)).sum();
        let row = Row {
            bench: "link",
            system: name.into(),
            event: "server-killed",
            runs: died.len(),
            connections: sum(|t| t.asked),
            affected: died.iter().map(|(_, affected)| *affected).sum(),
            broken: sum(|t| t.broken),
            wrong_bytes: sum(|t| t.wrong_bytes),
        };
        if self.json {
            println!("{}", serde_json::to_string(&row).doing(|| "write a row".into())?);
            return Ok(());
        }
        println!(
            "{:<18}{:<28}{} of {} downloads broken, {} wrong bytes",
            row.system, row.event, row.broken, row.connections, row.wrong_bytes
        );
        Ok(())
    }
}

/// Where clients find a proxy.
fn ends(plan: &Plan, name: &str) -> Vec<Ends> {
    let link = services::link(plan);
    let at_port = |port| {
        let at = |ends: &Ends| Ends { to: SocketAddr::new(ends.to.ip(), port), ..*ends };
        link.iter().map(at).collect()
    };
    match name {
        "haproxy" => at_port(proxies::HAPROXY_PORT),
        "nginx" => at_port(proxies::NGINX_PORT),
        _ => link,
    }
}

/// Waits until a proxy serves from every host, so that none of them is thought dead.
fn answers(lab: &Lab, to: &[Ends]) -> Result<()> {
    let mut in_a_row = 0;
    wait::until("the proxy answers", LIMIT_MS, || {
        in_a_row = if kept::resting(lab, to, HOSTS).is_ok() { in_a_row + 1 } else { 0 };
        (in_a_row == HOSTS).then_some(())
    })
}

/// Memory of a proxy's processes.
fn memory_kib(lab: &Lab, name: &str) -> Result<u64> {
    let comm = if name == "dsc" { program::LINK } else { name };
    let all = lab.node(0)?.processes();
    Ok(all.iter().filter(|p| p.name() == comm).map(Pid::pss_kib).sum())
}
