//! The copy that this node takes from a peer: which pieces are here, and when to ask again. Called by `join`.

use super::gift::WINDOW;
use super::message::Message;
use dsc_wire::{NodeId, NodeSet, Time};
use std::time::Duration;

/// Between two requests while nothing comes.
const AGAIN_MIN: Duration = Duration::from_millis(2);
const AGAIN_MAX: Duration = Duration::from_millis(200);
/// A giver that answered once and then brings nothing for this long has stopped.
const STOPPED: Duration = Duration::from_secs(1);

/// The copy.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub from: NodeId,
    pub number: u64,
    /// Taken although the giver may not know all flows.
    pub any: bool,
    /// Nodes whose flows are known with it, as its head says.
    pub covers: NodeSet,
    base: u32,
    beyond: u32,
    /// Pieces that it has, once that is known.
    end: Option<u32>,
    asked: bool,
    /// The base that was told last.
    told: u32,
    due: Time,
    wait: Duration,
    gives_up: Time,
}

impl Copy {
    pub fn new(from: NodeId, number: u64, any: bool, now: Time, patience: Duration) -> Copy {
        Copy {
            from,
            number,
            any,
            covers: NodeSet::EMPTY,
            base: 0,
            beyond: 0,
            end: None,
            asked: false,
            told: 0,
            due: now,
            wait: AGAIN_MIN,
            gives_up: now + patience,
        }
    }

    /// Takes a piece. False if it is here already, or can be none of this copy.
    pub fn take(&mut self, index: u32, last: bool, now: Time) -> bool {
        let beyond_end = self.end.is_some_and(|end| index >= end || last && index + 1 != end);
        if index < self.base || index > self.base + WINDOW || beyond_end {
            return false;
        }
        if index > self.base {
            let bit = 1 << (index - self.base - 1);
            if self.beyond & bit != 0 {
                return false;
            }
            self.beyond |= bit;
        } else {
            self.base += 1;
            while self.beyond & 1 == 1 {
                self.base += 1;
                self.beyond >>= 1;
            }
            self.beyond >>= 1;
        }
        if last {
            self.end = Some(index + 1);
        }
        self.wait = AGAIN_MIN;
        self.due = now + self.wait;
        self.gives_up = now + STOPPED;
        true
    }

    /// Did its giver answer?
    pub fn has_begun(&self) -> bool {
        self.base > 0 || self.beyond != 0
    }

    /// Is all of it here?
    pub fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| self.base >= end)
    }

    /// It came to no end.
    pub fn is_lost(&self, now: Time) -> bool {
        now >= self.gives_up
    }

    /// Half a window came, so that the other half is on its way while the next is asked for.
    fn is_ahead(&self) -> bool {
        self.base - self.told >= WINDOW / 2
    }

    /// When something is to be asked, or to be given up.
    pub fn deadline(&self) -> Time {
        if self.is_ahead() { Time::ZERO } else { self.due.min(self.gives_up) }
    }

    /// The next request, if it is time.
    pub fn ask(&mut self, now: Time) -> Option<Message> {
        let again = now >= self.due && std::mem::replace(&mut self.asked, true);
        if now < self.due && !self.is_ahead() {
            return None;
        }
        if now >= self.due {
            self.due = now + self.wait;
            self.wait = (self.wait * 2).min(AGAIN_MAX);
        }
        Some(self.request(again))
    }

    /// Tells what is here.
    pub fn request(&mut self, again: bool) -> Message {
        self.told = self.base;
        let Copy { number: copy, base, beyond, any, .. } = *self;
        Message::CopyAsk { copy, base, beyond, any, again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_ms(1);

    fn copy() -> Copy {
        Copy::new(NodeId(1), 7, false, NOW, Duration::from_millis(100))
    }

    #[test]
    fn pieces_come_in_any_order_and_once() {
        let mut copy = copy();
        for index in [2, 1, 4] {
            assert!(copy.take(index, false, NOW) && !copy.take(index, false, NOW));
        }
        assert_eq!((copy.base, copy.beyond), (0, 0b1011));
        assert!(copy.take(0, false, NOW));
        assert_eq!((copy.base, copy.beyond), (3, 0b1));
        assert!(!copy.take(0, false, NOW) && !copy.take(3 + WINDOW + 1, false, NOW));
        assert!(copy.take(3 + WINDOW, false, NOW), "the end of the window");
        assert!(copy.take(5, true, NOW) && !copy.is_whole());
        assert!(!copy.take(6, false, NOW), "after the last");
        assert!(copy.take(3, false, NOW) && copy.is_whole());
    }

    #[test]
    fn it_asks_at_once_then_ever_less_often_and_when_half_a_window_came() {
        let mut copy = copy();
        let again = |message: Option<Message>| match message {
            Some(Message::CopyAsk { again, .. }) => again,
            other => panic!("{other:?}"),
        };
        assert!(!again(copy.ask(NOW)));
        assert_eq!(copy.ask(NOW), None);
        assert_eq!(copy.deadline(), NOW + AGAIN_MIN);
        assert!(again(copy.ask(NOW + AGAIN_MIN)));
        assert_eq!(copy.deadline(), NOW + AGAIN_MIN * 3);
        for index in 0..WINDOW / 2 {
            assert_eq!(copy.ask(NOW), None);
            copy.take(index, false, NOW);
        }
        assert!(!again(copy.ask(NOW)));
        assert!(!copy.is_lost(NOW) && copy.is_lost(NOW + STOPPED));
    }
}
