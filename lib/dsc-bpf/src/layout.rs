//! What the maps hold, as `bpf/maps.h` lays it out. Both sides assert every size and offset, so that a change on
//! one side alone does not compile; a change on both needs a new [`crate::LAYOUT`].

use dsc_wire::ids::{NODES_MAX, PAST_MAX, SUBNETS_MAX, VIPS_MAX};
use std::mem::{offset_of, size_of};

// These numbers are also in bpf/constants.h.
const _: () = assert!(NODES_MAX == 64 && SUBNETS_MAX == 8 && VIPS_MAX == 1024 && PAST_MAX == 4);

include!(concat!(env!("OUT_DIR"), "/verdicts.rs"));

/// A virtual address (`struct vip`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VipEntry {
    pub index: u16,
    pub subnet: u8,
    pub unused: u8,
}
const _: () = assert!(size_of::<VipEntry>() == 4 && offset_of!(VipEntry, subnet) == 2);

/// An interface of this node (`struct nic`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NicEntry {
    pub mac: [u8; 6],
    pub subnet: u8,
    pub flags: u8,
    pub address4: [u8; 4],
    pub address6: [u8; 16],
}
const _: () = assert!(
    size_of::<NicEntry>() == 28
        && offset_of!(NicEntry, subnet) == 6
        && offset_of!(NicEntry, flags) == 7
        && offset_of!(NicEntry, address4) == 8
        && offset_of!(NicEntry, address6) == 12
);

/// `NIC_ROUTER`: advertisements say that this machine forwards.
pub(crate) const NIC_ROUTER: u8 = 1;

/// A MAC address as a key or as a place (`struct mac`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct MacEntry {
    pub bytes: [u8; 6],
    pub known: u8,
    pub unused: u8,
}
const _: () = assert!(size_of::<MacEntry>() == 8 && offset_of!(MacEntry, known) == 6);

/// Frames for one VIP on one processor (`struct vip_count`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VipCountEntry {
    pub packets: u64,
    pub bytes: u64,
    pub steered: u64,
}
const _: () = assert!(
    size_of::<VipCountEntry>() == 24
        && offset_of!(VipCountEntry, bytes) == 8
        && offset_of!(VipCountEntry, steered) == 16
);

/// Bytes of a `struct claim`: VIP index in the machine's order, then the MAC address.
pub(crate) const CLAIM_BYTES: usize = 8;

// SAFETY: plain integers without padding, laid out as the kernel programs read them.
unsafe impl aya::Pod for VipEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for NicEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for MacEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for VipCountEntry {}

/// A pinned map that the programs bring along: name, bytes of a key, bytes of a value.
pub(crate) const MAPS: [(&str, usize, usize); 8] = [
    ("vips4", 4, size_of::<VipEntry>()),
    ("vips6", 16, size_of::<VipEntry>()),
    ("nics", 4, size_of::<NicEntry>()),
    ("members", size_of::<MacEntry>(), 4),
    ("stations", 4, size_of::<MacEntry>()),
    ("verdicts", 4, 8),
    ("vip_counts", 4, size_of::<VipCountEntry>()),
    ("claims", 0, 0),
];
