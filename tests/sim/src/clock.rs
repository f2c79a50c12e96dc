//! A node's own clock: another zero than the world's and a rate that differs by at most 1 %. Called by the
//! world for every turn of a node; never steps backwards.

use dsc_wire::Time;

/// `CLOCK_BOOTTIME` of one node. World time is nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// World time of the boot.
    booted: u64,
    /// What it showed then.
    shown: u64,
    /// Millionths by which it runs fast (negative: slow).
    drift_ppm: i64,
}

impl Clock {
    /// A clock that shows `shown` at world time `booted`.
    pub fn new(booted: u64, shown: u64, drift_ppm: i64) -> Clock {
        Clock { booted, shown, drift_ppm }
    }

    /// What it shows at world time `at`.
    pub fn local(&self, at: u64) -> Time {
        let passed = (at - self.booted) as i64;
        Time(self.shown + (passed + passed * self.drift_ppm / 1_000_000) as u64)
    }

    /// The first world time at which it shows at least `local`; the world's end if it never does.
    pub fn world(&self, local: Time) -> u64 {
        if local == Time::NEVER {
            return u64::MAX;
        }
        let Some(shown) = local.0.checked_sub(self.shown) else { return self.booted };
        let passed = i128::from(shown) * 1_000_000 / i128::from(1_000_000 + self.drift_ppm);
        u64::try_from(i128::from(self.booted) + passed + 2).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_when_the_world_says_so_and_not_a_microsecond_earlier() {
        for drift in [-10_000, -1, 0, 3, 10_000] {
            let clock = Clock::new(5_000, 1_000_000_000, drift);
            for ahead in [0_u64, 1, 999, 28_000_000, 3_000_000_000] {
                let deadline = Time(1_000_000_000 + ahead);
                let at = clock.world(deadline);
                assert!(clock.local(at) >= deadline);
                assert!(clock.local(at).since(deadline).as_nanos() < 1_000);
            }
        }
        assert_eq!(Clock::new(0, 0, 0).world(Time::NEVER), u64::MAX);
    }
}
