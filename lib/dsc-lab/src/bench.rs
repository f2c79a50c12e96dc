//! `dsc-lab bench failover`: the same events on the same topology for DSC and for keepalived, one after the other in
//! one run of the program. It prints what it measured and never judges.

use crate::answers::Observed;
use crate::error::{Doing, Result};
use crate::figures::{Figures, HEADING, Idle, Row, Spread, judge};
use crate::lab::Lab;
use crate::probe::Prober;
use crate::scenario::{self, Event, Outcome};
use crate::topology::{Plan, Subnet, System};
use crate::{clock, program, wait};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Rows as JSON instead of a table.
    pub json: bool,
    /// Runs of each event.
    pub runs: usize,
    /// Nodes of the lab.
    pub nodes: usize,
    /// Virtual addresses of the lab; a few of them are probed.
    pub vips: usize,
    /// Systems with their profiles, as on the command line.
    pub systems: Vec<(System, String)>,
    /// Only these events; all if empty.
    pub events: Vec<String>,
    /// Seconds of each quiet window.
    pub quiet_s: u64,
    /// Tell on stderr what each run saw.
    pub trace: bool,
}

/// Most addresses that are probed at once.
const PROBED_MAX: usize = 4;
/// CPU burners per processor of the machine.
const BURNERS: usize = 3;

impl Bench {
    /// Measures everything and prints rows as they come. Returns how many runs of DSC failed.
    ///
    /// # Errors
    /// A lab cannot be brought up. An event that cannot be run is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        let mut failed = 0;
        if !self.json {
            println!("times are min/median/max over the runs, ms\n{HEADING}");
        }
        for (system, profile) in &self.systems {
            let mut of_system = self.measure(lab_name, system, profile, "serve")?;
            if self.wants("cut-all") {
                of_system += self.measure(lab_name, system, profile, "majority")?;
            }
            failed += if *system == System::Dsc { of_system } else { 0 };
        }
        Ok(failed)
    }

    fn wants(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|e| e == event)
    }

    /// One lab; in `majority` mode only the event that needs it.
    fn measure(
        &self,
        name: &str,
        system: &System,
        profile: &str,
        partition: &str,
    ) -> Result<usize> {
        let majority = partition == "majority";
        let events: Vec<Event> = all_events(system)
            .into_iter()
            .filter(|e| (*e == Event::CutAll) == majority)
            .filter(|e| self.wants(&e.name()) || self.wants(e.undoing()))
            .collect();
        let quiet = |event: &str| !majority && self.wants(event);
        if events.is_empty() && !["quiet", "quiet-load", "idle"].into_iter().any(quiet) {
            return Ok(0);
        }
        let plan = Plan {
            nodes: self.nodes,
            subnets: vec![Subnet::Ext, Subnet::Int],
            vips: self.vips,
            vips6: 0,
            vips_int: 0,
            vips6_int: 0,
            hosts: 0,
            services: false,
            link: None,
            check: String::new(),
            source_nat: false,
            system: system.clone(),
            timing: format!("\"{profile}\""),
            partition: partition.into(),
            flows: String::new(),
            witness: false,
            spares: 0,
        };
        eprintln!("# {} {profile}, {} nodes, {} VIPs", system.name(), self.nodes, self.vips);
        let probed: Vec<usize> = (0..self.vips.min(PROBED_MAX)).collect();
        let mut lab = Lab::up(name, plan)?;
        let result = self.events_on(&mut lab, &events, profile, &probed).and_then(|failed| {
            if quiet("idle") {
                self.idle(&lab, profile, &probed)?;
            }
            if quiet("quiet") {
                self.quiet(&lab, profile, &probed, 0)?;
            }
            if quiet("quiet-load") {
                let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
                self.quiet(&lab, profile, &probed, BURNERS * processors)?;
            }
            Ok(failed)
        });
        lab.down().and(result)
    }

    fn events_on(
        &self,
        lab: &mut Lab,
        events: &[Event],
        profile: &str,
        vips: &[usize],
    ) -> Result<usize> {
        let mut failed = 0;
        let mut undoings: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
        for event in events {
            let mut runs = Vec::new();
            for run in 1..=self.runs {
                match scenario::run(lab, event, vips) {
                    Ok(outcome) => {
                        if self.trace {
                            eprint!("{}", trace(lab, event, &outcome));
                        }
                        runs.push(outcome.event);
                        undoings.entry(event.undoing()).or_default().push(outcome.undoing);
                    }
                    Err(error) => {
                        eprintln!("dsc-lab: {} run {run}: {error}", event.name());
                        // The next event deserves a lab in order.
                        let plan = lab.plan.clone();
                        let name = lab.name.clone();
                        *lab = Lab::up(&name, plan)?;
                    }
                }
            }
            let missing = self.runs - runs.len();
            failed += missing;
            let mut row = Row::of(lab.plan.system.name(), profile, &event.name(), &runs);
            match &mut row {
                Some(row) => row.failed = missing,
                None => eprintln!("dsc-lab: {}: all {missing} runs failed, no row", event.name()),
            }
            self.print(row)?;
        }
        for (event, runs) in undoings {
            self.print(Row::of(lab.plan.system.name(), profile, event, &runs))?;
        }
        Ok(failed)
    }

    fn print(&self, row: Option<Row>) -> Result<()> {
        let Some(row) = row else { return Ok(()) };
        let text = if self.json {
            serde_json::to_string(&row).doing(|| "write a row".into())?
        } else {
            row.text()
        };
        println!("{text}");
        Ok(())
    }

    /// Nothing happens, with or without load.
    fn quiet(&self, lab: &Lab, profile: &str, vips: &[usize], burners: usize) -> Result<()> {
        let prober = Prober::start(lab, vips)?;
        scenario::calm(lab, &prober)?;
        let load = Burners::start(burners)?;
        let from_ns = clock::now_ns();
        wait::observe(self.quiet_s * 1000);
        drop(load);
        let seen: Observed = prober.stop()?;
        let figures = judge(&seen.between(from_ns, u64::MAX), from_ns, &[]);
        let event = if burners == 0 { "quiet" } else { "quiet-load" };
        self.print(Row::of(lab.plan.system.name(), profile, event, &[figures]))
    }

    /// What the daemons cost when nobody wants anything.
    fn idle(&self, lab: &Lab, profile: &str, vips: &[usize]) -> Result<()> {
        let prober = Prober::start(lab, vips)?;
        scenario::calm(lab, &prober)?;
        drop(prober);
        let mut before = Vec::new();
        for node in 0..lab.plan.nodes {
            before.push(
                program::daemon_processes(lab, node)?.iter().map(|p| p.cpu_ns()).sum::<u64>(),
            );
        }
        let begin = std::time::Instant::now();
        wait::observe(self.quiet_s * 1000);
        let elapsed = begin.elapsed().as_nanos() as f64;
        let (mut cpu, mut pss) = (Vec::new(), Vec::new());
        for (node, before) in before.into_iter().enumerate() {
            let pids = program::daemon_processes(lab, node)?;
            let used: u64 = pids.iter().map(|p| p.cpu_ns()).sum();
            cpu.push(used.saturating_sub(before) as f64 / elapsed * 100.0);
            pss.push(pids.iter().map(|p| p.pss_kib()).sum::<u64>() as f64 / 1024.0);
        }
        let idle = Idle {
            system: lab.plan.system.name().into(),
            profile: profile.into(),
            event: "idle",
            seconds: self.quiet_s,
            cpu_percent: Spread::of(cpu).unwrap_or_default(),
            pss_mb: Spread::of(pss).unwrap_or_default(),
        };
        let text = if self.json {
            serde_json::to_string(&idle).doing(|| "write a row".into())?
        } else {
            idle.text()
        };
        println!("{text}");
        Ok(())
    }
}

