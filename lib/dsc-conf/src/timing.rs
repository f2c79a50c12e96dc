//! The time-outs: reading them, and the relations between them without which a healthy node loses its VIPs or
//! a lost one is noticed too late (the lease and its fence: RULES.md of dsc-ring).

use crate::fields::{Fields, Value, mistyped};
use crate::problem::{Problem, Problems};
use dsc_wire::Timing;
use std::ops::Range;
use std::time::Duration;
use toml::de::DeValue;

/// Time-outs with their places; a place is absent where the profile's value was taken.
pub(crate) struct TimingDraft {
    pub timing: Timing,
    at: Range<usize>,
    rotation: Option<Range<usize>>,
    removal: Option<Range<usize>>,
    starve: Option<Range<usize>>,
    lease: Option<Range<usize>>,
    beacon: Option<Range<usize>>,
    stall: Option<Range<usize>>,
    whole: bool,
}

/// Longest that any of them may be: a cluster that needs more is no cluster.
const LONGEST_MS: f64 = 10_000.0;
/// What one node adds to a turn of the token: a message and its acknowledgement, measured on real sockets.
const HOP: Duration = Duration::from_micros(100);
/// Room in the lease for the clock, the kernel and the wake-up.
const MARGIN: Duration = Duration::from_millis(5);

/// The value of `timing`; `cluster` is the place of its table.
pub(crate) fn read(
    value: Option<&Value>,
    cluster: Range<usize>,
    problems: &mut Problems,
) -> TimingDraft {
    let at = value.map_or(cluster, |v| v.span());
    let mut draft = TimingDraft {
        timing: Timing::DEFAULT,
        at,
        rotation: None,
        removal: None,
        starve: None,
        lease: None,
        beacon: None,
        stall: None,
        whole: true,
    };
    let Some(value) = value else { return draft };
    match value.get_ref() {
        DeValue::String(word) => match profile(word) {
            Some(timing) => draft.timing = timing,
            None => {
                problems.add(unknown_profile(word, value.span()));
                draft.whole = false;
            }
        },
        DeValue::Table(table) => {
            let fields = Fields::open("timing", value.span(), table, problems);
            draft.single_values(&fields, problems);
        }
        _ => {
            let expected =
                "\"default\", \"fast\" or a table such as { profile = \"fast\", lease_ms = 30 }";
            problems.add(mistyped("timing", value, expected));
            draft.whole = false;
        }
    }
    draft
}

fn profile(word: &str) -> Option<Timing> {
    match word {
        "default" => Some(Timing::DEFAULT),
        "fast" => Some(Timing::FAST),
        _ => None,
    }
}

fn unknown_profile(word: &str, at: Range<usize>) -> Problem {
    let message = format!("timing profile {word:?} is not known");
    Problem::at(at, message, "expected \"default\" or \"fast\"")
}

impl TimingDraft {
    fn single_values(&mut self, fields: &Fields, problems: &mut Problems) {
        if let Some(word) = fields.string("profile", problems) {
            match profile(word.get_ref()) {
                Some(timing) => self.timing = timing,
                None => {
                    problems.add(unknown_profile(word.get_ref(), word.span()));
                    self.whole = false;
                }
            }
        }
        let mut whole = self.whole;
        let mut take = |key: &str, least: f64, into: &mut Duration| {
            let value = fields.get(key)?;
            match milliseconds(key, value, least, problems) {
                Some(span) => *into = span,
                None => whole = false,
            }
            Some(value.span())
        };
        let timing = &mut self.timing;
        self.rotation = take("rotation_ms", 1.0, &mut timing.rotation);
        self.removal = take("removal_ms", 3.0, &mut timing.removal);
        self.starve = take("starve_ms", 1.0, &mut timing.starve);
        self.beacon = take("beacon_ms", 1.0, &mut timing.beacon);
        self.stall = take("stall_ms", 1.0, &mut timing.stall);
        self.lease = take("lease_ms", 5.0, &mut timing.lease);
        if self.lease.is_some() {
            timing.lease_max = timing.lease;
        }
        self.whole = whole;
    }

