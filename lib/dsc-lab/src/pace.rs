//! How fast live downloads come, and how fast they are begun. Pure; the rates themselves are in `nginx.rs`'s
//! configuration.

use crate::nginx::{SLOW, STEADY};

/// Most connections opened per second.
const OPENED_PER_S_MAX: u64 = 2_500;

/// How fast the bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A packet every second: for thousands.
    Slow,
    /// A packet every 100 ms: for hundreds, and for a few minutes.
    Steady,
}

impl Pace {
    /// What to ask for.
    pub fn path(self) -> &'static str {
        match self {
            Pace::Slow => SLOW,
            Pace::Steady => STEADY,
        }
    }

    /// Time from packet to packet, ms.
    pub fn every_ms(self) -> u64 {
        match self {
            Pace::Slow => 1_000,
            Pace::Steady => 100,
        }
    }

    /// How long so many take to be opened, ns: whole periods, so that at any moment some packet is due. Opened all at
    /// once, they would all be silent together, and no outage between two of their packets would be seen.
    pub fn opening_ns(self, count: usize) -> u64 {
        let per_period = (OPENED_PER_S_MAX * self.every_ms() / 1_000).max(1);
        (count as u64).div_ceil(per_period).max(1) * self.every_ms() * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_opened_over_whole_periods() {
        assert_eq!(Pace::Slow.opening_ns(300), 1_000_000_000);
        assert_eq!(Pace::Slow.opening_ns(10_000), 4_000_000_000);
        assert_eq!(Pace::Steady.opening_ns(300), 200_000_000);
        assert_eq!(Pace::Steady.opening_ns(0), 100_000_000);
    }
}
