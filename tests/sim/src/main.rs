//! `dsc-sim`: runs seeds, prints what broke with the one command that repeats it, and ends with the count.

use clap::Parser;
use dsc_test_sim::audit::Seen;
use dsc_test_sim::plan::{Class, Plan, Wish};
use dsc_test_sim::run::{keep, run, shrink};
use dsc_test_sim::trace::Trace;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Simulates clusters under faults. One seed is one run; the last line counts violations; exit 1 if there are any.
#[derive(Parser, Clone)]
#[command(version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Only clusters of so many nodes.
    #[arg(long)]
    nodes: Option<usize>,
    /// Only runs of this class: quiet, operator, crash, heal, whole, cut or majority.
    #[arg(long, value_parser = class)]
    class: Option<Class>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Start no new seed after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Keep only these faults of the plan, by their places.
    #[arg(long, value_delimiter = ',')]
    keep: Option<Vec<usize>>,
    /// Tell the story: 1 what nodes do, 2 every packet.
    #[arg(long, default_value_t = 0)]
    trace: u8,
    /// Print minimum, median and maximum of what was measured.
    #[arg(long)]
    stats: bool,
    /// Do not look for the fewest faults that break it.
    #[arg(long)]
    no_shrink: bool,
    /// Stop after so many violations.
    #[arg(long, default_value_t = 20)]
    violations: u64,
}

fn class(name: &str) -> Result<Class, String> {
    Class::named(name).ok_or_else(|| format!("no class {name}"))
}

#[derive(Default)]
struct Total {
    runs: u64,
    violations: u64,
    seen: Seen,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace == 0 {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let next = AtomicU64::new(arguments.start);
    let total = Mutex::new(Total::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| work(&arguments, &next, &total, began));
        }
    });
    let total = total.into_inner().unwrap_or_else(|broken| broken.into_inner());
    if arguments.stats {
        statistics(&total, began.elapsed());
    }
    println!("{} seeds, {} violations", total.runs, total.violations);
    ExitCode::from(u8::from(total.violations > 0))
}

fn work(arguments: &Arguments, next: &AtomicU64, total: &Mutex<Total>, began: Instant) {
    let wish = Wish { class: arguments.class, nodes: arguments.nodes };
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let late = arguments.seconds.is_some_and(|s| began.elapsed() > Duration::from_secs(s));
        if seed >= arguments.start + arguments.seeds || late {
            return;
        }
        let mut plan = Plan::new(seed, wish);
        if let Some(places) = &arguments.keep {
            keep(&mut plan, places);
        }
        let outcome = run(&plan, Trace(arguments.trace));
        let enough = {
            let mut total = total.lock().unwrap_or_else(|broken| broken.into_inner());
            total.runs += 1;
            match &outcome {
                Ok(seen) => {
                    if arguments.stats {
                        total.add(seen);
                    }
                }
                Err(_) => total.violations += 1,
            }
            total.violations >= arguments.violations
        };
        if let Err(what) = outcome {
            report(arguments, &plan, &what);
        }
        if enough {
            return;
        }
    }
}

fn report(arguments: &Arguments, plan: &Plan, what: &str) {
    let cluster = &plan.cluster;
    let mut text = format!(
        "seed {}: {what}\n  {:?}, {} nodes, {} vips, rotation {:?}, lease {:?}..{:?}\n",
        plan.seed,
        plan.class,
        plan.nodes(),
        cluster.vips.len(),
        cluster.timing.rotation,
        cluster.timing.lease,
        cluster.timing.lease_max
    );
    for (place, (at, fault)) in plan.faults.iter().enumerate() {
        text += &format!("  [{place}] {:9.3} ms  {fault}\n", *at as f64 / 1e6);
    }
    let mut command = format!("scripts/sim --start {} --seeds 1 --trace 1", plan.seed);
    if let Some(nodes) = arguments.nodes {
        command += &format!(" --nodes {nodes}");
    }
    if let Some(class) = arguments.class {
        command += &format!(" --class {}", format!("{class:?}").to_lowercase());
    }
    if let Some(places) = &arguments.keep {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        command += &format!(" --keep {}", places.join(","));
    } else if !arguments.no_shrink && !plan.faults.is_empty() {
        let (least, kept) = shrink(plan);
        let places: Vec<String> = kept.iter().map(ToString::to_string).collect();
        if let Err(what) = run(&least, Trace(0)) {
            text += &format!("  with only [{}]: {what}\n", places.join(","));
        }
        text += &format!("  or --keep '{}'\n", places.join(","));
    }
    println!("{text}  repeat: {command}\n");
}

impl Total {
    fn add(&mut self, seen: &Seen) {
        let all = &mut self.seen;
        all.gaps.extend(&seen.gaps);
        all.settled.extend(&seen.settled);
        all.formed.extend(&seen.formed);
        all.moves += seen.moves;
        all.balanced += seen.balanced;
        all.lapses += seen.lapses;
        all.double += seen.double;
        all.turns += seen.turns;
        all.span += seen.span;
    }
}

fn statistics(total: &Total, spent: Duration) {
    let seen = &total.seen;
    for (name, list) in
        [("gap after a crash", &seen.gaps), ("formed", &seen.formed), ("settled", &seen.settled)]
    {
        let mut list = list.clone();
        list.sort_unstable();
        let at = |i: usize| list.get(i).map_or(0.0, |s| *s as f64 / 1e6);
        let (low, middle, high) = (at(0), at(list.len() / 2), at(list.len().saturating_sub(1)));
        println!("{name}: {} times, {low:.2}/{middle:.2}/{high:.2} ms", list.len());
    }
    println!(
        "moves {}, for the load {}, lapses {}, two hosts {:.1} ms, turns {}, world time {:.1} s",
        seen.moves,
        seen.balanced,
        seen.lapses,
        seen.double as f64 / 1e6,
        seen.turns,
        seen.span as f64 / 1e9
    );
    println!("{:.1} seeds/s", total.runs as f64 / spent.as_secs_f64().max(0.001));
}