/// One run, address by address, times in ms after the event.
fn trace(lab: &Lab, event: &Event, outcome: &Outcome) -> String {
    let (seen, at_ns) = (&outcome.seen, outcome.at_ns);
    let after = |ns: u64| (ns as f64 - at_ns as f64) / 1e6;
    let victim = lab.plan.node(outcome.victim);
    let mut text = format!(
        "# {} of {victim} at {:.3}: {:?}\n# undone after {:.1}: {:?}\n",
        event.name(),
        at_ns as f64 / 1e9,
        outcome.event,
        after(outcome.undone_ns),
        outcome.undoing
    );
    for vip in &seen.vips {
        let lost = seen.lost(*vip);
        let _ = write!(
            text,
            "#   vip {vip}: longest gap {:.1} at {:.1}, {} probes, two answers {} ms:",
            lost.longest_ms,
            after(lost.at_ns),
            lost.probes,
            seen.duplicate_ms(*vip)
        );
        for stretch in seen.stretches(*vip) {
            let node = lab.plan.node(stretch.node);
            let _ =
                write!(text, " {node} {:.1}..{:.1}", after(stretch.from_ns), after(stretch.to_ns));
        }
        text.push('\n');
    }
    text
}

/// Every event that a system can have, in the order of the rows.
pub fn all_events(system: &System) -> Vec<Event> {
    let mut events = vec![Event::Crash, Event::Freeze];
    events.extend(program::daemons(system).iter().map(|d| Event::Kill(d)));
    events.extend([
        Event::CutOneSubnet,
        Event::CutAll,
        Event::Drop,
        Event::Carrier,
        Event::Move,
        Event::Drain,
    ]);
    if *system == System::Dsc {
        events.extend(program::daemons(system).iter().map(|d| Event::Replace(d)));
    }
    events
}

/// Processes of normal priority that want a whole processor each; they end with this value.
pub struct Burners(Vec<Child>);

impl Burners {
    /// Starts so many.
    ///
    /// # Errors
    /// One cannot be started.
    pub fn start(count: usize) -> Result<Burners> {
        let mut burners = Burners(Vec::new());
        for _ in 0..count {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            // SAFETY: between fork and exec the closure makes one system call.
            unsafe {
                command.pre_exec(|| {
                    // A burner must not outlive an interrupted bench.
                    nix::errno::Errno::result(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                    Ok(())
                });
            }
            burners.0.push(command.spawn().doing(|| "start a CPU burner".into())?);
        }
        Ok(burners)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Only a process that has already ended can refuse.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
