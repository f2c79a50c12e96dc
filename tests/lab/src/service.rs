//! What the systemd units of `conf/systemd` grant, given to a daemon without systemd; and the ear of a service manager.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The capabilities that a daemon's unit leaves it.
///
/// # Panics
/// There is no such unit, or it leaves all.
pub fn grants(daemon: &str) -> Vec<String> {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/systemd");
    let unit = std::fs::read_to_string(units.join(format!("{daemon}.service"))).expect("a unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    line.expect("a bound").split_whitespace().map(str::to_owned).collect()
}

/// A command that starts another with these capabilities and no others, as root still.
pub fn start_with(capabilities: &[String]) -> Vec<String> {
    let mut bounds = "--bounding-set=-all".to_owned();
    for capability in capabilities {
        bounds += &format!(",+{}", capability.trim_start_matches("CAP_").to_lowercase());
    }
    vec!["setpriv".into(), "--no-new-privs".into(), "--inh-caps=-all".into(), bounds]
}

/// Where a daemon tells how it is.
pub struct Ear {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Ear {
    /// Listens at `path`.
    ///
    /// # Panics
    /// It cannot.
    pub fn open(path: PathBuf) -> Ear {
        let socket = UnixDatagram::bind(&path).expect("a path for a socket");
        Ear { path, socket }
    }

    /// What goes into the daemon's environment.
    pub fn environment(&self, watchdog: Duration) -> [String; 2] {
        [
            format!("NOTIFY_SOCKET={}", self.path.display()),
            format!("WATCHDOG_USEC={}", watchdog.as_micros()),
        ]
    }

    /// The next thing said, if it is said within `limit`.
    ///
    /// # Panics
    /// The socket fails, or it is no text.
    pub fn hear(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).expect("a limit");
        let mut bytes = [0; 1024];
        match self.socket.recv(&mut bytes) {
            Ok(n) => Some(std::str::from_utf8(&bytes[..n]).expect("text").trim().to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(e) => panic!("cannot hear: {e}"),
        }
    }

    /// Everything said until now is forgotten.
    ///
    /// # Panics
    /// As [`Ear::hear`].
    pub fn forget(&self) {
        while self.hear(Duration::from_millis(1)).is_some() {}
    }
}
