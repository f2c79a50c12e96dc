//! The few bpf(2) calls that the loader crate does not offer: maps made, pinned and opened by hand, and mapped into memory, a
//! program run by hand, and TCX links. Called by the lease map, the flows, the loader and the hooks; it knows nothing of what maps and programs mean.

use crate::direction::Direction;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

const MAP_CREATE: libc::c_long = 0;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// Shape of an array map, as linux/bpf.h's `struct bpf_map_info` begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Create {
    shape: Shape,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoByFd {
    fd: u32,
    len: u32,
    info: u64,
}

/// `struct bpf_map_info`: `type` and `id` come before the rest of the shape.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is a live, exclusively borrowed #[repr(C)] prefix of `union bpf_attr` and its true size is
    // given; the pointers inside it are to objects that the callers below keep alive during the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), std::mem::size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just returned this descriptor to us and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Makes a map. `name` is for people (`bpftool map`) and is cut to 15 bytes.
pub(crate) fn map_create(name: &str, shape: Shape) -> io::Result<OwnedFd> {
    let mut attr = Create { shape, ..Create::default() };
    for (to, from) in attr.name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    bpf(MAP_CREATE, &mut attr).map(owned)
}

/// Pins a map at `path`; fails with `EEXIST` if something is pinned there.
pub(crate) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = Object { path: path.as_ptr() as u64, fd: fd.as_raw_fd() as u32, flags: 0 };
    bpf(OBJ_PIN, &mut attr).map(drop)
}

/// Opens what is pinned at `path`.
pub(crate) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = Object { path: path.as_ptr() as u64, ..Object::default() };
    bpf(OBJ_GET, &mut attr).map(owned)
}

/// The shape of a map; an error if `fd` is not one.
pub(crate) fn shape(fd: BorrowedFd<'_>) -> io::Result<Shape> {
    let mut info = Info::default();
    let mut attr = InfoByFd {
        fd: fd.as_raw_fd() as u32,
        len: std::mem::size_of::<Info>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(Shape {
        kind: info.kind,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.flags,
    })
}

/// Maps the memory of an array map into this process, for whoever takes it to unmap.
pub(crate) fn map_memory(map: &OwnedFd, bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a fresh mapping at an address of the kernel's choice; the kernel checks the length against the map.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            map.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

const PROG_TEST_RUN: libc::c_long = 10;
/// The kernel takes no frame for one that has nothing behind its Ethernet header.
const FRAME_LEAST: usize = 64;

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    answer: u32,
    bytes_in: u32,
    bytes_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// Runs a program of an interface once, now, on a frame that says nothing.
pub(crate) fn test_run(program: BorrowedFd<'_>) -> io::Result<()> {
    test_run_on(program, &[0u8; FRAME_LEAST]).map(drop)
}

/// The same on this frame, with its Ethernet header; what the program returned.
pub(crate) fn test_run_on(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<i32> {
    let mut attr = TestRun {
        program: program.as_raw_fd() as u32,
        bytes_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat: 1,
        ..TestRun::default()
    };
    bpf(PROG_TEST_RUN, &mut attr)?;
    Ok(attr.answer as i32)
}

const PROG_LOAD: libc::c_long = 5;
const SCHED_CLS: u32 = 3;

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
}

/// Loads a program for frames, made of these instructions (linux/bpf.h's `struct bpf_insn`). `name` is for people and is cut to
/// 15 bytes.
pub(crate) fn program(name: &str, instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut attr = Load {
        kind: SCHED_CLS,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        ..Load::default()
    };
    for (to, from) in attr.name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    bpf(PROG_LOAD, &mut attr).map(owned)
}

const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_LOOKUP_BATCH: libc::c_long = 24;

#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    unused: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Takes an entry out of a hash; it is no fault if it is not there.
pub(crate) fn delete<K: aya::Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<()> {
    let key = std::ptr::from_ref(key) as u64;
    let mut attr = Element { map: map.as_raw_fd() as u32, key, ..Element::default() };
    match bpf(MAP_DELETE_ELEM, &mut attr) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result.map(drop),
    }
}

/// Reads entries of a hash from `place` on (None: from its beginning), bucket by bucket. Returns how many were read and
/// whether there may be more. Both slices are of one length, which must be more than any bucket holds.
pub(crate) fn lookup_batch<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    place: &mut Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, bool)> {
    let mut next = 0u32;
    let mut attr = Batch {
        in_batch: place.as_ref().map_or(0, |place| std::ptr::from_ref(place) as u64),
        out_batch: std::ptr::from_mut(&mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: keys.len().min(values.len()) as u32,
        map: map.as_raw_fd() as u32,
        ..Batch::default()
    };
    let result = bpf(MAP_LOOKUP_BATCH, &mut attr);
    match result {
        Ok(_) => {
            *place = Some(next);
            Ok((attr.count as usize, true))
        }
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
            *place = None;
            Ok((attr.count as usize, false))
        }
        Err(e) => Err(e),
    }
}

const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;
const PROG_QUERY: libc::c_long = 16;
const LOOPBACK: u32 = 1;

/// The part of `struct bpf_link_info` that tells where a TCX link is.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    unused: u32,
    nic: u32,
    attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    nic: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    unused: u32,
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Attaches a program to an interface by a link.
pub(crate) fn link_create(
    program: BorrowedFd<'_>,
    nic: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        program: program.as_raw_fd() as u32,
        nic,
        attach_type,
        flags,
        ..LinkCreate::default()
    };
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// Replaces the program in a link; each frame meets the old one or the new one.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate {
        link: link.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        ..LinkUpdate::default()
    };
    bpf(LINK_UPDATE, &mut attr).map(drop)
}

/// The interface a link is on; 0 if it went away.
pub(crate) fn link_nic(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = LinkInfo::default();
    let mut attr = InfoByFd {
        fd: link.as_raw_fd() as u32,
        len: std::mem::size_of::<LinkInfo>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.nic)
}

/// The kernel writes to the counts and the revision, so all of it has to be there.
#[repr(C)]
#[derive(Default)]
struct Query {
    nic: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    unused: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// Asks how many programs hang at loopback by TCX, only to learn whether the kernel has it: `EINVAL` if not.
pub(crate) fn tcx_query() -> io::Result<()> {
    let attach_type = Direction::Ingress.attach_type();
    bpf(PROG_QUERY, &mut Query { nic: LOOPBACK, attach_type, ..Query::default() }).map(drop)
}
