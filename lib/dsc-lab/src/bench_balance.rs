//! `dsc-lab bench balance`: unequal loads, all on one node: how evenly they are spread, and how fast. It prints what it measured
//! and never judges.

use crate::error::Result;
use crate::lab::Lab;
use crate::measures::{Measure, Values};
use crate::spread::{self, Spread};

/// How long the cluster is watched after the loads lie well, ms.
const QUIET_MS: u64 = 20_000;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchBalance {
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Runs, each in a fresh lab.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Nodes.
    #[arg(long, default_value_t = 4)]
    pub nodes: usize,
}

impl BenchBalance {
    /// Measures everything, then prints the rows. Returns how many runs failed.
    ///
    /// # Errors
    /// A lab cannot be brought up. A run that fails is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        let (mut values, mut failed) = (Values::default(), 0);
        for run in 1..=self.runs {
            eprintln!("# run {run}: {} nodes, {} addresses", self.nodes, spread::SHARES.len());
            let lab = Lab::up(lab_name, spread::plan(self.nodes))?;
            let result = spread::run(&lab, QUIET_MS);
            lab.down()?;
            match result {
                Ok(spread) => values.extend(measured(&spread)),
                Err(error) => {
                    failed += 1;
                    eprintln!("dsc-lab: run {run}: {error}");
                }
            }
        }
        if !self.json {
            println!("min/median/max over the runs, from the first request on");
        }
        values.rows("balance", "dsc").iter().try_for_each(|row| row.print(self.json))?;
        Ok(failed)
    }
}

fn measured(spread: &Spread) -> Vec<(Measure, f64)> {
    vec![
        (("balance-good", "s"), spread.good_s),
        (("balance-last-move", "s"), spread.last_s),
        (("balance-moves", "moves"), spread.moves as f64),
        (("balance-late-moves", "moves"), spread.late_moves as f64),
        (("balance-most-loaded", "% of best"), spread.ratio * 100.0),
        (("balance-broken", "downloads"), spread.report.broken as f64),
        (("balance-pause", "ms"), spread.report.longest_ms),
    ]
}
