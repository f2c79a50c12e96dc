//! What the programs leave for the daemon in rings: flows that they made or that came further, and replies that came before
//! their flow. Bounded; what does not fit is found by a walk, or counted.

use crate::entry::flow_of;
use crate::layout::{Entry, EntryKey, HELD_BYTES, HELD_FRAME, NEWS_BYTES};
use aya::maps::{MapData, RingBuf};
use dsc_wire::{Flow, Time};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// What the programs tell of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The flow, as far as it has come by the entry of one direction.
    pub flow: Flow,
    /// When they made it or saw it come further.
    pub at: Time,
}

/// Flows that the programs made, and those that came further. A bounded ring: what does not fit is found by a walk.
pub struct News(pub(crate) RingBuf<MapData>);

impl Iterator for News {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        loop {
            let item = self.0.next()?;
            let bytes: &[u8; NEWS_BYTES] = item[..].try_into().ok()?;
            let (bytes, at) = bytes.split_last_chunk()?;
            let (key, entry) = bytes.split_at(size_of::<EntryKey>());
            // SAFETY: both are plain integers and the kernel wrote exactly these layouts; the ring aligns to 8 bytes only.
            let (key, entry) = unsafe {
                (
                    key.as_ptr().cast::<EntryKey>().read_unaligned(),
                    entry.as_ptr().cast::<Entry>().read_unaligned(),
                )
            };
            if let Some(flow) = flow_of(&key, &entry) {
                return Some(Told { flow, at: Time(u64::from_ne_bytes(*at)) });
            }
        }
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for News {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Replies that came before their flow: the frame, and the interface it came by. Bounded; see the verdict `nat_held_lost`.
pub struct Held(pub(crate) RingBuf<MapData>);

impl Iterator for Held {
    type Item = (u32, Vec<u8>);

    fn next(&mut self) -> Option<(u32, Vec<u8>)> {
        let item = self.0.next()?;
        let bytes: &[u8; HELD_BYTES] = item[..].try_into().ok()?;
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let length = (word(4) as usize).min(HELD_FRAME);
        Some((word(0), bytes[8..8 + length].to_vec()))
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
