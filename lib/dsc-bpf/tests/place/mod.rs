//! A place of its own for one test: the calling thread gets fresh network and mount namespaces, so that nothing
//! a test pins, mounts or attaches is seen by the machine. Everything vanishes with the thread.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Where the tests pin.
#[allow(dead_code, reason = "not all tests pin")]
pub const BPF_DIR: &str = "/sys/fs/bpf/dsc";

/// Moves the calling thread into its own namespaces.
///
/// # Panics
/// Without root: these tests load programs into the kernel, and a skipped test would be a lie.
pub fn enter() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test loads programs into the kernel: run it as root"
    );
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("cannot unshare namespaces");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .expect("cannot make / private");
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)
        .expect("cannot mount sysfs");
}

/// Does the kernel say what drivers can do (Linux 6.3)? Before, nothing goes to a driver, and there is nothing to test there.
#[allow(dead_code, reason = "only some tests have to do with drivers")]
pub fn drivers_tell() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("its release");
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
    let tell = (numbers.next(), numbers.next()) >= (Some(6), Some(3));
    if !tell {
        eprintln!(
            "Linux {} does not say what drivers can do: nothing to test there",
            release.trim()
        );
    }
    tell
}
