//! As much as goes through: a few TCP streams, or a few clients that open connections or send requests one after the other, all
//! as fast as they can, from the machine `client`. What is measured begins after a warm-up and has a fixed length.

use crate::error::{Doing, Error, Result};
use crate::kept::Kept;
use crate::lab::Lab;
use crate::nginx::LARGE;
use crate::services::Ends;
use crate::{streams, wait};
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Before anything counts, ms: windows open and neighbours are found.
const WARM_UP_MS: u64 = 1_000;
/// Longest wait for a connection or for bytes on it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;

/// What went through in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Through {
    /// Bytes of streams, or connections, per second.
    pub per_s: f64,
    /// Busy share of all processors of this machine, percent: clients, switch, nodes and hosts together.
    pub cpu_percent: f64,
}

/// Downloads the large file on so many streams at once.
///
/// # Errors
/// The client's machine is gone, or a stream broke.
pub fn streams(lab: &Lab, to: &[Ends], count: usize, window_ms: u64) -> Result<Through> {
    measure(lab, to, count, window_ms, |ends, stop, bytes| {
        let mut buffer = vec![0; READ_BYTES];
        while !stop.load(Ordering::Relaxed) {
            let mut stream = streams::ask(ends, LARGE, PATIENCE)?;
            loop {
                let count = stream.read(&mut buffer)?;
                bytes.fetch_add(count as u64, Ordering::Relaxed);
                if count == 0 || stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
        Ok(())
    })
}

/// Opens connections one after the other, on so many clients at once, asks once on each, and closes it.
///
/// # Errors
/// The client's machine is gone, or a connection broke.
pub fn connections(lab: &Lab, to: &[Ends], count: usize, window_ms: u64) -> Result<Through> {
    measure(lab, to, count, window_ms, |ends, stop, served| {
        let mut answer = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            answer.clear();
            streams::ask(ends, "/", PATIENCE)?.read_to_end(&mut answer)?;
            if !answer.starts_with(b"HTTP/1.1 200") {
                return Err(ErrorKind::InvalidData.into());
            }
            served.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// Asks again and again on connections that are kept, on so many clients at once.
///
/// # Errors
/// The client's machine is gone, or a connection broke.
pub fn requests(lab: &Lab, to: &[Ends], count: usize, window_ms: u64) -> Result<Through> {
    measure(lab, to, count, window_ms, |ends, stop, served| {
        let mut connection = Kept::open(ends)?;
        while !stop.load(Ordering::Relaxed) {
            connection.ask()?;
            served.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// What one client does until it is stopped; it counts what it has done.
type Work = fn(Ends, &AtomicBool, &AtomicU64) -> std::io::Result<()>;

fn measure(lab: &Lab, to: &[Ends], count: usize, window_ms: u64, work: Work) -> Result<Through> {
    if to.is_empty() {
        return Err(Error::new("measure what goes through", "no address given"));
    }
    let space = lab.space("client")?;
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = to
            .iter()
            .cycle()
            .take(count)
            .map(|ends| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || {
                    space.enter_net()?;
                    work(*ends, stop, done).doing(|| format!("use {}", ends.to))
                })
            })
            .collect();
        wait::observe(WARM_UP_MS);
        let (begin, before, busy) = (Instant::now(), done.load(Ordering::Relaxed), busy());
        wait::observe(window_ms);
        let after = done.load(Ordering::Relaxed);
        let (elapsed, cpu_percent) = (begin.elapsed().as_secs_f64(), percent(busy, self::busy()));
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let ended = client.join().map_err(|_| Error::new("measure", "a client panicked"))?;
            ended?;
        }
        Ok(Through { per_s: (after - before) as f64 / elapsed, cpu_percent })
    })
}

/// Time of all processors since boot, in the kernel's ticks: busy, and in all.
fn busy() -> (u64, u64) {
    busy_of(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn busy_of(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    // The fourth is idle, the fifth waits for a disk.
    (all - ticks.iter().skip(3).take(2).sum::<u64>(), all)
}

fn percent(before: (u64, u64), after: (u64, u64)) -> f64 {
    let all = after.1.saturating_sub(before.1).max(1);
    after.0.saturating_sub(before.0) as f64 / all as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_is_what_is_not_idle() {
        let before = busy_of("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2 3\n");
        assert_eq!(before, (20, 100));
        let after = busy_of("cpu  40 0 20 100 20 5 5 0 9 9\n");
        assert_eq!(after, (70, 190));
        assert!((percent(before, after) - 50.0 / 0.9).abs() < 1e-9);
        assert_eq!(busy_of(""), (0, 0));
    }
}
