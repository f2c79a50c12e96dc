//! The clock, and one alarm on it. Daemons read the clock once per turn and pass the value on.

use crate::readiness::{self, Steady};
use dsc_wire::Time;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::unix::AsyncFd;

/// Where the kernel tells by how much this process's clocks are shifted.
const TIME_NAMESPACE: &str = "/proc/self/timens_offsets";

/// `CLOCK_BOOTTIME` now: monotonic, goes on during a suspension, and is the clock of the kernel's lease.
pub fn now() -> Time {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is exclusively ours; with a valid clock and pointer the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut ts) };
    Time(ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64)
}

/// Is [`now`] the clock by which the kernel program judges the lease? Not in a time namespace that shifts it: a lease
/// written there would end early, or so late that another node is host by then. Asked first by every daemon that writes
/// or reads a lease.
///
/// # Errors
/// Text for people.
pub fn is_the_kernels() -> Result<(), String> {
    let text = match std::fs::read_to_string(TIME_NAMESPACE) {
        Ok(text) => text,
        // A kernel without time namespaces has one clock for all.
        Err(e) if e.kind() == io::ErrorKind::NotFound && Path::new("/proc/self").exists() => {
            return Ok(());
        }
        Err(e) => return Err(format!("cannot read {TIME_NAMESPACE}: {e}: is /proc mounted?")),
    };
    match shift(&text) {
        Some((0, 0)) => Ok(()),
        Some((seconds, nanos)) => Err(format!(
            "cannot keep a lease by this clock: a time namespace shifts it by {seconds} s {nanos} ns, and the kernel \
             program goes by the unshifted one: run outside of the namespace, or without a boottime offset"
        )),
        None => Err(format!("cannot understand {TIME_NAMESPACE}: {text:?}")),
    }
}

/// The shift of `CLOCK_BOOTTIME`: seconds, nanoseconds.
fn shift(offsets: &str) -> Option<(i64, i64)> {
    let mut fields = offsets.lines().find_map(|l| l.strip_prefix("boottime"))?.split_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The wall clock, milliseconds since 1970: for people who read events, never for a decision.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Time passed since the kernel stamped a packet, which it does by the wall clock: for people, for a step of that clock
/// makes it wrong. Zero if the stamp is later than now.
pub fn since_stamp(stamp: libc::timespec) -> Duration {
    let stamp = Duration::new(stamp.tv_sec.max(0) as u64, stamp.tv_nsec as u32);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.saturating_sub(stamp)
}

/// One absolute alarm on `CLOCK_BOOTTIME`. A timerfd fires 0.06 ms late, the runtime's own timers 1.4 ms.
pub struct Alarm {
    fd: AsyncFd<Timer>,
    at: Time,
    armed: bool,
}

struct Timer(TimerFd);

// SAFETY: the timerfd is closed when dropped and never exchanged.
unsafe impl Steady for Timer {}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// The system's, when it has no descriptors left.
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        let fd = readiness::watch(Timer(timer))?;
        Ok(Alarm { fd, at: Time::NEVER, armed: false })
    }

    /// Sets it to `at`; a time in the past rings at once, [`Time::NEVER`] never. An earlier ring that nobody waited
    /// for is forgotten.
    ///
    /// # Errors
    /// None that a valid descriptor can cause.
    pub fn set(&mut self, at: Time) -> io::Result<()> {
        if self.armed && at == self.at {
            return Ok(());
        }
        readiness::forget(&self.fd);
        self.at = at;
        self.armed = at != Time::NEVER;
        if at == Time::NEVER {
            return Ok(self.fd.get_ref().0.unset()?);
        }
        // Zero would disarm the timer.
        let nanos = at.0.max(1);
        let spec = TimeSpec::new((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as i64);
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        Ok(self.fd.get_ref().0.set(Expiration::OneShot(spec), flags)?)
    }

    /// When it is set to ring.
    pub fn at(&self) -> Time {
        self.at
    }

    /// Ready once when it rang since it was last set. It is not read: setting it again takes the expiry back.
    pub fn poll_rang(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let rang = readiness::poll_edge(&self.fd, cx);
        self.armed &= rang.is_pending();
        rang
    }

    /// Waits until it rings.
    ///
    /// # Errors
    /// The runtime's, when it is shutting down.
    pub async fn rang(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_rang(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_shift_of_this_clock_is_told_from_a_shift_of_another() {
        assert_eq!(shift("monotonic   86400     0\nboottime   0   0\n"), Some((0, 0)));
        assert_eq!(shift("monotonic   0     0\nboottime   -604800   5\n"), Some((-604_800, 5)));
        assert_eq!(shift("monotonic 0 0\n"), None);
        is_the_kernels().unwrap();
    }

    #[test]
    fn the_alarm_rings_on_time_and_again_after_being_set_again() {
        runtime().block_on(async {
            let mut alarm = Alarm::new().unwrap();
            for _ in 0..3 {
                let at = now() + Duration::from_millis(5);
                alarm.set(at).unwrap();
                alarm.rang().await.unwrap();
                assert!(now() >= at);
            }
        });
    }

    #[test]
    fn set_to_the_same_time_it_rings_once_more_only_after_it_rang() {
        runtime().block_on(async {
            let mut alarm = Alarm::new().unwrap();
            let at = now() + Duration::from_millis(5);
            alarm.set(at).unwrap();
            alarm.set(at).unwrap();
            alarm.rang().await.unwrap();
            alarm.set(at).unwrap();
            alarm.rang().await.unwrap();
        });
    }

    #[test]
    fn a_time_in_the_past_rings_at_once_and_never_is_never() {
        runtime().block_on(async {
            let mut alarm = Alarm::new().unwrap();
            alarm.set(Time::ZERO).unwrap();
            alarm.rang().await.unwrap();
            alarm.set(Time::NEVER).unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(20), alarm.rang()).await;
            assert!(waited.is_err(), "an alarm set to never has rung");
        });
    }

    #[test]
    fn a_ring_nobody_waited_for_is_forgotten_when_set_again() {
        runtime().block_on(async {
            let mut alarm = Alarm::new().unwrap();
            alarm.set(Time::ZERO).unwrap();
            // Lets the runtime see the expiry.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let at = now() + Duration::from_millis(10);
            alarm.set(at).unwrap();
            alarm.rang().await.unwrap();
            assert!(now() >= at);
        });
    }
}
