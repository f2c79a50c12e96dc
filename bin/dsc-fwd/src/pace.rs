//! How often news of new flows are read. One that comes alone wakes the daemon up at once. Where one follows the other, the
//! daemon comes by itself and takes several at a time: a wake-up and a datagram for each would cost more than the flow itself.
//! Called by `flows`.

use dsc_wire::Time;
use std::time::Duration;

/// At least so often news are read while flows come that fast; any other turn of the daemon reads them too.
const PACE: Duration = Duration::from_millis(1);

/// When the next reading is due.
#[derive(Debug)]
pub struct Pace {
    /// When a new flow was met last.
    last: Time,
    by_itself: bool,
    /// Of a reading that no flow asks for.
    pub due: Time,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { last: Time::ZERO, by_itself: false, due: Time::NEVER }
    }
}

impl Pace {
    /// News were read; `made`: a new flow was among them. Returns whether the daemon comes by itself from now on, if that
    /// changes.
    pub fn turn(&mut self, now: Time, made: bool) -> Option<bool> {
        let was = self.by_itself;
        if made {
            self.by_itself |= now < self.last + PACE;
            self.last = now;
        }
        if made && self.by_itself {
            self.due = now + PACE;
        } else if now >= self.due {
            // A flow may have been made in this moment that does not know yet: one more reading.
            self.due = if was { now + PACE } else { Time::NEVER };
            self.by_itself = false;
        }
        (was != self.by_itself).then_some(self.by_itself)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Time {
        Time::from_ms(1_000) + Duration::from_micros(us)
    }

    #[test]
    fn flows_that_come_alone_wake_the_daemon() {
        let mut pace = Pace::default();
        for at in [0, 1_000, 2_500, 9_000] {
            assert_eq!(pace.turn(us(at), true), None);
            assert_eq!(pace.turn(us(at + 200), false), None);
            assert_eq!(pace.due, Time::NEVER);
        }
    }

    #[test]
    fn flows_that_follow_each_other_are_read_at_the_pace_until_they_end() {
        let mut pace = Pace::default();
        assert_eq!(pace.turn(us(0), true), None);
        assert_eq!(pace.turn(us(300), true), Some(true));
        assert_eq!(pace.due, us(1_300));
        // A turn for something else in between.
        assert_eq!(pace.turn(us(500), false), None);
        assert_eq!(pace.due, us(1_300));
        assert_eq!(pace.turn(us(1_300), true), None);
        assert_eq!(pace.due, us(2_300));
        assert_eq!(pace.turn(us(2_310), false), Some(false));
        // One that was made in the moment in which the daemon said so.
        assert_eq!(pace.due, us(3_310));
        assert_eq!(pace.turn(us(3_320), true), None);
        assert_eq!(pace.due, Time::NEVER);
    }
}
