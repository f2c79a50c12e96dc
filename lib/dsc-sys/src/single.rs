//! One daemon of a kind per run directory, by a lock that the kernel drops with its holder. Called first thing by
//! every daemon, before it binds or opens anything that a running one uses.

use crate::advice::about_file;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The right to be the daemon of this kind; ends with the value or the process.
#[derive(Debug)]
pub struct Single {
    _lock: Flock<File>,
}

/// Why the right was not given; nothing was changed.
#[derive(Debug)]
pub enum SingleError {
    /// Another one runs.
    Taken {
        /// The kind.
        program: String,
        /// Its process, if it has written it down already.
        pid: Option<u32>,
        /// The lock.
        path: PathBuf,
    },
    /// The lock file could not be made or locked.
    System {
        /// The file or its directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for SingleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SingleError::Taken { program, pid: Some(pid), path } => write!(
                f,
                "another {program} is running (pid {pid}, lock {}): stop it first",
                path.display()
            ),
            SingleError::Taken { program, pid: None, path } => {
                write!(f, "another {program} is running (lock {}): stop it first", path.display())
            }
            SingleError::System { path, source } => {
                write!(f, "cannot lock {}: {source}: {}", path.display(), about_file(source))
            }
        }
    }
}

impl std::error::Error for SingleError {}

impl Single {
    /// Takes the lock `DIR/PROGRAM.pid`, making the directory (mode 0755) if there is none.
    ///
    /// # Errors
    /// [`SingleError`].
    pub fn take(dir: &Path, program: &str) -> Result<Single, SingleError> {
        make_dir(dir).map_err(|source| SingleError::System { path: dir.to_owned(), source })?;
        let path = dir.join(format!("{program}.pid"));
        let failed = |source| SingleError::System { path: path.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                // The lock is what counts; the number is for people.
                if let Err(e) = write_pid(&mut lock) {
                    let advice = about_file(&e);
                    tracing::warn!("cannot write the pid to {}: {e}: {advice}", path.display());
                }
                Ok(Single { _lock: lock })
            }
            Err((file, Errno::EWOULDBLOCK)) => {
                Err(SingleError::Taken { program: program.to_owned(), pid: read_pid(file), path })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    // Everyone may look inside; each socket has its own mode.
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(mut file: File) -> Option<u32> {
    let mut text = String::new();
    Read::by_ref(&mut file).take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_a_kind_is_told_the_pid_of_the_first() {
        let dir = std::env::temp_dir().join(format!("dsc-single-{}", std::process::id()));
        let first = Single::take(&dir, "dsc-x").unwrap();
        let refused = Single::take(&dir, "dsc-x").unwrap_err();
        assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
        Single::take(&dir, "dsc-y").unwrap();
        drop(first);
        Single::take(&dir, "dsc-x").unwrap();
        fs::remove_dir_all(dir).unwrap();
    }
}
