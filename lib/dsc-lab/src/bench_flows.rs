//! `dsc-lab bench flows`: live connections through each event, for DSC and for keepalived with conntrackd and with
//! HAProxy on the same topology, one after the other; then what `bench_measures.rs` measures of DSC. It prints what the
//! connections lived through and never judges.

use crate::bench_measures::NAMES;
use crate::downloads::Report;
use crate::error::{Doing, Error, Result};
use crate::figures::Spread;
use crate::lab::Lab;
use crate::live::{self, Outcome, Whose};
use crate::openings::Counts;
use crate::pace::Pace;
use crate::scenario::Event;
use crate::services;
use crate::topology::{Plan, System};
use serde::Serialize;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchFlows {
    /// Rows as JSON instead of a table.
    pub json: bool,
    /// Runs of each event.
    pub runs: usize,
    /// Live downloads of each run.
    pub connections: usize,
    /// New connections per second of the events that end in `-opening`.
    pub per_s: u32,
    /// Flows of the table that is measured.
    pub table: u32,
    /// Frames per second of the flood.
    pub flood_per_s: u64,
    /// Its length, s.
    pub flood_s: u64,
    /// Nodes of the lab.
    pub nodes: usize,
    /// IPv4 virtual addresses on `ext`.
    pub vips: usize,
    /// Hosts behind.
    pub hosts: usize,
    /// Systems with DSC's timing.
    pub systems: Vec<(System, String)>,
    /// Only these events, by their names or by their undoing's, and measurements ([`NAMES`]); all if empty.
    pub events: Vec<String>,
}

/// What a row is about.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    undoing: String,
    event: Option<Event>,
    whose: Whose,
    /// New connections instead of downloads.
    opening: bool,
}

/// One line of the bench: what the connections of all runs lived through.
#[derive(Clone, Debug, Serialize)]
struct Row {
    bench: &'static str,
    system: String,
    event: String,
    /// Of min, median and max.
    unit: &'static str,
    /// Over the runs, each run's longest pause of any connection that lived; of new connections the longest time from
    /// SYN to SYN-ACK. Null if none lived.
    min: Option<f64>,
    median: Option<f64>,
    max: Option<f64>,
    runs: usize,
    /// Of all runs together, like the rest.
    connections: u64,
    broken: u64,
    reset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    syn_retransmits: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    failed: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Columns of the table.
const HEADING: &str = "system                      event             runs    longest pause, ms  connections   broken    reset";

/// One half of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Half {
    longest_ms: Option<f64>,
    connections: u64,
    broken: u64,
    reset: u64,
    /// Refused, unanswered, SYNs sent again.
    opening: Option<[u64; 3]>,
}

impl From<&Report> for Half {
    fn from(report: &Report) -> Half {
        Half {
            longest_ms: (report.live > 0).then_some(report.longest_ms),
            connections: report.connections as u64,
            broken: report.broken as u64,
            reset: report.reset as u64,
            opening: None,
        }
    }
}

impl From<&Counts> for Half {
    fn from(counts: &Counts) -> Half {
        Half {
            longest_ms: counts.connect_ms().map(|s| s.max),
            connections: counts.accepted,
            broken: counts.broken,
            reset: counts.reset,
            opening: Some([counts.refused, counts.unanswered, counts.syn_retransmits]),
        }
    }
}

