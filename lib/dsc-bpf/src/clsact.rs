//! Programs as filters of clsact qdiscs, for kernels without TCX. The kernel keeps a filter when the daemon ends; a later
//! daemon finds it by its name and puts its own program into it. Other programs use the same qdiscs: their filters are never
//! touched, and a qdisc goes only if DSC made it and it is empty.

use crate::Error;
use crate::direction::Direction;
use crate::tc::{Filter, Tc};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// What tells our filters from all others.
const NAME: &str = "dsc";
const HANDLE: u32 = 0xD5C;
const KIND: &str = "bpf";
const CLSACT: &str = "clsact";
/// Filters of one priority are of one kind and see the same frames: all, for ours.
const ALL_FRAMES: u16 = libc::ETH_P_ALL as u16;
/// How often a filter is tried to be put beside another program that changes the same qdisc.
const ATTEMPTS: usize = 8;

/// The filters of this machine.
pub(crate) struct Clsact {
    tc: Tc,
    /// Holds an empty directory for each interface whose qdisc DSC made, named by its index.
    made: PathBuf,
    /// Where a filter of another program comes first, and it was said.
    behind: BTreeSet<(u32, Direction)>,
}

impl Clsact {
    /// With what an earlier daemon noted below `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Clsact, Error> {
        let made = dir.join("qdiscs");
        fs::create_dir_all(&made).map_err(|source| Error::Mount { dir: made.clone(), source })?;
        let tc = Tc::open().map_err(|source| Error::Hook { source })?;
        Ok(Clsact { tc, made, behind: BTreeSet::new() })
    }

    /// Puts `program` on the interface with index `nic`: into our filter if there is one, else into a new one before all
    /// others.
    pub(crate) fn attach(
        &mut self,
        nic: u32,
        direction: Direction,
        program: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        self.put(nic, direction, program).map_err(|source| Error::Attach {
            nic,
            direction: direction.name(),
            source,
        })
    }

    fn put(&mut self, nic: u32, direction: Direction, program: BorrowedFd<'_>) -> io::Result<()> {
        for _ in 1..ATTEMPTS {
            match self.try_to_put(nic, direction, program) {
                Err(e) if is_outdated(&e) => {}
                done => return done,
            }
        }
        self.try_to_put(nic, direction, program)
    }

    fn try_to_put(
        &mut self,
        nic: u32,
        direction: Direction,
        program: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let qdiscs = self.tc.qdiscs()?;
        match qdiscs.iter().find(|(of, _)| *of == nic).map(|(_, kind)| kind.as_str()) {
            Some(CLSACT) => self.check_note(nic)?,
            Some(other) => {
                return Err(io::Error::other(format!(
                    "its qdisc {other} has no place for it: replace that by clsact"
                )));
            }
            None => {
                self.tc.add_qdisc(nic)?;
                match fs::create_dir(self.note(nic)) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
            }
        }
        let there = self.tc.filters(nic, direction)?;
        let own = there.iter().find(|f| is_ours(f));
        let priority = own.map_or_else(|| first(&there), |f| f.priority);
        self.tc.put(nic, direction, &ours(priority), program)
    }

    /// Is our filter there? Says so, once, if it is not the first.
    pub(crate) fn holds(&mut self, nic: u32, direction: Direction) -> Result<bool, Error> {
        let there = self.tc.filters(nic, direction);
        let there =
            there.map_err(|source| Error::Attach { nic, direction: direction.name(), source })?;
        let ours = there.iter().position(is_ours);
        // A priority is listed beside the filters in it.
        match ours.and_then(|ours| there[..ours].iter().find(|f| f.handle != 0)) {
            Some(Filter { kind, priority, .. }) => {
                if self.behind.insert((nic, direction)) {
                    let way = direction.name();
                    tracing::warn!(
                        "a filter of another program is before ours on interface {nic}, {way}: {kind}, priority {priority}"
                    );
                }
            }
            None => _ = self.behind.remove(&(nic, direction)),
        }
        Ok(ours.is_some())
    }

    /// Takes our filters from all interfaces that are not among `nics`, and the qdiscs that were made for them. A filter in a
    /// qdisc of others is noted nowhere, so all are looked at; where nothing is noted, trouble is only logged.
    pub(crate) fn keep_only(&mut self, nics: &[u32]) -> Result<(), Error> {
        let qdiscs = self.tc.qdiscs().map_err(|source| Error::Hook { source })?;
        let mut failure = None;
        for (nic, _) in qdiscs.into_iter().filter(|(n, kind)| kind == CLSACT && !nics.contains(n)) {
            match self.take_from(nic).map_err(|source| Error::Detach { nic, source }) {
                Err(e) if e.is_gone() => {}
                Err(e) if self.note(nic).exists() => failure = Some(e),
                Err(e) => tracing::warn!("{e}"),
                Ok(()) => {}
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        // Those of interfaces that have gone.
        let failed = |source| Error::Mount { dir: self.made.clone(), source };
        for note in fs::read_dir(&self.made).map_err(failed)? {
            let path = note.map_err(failed)?.path();
            if nics.iter().all(|nic| path != self.note(*nic)) {
                fs::remove_dir(path).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn take_from(&mut self, nic: u32) -> io::Result<()> {
        self.check_note(nic)?;
        for direction in Direction::BOTH {
            for filter in self.tc.filters(nic, direction)?.iter().filter(|f| is_ours(f)) {
                self.tc.delete(nic, direction, filter)?;
            }
        }
        if !self.note(nic).exists() {
            return Ok(());
        }
        let mut others = 0;
        for direction in Direction::BOTH {
            others += self.tc.filters(nic, direction)?.len();
        }
        if others == 0 { self.tc.delete_qdisc(nic) } else { Ok(()) }
    }

    /// A qdisc without a filter of ours is not taken for the one that was noted: another program deletes that one with the
    /// filters in it when it makes its own.
    fn check_note(&mut self, nic: u32) -> io::Result<()> {
        let note = self.note(nic);
        if !note.exists() {
            return Ok(());
        }
        for direction in Direction::BOTH {
            if self.tc.filters(nic, direction)?.iter().any(is_ours) {
                return Ok(());
            }
        }
        fs::remove_dir(note)
    }

    fn note(&self, nic: u32) -> PathBuf {
        self.made.join(nic.to_string())
    }
}

/// Does the error mean that a qdisc or a filter came or went since they were read?
fn is_outdated(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EEXIST | libc::EINVAL | libc::ENOENT))
}

fn ours(priority: u16) -> Filter {
    let (kind, name) = (KIND.to_owned(), NAME.to_owned());
    Filter { priority, protocol: ALL_FRAMES, handle: HANDLE, kind, name }
}

fn is_ours(filter: &Filter) -> bool {
    *filter == ours(filter.priority)
}

/// The least priority at which the kernel takes our filter beside `there`. Among filters of one priority the newest is first.
fn first(there: &[Filter]) -> u16 {
    let takes = |priority: &u16| {
        let mut same = there.iter().filter(|f| f.priority == *priority);
        same.all(|f| f.kind == KIND && f.protocol == ALL_FRAMES && f.handle != HANDLE)
    };
    (1..u16::MAX).find(takes).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(priority: u16, protocol: u16, kind: &str, handle: u32) -> Filter {
        Filter { priority, protocol, handle, kind: kind.to_owned(), name: "theirs".to_owned() }
    }

    #[test]
    fn ours_is_known_by_name_and_handle_at_any_priority() {
        assert!(is_ours(&ours(1)) && is_ours(&ours(40_000)));
        assert!(!is_ours(&foreign(1, ALL_FRAMES, KIND, HANDLE)));
        assert!(!is_ours(&Filter { handle: 1, ..ours(1) }));
    }

    #[test]
    fn a_priority_that_cannot_be_shared_is_passed_over() {
        assert_eq!(first(&[]), 1);
        assert_eq!(first(&[foreign(1, ALL_FRAMES, KIND, 1), foreign(2, 0x800, "u32", 1)]), 1);
        assert_eq!(first(&[foreign(1, 0x800, "u32", 0), foreign(2, ALL_FRAMES, "flower", 0)]), 3);
        assert_eq!(first(&[foreign(1, 0x800, KIND, 1)]), 2);
        assert_eq!(first(&[foreign(1, ALL_FRAMES, KIND, HANDLE)]), 2);
    }
}
