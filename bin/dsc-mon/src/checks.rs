//! The checks of backends that this node makes: which they are follows from the ring's view, what they found from the ends of
//! their probes. Pure: view, ends and time are arguments.

use crate::growth::Growth;
use crate::probe::{Errors, Target};
use dsc_conf::{Check as Plan, Config};
use dsc_health::{Check, Input, Output, Settings, Start};
use dsc_wire::health::{self, Verdict};
use dsc_wire::local::View;
use dsc_wire::{BackendId, BackendState, Light, NodeId, Reason, Time};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What a check is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A backend: [`Checks`].
    Backend,
    /// This node: [`crate::own::Own`].
    Node,
}

/// A probe to be made.
#[derive(Clone)]
pub struct Probe {
    /// Of which kind of check.
    pub of: Of,
    /// Of which life of one; no two have the same.
    pub life: u64,
    /// Which of its probes.
    pub number: u64,
    /// How.
    pub plan: Plan,
    /// What is tried.
    pub target: Target,
}

/// A backend that this node can check.
struct Row {
    backend: BackendId,
    address: SocketAddr,
    from: IpAddr,
    service: String,
    plan: Plan,
    /// Until an operator says otherwise.
    state: BackendState,
    /// The nodes that can.
    able: Vec<NodeId>,
    check: Option<Check>,
    /// Which of all checks that began here: the last probe of one that ended is none of the next.
    life: u64,
    since_ms: u64,
    /// Is it given new flows by the operator's word? None before the first view.
    enabled: Option<bool>,
    /// Of its service.
    slow_start: Duration,
    growth: Option<Growth>,
}

/// All of them.
pub struct Checks {
    me: NodeId,
    digest: u64,
    rows: Vec<Row>,
    /// A view has said who checks which.
    known: bool,
    own: Arc<[Option<IpAddr>]>,
    errors: Arc<Errors>,
    /// Checks that have begun.
    lives: u64,
    out: Vec<Output>,
}

impl Checks {
    /// Of node `me`; none is made before a view says who is there.
    pub fn new(config: &Config, me: NodeId) -> Checks {
        let rows = config.backends.iter().filter_map(|(id, backend)| {
            let service = &config.services[backend.service];
            let (plan, slow_start) = (service.check.clone()?, service.slow_start);
            let on = |node: &dsc_conf::Node| node.address_on(backend.subnet);
            let from = on(&config.nodes[me])?;
            let nodes = config.nodes.iter();
            let able = nodes.filter(|(_, node)| on(node).is_some()).map(|(id, _)| id).collect();
            let address = backend.address;
            Some(Row {
                backend: id,
                address,
                from,
                service: service.name.clone(),
                plan,
                state: backend.state,
                able,
                check: None,
                life: 0,
                since_ms: 0,
                enabled: None,
                slow_start,
                growth: None,
            })
        });
        let rows: Vec<Row> = rows.collect();
        let known = rows.is_empty();
        let own = config.nodes[me].addresses.clone().into();
        let errors = Arc::new(Errors::new());
        let digest = config.digest();
        Checks { me, digest, rows, known, own, errors, lives: 0, out: Vec::new() }
    }

    /// Goes on with another configuration: a check that is the same in both has what it found.
    pub fn change(&mut self, config: &Config) {
        let before = std::mem::take(&mut self.rows);
        let Checks { digest, rows, own, .. } = Checks::new(config, self.me);
        (self.digest, self.rows, self.own) = (digest, rows, own);
        let same = |a: &Row, b: &Row| {
            let of = |r: &Row| (r.backend, r.address, r.from, r.service.clone(), r.plan.clone());
            of(a) == of(b)
        };
        for old in before {
            if let Some(row) = self.rows.iter_mut().find(|row| same(row, &old)) {
                let able = std::mem::take(&mut row.able);
                let (state, slow_start) = (row.state, row.slow_start);
                let growth = old.growth.filter(|_| !slow_start.is_zero());
                *row = Row { able, state, slow_start, growth, ..old };
            }
        }
    }

