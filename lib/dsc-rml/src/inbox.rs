//! Messages from one peer: pieces put together, whole ones waiting for their verdict, verdicts kept for repeats.
//! Called by `peer`; sends nothing itself.

use crate::pieces::Pieces;
use dsc_wire::packet::FRAGMENT_MAX;
use dsc_wire::{Receipt, SubnetId, Time};

/// Messages from one sender to one receiver that may be under way at once. The sender never starts a message this far
/// above its oldest unfinished one, so a slot that is needed again is free on both sides.
pub(crate) const IN_FLIGHT_MAX: usize = 16;

/// What an acknowledgement refers to: the path and the stamp of the piece that causes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub path: SubnetId,
    pub stamp: u32,
    /// The sender does not wait for the verdict.
    pub tacit: bool,
}

/// One piece of a message, as it came.
#[derive(Debug)]
pub(crate) struct Piece {
    pub message: u64,
    pub index: u16,
    pub count: u16,
    pub fragment: Vec<u8>,
}

/// A message that is not whole yet.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub number: u64,
    pub count: u16,
    pub here: Pieces,
    missing: u16,
    bytes: Vec<u8>,
    /// Bytes of the message; known once the last piece is here.
    len: usize,
    pub touched: Time,
    /// Pieces arrived that no acknowledgement has told yet.
    pub owed: Option<Cause>,
}

#[derive(Clone, Debug)]
enum Slot {
    /// Never used, or evicted; an older message than the one evicted must not start here again.
    Empty {
        number: u64,
    },
    Partial(Box<Partial>),
    Whole {
        number: u64,
        count: u16,
        receipt: Receipt,
        cause: Cause,
    },
    Answered {
        number: u64,
        count: u16,
        verdict: Vec<u8>,
    },
}

impl Slot {
    fn number(&self) -> u64 {
        match self {
            Slot::Partial(partial) => partial.number,
            Slot::Empty { number } | Slot::Whole { number, .. } | Slot::Answered { number, .. } => {
                *number
            }
        }
    }

    /// Would a piece of `message` be the first one here?
    fn free_for(&self, message: u64) -> bool {
        message > self.number() || (message == self.number() && matches!(self, Slot::Empty { .. }))
    }
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Others are missing; an acknowledgement is owed.
    Part,
    /// It was the last one missing.
    Message(Vec<u8>),
    /// The message has its verdict already: say it again.
    Again { count: u16, verdict: Vec<u8> },
    /// The message is whole and waits for its verdict.
    Waiting,
    /// Of a message that its sender gave up, or at odds with its other pieces.
    Stale,
}

/// A verdict on its way into the last acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub number: u64,
    pub count: u16,
    pub cause: Cause,
}

