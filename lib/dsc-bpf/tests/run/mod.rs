//! Runs a kernel program on one frame (BPF_PROG_TEST_RUN) as if it had come in on an interface.

use std::os::fd::{AsRawFd, BorrowedFd};

pub const NEXT: i32 = -1;
pub const DROP: i32 = 2;
pub const REDIRECT: i32 = 7;
/// Of a program in a driver.
pub const EARLY_PASS: i32 = 2;
pub const EARLY_REDIRECT: i32 = 4;

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    unused: u32,
}

/// What a program made of a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub action: i32,
    pub frame: Vec<u8>,
    /// Mean time of a run in nanoseconds.
    pub ns: u32,
}

/// `struct __sk_buff` up to the length of segments.
const CONTEXT_WORDS: usize = 45;
const CONTEXT_NIC: usize = 10;
const CONTEXT_SEGMENT: usize = 44;
/// Five words that programs leave to each other.
const CONTEXT_NOTES: std::ops::Range<usize> = 12..17;

/// `segment`: the length of the frame's segments if it is more than one. None: the kernel does not make a frame of bytes that end inside the header they announce.
pub fn run(
    program: BorrowedFd<'_>,
    nic: u32,
    frame: &[u8],
    segment: u32,
    repeat: u32,
) -> Option<Outcome> {
    let mut context = [0u32; CONTEXT_WORDS];
    context[CONTEXT_NIC] = nic;
    context[CONTEXT_SEGMENT] = segment;
    test(program, &context, frame, repeat)
}

/// As [`run`], once, behind a program that has left notes of its own.
pub fn run_behind_another(program: BorrowedFd<'_>, nic: u32, frame: &[u8]) -> Outcome {
    let mut context = [0u32; CONTEXT_WORDS];
    context[CONTEXT_NIC] = nic;
    context[CONTEXT_NOTES].fill(u32::MAX);
    test(program, &context, frame, 1).expect("the kernel refuses the frame")
}

/// The same in the driver; its program has to be attached to `nic`.
pub fn run_early(program: BorrowedFd<'_>, nic: u32, frame: &[u8], repeat: u32) -> Outcome {
    // `struct xdp_md`: data, its end, metadata, interface, queue, way out.
    let context = [0, frame.len() as u32, 0, nic, 0, 0];
    test(program, &context, frame, repeat).expect("the kernel refuses the frame")
}

fn test(program: BorrowedFd<'_>, context: &[u32], frame: &[u8], repeat: u32) -> Option<Outcome> {
    let mut out = vec![0u8; frame.len() + 256];
    let mut attr = TestRun {
        program: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_size_out: out.len() as u32,
        data_in: frame.as_ptr() as u64,
        data_out: out.as_mut_ptr() as u64,
        repeat,
        context_size_in: size_of_val(context) as u32,
        context_in: context.as_ptr() as u64,
        ..TestRun::default()
    };
    // SAFETY: all pointers in `attr` are to live buffers of the lengths given with them.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, 10, std::ptr::from_mut(&mut attr), size_of::<TestRun>())
    };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "test run: {error}");
        return None;
    }
    out.truncate(attr.data_size_out as usize);
    Some(Outcome { action: attr.retval as i32, frame: out, ns: attr.duration })
}
