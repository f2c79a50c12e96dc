//! The state of one check, and what each input does to it.

use crate::damping::Damping;
use dsc_wire::{Light, Reason, Time};
use std::time::Duration;

/// How much later than its time limit a probe without an end counts as failed: the driver has a limit of its own.
const GRACE: Duration = Duration::from_millis(100);

/// So many probes are made of one that is doubted, where else there would be one.
pub const DOUBTED_PACE: u32 = 4;

/// How a check is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the begin of one probe to that of the next.
    pub every: Duration,
    /// A probe that takes longer has failed; at most `every`.
    pub timeout: Duration,
    /// Successes in a row that turn it green; at least 1.
    pub rise: u32,
    /// Failures in a row that turn it red; at least 1.
    pub fall: u32,
}

/// What is known before the first probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: yellow.
    Unknown,
    /// Another found it red, and this check takes over from there.
    Red(Reason),
}

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A probe came to its end.
    Ended {
        /// Which.
        number: u64,
        /// Was it answered as it should be?
        result: Result<(), Reason>,
    },
    /// What passes makes people think that it fails, or that is over. No verdict: only probes make one.
    Doubted(bool),
    /// Time has passed.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Begin a probe. There is never more than one; one without an end was given up.
    Probe {
        /// Names it in [`Input::Ended`].
        number: u64,
    },
    /// Light or reason changed.
    Changed,
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    settings: Settings,
    light: Light,
    reason: Reason,
    next: Time,
    /// Number, and when it is given up.
    running: Option<(u64, Time)>,
    number: u64,
    doubted: bool,
    successes: u32,
    failures: u32,
    /// Why the last probe failed, and how many in a row failed so.
    last: (Reason, u32),
    damping: Damping,
}

impl Check {
    /// Begins with a probe after `delay`: who has many checks spreads them.
    pub fn new(settings: Settings, now: Time, delay: Duration, start: Start) -> Check {
        let (light, reason) = match start {
            Start::Unknown => (Light::Yellow, Reason::Answered),
            Start::Red(reason) => (Light::Red, reason),
        };
        Check {
            settings,
            light,
            reason,
            next: now + delay,
            running: None,
            number: 0,
            doubted: false,
            successes: 0,
            failures: 0,
            last: (reason, 0),
            damping: Damping::default(),
        }
    }

    /// Takes one input; what is to be done is appended to `out`. `now` must not go back.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Ended { number, result } => {
                // Of one that was given up nobody wants to hear any more.
                if self.running.is_some_and(|(running, _)| running == number) {
                    self.running = None;
                    self.judge(now, result, out);
                }
            }
            Input::Doubted(doubted) => {
                if doubted && !std::mem::replace(&mut self.doubted, doubted) {
                    // The one before began an interval ago or less.
                    let begun =
                        Time(self.next.0.saturating_sub(self.settings.every.as_nanos() as u64));
                    self.next = self.next.min((begun + self.pace()).max(now));
                }
                self.doubted = doubted;
            }
            Input::Tick => self.tick(now, out),
        }
    }

    /// From the begin of one probe to that of the next: what is doubted and not red is looked at more often.
    fn pace(&self) -> Duration {
        let hurries = self.doubted && self.light != Light::Red;
        if hurries { self.settings.every / DOUBTED_PACE } else { self.settings.every }
    }

    /// When [`Input::Tick`] is owed at the latest.
    pub fn deadline(&self) -> Time {
        self.running.map_or(self.next, |(_, until)| until)
    }

    /// Green, yellow or red.
    pub fn light(&self) -> Light {
        self.light
    }

    /// Why; says nothing while it is yellow.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.running.is_some_and(|(_, until)| now >= until) {
            self.running = None;
            self.judge(now, Err(Reason::TimedOut), out);
        }
        if self.running.is_some() || now < self.next {
            return;
        }
        // A driver that slept does not make up for the probes that it missed.
        self.next = (self.next + self.pace()).max(now + self.pace() / 2);
        self.number += 1;
        self.running = Some((self.number, now + self.settings.timeout + GRACE));
        out.push(Output::Probe { number: self.number });
    }

    fn judge(&mut self, now: Time, result: Result<(), Reason>, out: &mut Vec<Output>) {
        match result {
            Ok(()) => {
                (self.failures, self.last.1) = (0, 0);
                self.successes = self.successes.saturating_add(1);
                if self.light != Light::Green && self.successes >= self.settings.rise {
                    if self.light == Light::Yellow || self.damping.allows_green(now) {
                        self.turn(now, Light::Green, Reason::Answered, out);
                    } else {
                        self.explain(Reason::Flapping, out);
                    }
                }
            }
            Err(reason) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                // It counts twice, but the last failure that is needed is a probe's own.
                if self.doubted && self.failures < self.settings.fall {
                    self.failures = (self.failures + 1).min(self.settings.fall - 1);
                }
                let alike = if self.last.0 == reason { self.last.1.saturating_add(1) } else { 1 };
                self.last = (reason, alike);
                if self.light != Light::Red && self.failures >= self.settings.fall {
                    self.turn(now, Light::Red, reason, out);
                } else if self.light == Light::Red && alike >= self.settings.fall {
                    self.explain(reason, out);
                }
            }
        }
    }

    fn turn(&mut self, now: Time, light: Light, reason: Reason, out: &mut Vec<Output>) {
        self.damping.changed(now);
        (self.light, self.reason) = (light, reason);
        out.push(Output::Changed);
    }

    /// It stays red for another reason.
    fn explain(&mut self, reason: Reason, out: &mut Vec<Output>) {
        if self.reason != reason {
            self.reason = reason;
            out.push(Output::Changed);
        }
    }
}
