//! A place of its own for one test: the calling thread gets fresh network and mount namespaces, so that nothing
//! a test pins, mounts or attaches is seen by the machine. Everything vanishes with the thread.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Where the tests pin.
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
