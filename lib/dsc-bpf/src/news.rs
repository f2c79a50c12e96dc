//! What the programs leave for the daemon in rings: flows that they made or that came further, and replies that came before
//! their flow. Bounded; what does not fit is found by a walk, or counted.

use crate::Error;
use crate::entry::flow_of;
use crate::layout::{Entry, EntryKey, HELD_BYTES, HELD_FRAME, NEWS_BYTES};
use crate::maps::{fill, taken};
use aya::Ebpf;
use aya::maps::{Array, MapData, RingBuf};
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
pub struct News {
    ring: RingBuf<MapData>,
    polled: Array<MapData, u32>,
}

impl News {
    pub(crate) fn take(ebpf: &mut Ebpf) -> Result<News, Error> {
        let (ring, polled) = (taken(ebpf, "news")?, taken(ebpf, "polled")?);
        let mut news = News { ring, polled };
        // An earlier daemon may have been killed while it did.
        news.poll(false)?;
        Ok(news)
    }

    /// Does the reader come by itself? Else each new flow makes the descriptor ready. One that is made in the very moment in
    /// which this is taken back may not do so yet.
    ///
    /// # Errors
    /// [`Error::Fill`]: the kernel refused.
    pub fn poll(&mut self, by_itself: bool) -> Result<(), Error> {
        self.polled.set(0, u32::from(by_itself), 0).map_err(|e| fill("polled", e))
    }
}

impl Iterator for News {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        loop {
            let item = self.ring.next()?;
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
        self.ring.as_fd()
    }
}

impl AsRawFd for News {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
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
