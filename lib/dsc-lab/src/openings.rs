//! New connections at a steady rate, from the machine `client` or from a host behind: each is opened, asks for the page once and is closed. One
//! thread drives them and notes how far each came: a SYN-ACK is a promise that the rest must keep.

use crate::error::{Doing, Error, Result};
use crate::figures::Spread;
use crate::lab::Lab;
use crate::services::{self, Ends};
use crate::streams::{self, Ready};
use crate::{clock, wait};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Highest rate, connections per second: the client's ports last for it.
pub const PER_S_MAX: u32 = 10_000;
/// Most connections under way; what is due beyond is skipped and counted.
const UNDER_WAY_MAX: usize = 12_000;
/// Longest life of one connection: that long a client waits.
const PATIENCE_NS: u64 = 10_000_000_000;
/// Between two looks at the sockets.
const TICK_NS: u64 = 1_000_000;
/// Ticks between two looks for connections whose patience is over.
const SWEEP_TICKS: u64 = 100;
/// Longest answer.
const ANSWER_MAX: usize = 4096;
/// Most connection times kept.
const TIMES_MAX: usize = 2_000_000;

/// How far the connections came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Begun: a SYN was sent.
    pub opened: u64,
    /// Accepted: the SYN-ACK came.
    pub accepted: u64,
    /// Accepted and answered in full.
    pub served: u64,
    /// Accepted and then reset, ended early, answered wrongly, or left without an answer.
    pub broken: u64,
    /// How many of these were reset.
    pub reset: u64,
    /// Never accepted: reset or refused at once.
    pub refused: u64,
    /// Never accepted: no answer to any SYN.
    pub unanswered: u64,
    /// SYNs sent again, all connections together.
    pub syn_retransmits: u64,
    /// Not begun, because too many were under way or no socket was left.
    pub skipped: u64,
    /// The latest failure, in words.
    pub latest: Option<String>,
    /// From SYN to SYN-ACK, µs, each one's.
    connect_us: Vec<u32>,
}

impl Counts {
    /// Time from SYN to SYN-ACK, ms; none if none was accepted.
    pub fn connect_ms(&self) -> Option<Spread> {
        Spread::of(self.connect_us.iter().map(|us| f64::from(*us) / 1e3))
    }
}

/// Connections being opened; they end with this value.
pub struct Openings {
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    thread: Option<JoinHandle<()>>,
}

impl Openings {
    /// Opens so many every second, spread over these addresses, until it is stopped.
    ///
    /// # Errors
    /// No address, a rate that is too high, or the client's machine is gone.
    pub fn start(lab: &Lab, to: &[Ends], per_s: u32) -> Result<Openings> {
        let doing = || format!("open {per_s} connections per second");
        if to.is_empty() || !(1..=PER_S_MAX).contains(&per_s) {
            return Err(Error::new(doing(), format!("1 to {PER_S_MAX}, to some address")));
        }
        streams::allow_many()?;
        let space = lab.space(&services::opener(to))?.clone();
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let opener = Opener {
            to: to.to_vec(),
            per_s,
            stop: stop.clone(),
            counts: Arc::clone(&counts),
            begun: 0,
            under_way: Vec::new(),
            free: Vec::new(),
            ready: Ready::new()?,
        };
        let thread = std::thread::Builder::new()
            .name("openings".into())
            .spawn(move || match space.enter_net() {
                Ok(()) => opener.run(),
                Err(error) => eprintln!("dsc-lab: {error}"),
            })
            .doing(doing)?;
        Ok(Openings { stop, counts, thread: Some(thread) })
    }

    /// What has happened until now.
    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// Waits until so many have been served.
    ///
    /// # Errors
    /// Not in this time.
    pub fn wait_served(&self, count: u64, limit_ms: u64) -> Result<()> {
        wait::until(&format!("{count} connections are served"), limit_ms, || {
            (lock(&self.counts).served >= count).then_some(())
        })
        .map_err(|error| Error::new(error, format!("{:?}", self.counts().latest)))
    }

    /// Opens no more, waits until every connection under way has ended one way or the other, and tells.
    pub fn stop(mut self) -> Counts {
        self.end();
        self.counts()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed; the counts until then stand.
            let _ = thread.join();
        }
    }
}

