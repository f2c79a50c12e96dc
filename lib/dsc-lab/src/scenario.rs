//! One event in a lab from beginning to end: wait until all is calm, do it to the owner of the first address, watch,
//! undo it, watch again, judge both halves. Bench and tests share it; they differ only in what they do with the
//! figures.

use crate::answers::Observed;
use crate::error::{Error, Result};
use crate::fault::{self, Cut, Way};
use crate::figures::{Figures, judge};
use crate::lab::Lab;
use crate::probe::Prober;
use crate::topology::{Subnet, System};
use crate::{clock, cluster, keepalived, program, wait};

/// What is done to the owner of the first address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Power off, then on again.
    Crash,
    /// All daemons stopped, then continued.
    Freeze,
    /// One daemon killed, then started.
    Kill(&'static str),
    /// Its cable to the clients silently dead, the other one in order.
    CutOneSubnet,
    /// Cut off its peers on all subnets, while clients still reach it.
    CutAll,
    /// All its cables silently dead.
    Drop,
    /// Its cable to the clients out.
    Carrier,
    /// One address moved by the operator.
    Move,
    /// All its addresses moved away by the operator.
    Drain,
    /// One daemon ended and started again by the operator, as by an upgrade.
    Replace(&'static str),
}

impl Event {
    /// In rows and on the command line.
    pub fn name(&self) -> String {
        match self {
            Event::Crash => "crash".into(),
            Event::Freeze => "freeze".into(),
            Event::Kill(daemon) => format!("kill-{daemon}"),
            Event::CutOneSubnet => "cut-one-subnet".into(),
            Event::CutAll => "cut-all".into(),
            Event::Drop => "drop".into(),
            Event::Carrier => "carrier".into(),
            Event::Move => "move".into(),
            Event::Drain => "drain".into(),
            Event::Replace(daemon) => format!("replace-{daemon}"),
        }
    }

    /// Name of its undoing.
    pub fn undoing(&self) -> &'static str {
        match self {
            Event::Crash => "rejoin",
            Event::Freeze => "thaw",
            Event::Kill(_) => "restart",
            Event::CutOneSubnet | Event::CutAll | Event::Carrier => "heal",
            // A node cut off from everybody serves on its side (partition mode `serve`): two rings become one.
            Event::Drop => "merge",
            Event::Move => "undo-move",
            Event::Drain => "open",
            Event::Replace(_) => "replaced",
        }
    }

    /// Does the victim lose its addresses? A ring daemon that is ended in good order hands them over first.
    fn moves(&self) -> bool {
        !matches!(self, Event::Kill("dsc-fwd" | "dsc-mon") | Event::Replace("dsc-fwd" | "dsc-mon"))
    }
}

/// Both halves of a run.
#[derive(Debug)]
pub struct Outcome {
    /// From just before the event until all was calm again, or long enough.
    pub event: Figures,
    /// The same of its undoing.
    pub undoing: Figures,
    /// Everything seen.
    pub seen: Observed,
    /// When it happened.
    pub at_ns: u64,
    /// When it was undone.
    pub undone_ns: u64,
    /// To whom.
    pub victim: usize,
}

/// Longest wait for calm, ms: a cluster that starts under load takes its time.
const CALM_MS: u64 = 60_000;
/// What was observed before an event belongs to its figures too.
const BEFORE_NS: u64 = 20_000_000;

/// Runs one event on the lab and returns it as it found it.
///
/// # Errors
/// The lab was not calm before, a step of the fault itself could not be done, or not every answer was noted.
pub fn run(lab: &mut Lab, event: &Event, vips: &[usize]) -> Result<Outcome> {
    let prober = Prober::start(lab, vips)?;
    calm(lab, &prober)?;
    let first = *vips.first().ok_or_else(|| Error::new("run a scenario", "no address given"))?;
    let owner = |vip| prober.owner(vip).ok_or_else(|| Error::new("find an owner", "no answer"));
    let victim = owner(first)?;
    let mut affected = Vec::new();
    for vip in vips {
        let hosted = owner(*vip)? == victim && event.moves();
        if hosted && (*event != Event::Move || *vip == first) {
            affected.push((*vip, victim));
        }
    }
    let at_ns = apply(lab, event, victim, first)?;
    watch(lab, &prober, &affected);
    let middle_ns = clock::now_ns();
    let back = returning(lab, event, &prober, &affected);
    let now = prober.owner(first).unwrap_or(victim);
    let undone_ns = undo(lab, event, victim, first, now)?;
    watch(lab, &prober, &back);
    calm(lab, &prober)?;
    let seen = prober.stop()?;
    let begin = at_ns - BEFORE_NS;
    Ok(Outcome {
        event: judge(&seen.between(begin, middle_ns), at_ns, &affected),
        undoing: judge(&seen.between(undone_ns - BEFORE_NS, u64::MAX), undone_ns, &back),
        seen,
        at_ns,
        undone_ns,
        victim,
    })
}

