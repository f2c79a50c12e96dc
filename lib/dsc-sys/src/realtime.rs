//! Being woken on time: real-time priority for the calling thread, and memory that stays in, called by the ring daemon
//! after ZeroMQ's threads exist, so that those stay ordinary ones; and the least such priority for the data path daemon, on
//! which others' new flows wait.

use crate::capability::Capability;
use std::fmt;
use std::io;

/// Between the kernel's own real-time threads, which default to 50, and everything else.
pub const PRIORITY: i32 = 20;

/// A privilege that is missing. The daemon goes on without it, less punctually.
#[derive(Debug)]
pub enum Degraded {
    /// No real-time priority.
    Priority(io::Error),
    /// Memory may be paged out.
    Memory(io::Error),
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Degraded::Priority(e) => write!(
                f,
                "cannot set real-time priority {PRIORITY}: {e}: needs CAP_SYS_NICE or LimitRTPRIO; on a busy machine \
                 this node's lease may lapse"
            ),
            Degraded::Memory(e) => write!(
                f,
                "cannot lock memory: {e}: needs CAP_IPC_LOCK or LimitMEMLOCK=infinity; while the machine swaps this \
                 node's lease may lapse"
            ),
        }
    }
}

/// Gives the calling thread, and no other, real-time priority; then locks the pages that the process uses and will use,
/// each when it is first touched. Returns what was not permitted.
pub fn become_realtime() -> Vec<Degraded> {
    let mut degraded = Vec::new();
    degraded.extend(set(libc::SCHED_FIFO, PRIORITY).err().map(Degraded::Priority));
    degraded.extend(lock_memory().err().map(Degraded::Memory));
    degraded
}

/// What [`prefer`] sets: the least real-time priority there is, so that the ring daemon and the kernel's own
/// real-time threads come first.
pub const PREFERRED: i32 = 1;

/// Lets the calling thread run before ordinary ones: a place among those, however good, makes it wait for milliseconds on a
/// busy machine. In a flood of work for it the kernel still leaves some 5 % of the time to the others: by
/// `kernel.sched_rt_runtime_us`, on newer ones by the fair server.
///
/// # Errors
/// The system's: it needs CAP_SYS_NICE or LimitRTPRIO, unless whoever started it has done this already.
pub fn prefer() -> io::Result<()> {
    // SAFETY: no pointer is passed; process 0 is the calling thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    if [libc::SCHED_RR, libc::SCHED_FIFO].contains(&(policy & !libc::SCHED_RESET_ON_FORK)) {
        return Ok(());
    }
    set(libc::SCHED_RR, PREFERRED)
}

/// A child of this thread does not inherit it.
fn set(policy: i32, sched_priority: i32) -> io::Result<()> {
    let param = libc::sched_param { sched_priority };
    // SAFETY: `param` is a live value; process 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &param) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Without the capability and with a finite limit the lock would be granted now and every later mapping beyond the limit
/// refused, which is worse than no lock.
fn lock_memory() -> io::Result<()> {
    if !Capability::IPC_LOCK.is_held() && !limit_is_infinite() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: changes only how pages are kept; no pointer is passed.
    if unsafe { libc::mlockall(flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn limit_is_infinite() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is exclusively ours.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    result == 0 && limit.rlim_cur == libc::RLIM_INFINITY
}

/// One arena for all threads: the daemons have three threads that seldom allocate, and each further arena would cost
/// memory that is then locked. Called before any thread is started.
pub fn one_arena() {
    // SAFETY: sets a number inside the allocator; called while there is one thread.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}
