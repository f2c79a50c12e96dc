//! What a client's connection is doing, and until when: a head that does not come to its end, a client that reads nothing, a
//! connection that nobody uses.

use dsc_conf::Link;
use socket2::SockRef;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What a client did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It did not finish a head.
    Head,
    /// It reads nothing of what it asked for.
    Reading,
    /// It asks for nothing more.
    Idle,
    /// Nothing, but it has had nothing to do for a while.
    Resting,
}

/// The state of one connection, told by those who serve it.
pub(crate) struct Doing {
    is_h2: AtomicBool,
    begun: AtomicBool,
    running: AtomicU32,
    /// Each in milliseconds since [`base`], 0 if it is not so.
    head_since: AtomicU64,
    idle_since: AtomicU64,
    blocked_since: AtomicU64,
    /// Pieces of bodies that are not on their way to a client of HTTP/2, and since when none of them has moved.
    full: AtomicU32,
    still_since: AtomicU64,
    /// A response was cut that has no other end than the connection's.
    reset: AtomicBool,
}

/// Most bytes that wait in the kernel for a client and were not sent.
const UNSENT_MAX: u32 = 128 << 10;

/// The kernel tells of room when a third of its buffer is free: with much in it, a slow client would seem to take nothing until then.
pub(crate) fn little_unsent(stream: &TcpStream) {
    // Without it there is more patience needed, and nothing else.
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_MAX);
}

fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(|| Instant::now() - Duration::from_millis(1))
}

fn now_ms() -> u64 {
    base().elapsed().as_millis() as u64
}

impl Doing {
    /// A connection that has just been accepted.
    pub fn new(is_h2: bool) -> Doing {
        let now = now_ms();
        Doing {
            is_h2: AtomicBool::new(is_h2),
            begun: AtomicBool::new(false),
            running: AtomicU32::new(0),
            head_since: AtomicU64::new(now),
            idle_since: AtomicU64::new(now),
            blocked_since: AtomicU64::new(0),
            full: AtomicU32::new(0),
            still_since: AtomicU64::new(now),
            reset: AtomicBool::new(false),
        }
    }

    /// A request's head is complete.
    pub fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// A response is complete, or given up.
    pub fn end(&self) {
        if self.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle_since.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// Is its first request still to come? HTTP/2 can refuse it without losing it.
    pub fn is_fresh(&self) -> bool {
        !self.begun.load(Ordering::Relaxed) && !self.is_h2()
    }

    /// Does the client speak HTTP/2?
    pub fn is_h2(&self) -> bool {
        self.is_h2.load(Ordering::Relaxed)
    }

    /// Are there no requests, and no bytes that wait to be taken?
    pub fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0 && self.full.load(Ordering::Relaxed) == 0
    }