impl Drop for Openings {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A connection under way.
struct Opening {
    stream: TcpStream,
    to: SocketAddr,
    begun_ns: u64,
    /// The answer as far as it has come; none before the SYN-ACK.
    answer: Option<Vec<u8>>,
}

/// The thread's own.
struct Opener {
    to: Vec<Ends>,
    per_s: u32,
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    begun: u64,
    under_way: Vec<Option<Opening>>,
    free: Vec<usize>,
    ready: Ready,
}

impl Opener {
    fn run(mut self) {
        clock::go_ahead();
        let shared = self.counts.clone();
        let start_ns = clock::now_ns();
        let mut ticks = 0u64;
        loop {
            clock::sleep_until(clock::now_ns() + TICK_NS);
            ticks += 1;
            let stopping = self.stop.load(Ordering::Relaxed);
            if stopping && self.free.len() == self.under_way.len() {
                return;
            }
            let now_ns = clock::now_ns();
            let mut counts = lock(&shared);
            let due = u128::from(now_ns - start_ns) * u128::from(self.per_s) / 1_000_000_000;
            while !stopping && u128::from(self.begun) < due {
                self.begin(&mut counts, now_ns);
            }
            loop {
                let (numbers, full) = self.ready.now();
                let now_ns = clock::now_ns();
                for number in numbers {
                    self.step(&mut counts, number, now_ns);
                }
                if !full {
                    break;
                }
            }
            if ticks.is_multiple_of(SWEEP_TICKS) {
                self.sweep(&mut counts, now_ns);
            }
        }
    }

    fn begin(&mut self, counts: &mut Counts, now_ns: u64) {
        let ends = self.to[self.begun as usize % self.to.len()];
        self.begun += 1;
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.under_way.len() < UNDER_WAY_MAX => {
                self.under_way.push(None);
                self.under_way.len() - 1
            }
            None => {
                counts.skipped += 1;
                return;
            }
        };
        let stream = streams::open(ends)
            .and_then(|stream| self.ready.until_connected(&stream, number).map(|()| stream));
        match stream {
            Ok(stream) => {
                counts.opened += 1;
                self.under_way[number] =
                    Some(Opening { stream, to: ends.to, begun_ns: now_ns, answer: None });
            }
            Err(error) => {
                counts.skipped += 1;
                counts.latest = Some(format!("connection to {}: {error}", ends.to));
                self.free.push(number);
            }
        }
    }

    /// Does what one connection is ready for.
    fn step(&mut self, counts: &mut Counts, number: usize, now_ns: u64) {
        let Some(Some(opening)) = self.under_way.get_mut(number) else { return };
        let result = match &mut opening.answer {
            None => opening.accepted(counts, now_ns, &self.ready, number).map(|()| false),
            Some(answer) => read(&mut opening.stream, answer),
        };
        match result {
            Ok(false) => {}
            Ok(true) => {
                counts.served += 1;
                self.close(number);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.failed(counts, number, &error),
        }
    }

    /// Gives up what has waited too long.
    fn sweep(&mut self, counts: &mut Counts, now_ns: u64) {
        let late = |o: &Opening| now_ns.saturating_sub(o.begun_ns) > PATIENCE_NS;
        let waited: Vec<usize> = (0..self.under_way.len())
            .filter(|n| self.under_way[*n].as_ref().is_some_and(late))
            .collect();
        for number in waited {
            self.failed(counts, number, &ErrorKind::TimedOut.into());
        }
    }

    fn failed(&mut self, counts: &mut Counts, number: usize, error: &std::io::Error) {
        let Some(Some(opening)) = self.under_way.get(number) else { return };
        let sent_again = streams::retransmits(&opening.stream);
        let stage = if opening.answer.is_some() { "accepted" } else { "not accepted" };
        counts.latest = Some(format!("connection to {}, {stage}: {error}", opening.to));
        match (&opening.answer, error.kind()) {
            (Some(_), _) => {
                counts.broken += 1;
                counts.reset += u64::from(streams::is_reset(error));
            }
            (None, ErrorKind::TimedOut) => {
                counts.unanswered += 1;
                counts.syn_retransmits += u64::from(sent_again);
            }
            (None, _) => counts.refused += 1,
        }
        self.close(number);
    }

    fn close(&mut self, number: usize) {
        self.under_way[number] = None;
        self.free.push(number);
    }
}

impl Opening {
    /// The attempt to connect has ended; asks if it was accepted.
    fn accepted(
        &mut self,
        counts: &mut Counts,
        now_ns: u64,
        ready: &Ready,
        number: usize,
    ) -> std::io::Result<()> {
        let error = match self.stream.take_error()? {
            Some(error) => Some(error),
            // A socket that is not connected after all takes no byte yet: it is reported again when it is.
            None => match self.ask() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                asked => asked.err(),
            },
        };
        // A refusal is another error: who is reset had seen a SYN-ACK, though not this thread.
        if error.as_ref().is_none_or(streams::is_reset) {
            self.answer = Some(Vec::new());
            counts.accepted += 1;
            counts.syn_retransmits += u64::from(streams::retransmits(&self.stream));
            if counts.connect_us.len() < TIMES_MAX {
                let us = now_ns.saturating_sub(self.begun_ns) / 1_000;
                counts.connect_us.push(us.try_into().unwrap_or(u32::MAX));
            }
        }
        error.map_or(Ok(()), Err)?;
        ready.for_bytes(&self.stream, number)
    }

