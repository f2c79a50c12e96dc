//! Where on an interface frames meet the programs. Two hooks serve the same programs: TCX, and for older kernels filters of
//! a clsact qdisc. Called by the loader; what is left of the other hook is taken away, but only once this one is in force.

use crate::Error;
use crate::call;
use crate::clsact::Clsact;
use crate::direction::Direction;
use crate::links;
use std::fmt;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Links in a chain of programs: Linux 6.6 and newer.
    Tcx,
    /// Filters in a qdisc: any Linux.
    Clsact,
}

impl Hook {
    /// The best one that this kernel has.
    ///
    /// # Errors
    /// [`Error::Hook`]: a right is missing.
    pub fn best() -> Result<Hook, Error> {
        match call::tcx_query() {
            Ok(()) => Ok(Hook::Tcx),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(Hook::Clsact),
            Err(source) => Err(Error::Hook { source }),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hook::Tcx => "tcx",
            Hook::Clsact => "clsact",
        })
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Hook, String> {
        let known = [Hook::Tcx, Hook::Clsact].into_iter().find(|hook| hook.to_string() == text);
        known.ok_or_else(|| "neither tcx nor clsact".to_owned())
    }
}

/// What is attached, on which hook, and where it is noted.
pub(crate) struct Hooks {
    hook: Hook,
    links: PathBuf,
    clsact: Clsact,
}

impl Hooks {
    /// With what an earlier daemon, of whatever build, noted below `dir`.
    pub(crate) fn open(dir: &Path, hook: Hook) -> Result<Hooks, Error> {
        let links = dir.join("links");
        fs::create_dir_all(&links).map_err(|source| Error::Mount { dir: links.clone(), source })?;
        Ok(Hooks { hook, links, clsact: Clsact::open(dir)? })
    }

    pub(crate) fn hook(&self) -> Hook {
        self.hook
    }

    /// Puts `program` on the interface with index `nic`, in the place of an earlier daemon's.
    pub(crate) fn attach(
        &mut self,
        nic: u32,
        direction: Direction,
        program: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        match self.hook {
            Hook::Clsact if direction != Direction::Driver => {
                self.clsact.attach(nic, direction, program)
            }
            _ => links::attach(&self.links, nic, direction, program),
        }
    }

    /// Is there still a program of ours? Nobody takes a link away by mistake, but a qdisc that is deleted takes all its
    /// filters along.
    pub(crate) fn holds(&mut self, nic: u32, direction: Direction) -> Result<bool, Error> {
        match self.hook {
            Hook::Clsact if direction != Direction::Driver => self.clsact.holds(nic, direction),
            _ => Ok(true),
        }
    }

    /// Detaches everything from interfaces that are not among `nics`, and from the other hook everywhere but on `faulty`
    /// ones: there an earlier daemon's programs may be all there is. In drivers only those of `early` stay.
    pub(crate) fn keep_only(
        &mut self,
        nics: &[u32],
        faulty: &[u32],
        early: &[u32],
    ) -> Result<(), Error> {
        let (tcx, clsact) = match self.hook {
            Hook::Tcx => (nics, faulty),
            Hook::Clsact => (faulty, nics),
        };
        let mut kept: Vec<_> = early.iter().map(|nic| (*nic, Direction::Driver)).collect();
        kept.extend(tcx.iter().flat_map(|nic| Direction::BOTH.map(|way| (*nic, way))));
        links::keep_only(&self.links, &kept)?;
        self.clsact.keep_only(clsact)
    }

    /// Detaches everything that was noted below `dir`, and what was not.
    pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
        // Either hook will do: nothing is kept.
        Hooks::open(dir, Hook::Tcx)?.keep_only(&[], &[], &[])
    }
}
