//! Programs on interfaces by links: TCX, and XDP in the driver. A link is pinned, so it outlives the daemon; a later daemon puts its own program into the
//! same link, and no frame passes between the old program and the new one.

use crate::Error;
use crate::call;
use crate::direction::Direction;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Pins are named by interface index, because names may change and may hold dots, which this file system refuses.
fn path(links: &Path, nic: u32, direction: Direction) -> PathBuf {
    links.join(format!("{nic}-{}", direction.name()))
}

/// Puts `program` on the interface with index `nic`, into the pinned link if there is a live one.
pub(crate) fn attach(
    links: &Path,
    nic: u32,
    direction: Direction,
    program: BorrowedFd<'_>,
) -> Result<(), Error> {
    let path = path(links, nic, direction);
    let failed = |source| Error::Attach { nic, direction: direction.name(), source };
    match call::pinned(&path) {
        Ok(link) => {
            // A link whose interface went away stays as a file, and the index may have a new owner.
            if call::link_nic(link.as_fd()).map_err(failed)? == nic
                && call::link_update(link.as_fd(), program).is_ok()
            {
                return Ok(());
            }
            fs::remove_file(&path).map_err(failed)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    let link = call::link_create(program, nic, direction.attach_type(), direction.link_flags());
    let link = link.map_err(failed)?;
    call::pin(link.as_fd(), &path).map_err(failed)
}

/// Detaches everything but what is on these interfaces in these directions.
pub(crate) fn keep_only(links: &Path, kept: &[(u32, Direction)]) -> Result<(), Error> {
    let failed = |source| Error::Mount { dir: links.to_owned(), source };
    for entry in fs::read_dir(links).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !kept.iter().any(|(nic, direction)| path == self::path(links, *nic, *direction)) {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}
