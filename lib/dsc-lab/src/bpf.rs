//! What the kernel says about the maps and programs of a process, as it shows its open files. It reads and never
//! changes anything, but that programs are timed for a while.

use crate::error::{Doing, Result};
use crate::process::Pid;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::os::fd::{FromRawFd, OwnedFd};

/// `BPF_ENABLE_STATS` of bpf(2), and its only kind.
const ENABLE_STATS: libc::c_long = 32;
const RUN_TIME: u32 = 0;

/// Times all programs of the machine as long as it lives, and no longer than this process. That itself costs some 50 ns for
/// each run, of which a part is counted.
pub struct Timed(#[expect(dead_code, reason = "the kernel goes by whether it is open")] OwnedFd);

impl Timed {
    /// Begins.
    ///
    /// # Errors
    /// Not permitted.
    pub fn begin() -> Result<Timed> {
        let kind = RUN_TIME;
        // SAFETY: the kernel reads as many bytes of the number as it has.
        let fd = unsafe {
            libc::syscall(libc::SYS_bpf, ENABLE_STATS, &raw const kind, size_of_val(&kind))
        };
        let fd = Errno::result(fd).doing(|| "time programs".into())?;
        // SAFETY: the descriptor was just made and nobody else owns it.
        Ok(Timed(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }
}

/// Runs of a program while it was timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// How many.
    pub count: u64,
    /// All together, ns.
    pub ns: u64,
}

impl Runs {
    /// Mean time of a run since `before`, ns; none if there was none.
    pub fn mean_since(&self, before: Runs) -> Option<f64> {
        let count = self.count.checked_sub(before.count).filter(|n| *n > 0)?;
        Some(self.ns.saturating_sub(before.ns) as f64 / count as f64)
    }
}

/// Runs of the program of these processes that has taken the most time: of the data path, the one on the way in.
pub fn runs(pids: &[Pid]) -> Runs {
    let longest = |pid: &Pid| {
        let programs = files(pid).into_iter().filter(|file| file.contains_key("prog_id"));
        let runs = programs.map(|file| Runs {
            count: number(&file, "run_cnt").unwrap_or(0),
            ns: number(&file, "run_time_ns").unwrap_or(0),
        });
        runs.max_by_key(|runs| runs.ns).unwrap_or_default()
    };
    pids.iter().map(longest).fold(Runs::default(), |sum, runs| Runs {
        count: sum.count + runs.count,
        ns: sum.ns + runs.ns,
    })
}

/// The table of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Entries that it has room for.
    pub entries: u64,
    /// Memory of the kernel that it takes.
    pub bytes: u64,
}

/// The largest hash that a process has: of the data path's daemon, the table of flows.
pub fn table(pid: &Pid) -> Option<Table> {
    let table = |file: BTreeMap<String, String>| {
        // BPF_MAP_TYPE_HASH
        (number(&file, "map_type")? == 1).then_some(())?;
        Some(Table { entries: number(&file, "max_entries")?, bytes: number(&file, "memlock")? })
    };
    files(pid).into_iter().filter_map(table).max_by_key(|table| table.bytes)
}

/// The files that a process has open, as names and values.
fn files(pid: &Pid) -> Vec<BTreeMap<String, String>> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fdinfo", pid.pid)) else {
        return Vec::new();
    };
    let texts = entries.filter_map(|e| std::fs::read_to_string(e.ok()?.path()).ok());
    texts.map(|text| fields(&text)).collect()
}

fn fields(text: &str) -> BTreeMap<String, String> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(field).collect()
}

fn number(file: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    file.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_the_kernel_shows_it() {
        let text =
            "pos:\t0\nflags:\t02000002\nmap_type:\t1\nmax_entries:\t262144\nmemlock:\t36700160\n";
        let file = fields(text);
        assert_eq!(number(&file, "memlock"), Some(36_700_160));
        assert_eq!(number(&file, "flags"), Some(2_000_002));
        assert_eq!(number(&file, "prog_id"), None);
    }

    #[test]
    fn a_mean_is_of_the_runs_since() {
        let before = Runs { count: 10, ns: 5_000 };
        assert_eq!(before.mean_since(before), None);
        assert_eq!(Runs { count: 14, ns: 5_800 }.mean_since(before), Some(200.0));
    }
}
