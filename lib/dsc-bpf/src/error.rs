//! What can go wrong with the kernel's part. Every message names the object and what to do about it; the
//! program that prints it adds its own name.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a map, a program or a link could not be had. Nothing that was in force before is changed by a failure.
#[derive(Debug)]
pub enum Error {
    /// The BPF file system could not be mounted or a directory in it could not be made.
    Mount {
        /// Where.
        dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A map could not be created, pinned, opened or mapped.
    Map {
        /// Where it is, or would be, pinned.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel does not take the programs.
    Load(Box<aya::EbpfError>),
    /// A program could not be put on an interface.
    Attach {
        /// The interface's index.
        nic: u32,
        /// `ingress` or `egress`.
        direction: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Programs could not be taken off an interface.
    Detach {
        /// The interface's index.
        nic: u32,
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel does not say what it offers for programs, or what is on its interfaces.
    Hook {
        /// The system's reason.
        source: io::Error,
    },
    /// A map could not be read or written.
    Fill {
        /// Its name.
        map: &'static str,
        /// The kernel's reason.
        source: Box<aya::maps::MapError>,
    },
    /// The table of flows could not be read or changed.
    Flows {
        /// The system's reason.
        source: io::Error,
    },
    /// A pinned map has another shape than this build expects.
    Layout {
        /// Where it is pinned.
        path: PathBuf,
    },
}

impl Error {
    /// Only that the interface is no longer there.
    pub(crate) fn is_gone(&self) -> bool {
        let source = match self {
            Error::Attach { source, .. } | Error::Detach { source, .. } => source,
            _ => return false,
        };
        source.raw_os_error() == Some(libc::ENODEV)
    }
}

fn advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            ": run as root or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
        }
        Some(libc::EROFS) => ": the file system is read-only here",
        Some(libc::ENOSYS | libc::EINVAL) => ": is this kernel too old (Linux 6.1, for TCX 6.6)?",
        _ => "",
    }
}

/// The system's error at the bottom of a chain, or the chain's own words.
fn cause(top: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut next = Some(top);
    while let Some(error) = next {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(code);
        }
        next = error.source();
    }
    io::Error::other(top.to_string())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Mount { dir, source } => {
                let advice = match source.raw_os_error() {
                    Some(libc::EPERM) => {
                        ": mount it first (mount -t bpf bpf /sys/fs/bpf) or run with CAP_SYS_ADMIN"
                    }
                    _ => advice(source),
                };
                write!(f, "cannot prepare BPF file system at {}: {source}{advice}", dir.display())
            }
            Error::Map { path, doing, source } => {
                write!(f, "cannot {doing} BPF map {}: {source}{}", path.display(), advice(source))
            }
            Error::Load(source) => {
                let reason = cause(source.as_ref());
                write!(f, "cannot load BPF programs: {reason}{}", advice(&reason))
            }
            Error::Attach { nic, direction, source } => write!(
                f,
                "cannot attach {direction} program to interface {nic}: {source}{}",
                advice(source)
            ),
            Error::Detach { nic, source } => {
                write!(f, "cannot take programs off interface {nic}: {source}{}", advice(source))
            }
            Error::Hook { source } => {
                write!(f, "cannot examine programs on interfaces: {source}{}", advice(source))
            }
            Error::Fill { map, source } => write!(f, "cannot access BPF map {map}: {source}"),
            Error::Flows { source } => {
                write!(f, "cannot access the table of flows: {source}{}", advice(source))
            }
            Error::Layout { path } => write!(
                f,
                "cannot use BPF map {}: its layout is another build's: run `dsc-fwd --detach` of that build first",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Mount { source, .. }
            | Error::Map { source, .. }
            | Error::Attach { source, .. }
            | Error::Detach { source, .. }
            | Error::Hook { source }
            | Error::Flows { source } => Some(source),
            Error::Load(source) => Some(source),
            Error::Fill { source, .. } => Some(source),
            Error::Layout { .. } => None,
        }
    }
}
