//! Figures of one event and of many runs of it, and the rows in which they are printed.

use crate::answers::Observed;
use serde::{Serialize, Serializer};

/// What one run of one event cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Longest gap over all addresses, ms.
    pub lost_ms: f64,
    /// Probes of ordinary clients that were not answered, all addresses.
    pub probes_lost: usize,
    /// Time until a new node answered, the slowest of the addresses that had to move, ms; none if none moved.
    pub takeover_ms: Option<f64>,
    /// Time with two nodes answering, the worst of the addresses, ms.
    pub duplicate_ms: u64,
    /// Moves beyond those asked for.
    pub unwanted_moves: usize,
}

/// Judges an observation. `affected` are addresses with the node that had to give them up, or that gives them up by
/// its configuration: each may move once.
pub fn judge(seen: &Observed, at_ns: u64, affected: &[(usize, usize)]) -> Figures {
    let mut figures = Figures::default();
    for vip in &seen.vips {
        let lost = seen.lost(*vip);
        figures.lost_ms = figures.lost_ms.max(lost.longest_ms);
        figures.probes_lost += lost.probes;
        figures.duplicate_ms = figures.duplicate_ms.max(seen.duplicate_ms(*vip));
        let old = affected.iter().find(|(v, _)| v == vip).map(|(_, old)| *old);
        let takeover = old.and_then(|old| seen.takeover_ms(*vip, at_ns, old));
        figures.takeover_ms = match (figures.takeover_ms, takeover) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        figures.unwanted_moves += seen.moves(*vip).saturating_sub(usize::from(old.is_some()));
    }
    figures
}

/// Smallest, middle and largest of some runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Smallest.
    #[serde(serialize_with = "tenths")]
    pub min: f64,
    /// Middle; of an even number the upper middle.
    #[serde(serialize_with = "tenths")]
    pub median: f64,
    /// Largest.
    #[serde(serialize_with = "tenths")]
    pub max: f64,
}

fn tenths<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 10.0).round() / 10.0)
}

impl Spread {
    /// Of at least one value; none of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Spread { min, median: values[values.len() / 2], max })
    }
}

/// One line of the bench.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `dsc` or `keepalived`.
    pub system: String,
    /// Its timing.
    pub profile: String,
    /// What happened.
    pub event: String,
    /// How often.
    pub runs: usize,
    /// Runs that could not be measured, because a step failed or the cluster did not become calm.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: usize,
    /// Longest gap.
    pub lost_ms: Spread,
    /// Time until a new owner answered; null where no address moved.
    pub takeover_ms: Option<Spread>,
    /// Time with two owners.
    pub duplicate_ms: Spread,
    /// Moves that nothing asked for, all runs together.
    pub unwanted_moves: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Row {
    /// Sums runs up; none of no runs.
    pub fn of(system: &str, profile: &str, event: &str, runs: &[Figures]) -> Option<Row> {
        Some(Row {
            system: system.into(),
            profile: profile.into(),
            event: event.into(),
            runs: runs.len(),
            failed: 0,
            lost_ms: Spread::of(runs.iter().map(|r| r.lost_ms))?,
            takeover_ms: Spread::of(runs.iter().filter_map(|r| r.takeover_ms)),
            duplicate_ms: Spread::of(runs.iter().map(|r| r.duplicate_ms as f64))?,
            unwanted_moves: runs.iter().map(|r| r.unwanted_moves).sum(),
        })
    }

    /// As a line of a table; [`HEADING`] is its first.
    pub fn text(&self) -> String {
        let spread = |s: &Spread| format!("{:.0}/{:.0}/{:.0}", s.min, s.median, s.max);
        let failed = match self.failed {
            0 => String::new(),
            n => format!("  ({n} runs failed)"),
        };
        let takeover = self.takeover_ms.as_ref().map_or("-".into(), spread);
        format!(
            "{:<11}{:<9}{:<17}{:>4} {:>16} {:>16} {:>16} {:>8}{failed}",
            self.system,
            self.profile,
            self.event,
            self.runs,
            spread(&self.lost_ms),
            takeover,
            spread(&self.duplicate_ms),
            self.unwanted_moves
        )
    }
}

/// Names the columns of [`Row::text`]; times are min/median/max.
pub const HEADING: &str = "system     profile  event            runs          lost_ms      takeover_ms     duplicate_ms unwanted";

/// What an idle node costs.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// `dsc` or `keepalived`.
    pub system: String,
    /// Its timing.
    pub profile: String,
    /// Always `idle`.
    pub event: &'static str,
    /// Seconds of observation.
    pub seconds: u64,
    /// Percent of one processor, the daemons of one node together, over the nodes.
    pub cpu_percent: Spread,
    /// Memory (PSS), the daemons of one node together, MB, over the nodes.
    pub pss_mb: Spread,
}

impl Idle {
    /// As a line for people.
    pub fn text(&self) -> String {
        let (cpu, pss) = (&self.cpu_percent, &self.pss_mb);
        format!(
            "{:<11}{:<9}idle: {:.2}/{:.2}/{:.2} % of a processor, {:.1}/{:.1}/{:.1} MB per node, over {} s",
            self.system,
            self.profile,
            cpu.min,
            cpu.median,
            cpu.max,
            pss.min,
            pss.median,
            pss.max,
            self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_promised_fields() {
        let run = |lost_ms, takeover_ms| Figures { lost_ms, takeover_ms, ..Figures::default() };
        let runs = [run(3.0, Some(2.0)), run(1.0, None), run(2.04, Some(1.0))];
        let row = Row::of("dsc", "default", "crash", &runs).unwrap();
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            "{\"system\":\"dsc\",\"profile\":\"default\",\"event\":\"crash\",\"runs\":3,\
             \"lost_ms\":{\"min\":1.0,\"median\":2.0,\"max\":3.0},\
             \"takeover_ms\":{\"min\":1.0,\"median\":2.0,\"max\":2.0},\
             \"duplicate_ms\":{\"min\":0.0,\"median\":0.0,\"max\":0.0},\"unwanted_moves\":0}"
        );
        assert!(Row::of("dsc", "default", "crash", &[]).is_none());
    }
}