impl BenchFlows {
    /// Measures everything and prints rows as they come. Returns how many runs of DSC failed.
    ///
    /// # Errors
    /// An event is unknown, or a lab cannot be brought up. A run that fails is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        for event in &self.events {
            let known = |(system, _): &(System, String)| {
                cases(system).iter().any(|c| c.name == *event || c.undoing == *event)
            };
            if !NAMES.contains(&event.as_str()) && !self.systems.iter().any(known) {
                let names: Vec<String> = cases(&System::Dsc).into_iter().map(|c| c.name).collect();
                return Err(Error::new(
                    format!("measure {event}"),
                    format!("events: {} {}", names.join(" "), NAMES.join(" ")),
                ));
            }
        }
        let only_measures = self.events.iter().all(|e| NAMES.contains(&e.as_str()));
        if !self.json && (self.events.is_empty() || !only_measures) {
            println!(
                "longest pauses are min/median/max over the runs; the counts are of all runs\n{HEADING}"
            );
        }
        let mut failed = 0;
        for (system, profile) in &self.systems {
            let of_system = self.measure(lab_name, system, profile)?;
            failed += if *system == System::Dsc { of_system } else { 0 };
        }
        let wanted = |name: &&str| self.events.is_empty() || self.events.iter().any(|e| e == name);
        for (_, profile) in self.systems.iter().filter(|(s, _)| *s == System::Dsc) {
            for name in NAMES.iter().filter(|name| wanted(name)) {
                failed += self.measure_one(lab_name, profile, name)?;
            }
        }
        Ok(failed)
    }

    fn measure(&self, name: &str, system: &System, profile: &str) -> Result<usize> {
        let wants = |c: &Case| {
            self.events.is_empty() || self.events.iter().any(|e| *e == c.name || *e == c.undoing)
        };
        let cases: Vec<Case> = cases(system).into_iter().filter(wants).collect();
        if cases.is_empty() {
            return Ok(0);
        }
        let plan = Plan {
            nodes: self.nodes,
            vips: self.vips,
            vips6: 0,
            hosts: self.hosts,
            services: true,
            system: system.clone(),
            timing: format!("\"{profile}\""),
            ..Plan::default()
        };
        let label = label(system, profile);
        eprintln!("# {label}, {} nodes, {} VIPs, {} hosts", self.nodes, self.vips, self.hosts);
        let mut failed = 0;
        for case in &cases {
            // A lab of its own: what an event leaves behind in a peer's tables is not the next one's.
            let mut lab = Lab::up(name, plan.clone())?;
            let result = self.case(&mut lab, &label, case);
            failed += lab.down().and(result)?;
        }
        Ok(failed)
    }

    /// All runs of one event, and its rows.
    fn case(&self, lab: &mut Lab, label: &str, case: &Case) -> Result<usize> {
        let (mut event, mut undoing) = (Vec::new(), Vec::new());
        for run in 1..=self.runs {
            match self.once(lab, case) {
                Ok(outcome) => {
                    event.push(outcome.event);
                    undoing.push(outcome.undoing);
                }
                Err(error) => {
                    eprintln!("dsc-lab: {} run {run}: {error}", case.name);
                    // The next run deserves a lab in order.
                    let (name, plan) = (lab.name.clone(), lab.plan.clone());
                    *lab = Lab::up(&name, plan)?;
                }
            }
        }
        let failed = self.runs - event.len();
        self.print(&row(label, &case.name, &event, failed))?;
        if case.event.is_some() {
            self.print(&row(label, &case.undoing, &undoing, failed))?;
        }
        Ok(failed)
    }

    fn once(&self, lab: &mut Lab, case: &Case) -> Result<Outcome<Half>> {
        let (event, whose) = (case.event.as_ref(), case.whose);
        let to = services::web(&lab.plan, false);
        if case.opening {
            let o = live::openings(lab, event, whose, &to, self.per_s)?;
            tell(case, &o);
            return Ok(halves(&o));
        }
        let o = live::downloads(lab, event, whose, &to, self.connections, Pace::Slow)?;
        tell(case, &o);
        Ok(halves(&o))
    }

    /// The row of an event whose half was run by another.
    pub(crate) fn print_event(
        &self,
        label: &str,
        event: &str,
        halves: &[Half],
        failed: usize,
    ) -> Result<()> {
        self.print(&row(label, event, halves, failed))
    }

    fn print(&self, row: &Row) -> Result<()> {
        let text = if self.json {
            serde_json::to_string(row).doing(|| "write a row".into())?
        } else {
            text(row)
        };
        println!("{text}");
        Ok(())
    }
}

fn halves<T>(outcome: &Outcome<T>) -> Outcome<Half>
where
    for<'a> Half: From<&'a T>,
{
    Outcome {
        event: Half::from(&outcome.event),
        undoing: Half::from(&outcome.undoing),
        victim: outcome.victim,
    }
}

/// What broke, in words, on stderr.
fn tell<T: Latest>(case: &Case, outcome: &Outcome<T>) {
    let halves = [(&case.name, &outcome.event), (&case.undoing, &outcome.undoing)];
    for (name, half) in halves {
        if let Some(latest) = half.latest() {
            eprintln!("# {name} of n{}: {latest}", outcome.victim + 1);
        }
    }
}

/// What has a latest failure to tell.
trait Latest {
    fn latest(&self) -> Option<&str>;
}

impl Latest for Report {
    fn latest(&self) -> Option<&str> {
        self.latest.as_deref()
    }
}