    /// The digest of the configuration that they are of.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Begins and ends checks as the members ask for. One that is another's now goes on until that one has a verdict; one that
    /// begins takes over what was red. A ring daemon without a ring, or of another configuration, changes nothing.
    pub fn follow(&mut self, now: Time, view: &View) {
        if view.config_digest != self.digest || !view.members.contains(&self.me) {
            return;
        }
        self.known = true;
        let me = self.me;
        for row in &mut self.rows {
            let given = view.backends.iter().find(|b| b.id == row.backend).map(|b| b.state);
            let enabled = given.unwrap_or(row.state) == BackendState::Enabled;
            if row.enabled.replace(enabled) == Some(false) && enabled {
                row.growth = Growth::begin(now, row.slow_start);
            }
            let able = row.able.iter().copied().filter(|n| view.members.contains(n));
            let chosen = health::checkers(row.backend, able);
            let found = health::finding(&view.health, row.backend);
            let known = |n: &NodeId| found.green.contains(n) || found.red.iter().any(|r| r.0 == *n);
            let mine = row.check.as_ref().is_some_and(|c| c.light() != Light::Yellow);
            let wanted = chosen.contains(&me) || (mine && !chosen.iter().any(known));
            if !wanted {
                (row.check, row.growth) = (None, None);
            } else if row.check.is_none() {
                let red = found.red.first().filter(|_| found.light == Light::Red);
                let start = red.map_or(Start::Unknown, |(_, v)| Start::Red(v.reason));
                row.since_ms = red.map_or(0, |(_, v)| v.since_ms);
                let share = found.share.and_then(|s| Growth::at(now, row.slow_start, s));
                row.growth = row.growth.or(share);
                let Plan { every, timeout, rise, fall, .. } = row.plan;
                let settings = Settings { every, timeout, rise, fall };
                // Spread, and not together with the other checker's.
                let spread = health::rank(row.backend, me) % every.as_nanos().max(1) as u64;
                let delay = Duration::from_nanos(spread);
                self.lives += 1;
                row.life = self.lives;
                row.check = Some(Check::new(settings, now, delay, start));
            }
            let fails = |c: &health::Checker| {
                view.members.contains(&c.node) && c.failing.contains(&row.backend)
            };
            if let Some(check) = &mut row.check {
                let doubted = view.health.iter().any(fails);
                check.step(now, Input::Doubted(doubted), &mut self.out);
            }
        }
    }

    /// When [`Checks::due`] is owed at the latest, or something of what is found grows.
    pub fn deadline(&self, now: Time) -> Time {
        let probes = self.rows.iter().filter_map(|row| Some(row.check.as_ref()?.deadline()));
        let grows = self.rows.iter().filter_map(|row| Some(row.growth?.deadline(now)));
        probes.chain(grows.filter(|at| *at > now)).min().unwrap_or(Time::NEVER)
    }

    /// The probes that are due.
    pub fn due(&mut self, now: Time, wall_ms: u64) -> Vec<Probe> {
        let mut due = Vec::new();
        for at in 0..self.rows.len() {
            if self.rows[at].check.as_ref().is_some_and(|c| c.deadline() <= now) {
                due.extend(self.step(now, wall_ms, at, Input::Tick));
            }
        }
        due
    }

    /// A probe came to its end.
    pub fn ended(&mut self, now: Time, wall_ms: u64, probe: &Probe, result: Result<(), Reason>) {
        if let Some(at) = self.rows.iter().position(|row| row.life == probe.life) {
            self.step(now, wall_ms, at, Input::Ended { number: probe.number, result });
        }
    }

    fn step(&mut self, now: Time, wall_ms: u64, at: usize, input: Input) -> Option<Probe> {
        let row = &mut self.rows[at];
        let check = row.check.as_mut()?;
        let before = check.light();
        check.step(now, input, &mut self.out);
        if check.light() != before {
            row.since_ms = wall_ms;
            row.growth = match (before, check.light()) {
                (Light::Red, _) => Growth::begin(now, row.slow_start),
                (_, Light::Green) => row.growth,
                _ => None,
            };
        }
        let mut probe = None;
        for output in self.out.drain(..) {
            if let Output::Probe { number } = output {
                let target = Target {
                    from: Some(row.from),
                    to: Some(row.address.ip()),
                    port: row.address.port(),
                    name: row.service.clone(),
                    own: self.own.clone(),
                    errors: self.errors.clone(),
                };
                let (life, plan) = (row.life, row.plan.clone());
                probe = Some(Probe { of: Of::Backend, life, number, plan, target });
            }
        }
        probe
    }

    /// What is known, by rising number of the backend. None before a view has said what this node checks: what an earlier life of
    /// this daemon found is still in force then.
    pub fn verdicts(&self) -> Option<Vec<Verdict>> {
        let verdict = |row: &Row| {
            let check = row.check.as_ref().filter(|c| c.light() != Light::Yellow)?;
            let (backend, since_ms) = (row.backend, row.since_ms);
            let red = check.light() == Light::Red;
            Some(Verdict { backend, red, reason: check.reason(), since_ms })
        };
        self.known.then(|| self.rows.iter().filter_map(verdict).collect())
    }

    /// What starts slowly of that, by rising number of the backend.
    pub fn growing(&self, now: Time) -> Vec<health::Growth> {
        let growth = |row: &Row| {
            row.check.as_ref().filter(|c| c.light() == Light::Green)?;
            let share = row.growth?.share(now)?;
            Some(health::Growth { backend: row.backend, share })
        };
        self.rows.iter().filter_map(growth).collect()
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
