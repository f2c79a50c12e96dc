//! What the maps hold, as `bpf/maps.h` lays it out. Both sides assert every size and offset, so that a change on
//! one side alone does not compile; a change on both needs a new [`crate::LAYOUT`].

use dsc_wire::flow::{
    BACKENDS_MAX, SERVICE_ENDS_MAX, SERVICES_MAX, SOURCE_NETWORKS_MAX, SOURCE_VIPS_MAX, SOURCES_MAX,
};
use dsc_wire::ids::{NODES_MAX, PAST_MAX, SUBNETS_MAX, VIPS_MAX};
use std::mem::{offset_of, size_of};

// These numbers are also in bpf/constants.h.
const _: () = assert!(NODES_MAX == 64 && SUBNETS_MAX == 8 && VIPS_MAX == 1024 && PAST_MAX == 4);
const _: () = assert!(SERVICES_MAX == 128 && BACKENDS_MAX == 1024 && SERVICE_ENDS_MAX == 16_384);
const _: () = assert!(SOURCES_MAX == 16 && SOURCE_VIPS_MAX == 16);
// Networks of subnets, those of source NAT, addresses of nodes: ZONES_MAX.
const _: () =
    assert!(SUBNETS_MAX * 16 + SOURCES_MAX * SOURCE_NETWORKS_MAX + NODES_MAX * SUBNETS_MAX <= 1024);

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

/// A service as it is found (`struct service_key`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceKey {
    pub vip: u16,
    /// Big-endian, as in a packet; so are all ports below.
    pub port: [u8; 2],
    pub protocol: u8,
    pub unused: [u8; 3],
}
const _: () = assert!(
    size_of::<ServiceKey>() == 8
        && offset_of!(ServiceKey, port) == 2
        && offset_of!(ServiceKey, protocol) == 4
);

/// `struct service`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceEntry {
    pub index: u16,
    pub kind: u8,
    pub unused: u8,
}
const _: () = assert!(size_of::<ServiceEntry>() == 4 && offset_of!(ServiceEntry, kind) == 2);

/// `SERVICE_LOCAL`, `SERVICE_NAT`.
pub(crate) const SERVICE_LOCAL: u8 = 0;
pub(crate) const SERVICE_NAT: u8 = 1;
/// `SERVICE_SOME`, under `PORT_ANY`: some service of this VIP and protocol is `SERVICE_NAT`.
pub(crate) const SERVICE_SOME: u8 = 2;
/// `PORT_ANY`: no service or backend has this port.
pub(crate) const PORT_ANY: [u8; 2] = [0; 2];

/// `MAGLEV_SIZE`: slots of a table; a prime.
pub const MAGLEV_SIZE: usize = 16_381;
/// `MAGLEV_EMPTY`: in a slot of a service that has no backend.
pub const MAGLEV_EMPTY: u16 = u16::MAX;
pub(crate) const MAGLEV_ROOM: usize = 16_384;

/// `struct slots`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Slots(pub [u16; MAGLEV_ROOM]);

/// Where a flow may go (`struct backend`). IPv4 addresses are in the first four bytes, here and below.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackendEntry {
    pub address: [u8; 16],
    pub port: [u8; 2],
    pub subnet: u8,
    pub state: u8,
}
const _: () = assert!(
    size_of::<BackendEntry>() == 20
        && offset_of!(BackendEntry, port) == 16
        && offset_of!(BackendEntry, subnet) == 18
        && offset_of!(BackendEntry, state) == 19
);

/// `BACKEND_ENABLED`, `BACKEND_DRAINING`, `BACKEND_DISABLED`.
pub(crate) const BACKEND_ENABLED: u8 = 0;
pub(crate) const BACKEND_DRAINING: u8 = 1;
pub(crate) const BACKEND_DISABLED: u8 = 2;

