//! The compiled programs, and how they come into the kernel.

use crate::direction::Direction;
use crate::lease::{HOSTS, LEASE};
use crate::{Error, LAYOUT};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader};
use dsc_wire::{NodeId, Routing};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The compiled programs, aligned for the ELF reader.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/dsc.bpf.o"));

/// The programs, in the kernel.
pub(crate) struct Programs {
    /// Nobody has to have it: a kernel that refuses it serves without.
    driver: Result<OwnedFd, String>,
    ingress: OwnedFd,
    egress: OwnedFd,
}

impl Programs {
    /// Hands the programs and their maps to the kernel, with the maps pinned below `dir` and room for `entries` entries of
    /// flows.
    pub(crate) fn load(
        dir: &Path,
        me: NodeId,
        entries: u32,
        routing: Routing,
    ) -> Result<(Ebpf, Programs), Error> {
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .default_map_pin_directory(dir.join(LAYOUT))
            .map_pin_path(LEASE, dir.join(LEASE))
            .map_pin_path(HOSTS, dir.join(HOSTS))
            .override_global("me", &u32::from(me.0), true)
            .override_global("symmetric", &u32::from(routing == Routing::Symmetric), true)
            .map_max_entries("flows", entries)
            .load(OBJECT)
            .map_err(|e| Error::Load(Box::new(e)))?;
        let programs = Programs {
            driver: load_one(&mut ebpf, "early").map_err(|e| e.to_string()),
            ingress: load_one(&mut ebpf, "ingress")?,
            egress: load_one(&mut ebpf, "egress")?,
        };
        Ok((ebpf, programs))
    }

    /// The one for frames of this kind, or why the kernel refused it; those of the stack are there.
    pub(crate) fn of(&self, direction: Direction) -> Result<BorrowedFd<'_>, &str> {
        match direction {
            Direction::Driver => self.driver.as_ref().map(AsFd::as_fd).map_err(String::as_str),
            Direction::Ingress => Ok(self.ingress.as_fd()),
            Direction::Egress => Ok(self.egress.as_fd()),
        }
    }
}

/// Hands one program to the kernel.
pub(crate) fn load_one(ebpf: &mut Ebpf, name: &str) -> Result<OwnedFd, Error> {
    let refused = |e: ProgramError| Error::Load(Box::new(e.into()));
    let loaded = match ebpf.program_mut(name).expect("the object has this program") {
        Program::Xdp(program) => program.load().and_then(|()| program.fd()),
        Program::SchedClassifier(program) => program.load().and_then(|()| program.fd()),
        _ => unreachable!("the object has no programs of other kinds"),
    };
    let fd = loaded.map_err(refused)?.as_fd().try_clone_to_owned();
    fd.map_err(|e| refused(ProgramError::IOError(e)))
}