/// Messages from one life of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    slots: [Slot; IN_FLIGHT_MAX],
    /// Slots that hold a partial message: none, nearly always, which spares looking for them.
    partial: usize,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox { slots: std::array::from_fn(|_| Slot::Empty { number: 0 }), partial: 0 }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.partials().map(|p| p.bytes.len()).sum()
    }

    fn partials(&self) -> impl Iterator<Item = &Partial> {
        let slots = if self.partial == 0 { &[][..] } else { &self.slots[..] };
        slots.iter().filter_map(|slot| match slot {
            Slot::Partial(partial) => Some(&**partial),
            Slot::Empty { .. } | Slot::Whole { .. } | Slot::Answered { .. } => None,
        })
    }

    /// Time of the last piece of the partial message that waits longest.
    pub fn oldest(&self) -> Option<Time> {
        self.partials().map(|p| p.touched).min()
    }

    /// Forgets partial messages that got no piece since `limit`; returns how many.
    pub fn evict(&mut self, limit: Time) -> usize {
        let mut evicted = 0;
        if self.partial == 0 {
            return evicted;
        }
        for slot in &mut self.slots {
            if matches!(slot, Slot::Partial(p) if p.touched <= limit) {
                *slot = Slot::Empty { number: slot.number() };
                evicted += 1;
            }
        }
        self.partial -= evicted;
        evicted
    }

    /// Takes a piece. `receipt` names the message if this makes it whole.
    pub fn take(&mut self, piece: Piece, cause: Cause, receipt: Receipt, now: Time) -> Taken {
        let Piece { message: number, index, count, fragment } = piece;
        let slot = &mut self.slots[(number % IN_FLIGHT_MAX as u64) as usize];
        if number < slot.number() || number == 0 {
            return Taken::Stale;
        }
        if slot.free_for(number) {
            self.partial -= usize::from(matches!(slot, Slot::Partial(_)));
            if count == 1 {
                *slot = Slot::Whole { number, count, receipt, cause };
                return Taken::Message(fragment);
            }
            self.partial += 1;
            *slot = Slot::Partial(Box::new(Partial {
                number,
                count,
                here: Pieces::default(),
                missing: count,
                bytes: vec![0; usize::from(count) * FRAGMENT_MAX],
                len: 0,
                touched: now,
                owed: None,
            }));
        }
        match slot {
            Slot::Partial(partial) if partial.count == count => {
                partial.touched = now;
                partial.owed = Some(cause);
                if partial.here.insert(index) {
                    let start = usize::from(index) * FRAGMENT_MAX;
                    partial.bytes[start..start + fragment.len()].copy_from_slice(&fragment);
                    partial.missing -= 1;
                    if index + 1 == count {
                        partial.len = start + fragment.len();
                    }
                }
                if partial.missing > 0 {
                    return Taken::Part;
                }
                let mut bytes = std::mem::take(&mut partial.bytes);
                bytes.truncate(partial.len);
                self.partial -= 1;
                *slot = Slot::Whole { number, count, receipt, cause };
                Taken::Message(bytes)
            }
            Slot::Whole { count: all, cause: latest, .. } if *all == count => {
                *latest = cause;
                Taken::Waiting
            }
            Slot::Answered { count: all, verdict, .. } if *all == count => {
                Taken::Again { count, verdict: verdict.clone() }
            }
            Slot::Empty { .. } | Slot::Partial(_) | Slot::Whole { .. } | Slot::Answered { .. } => {
                Taken::Stale
            }
        }
    }

    /// Keeps the verdict on the message that `receipt` names; none if it does not wait for one.
    pub fn judge(&mut self, receipt: Receipt, verdict: &[u8]) -> Option<Judged> {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| matches!(slot, Slot::Whole { receipt: r, .. } if *r == receipt))?;
        let Slot::Whole { number, count, cause, .. } = *slot else { return None };
        *slot = Slot::Answered { number, count, verdict: verdict.to_vec() };
        Some(Judged { number, count, cause })
    }

    /// Is any partial acknowledgement owed?
    pub fn owes(&self) -> bool {
        self.partials().any(|p| p.owed.is_some())
    }

    /// Partial messages with pieces that no acknowledgement has told yet.
    pub fn owed(&mut self) -> impl Iterator<Item = (&mut Partial, Cause)> {
        let slots = if self.partial == 0 { &mut [][..] } else { &mut self.slots[..] };
        slots.iter_mut().filter_map(|slot| match slot {
            Slot::Partial(partial) => partial.owed.take().map(|cause| (&mut **partial, cause)),
            Slot::Empty { .. } | Slot::Whole { .. } | Slot::Answered { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSE: Cause = Cause { path: SubnetId(0), stamp: 0, tacit: false };

    fn piece(message: u64, index: u16, count: u16, len: usize) -> Piece {
        Piece { message, index, count, fragment: vec![index as u8; len] }
    }

    fn take(inbox: &mut Inbox, piece: Piece) -> Taken {
        let receipt = Receipt(piece.message);
        inbox.take(piece, CAUSE, receipt, Time::from_ms(1))
    }

    #[test]
    fn pieces_in_any_order_make_the_message_once() {
        let mut inbox = Inbox::new();
        assert_eq!(take(&mut inbox, piece(1, 2, 3, 5)), Taken::Part);
        assert_eq!(take(&mut inbox, piece(1, 0, 3, FRAGMENT_MAX)), Taken::Part);
        assert_eq!(take(&mut inbox, piece(1, 0, 3, FRAGMENT_MAX)), Taken::Part);
        assert_eq!(inbox.owed().count(), 1);
        assert_eq!(inbox.owed().count(), 0, "owed once");
        let Taken::Message(message) = take(&mut inbox, piece(1, 1, 3, FRAGMENT_MAX)) else {
            panic!("not whole");
        };
        assert_eq!(message.len(), 2 * FRAGMENT_MAX + 5);
        assert_eq!((message[0], message[FRAGMENT_MAX], message[2 * FRAGMENT_MAX]), (0, 1, 2));
        assert_eq!(take(&mut inbox, piece(1, 1, 3, FRAGMENT_MAX)), Taken::Waiting);
        assert!(inbox.judge(Receipt(2), b"no").is_none());
        assert_eq!(
            inbox.judge(Receipt(1), b"yes"),
            Some(Judged { number: 1, count: 3, cause: CAUSE })
        );
        assert!(inbox.judge(Receipt(1), b"yes").is_none(), "judged once");
        let again = Taken::Again { count: 3, verdict: b"yes".to_vec() };
        assert_eq!(take(&mut inbox, piece(1, 0, 3, FRAGMENT_MAX)), again);
    }

    #[test]
    fn a_slot_goes_to_the_newer_message_and_never_back() {
        let mut inbox = Inbox::new();
        let next = 1 + IN_FLIGHT_MAX as u64;
        assert_eq!(take(&mut inbox, piece(1, 0, 2, FRAGMENT_MAX)), Taken::Part);
        assert_eq!(take(&mut inbox, piece(next, 0, 1, 1)), Taken::Message(vec![0]));
        assert_eq!(take(&mut inbox, piece(1, 1, 2, 1)), Taken::Stale);
        assert_eq!(take(&mut inbox, piece(0, 0, 1, 1)), Taken::Stale);
        assert_eq!(take(&mut inbox, piece(next, 0, 2, FRAGMENT_MAX)), Taken::Stale, "other count");
    }

    #[test]
    fn what_waits_longest_is_evicted() {
        let mut inbox = Inbox::new();
        let first = piece(1, 0, 4, FRAGMENT_MAX);
        inbox.take(first, CAUSE, Receipt(1), Time::from_ms(1));
        inbox.take(piece(2, 0, 2, FRAGMENT_MAX), CAUSE, Receipt(2), Time::from_ms(2));
        assert_eq!((inbox.held(), inbox.oldest()), (6 * FRAGMENT_MAX, Some(Time::from_ms(1))));
        assert_eq!(inbox.evict(Time::from_ms(1)), 1);
        assert_eq!((inbox.held(), inbox.oldest()), (2 * FRAGMENT_MAX, Some(Time::from_ms(2))));
        let next = 1 + IN_FLIGHT_MAX as u64;
        take(&mut inbox, piece(next, 0, 2, FRAGMENT_MAX));
        inbox.evict(Time::from_ms(9));
        assert_eq!(take(&mut inbox, piece(1, 0, 1, 1)), Taken::Stale, "older than the evicted one");
        assert_eq!(take(&mut inbox, piece(next, 0, 2, FRAGMENT_MAX)), Taken::Part);
    }
}
