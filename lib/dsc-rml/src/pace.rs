//! The times that reliable messages live by, worked out once from the cluster's timing.

use dsc_wire::{Time, Timing};
use std::time::Duration;

/// How fast things go. All spans follow from [`Timing`], so that two nodes need no agreement about them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A message that nobody acknowledged for this long has failed.
    pub removal: Duration,
    /// Shortest time-out of a first try. Three tries of doubled length fill the default removal (4, 8, 16 of 28 ms);
    /// below 1.5 ms a busy machine's ordinary answers would count as lost, so a fast one has two.
    pub floor: Duration,
    /// Longest time-out of a first try: leaves room for a second one, on another path.
    pub ceiling: Duration,
    /// A tick later than this after the deadline says nothing about the peers (rule 11).
    pub stall: Duration,
    /// Time between probes of a path that is down.
    pub period: Duration,
    /// A subnet on which nothing was answered for this long is asked about. Above two rotations: two paths used in
    /// turn prove each other by themselves, and no probe is sent.
    pub watch: Duration,
    /// A peer heard so recently may yet answer, though it is silent on every path now: machines stall.
    pub patience: Duration,
    /// Time between probes of idle paths, the stalest first, so that status does not tell tales of last week.
    pub survey: Duration,
    /// No answer from anybody on any subnet for this long: nothing is known to be linked.
    pub silence: Duration,
    /// A message that got no further piece for this long is not waited for.
    pub expiry: Duration,
}

impl Pace {
    pub fn new(timing: &Timing) -> Pace {
        let third = timing.removal / 3;
        Pace {
            removal: timing.removal,
            floor: (timing.removal / 7).max(third.min(Duration::from_micros(1_500))),
            ceiling: third,
            stall: timing.stall,
            period: timing.rotation,
            watch: timing.rotation * 5 / 2,
            patience: timing.rotation * 5,
            survey: timing.rotation * 50,
            silence: timing.rotation * 50,
            expiry: timing.removal * 8,
        }
    }
}

/// The clock as packets carry it: microseconds, truncated.
pub(crate) fn stamp(now: Time) -> u32 {
    (now.0 / 1_000) as u32
}

/// The time that a stamp of ours came from, in whole microseconds like [`trim`]. A stamp from the future, which only
/// a broken peer sends back, is taken for a very old one.
pub(crate) fn stamped(stamp: u32, now: Time) -> Time {
    let now_us = now.0 / 1_000;
    let age_us = u64::from((now_us as u32).wrapping_sub(stamp));
    Time(now_us.saturating_sub(age_us) * 1_000)
}

/// `now` as precisely as a stamp tells it.
pub(crate) fn trim(now: Time) -> Time {
    Time(now.0 / 1_000 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_fit_the_removal() {
        let default = Pace::new(&Timing::DEFAULT);
        assert_eq!(default.floor, Duration::from_millis(4));
        assert_eq!(default.floor * 7, default.removal);
        let fast = Pace::new(&Timing::FAST);
        assert_eq!(fast.floor, Duration::from_micros(1_500));
        assert_eq!(fast.floor * 3, fast.removal);
        assert!(default.floor <= default.ceiling && fast.floor <= fast.ceiling);
    }

    #[test]
    fn stamps_come_back_as_the_time_they_were_made() {
        for now in [0, 1, 999, 1_000, 5_123_456_789, u64::from(u32::MAX) * 1_000 + 77, 1 << 60] {
            let sent = Time(now);
            for age in [0, 1_000, 50_000_000] {
                assert_eq!(stamped(stamp(sent), Time(now + age)), trim(sent));
            }
        }
    }
}
