//! A pinned table of flows of another size than is wanted now: off its pin, and back if the new one cannot be had.

use crate::{Error, call};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Takes the pin off a table that has not `entries` entries, and returns it.
pub(crate) fn unpin_other_size(pin: &Path, entries: u32) -> Result<Option<OwnedFd>, Error> {
    let old = match call::pinned(pin) {
        Ok(old) => old,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Flows { source }),
    };
    let shape = call::shape(old.as_fd()).map_err(|source| Error::Flows { source })?;
    if shape.max_entries == entries {
        return Ok(None);
    }
    std::fs::remove_file(pin).map_err(|source| Error::Flows { source })?;
    Ok(Some(old))
}

/// Pins a table again that [`unpin_other_size`] returned, in the place of the one made for it.
pub(crate) fn pin_again(old: &OwnedFd, pin: &Path) -> Result<(), Error> {
    match std::fs::remove_file(pin) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Flows { source });
        }
        _ => {}
    }
    call::pin(old.as_fd(), pin).map_err(|source| Error::Flows { source })
}
