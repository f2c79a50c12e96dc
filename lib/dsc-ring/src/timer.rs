//! The ring's timers as a table: set, stop, and the earliest is the next wake-up. None owns a thread or a callback.

use dsc_wire::Time;

/// Names a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// When to end the silence after a start (rule 12).
    Quiet,
    /// When to pass the token that is held.
    Hold,
    /// When to give up waiting for the outcome of a relay.
    Relay,
    /// When a tacit pass must have come round (rule 17).
    Tacit,
    /// When to ask the others about the token (rule 14).
    Starve,
    /// When to judge a 911 round whose answers did not all come.
    Round,
    /// When to go on with the sweep (rule 11).
    Sweep,
    /// When to give up the VIPs of a subnet on which only others have a peer.
    Unlinked,
    /// When to send beacons (rule 15).
    Beacon,
    /// When to leave although something is not handed over.
    Leave,
    /// When to give up the oldest command.
    Command,
    /// When to prove to ourselves that we still run (rule 11).
    Watch,
}

impl Timer {
    /// Every timer; the table has one place for each.
    pub const ALL: [Timer; 12] = [
        Timer::Quiet,
        Timer::Hold,
        Timer::Relay,
        Timer::Tacit,
        Timer::Starve,
        Timer::Round,
        Timer::Sweep,
        Timer::Unlinked,
        Timer::Beacon,
        Timer::Leave,
        Timer::Command,
        Timer::Watch,
    ];
}

/// When each timer is due.
#[derive(Clone, Debug)]
pub struct Timers {
    due: [Time; Timer::ALL.len()],
}

impl Timers {
    /// All stopped.
    pub fn new() -> Timers {
        Timers { due: [Time::NEVER; Timer::ALL.len()] }
    }

    /// Sets or changes it.
    pub fn set(&mut self, timer: Timer, at: Time) {
        self.due[timer as usize] = at;
    }

    /// Sets it, or stops it if `at` is none.
    pub fn put(&mut self, timer: Timer, at: Option<Time>) {
        self.set(timer, at.unwrap_or(Time::NEVER));
    }

    /// Is it due?
    pub fn due(&self, timer: Timer, now: Time) -> bool {
        self.due[timer as usize] <= now
    }

    /// The earliest.
    pub fn next(&self) -> Time {
        self.due.iter().copied().min().unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_its_own_place() {
        let mut timers = Timers::new();
        assert_eq!(timers.next(), Time::NEVER);
        for (i, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, i);
            timers.set(timer, Time::from_ms(100 - i as u64));
            assert_eq!(timers.next(), Time::from_ms(100 - i as u64));
        }
        timers.put(Timer::Watch, None);
        assert!(!timers.due(Timer::Watch, Time::from_ms(1000)));
        assert!(timers.due(Timer::Quiet, Time::from_ms(100)));
        assert!(!timers.due(Timer::Quiet, Time::from_ms(99)));
    }
}