    /// Checks the times against each other, for a ring of so many nodes.
    pub fn check(&self, nodes: usize, problems: &mut Problems) {
        if !self.whole {
            return;
        }
        let t = &self.timing;
        let turn = t.rotation + HOP * u32::try_from(nodes).unwrap_or(u32::MAX).min(64);
        let worst = t.removal.max(t.stall);
        let least = turn * 2 + worst + MARGIN;
        if t.lease < least {
            let message =
                format!("a lease of {} ms is too short for a turn of {} ms", ms(t.lease), ms(turn));
            let at = self.place([&self.lease, &self.rotation, &self.removal, &self.stall]);
            problems.add(
                Problem::at(at, message, format!("expected lease_ms of at least {}", ms(least)))
                    .help(format!(
                        "lease_ms >= 2 * turn + max(removal_ms, stall_ms) + 5 = 2 * {} + max({}, {}) + 5 = {}; \
                         turn = rotation_ms + 0.1 for each of {nodes} nodes = {}. \
                         With less, one delayed message silences a healthy node",
                        ms(turn), ms(t.removal), ms(t.stall), ms(least), ms(turn)
                    )),
            );
        }
        let least = t.rotation * 3 / 2;
        if t.starve < least {
            let message = format!(
                "starve_ms of {} is too short for rotation_ms of {}",
                ms(t.starve),
                ms(t.rotation)
            );
            let at = self.place([&self.starve, &self.rotation]);
            problems.add(
                Problem::at(at, message, format!("expected starve_ms of at least {}", ms(least)))
                    .help(format!(
                        "starve_ms >= 1.5 * rotation_ms = {}: the token of a healthy ring comes \
                         once a turn, and half a turn late is not lost",
                        ms(least)
                    )),
            );
        }
        let fence = Timing::fence(t.lease);
        let detection = t.starve + t.removal + Duration::from_millis(1);
        if detection > fence {
            let message = format!(
                "a lost holder would be noticed after {} ms, later than its lease of {} ms ends",
                ms(detection),
                ms(fence)
            );
            let at = self.place([&self.starve, &self.removal, &self.lease, &self.rotation]);
            let expected =
                format!("expected starve_ms + removal_ms of at most {}", ms(fence - MARGIN / 5));
            problems.add(Problem::at(at, message, expected).help(format!(
                "starve_ms + removal_ms + 1 <= fence = 1.02 * lease_ms + 1, here {} + {} + 1 <= {}: \
                 the lease should be what a failover waits for, not the search for the token",
                ms(t.starve), ms(t.removal), ms(fence)
            )));
        }
        if t.stall >= t.removal {
            let message =
                format!("stall_ms of {} is not below removal_ms of {}", ms(t.stall), ms(t.removal));
            let at = self.place([&self.stall, &self.removal]);
            problems.add(
                Problem::at(at, message, format!("expected stall_ms below {}", ms(t.removal)))
                    .help(
                        "stall_ms < removal_ms: a node that slept through all tries of a message \
                         must suspect itself before it removes the receiver",
                    ),
            );
        }
        let unnoticed = t.rotation / 4 + t.stall;
        let removed = t.removal * 6 / 5;
        if t.stall < t.removal && unnoticed >= removed {
            let message = format!(
                "a node at rest that sleeps for {} ms longer than the token takes would not notice it",
                ms(unnoticed)
            );
            let at = self.place([&self.stall, &self.removal, &self.rotation]);
            let expected = format!("expected rotation_ms / 4 + stall_ms below {}", ms(removed));
            problems.add(Problem::at(at, message, expected).help(
                "rotation_ms / 4 + stall_ms < 1.2 * removal_ms: a node must suspect itself before the \
                 others can have removed it",
            ));
        }
        if t.beacon * 2 > t.lease {
            let message = format!(
                "beacon_ms of {} is too long for a lease of {} ms",
                ms(t.beacon),
                ms(t.lease)
            );
            let at = self.place([&self.beacon, &self.lease]);
            let expected = format!("expected beacon_ms of at most {}", ms(t.lease / 2));
            problems.add(Problem::at(at, message, expected).help(
                "2 * beacon_ms <= lease_ms: within one lease a node that comes back must have been \
                 sent a beacon at least twice",
            ));
        }
    }

    /// The first of these values that stands in the file, else `timing` itself.
    fn place<const N: usize>(&self, values: [&Option<Range<usize>>; N]) -> Range<usize> {
        values.into_iter().flatten().next().unwrap_or(&self.at).clone()
    }
}

fn milliseconds(key: &str, value: &Value, least: f64, problems: &mut Problems) -> Option<Duration> {
    let expected = format!("milliseconds from {least} to {LONGEST_MS}, fractions allowed");
    let number = match value.get_ref() {
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|n| n as f64),
        DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
        _ => {
            problems.add(mistyped(key, value, &expected));
            return None;
        }
    };
    let fits = number.filter(|n| (least..=LONGEST_MS).contains(n));
    if fits.is_none() {
        let message = format!("`{key}` is out of range");
        problems.add(Problem::at(value.span(), message, format!("expected {expected}")));
    }
    fits.map(|n| Duration::from_nanos((n * 1e6).round() as u64))
}

/// A span as milliseconds, without zeros that say nothing: `4.5`.
pub(crate) fn ms(span: Duration) -> String {
    let whole = span.as_millis();
    let rest = span.as_nanos() % 1_000_000;
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_print_short() {
        assert_eq!(ms(Duration::from_millis(20)), "20");
        assert_eq!(ms(Duration::from_micros(4_500)), "4.5");
        assert_eq!(ms(Duration::from_nanos(1_000_001)), "1.000001");
        assert_eq!(ms(Duration::ZERO), "0");
    }
}
