//! A sliding window over numbers that must not be taken twice: packet counters, datagram numbers (as RFC 4303 §3.4.3).

/// Numbers below the newest that can still be told apart. A sender counts all its packets, to whomever, so this is
/// some seconds of the busiest one.
const SPAN: u64 = 1_024;

/// Which of the latest [`SPAN`] numbers were taken.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    top: u64,
    taken: [u64; (SPAN / 64) as usize],
}

impl Window {
    /// Nothing taken yet.
    pub fn new() -> Window {
        Window { top: 0, taken: [0; (SPAN / 64) as usize] }
    }

    /// Takes `number` unless it was taken before or is too old to tell.
    pub fn take(&mut self, number: u64) -> bool {
        if number > self.top {
            if number - self.top >= SPAN {
                self.taken = [0; (SPAN / 64) as usize];
            } else {
                for skipped in self.top + 1..=number {
                    *self.word(skipped) &= !bit(skipped);
                }
            }
            self.top = number;
        } else if self.top - number >= SPAN || *self.word(number) & bit(number) != 0 {
            return false;
        }
        *self.word(number) |= bit(number);
        true
    }

    fn word(&mut self, number: u64) -> &mut u64 {
        &mut self.taken[(number % SPAN / 64) as usize]
    }
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn takes_each_number_once() {
        let mut window = Window::new();
        assert!(window.take(5) && window.take(3) && window.take(4));
        assert!(!window.take(5) && !window.take(3) && !window.take(4));
        assert!(window.take(5 + SPAN - 1), "jump ahead within the span");
        assert!(!window.take(5), "just out of it");
        assert!(window.take(6) && !window.take(6));
        assert!(window.take(u64::MAX), "a jump over everything");
        assert!(!window.take(6) && !window.take(u64::MAX) && window.take(u64::MAX - SPAN + 1));
        assert!(!window.take(u64::MAX - SPAN));
    }

    #[test]
    fn agrees_with_a_set() {
        let mut window = Window::new();
        let mut set = BTreeSet::new();
        let (mut seed, mut top) = (7_u64, 0_u64);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (top + 40).saturating_sub(seed >> 54) + 1;
            let fresh = (number > top || top - number < SPAN) && set.insert(number);
            assert_eq!(window.take(number), fresh, "{number} with top {top}");
            top = top.max(number);
        }
    }
}