/// A backend's end of its flows (`struct end`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndKey {
    pub address: [u8; 16],
    pub port: [u8; 2],
    pub protocol: u8,
    pub six: u8,
}
const _: () = assert!(
    size_of::<EndKey>() == 20
        && offset_of!(EndKey, port) == 16
        && offset_of!(EndKey, protocol) == 18
        && offset_of!(EndKey, six) == 19
);

/// One direction of a flow (`struct flow_key`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryKey {
    pub source: [u8; 16],
    pub dest: [u8; 16],
    pub source_port: [u8; 2],
    pub dest_port: [u8; 2],
    pub protocol: u8,
    pub six: u8,
    pub unused: [u8; 2],
}
const _: () = assert!(
    size_of::<EntryKey>() == 40
        && offset_of!(EntryKey, dest) == 16
        && offset_of!(EntryKey, source_port) == 32
        && offset_of!(EntryKey, dest_port) == 34
        && offset_of!(EntryKey, protocol) == 36
        && offset_of!(EntryKey, six) == 37
);

/// What becomes of its packets (`struct flow`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub address: [u8; 16],
    pub port: [u8; 2],
    pub backend: u16,
    pub way: u8,
    pub subnet: u8,
    pub vip: u16,
    pub marks: u32,
    pub seen: u32,
}
const _: () = assert!(
    size_of::<Entry>() == 32
        && offset_of!(Entry, port) == 16
        && offset_of!(Entry, backend) == 18
        && offset_of!(Entry, way) == 20
        && offset_of!(Entry, subnet) == 21
        && offset_of!(Entry, vip) == 22
        && offset_of!(Entry, marks) == 24
        && offset_of!(Entry, seen) == 28
);

/// `WAY_REQUEST`, `WAY_REPLY`, `WAY_DIRECT`.
pub(crate) const WAY_REQUEST: u8 = 0;
pub(crate) const WAY_REPLY: u8 = 1;
pub(crate) const WAY_DIRECT: u8 = 2;
/// `BACKEND_NONE`: of a flow that began inside.
pub(crate) const BACKEND_NONE: u16 = u16::MAX;
/// `MARK_OPEN`, `MARK_FIN`, `MARK_RESET`, `MARK_JUDGED`.
pub(crate) const MARK_OPEN: u32 = 1;
pub(crate) const MARK_FIN: u32 = 2;
pub(crate) const MARK_RESET: u32 = 4;
pub(crate) const MARK_JUDGED: u32 = 8;
/// `TICK`: the unit of `seen` is 2^30 nanoseconds.
pub(crate) const TICK_BITS: u32 = 30;

/// What is known of some addresses (`struct zone`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZoneEntry {
    pub subnet: u8,
    pub source: u8,
    pub flags: u8,
    pub unused: u8,
}
const _: () = assert!(
    size_of::<ZoneEntry>() == 4
        && offset_of!(ZoneEntry, source) == 1
        && offset_of!(ZoneEntry, flags) == 2
);

/// `SOURCE_NONE`, `ZONE_NODE`.
pub(crate) const SOURCE_NONE: u8 = 0xFF;
pub(crate) const ZONE_NODE: u8 = 1;

/// A source NAT (`struct source`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceEntry {
    pub addresses: [[u8; 16]; SOURCE_VIPS_MAX],
    pub first: u16,
    pub ports: u16,
    pub vips: u8,
    pub subnet: u8,
    pub waits: u8,
    pub unused: u8,
    pub indices: [u16; SOURCE_VIPS_MAX],
}
const _: () = assert!(
    size_of::<SourceEntry>() == 296
        && offset_of!(SourceEntry, first) == 256
        && offset_of!(SourceEntry, ports) == 258
        && offset_of!(SourceEntry, vips) == 260
        && offset_of!(SourceEntry, subnet) == 261
        && offset_of!(SourceEntry, waits) == 262
        && offset_of!(SourceEntry, indices) == 264
);

