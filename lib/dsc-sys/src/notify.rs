//! What the service manager wants to hear: ready, alive, stopping. Without one, nothing is said.

use dsc_wire::Time;
use sd_notify::NotifyState;
use std::time::Duration;

/// Everything is open and the loop runs. A lost message is no reason to stop, so it is only told.
pub fn ready(status: &str) -> std::io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
}

/// A planned stop has begun.
pub fn stopping(status: &str) -> std::io::Result<()> {
    sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)])
}

/// Another process goes on as this service: it is the one to be watched and stopped from here on.
pub fn replaced(pid: u32) -> std::io::Result<()> {
    sd_notify::notify(&[NotifyState::MainPid(pid)])
}

/// Tells the service manager now and then that the loop still turns.
pub struct Watchdog {
    period: Option<Duration>,
    next: Time,
}

impl Watchdog {
    /// As the service manager asked for; silent if it did not.
    pub fn new(now: Time) -> Watchdog {
        // Turns come once a second, so it may be a second late; and one lost message shall do no harm. Of a limit of 3 s,
        // the shortest of the units, every turn is used.
        Watchdog { period: sd_notify::watchdog_enabled().map(|limit| limit / 4), next: now }
    }

    /// Called once per turn of the loop; speaks when it is time to.
    pub fn turn(&mut self, now: Time) {
        let Some(period) = self.period else { return };
        if now < self.next {
            return;
        }
        self.next = now + period;
        // A lost message is repeated soon enough, and a service manager that is gone does not miss it.
        let _lost = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}
