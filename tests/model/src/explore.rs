//! Tries every combination of faults: forks the world at every tick for every fault of the menu, remembers by
//! digest which worlds it has been in. Called by the program and by the test.

use crate::menu::{Fault, Menu};
use crate::world::{FORMS, Tick, World};
use dsc_wire::Partition;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// A fault and when it began.
pub type Trace = Vec<(Tick, Fault)>;

/// What to explore.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// How many nodes.
    pub nodes: usize,
    /// What a part serves.
    pub partition: Partition,
    /// Which faults.
    pub menu: Menu,
    /// How many of them together.
    pub faults: usize,
    /// The last tick, counted from the steady state, at which one begins.
    pub last: Tick,
    /// Ticks after the last fault in which nothing may go wrong.
    pub after: Tick,
    /// Quiet ticks after which everything must have settled; none: not asked for.
    pub settle: Tick,
    /// When to give up.
    pub until: Instant,
    /// Threads.
    pub jobs: usize,
}

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// The faults that broke it, and what broke.
    pub broken: Option<(Trace, String)>,
    /// Runs to the end.
    pub runs: u64,
    /// Worlds that were forked.
    pub forked: u64,
    /// All of it was tried.
    pub exhausted: bool,
}

/// A ring in its steady state.
///
/// # Errors
/// If it does not form.
pub fn steady(nodes: usize, partition: Partition) -> Result<World, String> {
    let mut world = World::new(nodes, partition);
    for _ in 0..FORMS {
        world.step(false)?;
    }
    world.settled()?;
    Ok(world)
}

struct Search {
    task: Task,
    zero: Tick,
    known: Mutex<HashSet<u64>>,
    runs: AtomicU64,
    late: AtomicBool,
}

/// Tries everything the task asks for.
///
/// # Errors
/// If not even the steady state is reached.
pub fn explore(task: Task) -> Result<Outcome, String> {
    let start = steady(task.nodes, task.partition)?;
    let search = Search {
        task,
        zero: start.tick,
        known: Mutex::new(HashSet::new()),
        runs: AtomicU64::new(0),
        late: AtomicBool::new(false),
    };
    // The first fault begins somewhere in one rotation; each is one piece of work.
    let mut work: Vec<(World, Trace)> = Vec::new();
    let mut world = start;
    for _ in 0..=(3 + task.nodes as Tick) {
        for fault in task.menu.faults(&world) {
            let mut forked = world.clone();
            forked.apply(fault);
            work.push((forked, vec![(world.tick, fault)]));
        }
        world.step(false)?;
    }
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..task.jobs.max(1) {
            scope.spawn(|| {
                while let Some((world, trace)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut trace = trace.clone();
                    if let Some(found) = search.go(world.clone(), task.faults - 1, &mut trace) {
                        search.late.store(true, Ordering::Relaxed);
                        broken.lock().unwrap_or_else(|b| b.into_inner()).get_or_insert(found);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap_or_else(|b| b.into_inner());
    let forked = search.known.into_inner().unwrap_or_else(|b| b.into_inner()).len() as u64;
    Ok(Outcome {
        exhausted: broken.is_none() && !search.late.into_inner(),
        broken,
        runs: search.runs.into_inner(),
        forked: forked + work.len() as u64,
    })
}

impl Search {
    /// Goes on from `world` with `more` faults to come.
    fn go(&self, mut world: World, more: usize, trace: &mut Trace) -> Option<(Trace, String)> {
        let end = self.zero + self.task.last + self.task.after + self.task.settle;
        loop {
            if self.late.load(Ordering::Relaxed) || Instant::now() > self.task.until {
                self.late.store(true, Ordering::Relaxed);
                return None;
            }
            if more > 0 && world.tick <= self.zero + self.task.last {
                let digest = world.digest() ^ (more as u64) << 60;
                if !self.known.lock().unwrap_or_else(|b| b.into_inner()).insert(digest) {
                    return None;
                }
                for fault in self.task.menu.faults(&world) {
                    let mut forked = world.clone();
                    forked.apply(fault);
                    trace.push((world.tick, fault));
                    let found = self.go(forked, more - 1, trace);
                    if found.is_some() {
                        return found;
                    }
                    trace.pop();
                }
            }
            if let Err(what) = world.step(false) {
                return Some((trace.clone(), what));
            }
            if world.tick >= end {
                self.runs.fetch_add(1, Ordering::Relaxed);
                let settled = if self.task.settle > 0 { world.settled() } else { Ok(()) };
                return settled.err().map(|what| (trace.clone(), what));
            }
        }
    }
}

/// Tells the story of a trace.
///
/// # Errors
/// What broke, as before.
pub fn tell(task: Task, trace: &Trace) -> Result<(), String> {
    let mut world = steady(task.nodes, task.partition)?;
    let end = world.tick + task.last + task.after + task.settle;
    let mut faults = trace.iter().peekable();
    while world.tick < end {
        while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= world.tick) {
            println!("{:4} *** {fault:?}", world.tick);
            world.apply(*fault);
        }
        world.step(true)?;
    }
    world.settled()
}
