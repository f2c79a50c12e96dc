//! `dsc-lab bench config`: how long a change of the configuration takes to be in force everywhere, from the start of
//! `dscctl config apply` on. It prints what it measured and never judges.

use crate::change::{self, Watch};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::measures::Values;
use crate::probe::Prober;
use crate::topology::Plan;
use crate::{clock, scenario};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchConfig {
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Changes, one after the other in one lab.
    #[arg(long, default_value_t = 20)]
    pub runs: usize,
    /// Nodes.
    #[arg(long, default_value_t = 8)]
    pub nodes: usize,
}

impl BenchConfig {
    /// Measures everything, then prints the rows. Returns how many changes failed.
    ///
    /// # Errors
    /// The lab cannot be brought up. A change that fails is said on stderr and left out.
    pub fn run(&self, lab_name: &str) -> Result<usize> {
        let plan = Plan { nodes: self.nodes, hosts: 2, services: true, ..Plan::default() };
        eprintln!("# {} nodes, {} changes of a weight and a VIP", self.nodes, self.runs);
        let lab = Lab::up(lab_name, plan)?;
        let result = self.measure(&lab);
        lab.down()?;
        let (values, failed) = result?;
        if !self.json {
            println!("min/median/max over the changes, from the start of dscctl config apply on");
        }
        values.rows("config", "dsc").iter().try_for_each(|row| row.print(self.json))?;
        Ok(failed)
    }

    fn measure(&self, lab: &Lab) -> Result<(Values, usize)> {
        let prober = Prober::start(lab, &[0])?;
        scenario::calm(lab, &prober)?;
        let (mut values, mut failed) = (Values::default(), 0);
        let (before, from_ns) = (change::document(lab, 0)?, clock::now_ns());
        for run in 1..=self.runs {
            let node = run % lab.plan.nodes;
            if let Err(error) = one(lab, node, &changed(&before, run), &mut values) {
                failed += 1;
                eprintln!("dsc-lab: change {run}: {error}");
            }
        }
        let lost = prober.stop()?.between(from_ns, u64::MAX).lost(0);
        values.add(("config-probes-lost", "probes"), lost.probes as f64);
        Ok((values, failed))
    }
}

/// Every other change brings a VIP and a weight, the others take them away.
fn changed(text: &str, run: usize) -> String {
    if run.is_multiple_of(2) {
        return text.to_owned();
    }
    text.replacen("10.1.0.100-10.1.0.103", "10.1.0.100-10.1.0.104", 1).replacen(
        "weight = 1",
        "weight = 2",
        1,
    )
}

fn one(lab: &Lab, node: usize, text: &str, values: &mut Values) -> Result<()> {
    let (version, _) = change::wait_same(lab, &(0..lab.plan.nodes).collect::<Vec<_>>())?;
    let watch = Watch::start(lab)?;
    let from_ns = clock::now_ns();
    // dscctl waits for every member, so the watch has to begin before it ends.
    let (seen, ended_ns) = std::thread::scope(|scope| {
        let seen = scope.spawn(|| watch.wait(version + 1));
        let said = change::apply(lab, node, text);
        let ended_ns = clock::now_ns();
        let seen = seen.join().map_err(|_| Error::new("watch the daemons", "a thread panicked"))?;
        said.and(seen).map(|seen| (seen, ended_ns))
    })?;
    for (measure, daemon) in [("config-ringd", "dsc-ringd"), ("config-fwd", "dsc-fwd")] {
        let of = || seen.iter().filter(|(name, _)| *name == daemon).map(|(_, ms)| *ms);
        of().for_each(|ms| values.add((measure, "ms"), ms));
    }
    let last = seen.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
    values.add(("config-everywhere", "ms"), last);
    values.add(("config-apply-ends", "ms"), (ended_ns - from_ns) as f64 / 1e6);
    Ok(())
}
