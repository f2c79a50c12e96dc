//! Processes of the lab: known by number and start time, so that a number used again by somebody else is never
//! signalled; written down in files, so that a later command finds them.

use crate::error::{Doing, Error, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A process that the lab, or something in its namespaces, started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pid {
    /// Its number.
    pub pid: i32,
    /// When it started, in the kernel's ticks since boot: with the number, unique.
    pub started: u64,
}

impl Pid {
    /// A process that runs now.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn of(pid: u32) -> Result<Pid> {
        let pid = pid as i32;
        let (_, started) =
            stat(pid).ok_or_else(|| Error::new(format!("look at process {pid}"), "it is gone"))?;
        Ok(Pid { pid, started })
    }

    /// Does it still run? A process that only waits to be collected by its parent does not.
    pub fn alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| state != 'Z' && started == self.started)
    }

    /// Sends a signal; a process that is gone is none of our business any more.
    pub fn signal(&self, signal: Signal) {
        if self.alive() {
            let _ = kill(nix::unistd::Pid::from_raw(self.pid), signal);
        }
    }

    /// Collects it if it is our child and has ended.
    pub fn reap(&self) {
        let _ = waitpid(nix::unistd::Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG));
    }

    /// Its command name.
    pub fn name(&self) -> String {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.pid));
        name.unwrap_or_default().trim().to_owned()
    }

    /// Processor time it has used, ns.
    pub fn cpu_ns(&self) -> u64 {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return 0 };
        tasks
            .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("schedstat")).ok())
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Memory it uses, its share of what it shares, KiB.
    pub fn pss_kib(&self) -> u64 {
        std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))
            .unwrap_or_default()
            .lines()
            .find_map(|l| l.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, file: &Path) -> Result<()> {
        std::fs::write(file, format!("{} {}\n", self.pid, self.started))
            .doing(|| format!("write {}", file.display()))
    }

    /// Reads what [`Pid::save`] wrote; none if the file is not there or is something else.
    pub fn load(file: &Path) -> Option<Pid> {
        let text = std::fs::read_to_string(file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Pid { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }
}

/// State letter and start time from /proc.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name is in parentheses and may itself hold some.
    let after_name = &text[text.rfind(')')? + 2..];
    let mut fields = after_name.split(' ');
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_known_until_it_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::of(child.id()).unwrap();
        assert!(pid.alive());
        let another_life = Pid { started: pid.started + 1, ..pid };
        another_life.signal(Signal::SIGKILL);
        assert!(pid.alive(), "a signal for an earlier process of this number must not reach it");
        pid.signal(Signal::SIGKILL);
        crate::wait::until("the process ends", 5_000, || (!pid.alive()).then_some(())).unwrap();
        child.wait().unwrap();
        assert!(Pid::of(pid.pid as u32).is_err());
    }
}
