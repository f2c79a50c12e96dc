//! The compiled programs, and how they come into the kernel.

use crate::Error;
use crate::direction::Direction;
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader};
use dsc_wire::{NodeId, Routing};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The compiled programs, aligned for the ELF reader.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/dsc.bpf.o"));

/// The programs, in the kernel.
pub(crate) struct Programs {
    driver: OwnedFd,
    ingress: OwnedFd,
    egress: OwnedFd,
}

impl Programs {
    /// Hands the programs and their maps to the kernel, with the maps pinned below `pins` and room for `entries` entries of
    /// flows.
    pub(crate) fn load(
        pins: &Path,
        me: NodeId,
        entries: u32,
        routing: Routing,
    ) -> Result<(Ebpf, Programs), Error> {
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .default_map_pin_directory(pins)
            .override_global("me", &u32::from(me.0), true)
            .override_global("symmetric", &u32::from(routing == Routing::Symmetric), true)
            .map_max_entries("flows", entries)
            .load(OBJECT)
            .map_err(|e| Error::Load(Box::new(e)))?;
        let programs = Programs {
            driver: load_one(&mut ebpf, "early")?,
            ingress: load_one(&mut ebpf, "ingress")?,
            egress: load_one(&mut ebpf, "egress")?,
        };
        Ok((ebpf, programs))
    }

    /// The one for frames of this kind.
    pub(crate) fn of(&self, direction: Direction) -> BorrowedFd<'_> {
        match direction {
            Direction::Driver => self.driver.as_fd(),
            Direction::Ingress => self.ingress.as_fd(),
            Direction::Egress => self.egress.as_fd(),
        }
    }
}

/// Hands one program to the kernel.
fn load_one(ebpf: &mut Ebpf, name: &str) -> Result<OwnedFd, Error> {
    let refused = |e: ProgramError| Error::Load(Box::new(e.into()));
    let loaded = match ebpf.program_mut(name).expect("the object has this program") {
        Program::Xdp(program) => program.load().and_then(|()| program.fd()),
        Program::SchedClassifier(program) => program.load().and_then(|()| program.fd()),
        _ => unreachable!("the object has no programs of other kinds"),
    };
    let fd = loaded.map_err(refused)?.as_fd().try_clone_to_owned();
    fd.map_err(|e| refused(ProgramError::IOError(e)))
}
