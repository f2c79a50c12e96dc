//! Programs that an operator has made checks of: run without a shell, with a clean environment, and ended with all that they
//! have started. Used by the health daemon.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Those under way: every other child of this process is something that one has left behind.
static UNDER_WAY: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Process groups that were killed, each with whose it was, until all of it is gone: what waits for a disk or a server that does
/// not answer stays. One of each at most.
static KILLED: Mutex<BTreeMap<String, i32>> = Mutex::new(BTreeMap::new());

fn killed() -> MutexGuard<'static, BTreeMap<String, i32>> {
    KILLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a new one waits for the kernel to end what was killed before it.
const ENDS: Duration = Duration::from_millis(100);

fn under_way() -> MutexGuard<'static, BTreeSet<i32>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It printed more than it may, and was killed.
    TooMuch,
    /// It was not started: an earlier one was killed, and the kernel has not ended it yet.
    Stuck,
}

/// Makes this process the parent of whatever a program leaves behind, so that it can be ended. Call it once, before the first.
///
/// # Errors
/// The system's.
pub fn adopt_orphans() -> io::Result<()> {
    prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// Runs `command`, a program's absolute path and its arguments, in `/`, with nothing in its environment but `PATH`, `LANG` and
/// `variables`. It may print at most `print_max` bytes. Dropped, it is killed with all that it has started; what is left over
/// of it when it has ended is killed, too. There is one of each `whose` at a time: while one that was killed is not gone, no
/// other is started.
///
/// # Errors
/// The system's: there is no such program, or it may not be run.
pub async fn run(
    whose: &str,
    command: &[String],
    variables: &[(&str, String)],
    print_max: usize,
) -> io::Result<Ended> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut started = Command::new(program);
    started.args(arguments).current_dir("/").env_clear().env("PATH", PATH).env("LANG", "C");
    started.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    started.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    started.process_group(0).kill_on_drop(true);
    let until = Instant::now() + ENDS;
    while is_there(whose) {
        if Instant::now() >= until {
            return Ok(Ended::Stuck);
        }
        tokio::time::sleep(ENDS / 20).await;
    }
    // Nobody sweeps between the start and the note of it.
    let mut started = {
        let mut all = under_way();
        let child = started.spawn()?;
        let group = child.id().map_or(0, |id| id as i32);
        all.insert(group);
        Started { child, group, whose: whose.to_owned() }
    };
    let (out, err) = (started.child.stdout.take(), started.child.stderr.take());
    let room = AtomicUsize::new(print_max);
    tokio::select! {
        status = started.child.wait() => {
            let status = status?;
            Ok(match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Exit(code),
                (None, signal) => Ended::Signal(signal.unwrap_or(0)),
            })
        }
        () = swallow(out, &room) => Ok(Ended::TooMuch),
        () = swallow(err, &room) => Ok(Ended::TooMuch),
    }
}

/// Reads and throws away; ends only when there is no room left.
async fn swallow(from: Option<impl AsyncRead + Unpin>, room: &AtomicUsize) {
    let mut bytes = [0; 4096];
    if let Some(mut from) = from {
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            let left = room.load(Ordering::Relaxed).saturating_sub(count);
            room.store(left, Ordering::Relaxed);
            if left == 0 {
                return;
            }
        }
    }
    std::future::pending().await
}

/// Is something left of what was killed?
fn is_there(whose: &str) -> bool {
    let mut killed = killed();
    let there = killed.get(whose).is_some_and(|group| is_left(*group));
    if !there {
        killed.remove(whose);
    }
    there
}

fn is_left(group: i32) -> bool {
    // Who has ended is counted until somebody has waited for it.
    while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
        waitpid(Pid::from_raw(-group), Some(WaitPidFlag::WNOHANG))
    {}
    killpg(Pid::from_raw(group), None) != Err(Errno::ESRCH)
}

/// One under way.
struct Started {
    child: Child,
    group: i32,
    whose: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.group > 0 {
            // It is gone already if all of it has ended.
            let _ = killpg(Pid::from_raw(self.group), Signal::SIGKILL);
            let mut killed = killed();
            killed.insert(std::mem::take(&mut self.whose), self.group);
            killed.retain(|_, group| is_left(*group));
        }
        let mut all = under_way();
        all.remove(&self.group);
        // The program itself is the runtime's to wait for.
        sweep(&all, self.group);
    }
}

