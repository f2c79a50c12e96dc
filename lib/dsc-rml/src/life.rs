//! Which life of a peer is the present one, and which of its packets were seen. A life is believed only after it
//! answered a challenge of ours, or a recording of an earlier one would be. Called by `peer`.

use crate::window::Window;
use dsc_wire::{Incarnation, Time};
use std::time::Duration;

/// A challenge under way.
#[derive(Clone, Debug)]
struct Challenge {
    value: u64,
    made: Time,
}

/// What is known about a peer's life.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub proven: Option<Incarnation>,
    window: Window,
    challenge: Option<Challenge>,
    /// The challenge answered last: its replies on other paths are still good for proving those.
    answered: u64,
    /// When a challenge was last sent.
    pub asked: Option<Time>,
}

/// What a reply to a challenge meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The first one: this life is the present one. It may be the one known before.
    Proves,
    /// A further one, on another path.
    Repeats,
    /// To no challenge of ours, or replayed.
    Unasked,
}

impl Life {
    pub fn new() -> Life {
        Life { proven: None, window: Window::new(), challenge: None, answered: 0, asked: None }
    }

    /// The challenge to send now; `fresh` becomes it if there is none, or one older than `age`. A new value must never
    /// have been used in our life; packet counters are such values.
    pub fn challenge(&mut self, fresh: u64, now: Time, age: Duration) -> u64 {
        match &self.challenge {
            Some(challenge) if now.since(challenge.made) <= age => challenge.value,
            Some(_) | None => {
                self.challenge = Some(Challenge { value: fresh, made: now });
                fresh
            }
        }
    }

    /// Takes a packet's counter if it comes from the proven life: false if it was seen before.
    pub fn take(&mut self, counter: u64) -> bool {
        self.window.take(counter)
    }

    /// Judges a reply to `challenge` from `incarnation`.
    pub fn reply(&mut self, incarnation: Incarnation, challenge: u64, counter: u64) -> Reply {
        if self.challenge.as_ref().is_some_and(|c| c.value == challenge) {
            if self.proven != Some(incarnation) {
                self.window = Window::new();
            }
            if !self.window.take(counter) {
                return Reply::Unasked;
            }
            self.proven = Some(incarnation);
            self.challenge = None;
            self.answered = challenge;
            Reply::Proves
        } else if challenge == self.answered
            && self.proven == Some(incarnation)
            && self.window.take(counter)
        {
            Reply::Repeats
        } else {
            Reply::Unasked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Incarnation = Incarnation(1);
    const NEW: Incarnation = Incarnation(2);
    const AGE: Duration = Duration::from_millis(28);

    #[test]
    fn a_life_is_proven_by_the_answer_to_a_fresh_challenge_only() {
        let mut life = Life::new();
        assert_eq!(life.reply(OLD, 0, 1), Reply::Unasked);
        assert_eq!(life.challenge(10, Time::from_ms(1), AGE), 10);
        assert_eq!(life.challenge(11, Time::from_ms(2), AGE), 10, "the same while it is young");
        assert_eq!(life.reply(OLD, 11, 2), Reply::Unasked);
        assert_eq!(life.reply(OLD, 10, 2), Reply::Proves);
        assert_eq!(life.reply(OLD, 10, 3), Reply::Repeats);
        assert_eq!(life.reply(OLD, 10, 3), Reply::Unasked, "replayed");
        assert_eq!(life.reply(NEW, 10, 4), Reply::Unasked, "another life cannot reuse it");
        assert!(life.take(4) && !life.take(4));
        assert_eq!(life.challenge(12, Time::from_ms(3), AGE), 12);
        assert_eq!(life.challenge(13, Time::from_ms(32), AGE), 13, "an old one is not waited for");
        assert_eq!(life.reply(OLD, 12, 5), Reply::Unasked);
        assert_eq!(life.reply(NEW, 13, 1), Reply::Proves, "its own count starts again");
        assert_eq!(life.proven, Some(NEW));
        assert_eq!(life.reply(OLD, 13, 9), Reply::Unasked);
    }
}
