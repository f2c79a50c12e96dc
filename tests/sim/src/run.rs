//! One run from its seed to its verdict, and the shortest list of faults that still breaks it. Called by the
//! program and by the tests; catches a panic of the unit under test, which is a violation like any other.

use crate::audit::Seen;
use crate::fault::Span;
use crate::inject::{heal, inject};
use crate::plan::{Class, MS, Plan, nanos};
use crate::settle::{away, balanced, settled, settled_but};
use crate::trace::Trace;
use crate::world::{Violation, World};
use dsc_wire::NodeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How often it is looked whether everything has settled.
const LOOK: Span = 2 * MS;
/// How long what a node found may outlive it (rule 19).
const STANDS: Span = 3_000 * MS;
/// For how long a settled cluster is watched.
const LINGER: Span = 300 * MS;

/// Lets a plan happen.
///
/// # Errors
/// What did not hold, at which time.
pub fn run(plan: &Plan, trace: Trace) -> Result<Seen, Violation> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan.clone(), trace);
        let outcome = if plan.paced { paced(&mut world) } else { wild(&mut world) };
        let at = world.at as f64 / 1e6;
        world.audit.seen.span = world.at;
        outcome.map(|()| world.audit.seen).map_err(|what| format!("at {at:.3} ms: {what}"))
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_string()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Everything must settle within the plan's bound after the last disturbance, and then stay as it is for `stable`.
fn settle(world: &mut World, stable: Span) -> Result<Span, Violation> {
    let bound = world.plan.bound();
    // Nodes that are started again and again disturb for ever.
    let latest = world.at + 4 * bound;
    let mut since: Option<Span> = None;
    loop {
        match settled(world) {
            Ok(()) => since = since.or(Some(world.at)),
            Err(what) => {
                if world.at > (world.disturbed + bound).min(latest) {
                    let late = (world.at - world.disturbed) as f64 / 1e6;
                    return Err(format!(
                        "P1: not settled {late:.0} ms after the last fault: {what}"
                    ));
                }
                since = None;
            }
        }
        if let Some(start) = since {
            let start = start.max(world.audit.changed);
            if start > world.disturbed + bound {
                return Err("P1: VIPs still move long after the last fault".into());
            }
            if world.at >= start + stable {
                return Ok(start.saturating_sub(world.disturbed));
            }
        }
        world.run_until(world.at + LOOK)?;
    }
}

/// How long things must stay as they are to be called settled: a lease may still run out in the meantime, a beacon
/// arrive, and the token come round thrice.
fn stable(plan: &Plan) -> Span {
    let t = &plan.cluster.timing;
    nanos(t.lease) + nanos(t.beacon) + 3 * nanos(t.rotation)
}

/// What nodes that are gone found red stands for a while, and then goes from one view after the other.
fn farewell(world: &mut World) -> Result<(), Violation> {
    let until = world.at + STANDS + world.plan.bound();
    while let Some(node) = crate::health::outlived(world) {
        if world.at > until {
            return Err(format!("what node {} found stands long after it has gone", node.0));
        }
        world.run_until(world.at + LOOK)?;
    }
    Ok(())
}

/// No lease lapses for `span`, and no VIP moves but those that go home.
fn peace(world: &mut World, span: Span) -> Result<(), Violation> {
    farewell(world)?;
    world.audit.calm = true;
    let mut may = away(world);
    may.extend(balanced(world));
    world.audit.moved.clear();
    let until = world.at + span;
    while world.at < until {
        world.run_until(world.at + LOOK)?;
        if let Some(vip) = world.audit.moved.iter().find(|v| !may.contains(v)) {
            return Err(format!("vip {} moved in peace", vip.0));
        }
        settled_but(world, &may).map_err(|what| format!("in peace: {what}"))?;
    }
    world.audit.calm = false;
    Ok(())
}

/// VIPs with persistence 3 go home once their preferred host has been able for two seconds, or four or eight after one
/// or two losses; hand-overs take a few turns.
fn homecoming(world: &mut World) -> Result<(), Violation> {
    let losses = world.plan.faults.len().min(2) as u32;
    let until = world.at + (2_000 << losses) * MS + world.plan.bound();
    peace(world, until - world.at)?;
    match away(world).first() {
        Some(vip) => Err(format!("P1: vip {} has not gone home", vip.0)),
        None => settled_but(world, &balanced(world)),
    }
}

/// Faults one after the other, each into a settled cluster.
fn paced(world: &mut World) -> Result<(), Violation> {
    let stable = stable(&world.plan);
    let formed = settle(world, stable)?;
    world.audit.seen.formed.push(formed);
    let operator = world.plan.class == Class::Operator;
    for (wait, fault) in world.plan.faults.clone() {
        if operator {
            cover(world);
        }
        world.run_until(world.at + wait)?;
        inject(world, &fault);
        if let Some((away, lasts)) = fault.absence().filter(|_| world.plan.class == Class::Heal) {
            let all: NodeSet = world.machines.iter().map(|m| m.id).collect();
            let apart = world.plan.apart();
            world.run_until(world.at + lasts.min(apart))?;
            if lasts > apart {
                world.audit.keepers = all.iter().filter(|n| !away.contains(*n)).collect();
                world.run_until(world.at + lasts - apart)?;
            }
            heal(world);
        }
        let spent = settle(world, stable)?;
        world.audit.keepers = NodeSet::EMPTY;
        world.audit.seen.settled.push(spent);
    }
    if world.plan.faults.is_empty() {
        return peace(world, world.plan.heal);
    }
    if world.plan.linger && world.plan.faults.len() < 3 {
        homecoming(world)
    } else {
        peace(world, LINGER)
    }
}

/// From now on every VIP that is answered must stay taken care of.
fn cover(world: &mut World) {
    for vip in 0..world.audit.covered.len() {
        let id = dsc_wire::VipId(vip as u16);
        world.audit.covered[vip] = world.machines.iter().any(|m| m.answers(id, world.at));
    }
}

/// Faults at any time, then none.
fn wild(world: &mut World) -> Result<(), Violation> {
    for (at, fault) in world.plan.faults.clone() {
        world.run_until(at)?;
        inject(world, &fault);
    }
    world.run_until(world.plan.heal)?;
    heal(world);
    let spent = settle(world, stable(&world.plan))?;
    world.audit.seen.settled.push(spent);
    if world.plan.linger { peace(world, LINGER + world.plan.bound()) } else { Ok(()) }
}

/// The plan with the fewest faults, taken out one by one, that still fails.
pub fn shrink(plan: &Plan) -> (Plan, Vec<usize>) {
    let mut least = plan.clone();
    let mut kept: Vec<usize> = (0..plan.faults.len()).collect();
    let mut i = 0;
    while i < kept.len() {
        let mut tried = least.clone();
        tried.faults.remove(i);
        if run(&tried, Trace(0)).is_err() {
            least = tried;
            kept.remove(i);
        } else {
            i += 1;
        }
    }
    (least, kept)
}

/// The plan with only the faults at these places.
pub fn keep(plan: &mut Plan, places: &[usize]) {
    let mut place = 0;
    plan.faults.retain(|_| {
        place += 1;
        places.contains(&(place - 1))
    });
}