/// Ends what programs have left behind: children of this process that are none of those under way. Each program begins in a
/// process group of its own, so what is in ours was started by others than [`run`].
fn sweep(but: &BTreeSet<i32>, and: i32) {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for task in tasks {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = list.split_ascii_whitespace().filter_map(|word| word.parse().ok());
        let strange = |pid: &i32| getpgid(Some(Pid::from_raw(*pid))).is_ok_and(|g| g != getpgrp());
        for pid in pids.filter(|pid: &i32| !but.contains(pid) && *pid != and && strange(pid)) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn ended(script: &str, print_max: usize) -> io::Result<Ended> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limit = Duration::from_secs(20);
            let word = [("DSC_CHECK", "disk".to_owned())];
            tokio::time::timeout(limit, run(script, &words, &word, print_max)).await.unwrap()
        })
    }

    #[test]
    fn its_end_is_told_and_its_environment_is_clean() {
        assert_eq!(ended("exit 3", 100).unwrap(), Ended::Exit(3));
        assert_eq!(ended("kill -TERM $$", 100).unwrap(), Ended::Signal(15));
        let clean = "test $(env | grep -v -E '^(PATH|LANG|DSC_CHECK|PWD|SHLVL|_)=' | wc -l) = 0 && \
                     test $DSC_CHECK = disk && test $PWD = /";
        assert_eq!(ended(clean, 100).unwrap(), Ended::Exit(0));
        let none = ["/nowhere/at/all".to_owned()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(run("none", &none, &[], 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn one_that_prints_without_end_is_ended() {
        assert_eq!(ended("yes", 100_000).unwrap(), Ended::TooMuch);
        assert_eq!(ended("yes >&2", 100_000).unwrap(), Ended::TooMuch);
        assert_eq!(ended("head -c 1000 /dev/zero", 100_000).unwrap(), Ended::Exit(0));
    }

    /// Is a process alive whose command line has this word?
    fn alive(word: &str) -> bool {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.map(|p| std::fs::read_to_string(p.path().join("cmdline")).unwrap_or_default())
            .any(|line| line.contains(word) && !line.contains("sh\0"))
    }

    #[test]
    fn a_child_that_is_no_script_s_is_left_alone() {
        let mut other = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        // One that is killed is gone by the time a few more have ended.
        for _ in 0..5 {
            assert_eq!(ended("exit 0", 100).unwrap(), Ended::Exit(0));
        }
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn no_second_one_is_started_while_the_kernel_has_not_ended_the_first() {
        let note = std::env::temp_dir().join(format!("dsc-script-{}", std::process::id()));
        let words = ["/bin/sh", "-c", &format!("echo $$ > {}; sleep 1000", note.display())];
        let words = words.map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let once = |words: &[String]| runtime.block_on(run("mount", words, &[], 1)).unwrap();
        // One of the group that has ended, and whose parent, which is not of it, does not wait for it.
        let keep = format!(
            "until (open F, '{}' and defined($g = <F>) and $g =~ /\\n/) {{}} \
             if (!fork) {{ setpgrp(0, $g); print 1; exit }} <STDIN>",
            note.display()
        );
        let mut parent = std::process::Command::new("/usr/bin/perl");
        parent.args(["-e", &keep]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut parent = parent.spawn().unwrap();
        let mut there = parent.stdout.take().unwrap();
        runtime.block_on(async {
            let there = tokio::task::spawn_blocking(move || there.read_exact(&mut [0]));
            tokio::select! {
                ended = run("mount", &words, &[], 1) => panic!("{ended:?}"),
                read = there => read.unwrap().unwrap(),
            }
        });
        let nothing = ["/bin/true".to_owned()];
        assert_eq!(once(&nothing), Ended::Stuck);
        assert_eq!(once(&nothing), Ended::Stuck);
        assert_eq!(ended("exit 0", 100).unwrap(), Ended::Exit(0), "others are none of its");
        parent.kill().unwrap();
        parent.wait().unwrap();
        let goes_on = (0..100).any(|_| once(&nothing) == Ended::Exit(0));
        assert!(goes_on, "it is gone now");
        std::fs::remove_file(note).unwrap();
    }

    #[test]
    fn what_it_has_started_ends_with_it_even_in_a_session_of_its_own() {
        adopt_orphans().unwrap();
        let word = format!("{}.125", 100_000 + std::process::id());
        // It ends when the other has a session of its own: the sixth word of its `stat`.
        let apart = "until [ \"$(cut -d' ' -f6 /proc/$!/stat)\" = $! ]; do :; done";
        let script = format!("sleep {word} & setsid sleep {word} & {apart}");
        assert_eq!(ended(&script, 100).unwrap(), Ended::Exit(0));
        let words =
            ["/bin/sh", "-c", &format!("setsid sleep {word} & sleep {word}")].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limit = Duration::from_millis(300);
            assert!(tokio::time::timeout(limit, run("words", &words, &[], 100)).await.is_err());
        });
        // What was killed is gone as soon as the kernel has ended it; what was orphaned meanwhile, with the next.
        for _ in 0..200 {
            if !alive(&word) {
                return;
            }
            assert_eq!(ended("exit 0", 100).unwrap(), Ended::Exit(0));
        }
        panic!("something is left over");
    }
}