    fn ask(&mut self) -> std::io::Result<()> {
        let host = self.to.ip();
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.stream.write_all(text.as_bytes())
    }
}

/// Reads what is there; true when the answer is complete and right.
fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; ANSWER_MAX];
    let count = stream.read(&mut buffer)?;
    answer.extend_from_slice(&buffer[..count]);
    match (count, is_page(answer)) {
        (0, true) => Ok(true),
        (0, false) if answer.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
        (0, false) => {
            let text = String::from_utf8_lossy(answer).into_owned();
            Err(std::io::Error::new(ErrorKind::InvalidData, text))
        }
        _ if answer.len() > ANSWER_MAX => {
            Err(std::io::Error::new(ErrorKind::InvalidData, "an answer without an end"))
        }
        _ => Ok(false),
    }
}

/// Is this a whole answer with the page?
fn is_page(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = format!("Content-Length: {}", body.len());
    head.starts_with("HTTP/1.1 200") && head.lines().any(|l| l == length) && !body.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_page_is_whole_or_none() {
        assert!(is_page(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nh1\n"));
        assert!(!is_page(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nh1"));
        assert!(!is_page(b"HTTP/1.1 503 OK\r\nContent-Length: 3\r\n\r\nh1\n"));
        assert!(!is_page(b""));
    }

    /// Drives one opening to its end.
    fn drive(to: SocketAddr) -> Counts {
        let mut opener = Opener {
            to: vec![Ends { from: None, to }],
            per_s: 1,
            stop: Arc::default(),
            counts: Arc::default(),
            begun: 0,
            under_way: Vec::new(),
            free: Vec::new(),
            ready: Ready::new().unwrap(),
        };
        let mut counts = Counts::default();
        opener.begin(&mut counts, 0);
        wait::until("it ends", 5_000, || {
            for number in opener.ready.now().0 {
                opener.step(&mut counts, number, 1_000_000);
            }
            (opener.free.len() == 1).then_some(())
        })
        .unwrap();
        counts
    }

    /// The same against a server that takes one connection.
    fn served(serve: impl FnOnce(TcpStream) + Send + 'static) -> Counts {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || serve(listener.accept().unwrap().0));
        let counts = drive(to);
        server.join().unwrap();
        counts
    }

    #[test]
    fn each_end_is_counted_as_what_it_is() {
        let page = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nh1\n";
        let answer = |bytes: &'static [u8]| {
            move |mut stream: TcpStream| {
                assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
                stream.write_all(bytes).unwrap();
            }
        };
        let counts = served(answer(page));
        assert_eq!((counts.accepted, counts.served, counts.broken), (1, 1, 0), "{counts:?}");
        assert_eq!(counts.connect_ms().unwrap().max, 1.0);
        let counts = served(answer(&page[..20]));
        assert_eq!((counts.served, counts.broken, counts.reset), (0, 1, 0), "{counts:?}");
        // Closed with an unread request: a reset.
        let counts = served(|stream| {
            assert!(stream.peek(&mut [0; 1]).unwrap() > 0);
        });
        assert_eq!((counts.accepted, counts.broken, counts.reset), (1, 1, 1), "{counts:?}");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let counts = drive(nobody);
        assert_eq!((counts.accepted, counts.refused, counts.broken), (0, 1, 0), "{counts:?}");
    }
}
