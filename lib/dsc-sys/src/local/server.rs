//! The answering side: one socket of a daemon, its lock, its file mode.

use super::{
    CHANGE_MAX, Context, GROUP_CHANGE, GROUP_READ, REQUEST_MAX, Watched, bound, endpoint, system,
};
use crate::advice::about_file;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use std::ffi::CString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::task::{Context as Waker, Poll};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Root and the group `dsc`.
    Read,
    /// Root and the group `dsc-admin`.
    Change,
    /// Root alone.
    Root,
}

/// Whom to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker(Vec<u8>);

impl Asker {
    /// By the name that ZeroMQ gave the connection.
    pub fn new(name: Vec<u8>) -> Asker {
        Asker(name)
    }
}

/// Why a socket could not be opened; one that another process serves is left alone.
#[derive(Debug)]
pub enum OpenError {
    /// Another process serves it.
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Its group could not be let in.
    Group {
        /// The socket.
        path: PathBuf,
        /// The group's name.
        group: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The system or ZeroMQ failed.
    System {
        /// The socket.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Taken { path } => {
                write!(f, "cannot serve {}: another process does: stop it first", path.display())
            }
            OpenError::Group { path, group, source } => {
                let path = path.display();
                write!(f, "cannot give {path} to group {group}: {source}: needs CAP_CHOWN")
            }
            OpenError::System { path, source } => {
                write!(f, "cannot serve {}: {source}: {}", path.display(), about_file(source))
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// A socket that answers.
pub struct Server {
    watched: Watched,
    // After the socket: it keeps the lock.
    _context: Context,
    /// Requests dropped because they had not exactly one frame.
    pub malformed: u64,
    /// Answers dropped because the asker had gone or did not read.
    pub unsent: u64,
}

impl Server {
    /// Serves `path` for as long as `context` lasts. Must be called inside a runtime, and before other threads make files: the mode is set through the
    /// process's umask.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(context: &Context, path: &Path, access: Access) -> Result<Server, OpenError> {
        let failed = |source| OpenError::System { path: path.to_owned(), source };
        let lock = lock(path).map_err(failed)?.ok_or(OpenError::Taken { path: path.to_owned() })?;
        context.keep(lock);
        let socket = serve(context, path, access).map_err(failed)?;
        admit(path, access)?;
        let watched = Watched::new(socket).map_err(failed)?;
        Ok(Server { watched, _context: context.clone(), malformed: 0, unsent: 0 })
    }

    /// Ready when requests may be waiting. Call [`Server::take`] until it has none before waiting again, and also after
    /// any [`Server::answer`]: ZeroMQ reports news once, and sending may swallow the report.
    pub fn poll_news(&self, cx: &mut Waker<'_>) -> Poll<io::Result<()>> {
        self.watched.poll_news(cx)
    }

    /// Waits until requests may be waiting; see [`Server::poll_news`].
    ///
    /// # Errors
    /// The runtime's, when it is shutting down.
    pub async fn news(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_news(cx)).await
    }

    /// The next request, if one is waiting.
    ///
    /// # Errors
    /// ZeroMQ's, when the socket is beyond use.
    pub fn take(&mut self) -> io::Result<Option<(Asker, Vec<u8>)>> {
        while let Some(mut frames) = self.watched.take()? {
            if frames.len() == 2 {
                let body = frames.pop().unwrap_or_default();
                return Ok(frames.pop().map(|asker| (Asker(asker), body)));
            }
            self.malformed += 1;
        }
        Ok(None)
    }

    /// Answers, or counts the answer as [`Server::unsent`]; it never waits.
    pub fn answer(&mut self, asker: &Asker, body: Vec<u8>) {
        let frames = [asker.0.clone(), body];
        if self.watched.socket.send_multipart(frames, zmq::DONTWAIT).is_err() {
            self.unsent += 1;
        }
    }
}

/// ZeroMQ steals a path that is served already, so a lock beside it says who serves.
fn lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn serve(context: &Context, path: &Path, access: Access) -> io::Result<zmq::Socket> {
    let mut socket = context.socket(zmq::ROUTER)?;
    let request_max = match access {
        Access::Change => CHANGE_MAX,
        Access::Read | Access::Root => REQUEST_MAX,
    };
    bound(&socket, request_max).map_err(system)?;
    // Without it an answer to an asker that has gone would vanish uncounted.
    socket.set_router_mandatory(true).map_err(system)?;
    let endpoint = endpoint(path)?;
    // Never wider than it shall be, not even for an instant: closed for the group until the group is right.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = bind(&mut socket, &endpoint);
    umask(before);
    bound.map(|()| socket)
}

/// The crate's own call panics at a reason that it has no name for, such as a full disk.
fn bind(socket: &mut zmq::Socket, endpoint: &str) -> io::Result<()> {
    let endpoint = CString::new(endpoint)?;
    // SAFETY: the socket is open and exclusively borrowed, and the text is a live C string.
    if unsafe { zmq_sys::zmq_bind(socket.as_mut_ptr(), endpoint.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets the group in, if this machine has it.
fn admit(path: &Path, access: Access) -> Result<(), OpenError> {
    let failed = |source| OpenError::System { path: "/etc/group".into(), source };
    admit_of(&std::fs::read_to_string("/etc/group").map_err(failed)?, path, access)
}

fn admit_of(groups: &str, path: &Path, access: Access) -> Result<(), OpenError> {
    let name = match access {
        Access::Read => GROUP_READ,
        Access::Change => GROUP_CHANGE,
        Access::Root => return Ok(()),
    };
    let Some(group) = group_number(groups, name) else {
        let socket = path.display();
        tracing::warn!(
            "no group {name} in /etc/group: only root may use {socket}: groupadd --system {name}, then restart"
        );
        return Ok(());
    };
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o660);
    std::os::unix::fs::chown(path, None, Some(group))
        .and_then(|()| std::fs::set_permissions(path, open))
        .map_err(|source| OpenError::Group { path: path.to_owned(), group: name, source })
}

/// `name:password:number:members`. The file itself, not the name service: its plug-ins have no place in a privileged daemon
/// with locked memory. The operator makes these groups on each node, as local ones.
fn group_number(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Counts what is warned of.
    struct Warnings(Arc<AtomicUsize>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::WARN
        }
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_group_that_is_missing_is_warned_of_and_the_file_stays_closed() {
        let path = std::env::temp_dir().join(format!("dsc-admit-{}", std::process::id()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        let warned = Arc::new(AtomicUsize::new(0));
        let own = nix::unistd::getegid().as_raw();
        tracing::subscriber::with_default(Warnings(warned.clone()), || {
            admit_of("root:x:0:\n", &path, Access::Root).unwrap();
            assert_eq!(warned.load(Ordering::Relaxed), 0, "root needs no group");
            admit_of("root:x:0:\n", &path, Access::Read).unwrap();
            assert_eq!(warned.load(Ordering::Relaxed), 1);
            assert_eq!(mode(&path), 0o600);
            admit_of(&format!("dsc-admin:x:{own}:\n"), &path, Access::Change).unwrap();
            assert_eq!(warned.load(Ordering::Relaxed), 1);
            assert_eq!(mode(&path), 0o660);
        });
        std::fs::remove_file(&path).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions())
            & 0o7777
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\ndsc-admin:x:990:eve\ndsc:x:991:\nodd\n";
        assert_eq!(group_number(groups, "dsc"), Some(991));
        assert_eq!(group_number(groups, "dsc-admin"), Some(990));
        assert_eq!(group_number(groups, "odd"), None);
        assert_eq!(group_number(groups, "ds"), None);
    }
}
