//! Which pieces of a message have arrived. Both ends keep one.

use dsc_wire::packet::FRAGMENTS_MAX;

const WORDS: usize = FRAGMENTS_MAX.div_ceil(64);

/// A set of piece numbers below [`FRAGMENTS_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces([u64; WORDS]);

impl Pieces {
    pub fn contains(&self, piece: u16) -> bool {
        self.0.get(usize::from(piece) / 64).is_some_and(|w| w >> (piece % 64) & 1 == 1)
    }

    /// Returns whether it is new.
    pub fn insert(&mut self, piece: u16) -> bool {
        let Some(word) = self.0.get_mut(usize::from(piece) / 64) else { return false };
        let bit = 1 << (piece % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// The first piece that is missing, at most `count`.
    pub fn base(&self, count: u16) -> u16 {
        let mut base = 0;
        for word in self.0 {
            let ones = word.trailing_ones() as u16;
            base += ones;
            if ones < 64 {
                break;
            }
        }
        base.min(count)
    }

    /// As an acknowledgement tells it: bit `i` for piece `base + 1 + i`.
    pub fn beyond(&self, base: u16) -> u32 {
        (0..32).filter(|i| self.contains(base + 1 + i)).fold(0, |bits, i| bits | 1 << i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing() {
        let mut pieces = Pieces::default();
        assert_eq!((pieces.base(228), pieces.beyond(0)), (0, 0));
        assert!(pieces.insert(0) && pieces.insert(2) && pieces.insert(33) && !pieces.insert(2));
        assert_eq!((pieces.base(228), pieces.beyond(1)), (1, 1 | 1 << 31));
        (0..130).for_each(|i| {
            pieces.insert(i);
        });
        assert_eq!((pieces.base(228), pieces.base(100)), (130, 100));
        assert!(!pieces.insert(u16::MAX) && !pieces.contains(u16::MAX));
    }
}
