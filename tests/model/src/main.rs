//! `dsc-model`: the long exploration. Prints what was tried and, if something broke, the faults and the story.

use clap::Parser;
use dsc_test_model::explore::{Task, explore, tell};
use dsc_test_model::menu::Menu;
use dsc_wire::Partition;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Tries every combination of faults on a small ring.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// majority or serve.
    #[arg(long, default_value = "majority", value_parser = partition)]
    partition: Partition,
    /// Faults to choose from: pause, whole or all.
    #[arg(long, default_value = "all", value_parser = menu)]
    menu: Menu,
    /// Faults together.
    #[arg(long, default_value_t = 2)]
    faults: usize,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Last tick at which a fault begins.
    #[arg(long, default_value_t = 36)]
    last: u32,
    /// Quiet ticks after which everything must have settled (0: not asked for).
    #[arg(long, default_value_t = 0)]
    settle: u32,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Tell the story of what broke.
    #[arg(long)]
    trace: bool,
}

fn partition(name: &str) -> Result<Partition, String> {
    match name {
        "majority" => Ok(Partition::Majority),
        "serve" => Ok(Partition::Serve),
        _ => Err("majority or serve".into()),
    }
}

fn menu(name: &str) -> Result<Menu, String> {
    match name {
        "pause" => Ok(Menu::Pause),
        "whole" => Ok(Menu::Whole),
        "all" => Ok(Menu::All),
        _ => Err("pause, whole or all".into()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let task = Task {
        nodes: arguments.nodes,
        partition: arguments.partition,
        menu: arguments.menu,
        faults: arguments.faults,
        last: arguments.last,
        after: 60,
        settle: arguments.settle,
        until: began + Duration::from_secs(arguments.seconds),
        jobs: arguments.jobs,
    };
    let outcome = match explore(task) {
        Ok(outcome) => outcome,
        Err(what) => {
            println!("no steady state: {what}");
            return ExitCode::FAILURE;
        }
    };
    if let Some((trace, what)) = &outcome.broken {
        if arguments.trace {
            let _ = tell(task, trace);
        }
        println!("VIOLATION {what}\n  {trace:?}");
    }
    let end = if outcome.exhausted { "exhausted" } else { "not exhausted" };
    println!(
        "{} runs, {} forks, {end}, {:.1} s, {} violations",
        outcome.runs,
        outcome.forked,
        began.elapsed().as_secs_f64(),
        u8::from(outcome.broken.is_some())
    );
    ExitCode::from(u8::from(outcome.broken.is_some()))
}
