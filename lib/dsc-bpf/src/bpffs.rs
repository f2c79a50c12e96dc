//! The BPF file system, in which maps and links outlive the daemons. Called before anything is opened or pinned.

use crate::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
const USUAL: &str = "/sys/fs/bpf";

/// Makes `dir` and what is above it, in a mounted BPF file system. If there is none yet, one is mounted: at
/// `/sys/fs/bpf` for a directory in it, else at `dir` itself.
///
/// # Errors
/// [`Error::Mount`]: nothing was mounted, or the directory could not be made.
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    let place = if dir.starts_with(USUAL) { PathBuf::from(USUAL) } else { dir.to_owned() };
    let failed = |source| Error::Mount { dir: place.clone(), source };
    if !is_bpffs(nearest(dir)).map_err(failed)? {
        fs::create_dir_all(&place).map_err(failed)?;
        mount_once(&place).map_err(failed)?;
    }
    fs::create_dir_all(dir).map_err(|source| Error::Mount { dir: dir.to_owned(), source })
}

fn nearest(dir: &Path) -> &Path {
    dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("/"))
}

fn is_bpffs(dir: &Path) -> io::Result<bool> {
    let path = crate::call::c_path(dir)?;
    // SAFETY: an all-zero `statfs` is a valid value of a plain C structure.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is a live C string and `found` is exclusively ours.
    if unsafe { libc::statfs(path.as_ptr(), &mut found) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(found.f_type as u64 == BPF_FS_MAGIC)
}

/// Two daemons may start at once; a second mount would hide what the first one's user pins. The lock is on the
/// directory below the mount, which both see until the first has mounted.
fn mount_once(place: &Path) -> io::Result<()> {
    let below = File::open(place)?;
    // SAFETY: the descriptor is open for the duration of the call.
    if unsafe { libc::flock(below.as_raw_fd(), libc::LOCK_EX) } < 0 {
        return Err(io::Error::last_os_error());
    }
    if is_bpffs(place)? {
        return Ok(());
    }
    let path = crate::call::c_path(place)?;
    // SAFETY: all pointers are to live C strings, and `data` may be null for this file system.
    let result = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            path.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            c"mode=0700".as_ptr().cast(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
