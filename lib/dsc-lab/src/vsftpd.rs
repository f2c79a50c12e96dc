//! The FTP server on the hosts behind of a lab with links: anonymous, one folder with the file of [`nginx::PACED`], the same on
//! all of them.

use crate::error::{Doing, Result};
use crate::nginx::{PACED, PACED_RATE};
use crate::services::FTP_PORT;
use std::path::{Path, PathBuf};

/// What clients see, and the folder without anything that vsftpd wants for itself.
fn folders(dir: &Path) -> [PathBuf; 2] {
    ["ftp", "empty"].map(|name| dir.join(name))
}

/// Configuration for any host; `dir` is [`make_files`]'s directory.
pub fn config(dir: &Path) -> String {
    let [files, empty] = folders(dir).map(|path| path.display().to_string());
    // A network of its own for each session is not in this machine's, and a fault would not find it.
    format!(
        "listen=YES
listen_port={FTP_PORT}
background=NO
anonymous_enable=YES
local_enable=NO
anon_root={files}
anon_max_rate={PACED_RATE}
secure_chroot_dir={empty}
max_per_ip=0
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
"
    )
}

/// Makes the folders that all hosts serve from, when [`crate::nginx::make_files`] has made the file.
///
/// # Errors
/// Those of the file system.
pub fn make_files(dir: &Path) -> Result<()> {
    let [files, empty] = folders(dir);
    for path in [&files, &empty] {
        std::fs::create_dir(path).doing(|| format!("make {}", path.display()))?;
    }
    let name = PACED.trim_start_matches('/');
    std::fs::hard_link(dir.join(name), files.join(name)).doing(|| format!("offer {PACED} by FTP"))
}