impl Latest for Counts {
    fn latest(&self) -> Option<&str> {
        self.latest.as_deref()
    }
}

/// What a system is called in a row.
pub(crate) fn label(system: &System, profile: &str) -> String {
    match system {
        System::Dsc if profile != "default" => format!("dsc-{profile}"),
        _ => system.word(),
    }
}

/// Every event that a system can have, in the order of the rows.
fn cases(system: &System) -> Vec<Case> {
    let case = |name: &str, undoing: &str, event: Option<Event>, whose, opening| Case {
        name: name.into(),
        undoing: undoing.into(),
        event,
        whose,
        opening,
    };
    let (outside, inside) = (Whose::Outside, Whose::Inside);
    let mut all = vec![
        case("quiet", "quiet", None, outside, false),
        case("crash", "rejoin", Some(Event::Crash), outside, false),
        case("crash-gateway", "rejoin-gateway", Some(Event::Crash), inside, false),
        case("freeze", "thaw", Some(Event::Freeze), outside, false),
        case("cut", "merge", Some(Event::Drop), outside, false),
        case("move", "undo-move", Some(Event::Move), outside, false),
        case("move-gateway", "undo-move-gateway", Some(Event::Move), inside, false),
        case("drain", "open", Some(Event::Drain), outside, false),
    ];
    if *system == System::Dsc {
        for daemon in crate::program::daemons(system) {
            for event in [Event::Kill(daemon), Event::Replace(daemon)] {
                let undoing = format!("{} {}", event.undoing(), daemon);
                let undoing = undoing.replace(' ', "-");
                all.push(case(&event.name(), &undoing, Some(event), outside, false));
            }
        }
    }
    all.push(case("quiet-opening", "quiet-opening", None, outside, true));
    all.push(case("crash-opening", "rejoin-opening", Some(Event::Crash), outside, true));
    all
}

fn row(system: &str, event: &str, halves: &[Half], failed: usize) -> Row {
    let spread = Spread::of(halves.iter().filter_map(|h| h.longest_ms));
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let sum = |of: fn(&Half) -> u64| halves.iter().map(of).sum();
    let opening = |at: usize| {
        let of = halves.iter().filter_map(|h| h.opening.map(|o| o[at]));
        halves.first().and_then(|h| h.opening).map(|_| of.sum())
    };
    Row {
        bench: "flows",
        system: system.into(),
        event: event.into(),
        unit: "ms",
        min: spread.map(|s| tenths(s.min)),
        median: spread.map(|s| tenths(s.median)),
        max: spread.map(|s| tenths(s.max)),
        runs: halves.len(),
        connections: sum(|h| h.connections),
        broken: sum(|h| h.broken),
        reset: sum(|h| h.reset),
        refused: opening(0),
        unanswered: opening(1),
        syn_retransmits: opening(2),
        failed,
    }
}

fn text(row: &Row) -> String {
    let pause = match (row.min, row.median, row.max) {
        (Some(min), Some(median), Some(max)) => format!("{min:.0}/{median:.0}/{max:.0}"),
        _ => "-".into(),
    };
    let mut text = format!(
        "{:<28}{:<18}{:>4} {pause:>20} {:>12} {:>8} {:>8}",
        row.system, row.event, row.runs, row.connections, row.broken, row.reset
    );
    if let (Some(refused), Some(unanswered), Some(again)) =
        (row.refused, row.unanswered, row.syn_retransmits)
    {
        text += &format!("  ({refused} refused, {unanswered} unanswered, {again} SYNs sent again)");
    }
    if row.failed > 0 {
        text += &format!("  ({} runs failed)", row.failed);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_promised_fields() {
        let half =
            |longest_ms, broken| Half { longest_ms, connections: 10, broken, ..Half::default() };
        let runs = [half(Some(3.0), 0), half(None, 10), half(Some(1.04), 1)];
        assert_eq!(
            serde_json::to_string(&row("dsc", "crash", &runs, 0)).unwrap(),
            "{\"bench\":\"flows\",\"system\":\"dsc\",\"event\":\"crash\",\"unit\":\"ms\",\
             \"min\":1.0,\"median\":3.0,\"max\":3.0,\"runs\":3,\"connections\":30,\"broken\":11,\"reset\":0}"
        );
        assert_eq!(row("dsc", "crash", &[], 2).median, None);
    }

    #[test]
    fn names_of_events_differ() {
        let mut names: Vec<String> = cases(&System::Dsc).into_iter().map(|c| c.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
