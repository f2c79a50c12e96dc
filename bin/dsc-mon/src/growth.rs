//! How a backend that is green or enabled again gets its weight back: in equal parts, one after the other, counted here by each
//! of its checkers, so that every node gives it the same with the same token, whatever its clock says. Pure.

use dsc_wire::Time;
use dsc_wire::health::SHARES;
use std::time::Duration;

/// One that starts slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    begun: Time,
    /// How long it has each part for itself.
    part: Duration,
}

impl Growth {
    /// From one part to all in `span`; none if that is no time.
    pub fn begin(now: Time, span: Duration) -> Option<Growth> {
        Growth::at(now, span, 1)
    }

    /// As another checker counts it, which is at this part now.
    pub fn at(now: Time, span: Duration, share: u8) -> Option<Growth> {
        let part = span / u32::from(SHARES - 1);
        let grown = part * u32::from(share.saturating_sub(1));
        let begun = Time(now.0.saturating_sub(grown.as_nanos() as u64));
        (!part.is_zero()).then_some(Growth { begun, part })
    }

    /// So many parts; none when it has all.
    pub fn share(&self, now: Time) -> Option<u8> {
        let parts = now.since(self.begun).as_nanos() / self.part.as_nanos();
        u8::try_from(1 + parts).ok().filter(|share| *share < SHARES)
    }

    /// When it gets the next part.
    pub fn deadline(&self, now: Time) -> Time {
        self.begun + self.part * u32::from(self.share(now).unwrap_or(SHARES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_part_at_once_and_all_of_them_at_the_end() {
        let span = Duration::from_secs(7);
        let growth = Growth::begin(Time::from_ms(500), span).unwrap();
        let shares = |ms| growth.share(Time::from_ms(ms));
        assert_eq!([500, 1499, 1500, 7499].map(shares), [Some(1), Some(1), Some(2), Some(7)]);
        assert_eq!([7500, 7501, u64::MAX >> 30].map(shares), [None; 3]);
        assert_eq!(Growth::begin(Time::ZERO, Duration::ZERO), None);
    }

    #[test]
    fn each_deadline_brings_one_part_and_who_takes_over_goes_on() {
        let (span, mut now) = (Duration::from_secs(30), Time::from_ms(100_000));
        let growth = Growth::begin(now, span).unwrap();
        for share in 1..SHARES {
            assert_eq!(growth.share(now), Some(share));
            let taken = Growth::at(now, span, share).unwrap();
            assert_eq!(taken.deadline(now), growth.deadline(now));
            assert!(growth.deadline(now) > now);
            now = growth.deadline(now);
        }
        assert_eq!(growth.share(now), None);
    }
}