/// The ports of a VIP that are source NAT's (`struct range`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeEntry {
    pub first: u16,
    pub last: u16,
    pub slice: u16,
    pub unused: u16,
}
const _: () = assert!(
    size_of::<RangeEntry>() == 8
        && offset_of!(RangeEntry, last) == 2
        && offset_of!(RangeEntry, slice) == 4
);

/// Bytes of a `struct pieces` and a `struct first_piece`: fragments, which only the programs look at.
pub(crate) const PIECES_BYTES: usize = 40;
pub(crate) const FIRST_PIECE_BYTES: usize = 8;

/// An interface as a program in a driver sees it (`struct gate`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    pub nic: u32,
    pub mac: [u8; 6],
    pub sends: u8,
    pub unused: u8,
}
const _: () =
    assert!(size_of::<Gate>() == 12 && offset_of!(Gate, mac) == 4 && offset_of!(Gate, sends) == 10);

/// All of them, by subnet (`struct gates`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gates(pub [Gate; SUBNETS_MAX]);

/// Packets of one backend on one processor (`struct backend_count`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackendCountEntry {
    pub flows: u64,
    pub request_packets: u64,
    pub request_bytes: u64,
    pub reply_packets: u64,
    pub reply_bytes: u64,
    pub opened: u64,
    pub refused: u64,
}
const _: () = assert!(size_of::<BackendCountEntry>() == 56);

/// Bytes of a `struct news`: key, entry, time.
pub(crate) const NEWS_BYTES: usize = size_of::<EntryKey>() + size_of::<Entry>() + 8;
/// `HELD_FRAME`: the longest frame that is held.
pub(crate) const HELD_FRAME: usize = 256;
/// Bytes of a `struct held`: interface, length, frame.
pub(crate) const HELD_BYTES: usize = 8 + HELD_FRAME;

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
// SAFETY: as above.
unsafe impl aya::Pod for ServiceKey {}
// SAFETY: as above.
unsafe impl aya::Pod for ServiceEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for Slots {}
// SAFETY: as above.
unsafe impl aya::Pod for BackendEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for EndKey {}
// SAFETY: as above.
unsafe impl aya::Pod for EntryKey {}
// SAFETY: as above.
unsafe impl aya::Pod for Entry {}
// SAFETY: as above.
unsafe impl aya::Pod for BackendCountEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for Gates {}
// SAFETY: as above.
unsafe impl aya::Pod for ZoneEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for SourceEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for RangeEntry {}

/// A pinned map that the programs bring along: name, bytes of a key, bytes of a value.
pub(crate) const MAPS: [(&str, usize, usize); 24] = [
    ("vips4", 4, size_of::<VipEntry>()),
    ("vips6", 16, size_of::<VipEntry>()),
    ("nics", 4, size_of::<NicEntry>()),
    ("members", size_of::<MacEntry>(), 4),
    ("stations", 4, size_of::<MacEntry>()),
    ("verdicts", 4, 8),
    ("vip_counts", 4, size_of::<VipCountEntry>()),
    ("claims", 0, 0),
    ("services", size_of::<ServiceKey>(), size_of::<ServiceEntry>()),
    ("maglev", 4, size_of::<Slots>()),
    ("backends", 4, size_of::<BackendEntry>()),
    ("ends", size_of::<EndKey>(), 4),
    ("backend_counts", 4, size_of::<BackendCountEntry>()),
    ("doors", 4, 4),
    ("gates", 4, size_of::<Gates>()),
    ("flows", size_of::<EntryKey>(), size_of::<Entry>()),
    ("zones4", 8, size_of::<ZoneEntry>()),
    ("zones6", 20, size_of::<ZoneEntry>()),
    ("sources", 4, size_of::<SourceEntry>()),
    ("ranges", 4, size_of::<RangeEntry>()),
    ("fragments", PIECES_BYTES, FIRST_PIECE_BYTES),
    ("news", 0, 0),
    ("polled", 4, 4),
    ("held", 0, 0),
];
