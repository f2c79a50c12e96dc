//! The two kernel maps that only `dsc-ringd` writes: until when this node may answer for its VIPs, and what it
//! does with frames for each. Both are shared memory, so a change is one store that the programs see with the
//! next frame; no call into the kernel can stall it.

use crate::call::{self, Shape};
use crate::{Error, bpffs};
use dsc_wire::ids::{PAST_MAX, VIPS_MAX};
use dsc_wire::local::HostState;
use dsc_wire::{NodeId, Time, VipId};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of the maps, here and in the programs.
pub(crate) const LEASE: &str = "lease";
pub(crate) const HOSTS: &str = "hosts";

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;

const OFF: u8 = 0;
const ON: u8 = 1;
const INCOMING: u8 = 2;
const STEER: u8 = 3;

/// The lease and the host table of this node, mapped into this process.
///
/// One process writes (`dsc-ringd`); others may read. A reader sees each entry whole: either the old value or
/// the new one.
#[derive(Debug)]
pub struct LeaseMap {
    lease: Words,
    hosts: Words,
}

impl LeaseMap {
    /// Opens both maps below `dir` (`/sys/fs/bpf/dsc`), or creates and pins them with no lease and every VIP off.
    /// Mounts the BPF file system if there is none. `dsc-ringd` and `dsc-fwd` may do this in any order or at once.
    ///
    /// # Errors
    /// [`Error`]: the file system cannot be mounted, a right is missing, or the pinned maps are another build's.
    pub fn open(dir: &Path) -> Result<LeaseMap, Error> {
        bpffs::prepare(dir)?;
        Ok(LeaseMap {
            lease: Words::open(dir, LEASE, 1)?,
            hosts: Words::open(dir, HOSTS, VIPS_MAX)?,
        })
    }

    /// Sets the end of this node's right to answer. A time that is past ends it with the next frame.
    pub fn set_lease(&self, end: Time) {
        self.lease.word(0).store(end.0, Ordering::Release);
    }

    /// The end of this node's right to answer; [`Time::ZERO`] if it never had any.
    pub fn lease(&self) -> Time {
        Time(self.lease.word(0).load(Ordering::Acquire))
    }

    /// Sets how frames for `vip` are treated, and which hosts it had before this one, most recent first (§B.2).
    /// At most [`PAST_MAX`] past hosts are kept. A `vip` outside the configuration's bound is ignored.
    pub fn set_host(&self, vip: VipId, state: HostState, past: &[NodeId]) {
        if vip.index() < VIPS_MAX {
            self.hosts.word(vip.index()).store(pack(state, past), Ordering::Release);
        }
    }

    /// How frames for `vip` are treated, and its past hosts.
    pub fn host(&self, vip: VipId) -> (HostState, Vec<NodeId>) {
        if vip.index() >= VIPS_MAX {
            return (HostState::Off, Vec::new());
        }
        unpack(self.hosts.word(vip.index()).load(Ordering::Acquire))
    }
}

/// The bytes of an entry: state, node steered to, number of past hosts, past hosts; see `hosts` in `bpf/maps.h`.
fn pack(state: HostState, past: &[NodeId]) -> u64 {
    let mut bytes = [0u8; 8];
    (bytes[0], bytes[1]) = match state {
        HostState::Off => (OFF, 0),
        HostState::On => (ON, 0),
        HostState::Incoming => (INCOMING, 0),
        HostState::Steer(node) => (STEER, node.0),
    };
    let count = past.len().min(PAST_MAX);
    bytes[2] = count as u8;
    for (to, from) in bytes[3..].iter_mut().zip(&past[..count]) {
        *to = from.0;
    }
    u64::from_ne_bytes(bytes)
}

fn unpack(word: u64) -> (HostState, Vec<NodeId>) {
    let bytes = word.to_ne_bytes();
    let state = match bytes[0] {
        ON => HostState::On,
        INCOMING => HostState::Incoming,
        STEER => HostState::Steer(NodeId(bytes[1])),
        _ => HostState::Off,
    };
    let count = usize::from(bytes[2]).min(PAST_MAX);
    (state, bytes[3..3 + count].iter().map(|node| NodeId(*node)).collect())
}

/// An array map of 64-bit words, mapped into this process for its lifetime.
#[derive(Debug)]
struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
    /// Keeps the map itself alive even if somebody removes its pin.
    _map: OwnedFd,
}

// SAFETY: the memory is only reached as atomic words.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    fn open(dir: &Path, name: &'static str, count: usize) -> Result<Words, Error> {
        let path = dir.join(name);
        let failed = |doing| {
            let path = path.clone();
            move |source| Error::Map { path, doing, source }
        };
        let shape = Shape {
            kind: BPF_MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: count as u32,
            flags: BPF_F_MMAPABLE,
        };
        let map = match call::pinned(&path) {
            Ok(map) => map,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let made = call::map_create(name, shape).map_err(failed("create"))?;
                match call::pin(made.as_fd(), &path) {
                    Ok(()) => made,
                    // The other daemon was quicker: its map is the one.
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                        call::pinned(&path).map_err(failed("open"))?
                    }
                    Err(e) => return Err(failed("pin")(e)),
                }
            }
            Err(e) => return Err(failed("open")(e)),
        };
        if call::shape(map.as_fd()).map_err(failed("examine"))? != shape {
            return Err(Error::Layout { path });
        }
        let start = call::map_memory(&map, count * 8).map_err(failed("map into memory"))?.cast();
        Ok(Words { start, count, _map: map })
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count);
        // SAFETY: the mapping holds `count` words, lives as long as `self`, is page-aligned, and every process
        // writes it by whole words only.
        unsafe { self.start.add(index).as_ref() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * 8) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_packing() {
        let past = [NodeId(3), NodeId(63), NodeId(0), NodeId(7)];
        for state in
            [HostState::Off, HostState::On, HostState::Incoming, HostState::Steer(NodeId(63))]
        {
            for count in 0..=past.len() {
                assert_eq!(unpack(pack(state, &past[..count])), (state, past[..count].to_vec()));
            }
        }
        let long: Vec<NodeId> = (0..9).map(NodeId).collect();
        assert_eq!(unpack(pack(HostState::On, &long)).1, long[..PAST_MAX]);
    }

    #[test]
    fn a_strange_entry_is_off_and_bounded() {
        assert_eq!(unpack(u64::MAX).0, HostState::Off);
        assert_eq!(unpack(u64::MAX).1.len(), PAST_MAX);
    }
}
