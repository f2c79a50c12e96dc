//! How long the flows that peers made took to come into the table here: counts by length, which take the same room whatever
//! comes. Called by `machine`.

use super::api::Lag;
use dsc_wire::Time;
use std::time::Duration;

/// What is told is of the last one to two of these.
const SPAN: Duration = Duration::from_secs(60);
/// Lengths that are told apart between one length and its double: a figure is at most a sixteenth too large.
const PARTS: u32 = 16;
const PARTS_BITS: u32 = PARTS.ilog2();
/// Up to the longest that a `u32` of microseconds holds, more than an hour.
const LENGTHS: usize = ((u32::BITS - PARTS_BITS + 1) * PARTS) as usize;

/// The counts of this span and the one before.
#[derive(Clone, Debug)]
pub(crate) struct Lags {
    began: Time,
    current: Counts,
    before: Counts,
}

#[derive(Clone, Debug)]
struct Counts {
    by_length: [u64; LENGTHS],
    most_us: u32,
}

impl Counts {
    const NONE: Counts = Counts { by_length: [0; LENGTHS], most_us: 0 };
}

impl Lags {
    pub fn new(now: Time) -> Lags {
        Lags { began: now, current: Counts::NONE, before: Counts::NONE }
    }

    /// So many flows took so long.
    pub fn note(&mut self, now: Time, lag: Duration, flows: u32) {
        if now >= self.began + SPAN {
            let follows = now < self.began + SPAN * 2;
            let old = std::mem::replace(&mut self.current, Counts::NONE);
            self.before = if follows { old } else { Counts::NONE };
            self.began = now;
        }
        let us = u32::try_from(lag.as_micros()).unwrap_or(u32::MAX);
        self.current.by_length[index(us)] += u64::from(flows);
        self.current.most_us = self.current.most_us.max(us);
    }

    /// Of the last one to two spans; none if no flow came in them.
    pub fn lag(&self, now: Time) -> Option<Lag> {
        let current = (now < self.began + SPAN * 2).then_some(&self.current);
        let before = (now < self.began + SPAN).then_some(&self.before);
        let all = || current.into_iter().chain(before);
        let count = |n: usize| all().map(|c| c.by_length[n]).sum::<u64>();
        let flows: u64 = (0..LENGTHS).map(count).sum();
        if flows == 0 {
            return None;
        }
        let max_us = all().map(|c| c.most_us).max().unwrap_or_default();
        let percentile = |percent: u64| {
            let mut left = (flows * percent).div_ceil(100);
            let n = (0..LENGTHS).find(|n| {
                left = left.saturating_sub(count(*n));
                left == 0
            });
            n.map_or(max_us, longest).min(max_us)
        };
        Some(Lag { flows, p50_us: percentile(50), p99_us: percentile(99), max_us })
    }
}

/// Where a length is counted.
fn index(us: u32) -> usize {
    let doublings = (us | (PARTS - 1)).ilog2() + 1 - PARTS_BITS;
    let part = if doublings == 0 { us } else { us >> (doublings - 1) };
    (part + doublings.saturating_sub(1) * PARTS) as usize
}

/// The longest that is counted at `index`.
fn longest(index: usize) -> u32 {
    let index = index as u64;
    let parts = u64::from(PARTS);
    let doublings = (index / parts).saturating_sub(1);
    let part = index - doublings * parts;
    u32::try_from(((part + 1) << doublings) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_ms(5_000);

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn every_length_has_a_place_that_is_hardly_longer() {
        let powers = (0..32).flat_map(|bits| [(1u32 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        for length in (0..100_000).chain(powers).chain([u32::MAX]) {
            let at = longest(index(length));
            assert!(at >= length && at - length <= length / PARTS, "{length}: {at}");
            assert!(index(length) == 0 || longest(index(length) - 1) < length);
        }
        assert_eq!(index(u32::MAX), LENGTHS - 1);
    }

    #[test]
    fn percentiles_are_of_flows() {
        let mut lags = Lags::new(START);
        assert_eq!(lags.lag(START), None);
        lags.note(START, us(200), 98);
        lags.note(START, us(1_000), 1);
        assert_eq!(lags.lag(START).unwrap().p99_us, 1_000);
        lags.note(START, us(9_000), 1);
        let told = lags.lag(START).unwrap();
        assert_eq!((told.flows, told.p50_us, told.max_us), (100, 207, 9_000));
        assert_eq!(told.p99_us, 1_023);
        lags.note(START, Duration::from_secs(1 << 40), 1);
        assert_eq!(lags.lag(START).unwrap().max_us, u32::MAX);
    }

    #[test]
    fn what_is_long_ago_is_told_no_more() {
        let mut lags = Lags::new(START);
        lags.note(START, us(7), 1);
        lags.note(START + SPAN, us(5), 1);
        assert_eq!(lags.lag(START + SPAN).unwrap().flows, 2);
        let one = Some(Lag { flows: 1, p50_us: 5, p99_us: 5, max_us: 5 });
        assert_eq!(lags.lag(START + SPAN * 2), one);
        assert_eq!(lags.lag(START + SPAN * 3), None);
        lags.note(START + SPAN * 3, us(3), 1);
        assert_eq!(lags.lag(START + SPAN * 3).unwrap().max_us, 3);
    }
}
