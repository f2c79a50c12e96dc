//! The clock that kernel time stamps of received packets use, and steady ticks on it.

use nix::sys::socket::sockopt;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use std::os::fd::AsFd;

/// Wall clock, ns.
pub fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_REALTIME).map(ns).unwrap_or(0)
}

/// A kernel time stamp as ns.
pub fn ns(stamp: TimeSpec) -> u64 {
    stamp.tv_sec() as u64 * 1_000_000_000 + stamp.tv_nsec() as u64
}

/// Sleeps until `at_ns` of this clock.
pub fn sleep_until(at_ns: u64) {
    let at = TimeSpec::new((at_ns / 1_000_000_000) as i64, (at_ns % 1_000_000_000) as i64);
    // An interrupted or refused sleep only makes a tick early; ticks carry their true time.
    let _ = clock_nanosleep(ClockId::CLOCK_REALTIME, ClockNanosleepFlags::TIMER_ABSTIME, &at);
}

/// Asks for a time stamp with every packet and for room to wait in while this machine stalls.
///
/// # Errors
/// Those of the kernel.
pub fn stamp_packets(socket: &impl AsFd) -> nix::Result<()> {
    nix::sys::socket::setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    nix::sys::socket::setsockopt(socket, sockopt::RcvBufForce, &(16 << 20))
}

/// Runs the calling thread ahead of everything of normal priority, as far as that is permitted: what measures
/// must not wait for what is measured.
pub fn go_ahead() {
    let param = libc::sched_param { sched_priority: 10 };
    // SAFETY: the structure is initialised and outlives the call; 0 is the calling thread.
    let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) } != 0;
    if refused {
        eprintln!("dsc-lab: no real-time priority; figures under load will be blurred");
    }
}
