//! Machines outside the cluster that say they have a VIP, as the programs saw them. A bounded ring: what does not fit
//! is counted by the verdict `claim_conflict_lost`.

use crate::layout::CLAIM_BYTES;
use aya::maps::{MapData, RingBuf};
use dsc_wire::VipId;
use dsc_wire::local::Conflict;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// The claims that wait to be read; ends when there are none at the moment. Readable (for `poll`) while one waits.
pub struct Claims(pub(crate) RingBuf<MapData>);

impl Iterator for Claims {
    type Item = Conflict;

    fn next(&mut self) -> Option<Conflict> {
        let item = self.0.next()?;
        let bytes: &[u8; CLAIM_BYTES] = item[..].try_into().ok()?;
        let mut mac = [0; 6];
        mac.copy_from_slice(&bytes[2..]);
        Some(Conflict { vip: VipId(u16::from_ne_bytes([bytes[0], bytes[1]])), mac })
    }
}

impl AsFd for Claims {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Claims {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
