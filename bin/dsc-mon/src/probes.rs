//! The probes under way, of backends and of this node: begins those that are due, and takes their ends.

use crate::checks::{Checks, Of, Probe};
use crate::own::Own;
use crate::probe::probe;
use dsc_conf::Config;
use dsc_sys::clock::{self, Alarm};
use dsc_wire::health::{Growth, NodeLight, Verdict};
use dsc_wire::local::View;
use dsc_wire::{NodeId, Reason, Time};
use tokio::task::JoinSet;

/// What all checks found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of backends; none before it is known who checks which.
    pub health: Option<Vec<Verdict>>,
    /// The green ones of them that start slowly.
    pub growing: Vec<Growth>,
    /// Of this node.
    pub lights: Vec<NodeLight>,
}

/// The checks of this node, and their probes.
pub struct Probes {
    backends: Checks,
    own: Own,
    /// One of each check at most, and each ends within its time limit.
    under_way: JoinSet<(Probe, Result<(), Reason>)>,
    alarm: Alarm,
    /// What was told last.
    pub told: Found,
}

impl Probes {
    /// Of node `me`. Must be called inside a runtime.
    ///
    /// # Errors
    /// The system's, in words.
    pub fn new(config: &Config, me: NodeId) -> Result<Probes, String> {
        Ok(Probes {
            backends: Checks::new(config, me),
            own: Own::new(config, me, clock::now(), clock::wall_ms()),
            under_way: JoinSet::new(),
            alarm: Alarm::new().map_err(|e| format!("cannot make a timer: {e}"))?,
            told: Found::default(),
        })
    }

    /// Goes on with another configuration: a check that is the same in both has what it found.
    pub fn change(&mut self, config: &Config) {
        self.backends.change(config);
        self.own.change(config, clock::now(), clock::wall_ms());
    }

    /// The digest of the configuration that they are of.
    pub fn digest(&self) -> u64 {
        self.backends.digest()
    }

    /// The ring's view is new.
    pub fn follow(&mut self, view: &View) {
        let now = clock::now();
        self.backends.follow(now, view);
        self.own.follow(now, clock::wall_ms(), view);
    }

    /// Begins the probes that are due.
    ///
    /// # Errors
    /// The system's, in words.
    pub fn begin(&mut self, now: Time) -> Result<(), String> {
        let wall_ms = clock::wall_ms();
        let due = self.backends.due(now, wall_ms).into_iter().chain(self.own.due(now, wall_ms));
        for due in due {
            self.under_way.spawn(async move {
                let result = probe(&due.plan, &due.target).await;
                (due, result)
            });
        }
        let deadline = self.backends.deadline(now).min(self.own.deadline());
        self.alarm.set(deadline).map_err(|e| format!("cannot set a timer: {e}"))
    }

    /// Waits for the end of a probe, or until one is due.
    ///
    /// # Errors
    /// The system's, in words.
    pub async fn turn(&mut self) -> Result<(), String> {
        tokio::select! {
            Some(ended) = self.under_way.join_next() => {
                // A probe that panicked has no end; the check gives it up.
                if let Ok((probe, result)) = ended {
                    let (now, wall_ms) = (clock::now(), clock::wall_ms());
                    match probe.of {
                        Of::Backend => self.backends.ended(now, wall_ms, &probe, result),
                        Of::Node => self.own.ended(now, wall_ms, &probe, result),
                    }
                }
                Ok(())
            }
            result = self.alarm.rang() => {
                result.map_err(|e| format!("cannot wait for a timer: {e}"))
            }
        }
    }

    /// Has something else been found than was told last?
    pub fn is_news(&mut self, now: Time) -> bool {
        let (health, growing) = (self.backends.verdicts(), self.backends.growing(now));
        let found = Found { health, growing, lights: self.own.lights() };
        let news = found != self.told;
        self.told = found;
        news
    }
}
