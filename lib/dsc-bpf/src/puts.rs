//! Flows that peers told of, on their way into the kernel's table: written into shared memory, many at a time, and brought in
//! by a program (`bpf/put.h`) in one call. Called by `flows`.

use crate::layout::{Entry, EntryKey};
use crate::programs::load_one;
use crate::{Error, call};
use aya::Ebpf;
use aya::maps::Map;
use dsc_wire::FlowState;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

/// `PUTS_MAX`: most flows in one call.
pub(crate) const PUTS_MAX: usize = 64;

/// `PUT_*`, in order.
const NOTHING: u8 = 0;
const ASKED: u8 = 1;
const NEW: u8 = 2;
const KNOWN: u8 = 3;
const CLASH: u8 = 4;
const FULL: u8 = 5;

/// What became of a flow that was to be put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was not there.
    New,
    /// It was there, and is now as far as either knew.
    Known,
    /// The backend's port has a flow from the same client's port to another VIP, made since as far as can be told.
    Clash,
    /// The table is full.
    Full,
    /// Its VIP or backend is in no service of this node's configuration, or no source NAT is for its inner end.
    Foreign,
}

/// `struct put`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PutEntry {
    pub key: EntryKey,
    pub back: EntryKey,
    pub request: Entry,
    pub reply: Entry,
    /// As [`state_code`] has it.
    pub state: u8,
    pub became: u8,
    pub unused: [u8; 6],
}
const _: () = assert!(
    size_of::<PutEntry>() == 152
        && offset_of!(PutEntry, back) == 40
        && offset_of!(PutEntry, request) == 80
        && offset_of!(PutEntry, reply) == 112
        && offset_of!(PutEntry, state) == 144
        && offset_of!(PutEntry, became) == 145
);

/// `STATE_*`; what is gone is not put in.
pub(crate) fn state_code(state: FlowState) -> u8 {
    match state {
        FlowState::Opening => 0,
        FlowState::Open => 1,
        FlowState::ClientClosed => 2,
        FlowState::ServerClosed => 3,
        FlowState::Closed | FlowState::Gone => 4,
    }
}

/// The memory that is shared with the program, and the program.
#[derive(Debug)]
pub(crate) struct Puts {
    start: NonNull<PutEntry>,
    program: OwnedFd,
    /// Keeps the memory.
    _map: OwnedFd,
}

// SAFETY: the memory is this value's alone while no call runs.
unsafe impl Send for Puts {}

impl Puts {
    /// Of the map and the program of this name.
    pub fn take(ebpf: &mut Ebpf) -> Result<Puts, Error> {
        let program = load_one(ebpf, "put")?;
        let map = ebpf.take_map("puts").expect("the object has this map");
        let Map::Array(data) = &map else { panic!("puts is an array") };
        let failed = |source| Error::Flows { source };
        let map = data.fd().as_fd().try_clone_to_owned().map_err(failed)?;
        let memory = call::map_memory(&map, PUTS_MAX * size_of::<PutEntry>());
        Ok(Puts { start: memory.map_err(failed)?.cast(), program, _map: map })
    }

    /// The program.
    pub fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Brings `flows` in, in their order, and adds what became of each.
    ///
    /// # Errors
    /// [`Error::Flows`]: the kernel did not run the program; some may be in.
    pub fn run(&mut self, flows: &[PutEntry], became: &mut Vec<Put>) -> Result<(), Error> {
        let failed = |source| Error::Flows { source };
        for flows in flows.chunks(PUTS_MAX) {
            for (at, flow) in flows.iter().enumerate() {
                self.write(at, PutEntry { became: ASKED, ..*flow });
            }
            if flows.len() < PUTS_MAX {
                self.write(flows.len(), PutEntry::default());
            }
            call::test_run(self.program.as_fd()).map_err(failed)?;
            for at in 0..flows.len() {
                became.push(put_of(self.read(at).became).map_err(failed)?);
            }
        }
        Ok(())
    }

    fn write(&mut self, at: usize, flow: PutEntry) {
        assert!(at < PUTS_MAX);
        // SAFETY: the mapping has PUTS_MAX of them, aligned, and the program runs only inside `run`'s call.
        unsafe { self.start.add(at).write_volatile(flow) };
    }

    fn read(&self, at: usize) -> PutEntry {
        assert!(at < PUTS_MAX);
        // SAFETY: as above; every pattern of bits is one of it.
        unsafe { self.start.add(at).read_volatile() }
    }
}

impl Drop for Puts {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), PUTS_MAX * size_of::<PutEntry>()) };
    }
}

fn put_of(became: u8) -> io::Result<Put> {
    match became {
        NEW => Ok(Put::New),
        KNOWN => Ok(Put::Known),
        CLASH => Ok(Put::Clash),
        FULL => Ok(Put::Full),
        NOTHING | ASKED | 6.. => {
            Err(io::Error::other("the program that puts flows in did not run"))
        }
    }
}