/// Waits until the cluster is whole and every address is answered by one node.
///
/// # Errors
/// Not within a minute.
pub fn calm(lab: &Lab, prober: &Prober) -> Result<()> {
    cluster::wait_whole(lab, CALM_MS)?;
    prober.wait_settled(CALM_MS)
}

/// Watches what follows an event: at least as long as this system may take to react at all, then until all is calm,
/// at most several times that.
fn watch(lab: &Lab, prober: &Prober, affected: &[(usize, usize)]) {
    let (least_ms, most_ms) = match lab.plan.system {
        System::Dsc => (500, 2_500),
        // Three adverts and a part of one (RFC 5798), and the flapping after a thaw.
        System::Keepalived { advert_ms, .. } => {
            let react = u64::from(advert_ms) * 4;
            (react.max(500) + 500, react.max(500) * 2 + 2_500)
        }
    };
    wait::observe(least_ms);
    // Without calm the time is up: two owners for ever is a result, not an error of the lab.
    let _ = wait::until("calm", most_ms - least_ms, || {
        let moved = affected.iter().all(|(vip, old)| prober.owner(*vip) != Some(*old));
        (moved && prober.settled()).then_some(())
    });
}

/// Does it to a node; [`Event::Move`] moves the address `first`. Returns the moment just before.
///
/// # Errors
/// A step cannot be done.
pub fn apply(lab: &mut Lab, event: &Event, victim: usize, first: usize) -> Result<u64> {
    let all = lab.plan.subnets.clone();
    match event {
        Event::Crash => fault::crash(lab, victim),
        Event::Freeze => fault::freeze(lab, victim),
        Event::Kill(daemon) => fault::kill(lab, victim, daemon),
        Event::CutOneSubnet => fault::cut(lab, victim, &[Subnet::Ext], Cut::Silent),
        Event::CutAll => fault::cut_peers(lab, victim, None, &all, Way::Both),
        Event::Drop => fault::cut(lab, victim, &all, Cut::Silent),
        Event::Carrier => fault::cut(lab, victim, &[Subnet::Ext], Cut::Carrier),
        Event::Move => cluster::move_vip(lab, first, (victim + 1) % lab.plan.nodes),
        Event::Drain => cluster::drain(lab, victim),
        Event::Replace(daemon) => {
            let at = clock::now_ns();
            program::stop(lab, victim, daemon)?;
            program::start(lab, victim, daemon)?;
            Ok(at)
        }
    }
}

/// Undoes [`apply`]; `now` is the present host of `first`. Returns the moment just before.
///
/// # Errors
/// A step cannot be done.
pub fn undo(lab: &mut Lab, event: &Event, victim: usize, first: usize, now: usize) -> Result<u64> {
    match event {
        Event::Crash => fault::restart(lab, victim),
        Event::Freeze => fault::thaw(lab, victim),
        Event::Kill(_) => fault::restart(lab, victim),
        Event::CutOneSubnet | Event::CutAll | Event::Drop | Event::Carrier => fault::heal(lab),
        Event::Move => match lab.plan.system {
            System::Dsc => cluster::move_vip(lab, first, victim),
            System::Keepalived { .. } => cluster::undo(lab, now),
        },
        Event::Drain => cluster::undo(lab, victim),
        Event::Replace(_) => Ok(clock::now_ns()),
    }
}

/// Addresses that will leave their present owner when the event is undone, because their configuration says so.
fn returning(
    lab: &Lab,
    event: &Event,
    prober: &Prober,
    affected: &[(usize, usize)],
) -> Vec<(usize, usize)> {
    affected
        .iter()
        .filter_map(|(vip, victim)| Some((*vip, *victim, prober.owner(*vip)?)))
        .filter(|(vip, victim, owner)| {
            let configured = match lab.plan.system {
                System::Dsc => *event == Event::Move,
                System::Keepalived { .. } => keepalived::preferred(&lab.plan, *vip) == *victim,
            };
            configured && owner != victim
        })
        .map(|(vip, _, owner)| (vip, owner))
        .collect()
}
