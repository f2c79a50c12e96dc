//! Frames that come in on an interface as if its cable had brought them: through every hook, filter and route of this machine. Used
//! by the health daemon, whose filter checks send what must pass and what must not.

use crate::call;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Brings frames in on one interface.
pub struct Inject(OwnedFd);

impl Inject {
    /// For the interface with index `nic`.
    ///
    /// # Errors
    /// The system's: `CAP_BPF` or `CAP_NET_ADMIN` is missing.
    pub fn open(nic: u32) -> io::Result<Inject> {
        // A copy of the frame, which the first argument names, to the queue of what that interface has received.
        const INGRESS: u32 = 1;
        const CLONE_REDIRECT: u32 = 13;
        let program = [
            instruction(0xB7, 2, nic),
            instruction(0xB7, 3, INGRESS),
            instruction(0x85, 0, CLONE_REDIRECT),
            instruction(0x95, 0, 0),
        ];
        call::program("dsc_inject", &program).map(Inject)
    }

    /// Brings in one frame, Ethernet header included. It is the machine's if it is to the interface's MAC address.
    ///
    /// # Errors
    /// The system's: the interface is down or gone, or the frame is longer than it takes.
    pub fn frame(&self, frame: &[u8]) -> io::Result<()> {
        match call::test_run_on(self.0.as_fd(), frame)? {
            0 => Ok(()),
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            // A queue that is full, or an interface that takes none.
            _ => Err(io::Error::from_raw_os_error(libc::ENETDOWN)),
        }
    }
}

/// `struct bpf_insn`: operation, registers (the one written to in the low half), offset, constant.
fn instruction(operation: u8, to: u8, constant: u32) -> u64 {
    let [a, b, c, d] = constant.to_ne_bytes();
    u64::from_ne_bytes([operation, to, 0, 0, a, b, c, d])
}
