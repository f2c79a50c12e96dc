//! Whether the machine stood still during a scenario: a thread that wants to run every few milliseconds, and how late it ever did.
//! `scripts/test` runs a scenario that failed on such a machine once more, and says so.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it wants to run.
const EVERY: Duration = Duration::from_millis(5);
/// So late, a waiting thread shows a machine on which nothing can be promised in time: a lease is shorter.
const LATE: Duration = Duration::from_millis(80);

/// The thread.
pub struct Stalls {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<Duration>>,
}

impl Stalls {
    /// Begins to look.
    pub fn watch() -> Stalls {
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut latest = Duration::ZERO;
            loop {
                let due = Instant::now() + EVERY;
                if ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Disconnected) {
                    return latest;
                }
                latest = latest.max(due.elapsed());
            }
        });
        Stalls { end: Some(end), thread: Some(thread) }
    }

    /// What was seen, in words that `scripts/test` looks for.
    pub fn verdict(&mut self) -> String {
        self.end = None;
        let latest = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let ms = latest.as_millis();
        match latest >= LATE {
            true => format!("the machine stood still for {ms} ms at once"),
            false => format!("the machine ran: no thread waited longer than {ms} ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_is_no_excuse() {
        let seen = |late| Stalls { end: None, thread: Some(std::thread::spawn(move || late)) };
        let mut seen_79 = seen(Duration::from_millis(79));
        assert_eq!(seen_79.verdict(), "the machine ran: no thread waited longer than 79 ms");
        assert_eq!(seen(LATE).verdict(), "the machine stood still for 80 ms at once");
    }
}