    /// Bytes came. Between two requests they are the begin of a head; with HTTP/2 they may be anything.
    pub fn read(&self) {
        if self.is_idle() && self.head_since.load(Ordering::Relaxed) == 0 && !self.is_h2() {
            self.head_since.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// Bytes that came with the request before are still there: the begin of a head, and no later than that response's end.
    pub fn left(&self) {
        if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.idle_since.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Bytes could be sent, or not.
    pub fn wrote(&self, any: bool) {
        let since = self.blocked_since.load(Ordering::Relaxed);
        if any && since != 0 {
            self.blocked_since.store(0, Ordering::Relaxed);
            self.idle_since.store(now_ms(), Ordering::Relaxed);
        } else if !any && since == 0 {
            self.blocked_since.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// A piece of a body waits. With HTTP/2 a client may leave it where it is although the connection flows.
    pub fn gave(&self) {
        if self.full.fetch_add(1, Ordering::Relaxed) == 0 {
            self.took();
        }
    }

    /// Some bytes of a piece went out.
    pub fn took(&self) {
        self.still_since.store(now_ms(), Ordering::Relaxed);
    }

    /// A piece is gone: sent, or given up.
    pub fn gone(&self) {
        if self.full.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle_since.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// Only a reset can tell the client that the response is not whole.
    pub fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Is it to be reset?
    pub fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// What it owes next, and when; or when it has had nothing to do for `rests`.
    pub fn deadline(&self, link: &Link, rests: Option<Duration>) -> Option<(Instant, Late)> {
        let after = |since: &AtomicU64, limit: Duration, late: Late| {
            let since = since.load(Ordering::Relaxed);
            (since != 0).then(|| (base() + Duration::from_millis(since) + limit, late))
        };
        let blocked = after(&self.blocked_since, link.idle, Late::Reading);
        if !self.is_idle() {
            let full = self.full.load(Ordering::Relaxed) > 0;
            let left = full.then(|| after(&self.still_since, link.idle, Late::Reading)).flatten();
            return [blocked, left].into_iter().flatten().min_by_key(|(at, _)| *at);
        }
        let head = after(&self.head_since, link.client_head, Late::Head);
        let idle = match (head, blocked) {
            // The last bytes of a response may wait here when it has long been complete.
            (Some(_), _) | (_, Some(_)) => None,
            (None, None) => match rests.filter(|rests| *rests < link.idle) {
                Some(rests) => after(&self.idle_since, rests, Late::Resting),
                None => after(&self.idle_since, link.idle, Late::Idle),
            },
        };
        [blocked, head, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// When something passed last, in milliseconds since [`base`]; 0 while nothing is to pass.
pub(crate) struct Activity(AtomicU64);

impl Default for Activity {
    fn default() -> Activity {
        Activity(AtomicU64::new(now_ms()))
    }
}

impl Activity {
    /// Something passes.
    pub fn now(&self) {
        self.0.store(now_ms(), Ordering::Relaxed);
    }

    /// Nothing is to pass until something does.
    pub fn pause(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// For so long nothing has passed that was to pass.
    pub fn silent(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now_ms() - since),
        }
    }

    /// Waits until nothing has passed for so long that was to pass.
    pub async fn over(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(self.silent());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_conf::Speaks;

    #[test]
    fn each_state_has_its_limit() {
        let mut link = Link::of(Speaks::Http);
        link.client_head = Duration::from_secs(10);
        link.idle = Duration::from_secs(60);
        let late = |d: &Doing| d.deadline(&link, None).map(|(_, late)| late);
        let doing = Doing::new(false);
        assert_eq!(late(&doing), Some(Late::Head), "the first head is owed");
        doing.begin();
        assert_eq!(late(&doing), None, "a backend may think");
        doing.wrote(false);
        assert_eq!(late(&doing), Some(Late::Reading));
        doing.wrote(true);
        assert_eq!(late(&doing), None);
        doing.end();
        assert_eq!(late(&doing), Some(Late::Idle));
        let rests = |d: &Doing| d.deadline(&link, Some(Duration::from_secs(1))).map(|(_, l)| l);
        assert_eq!(rests(&doing), Some(Late::Resting));
        doing.read();
        assert_eq!((late(&doing), rests(&doing)), (Some(Late::Head), Some(Late::Head)));
        let h2 = Doing::new(true);
        h2.begin();
        h2.gave();
        assert_eq!(late(&h2), Some(Late::Reading), "bytes wait for it");
        h2.end();
        assert_eq!(late(&h2), Some(Late::Reading), "the rest of a complete response too");
        h2.gone();
        h2.read();
        assert_eq!(late(&h2), Some(Late::Idle), "a ping is no head");
    }

    /// Waits until a time is another one than those before.
    fn tick() {
        let before = now_ms();
        while now_ms() == before {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_head_that_came_in_part_is_owed_since_the_response_before() {
        let mut link = Link::of(Speaks::Http);
        link.client_head = Duration::from_secs(10);
        let doing = Doing::new(false);
        let at = || doing.deadline(&link, Some(Duration::from_secs(1))).expect("a limit");
        doing.begin();
        doing.end();
        tick();
        let now = Instant::now();
        tick();
        doing.left();
        let (end, late) = at();
        assert_eq!(late, Late::Head);
        assert!(end < now + link.client_head);
        doing.read();
        assert_eq!(at().0, end, "more of it changes nothing");
    }

    #[test]
    fn what_a_client_still_has_to_take_is_no_idleness() {
        let link = Link::of(Speaks::Http);
        let at = |d: &Doing| d.deadline(&link, Some(Duration::from_secs(1))).expect("a limit");
        let doing = Doing::new(false);
        doing.begin();
        doing.end();
        tick();
        doing.wrote(false);
        assert_eq!(at(&doing).1, Late::Reading, "its last bytes wait");
        tick();
        let now = Instant::now();
        tick();
        doing.wrote(true);
        let (end, late) = at(&doing);
        assert_eq!(late, Late::Resting);
        assert!(end > now + Duration::from_secs(1), "it had something to do until now");
        // A backend was silent for long before it gave something.
        let h2 = Doing::new(true);
        h2.begin();
        tick();
        let now = Instant::now();
        tick();
        h2.gave();
        assert!(at(&h2).0 > now + link.idle);
        tick();
        let now = Instant::now();
        tick();
        h2.gave();
        assert!(at(&h2).0 < now + link.idle, "another piece moves nothing");
        h2.took();
        assert!(at(&h2).0 > now + link.idle);
        h2.gone();
        h2.end();
        assert_eq!(at(&h2).1, Late::Reading, "one is left");
        h2.gone();
        assert_eq!(at(&h2).1, Late::Resting);
    }
}
