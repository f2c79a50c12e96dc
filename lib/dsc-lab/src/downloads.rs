//! Live downloads by the thousand, to the machine `client` or to a host behind: one thread opens them, reads what comes, compares every
//! byte, and notes for each connection how much later than its pace bytes came. What broke is counted and never
//! opened again.

use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::nginx::{self, SLOW_BYTES};
use crate::pace::Pace;
use crate::services::{self, Ends};
use crate::streams::{self, Ready};
use crate::{clock, wait};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Most downloads at once: each is a socket, and the machine's hard limit of open files is 20,000 here.
pub const CONNECTIONS_MAX: usize = 15_000;
/// A download that is silent for so long beyond its pace is broken: that long a client waits.
pub const PATIENCE_MS: u64 = 10_000;
/// Most connections that are being opened at once: fewer than a server's queue holds.
const OPENING_MAX: usize = 256;
/// Between two looks at the sockets: few wake-ups, and no figure is finer than this.
const TICK_NS: u64 = 2_000_000;
/// Bytes of one read, and longest head of an answer.
const READ_MAX: usize = 16 * 1024;

/// What happened to the downloads since the last [`Downloads::mark`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// How many were asked for.
    pub connections: usize,
    /// How many bring bytes, or are complete.
    pub live: usize,
    /// How many ended early, brought wrong bytes, could not be opened, were reset, or fell silent for good.
    pub broken: usize,
    /// How many of these were reset.
    pub reset: usize,
    /// Longest pause of any that lives: how much later than its pace its bytes came, ms.
    pub longest_ms: f64,
    /// Median over the connections of each one's longest pause, ms.
    pub median_ms: f64,
    /// The latest that broke, in words.
    pub latest: Option<String>,
}

/// Downloads at work; they end with this value.
pub struct Downloads {
    pace: Pace,
    stop: Arc<AtomicBool>,
    flows: Arc<Mutex<Flows>>,
    thread: Option<JoinHandle<()>>,
}

/// All of them, with what broke since the last mark.
#[derive(Default)]
struct Flows {
    all: Vec<Flow>,
    opening: usize,
    broken: usize,
    reset: usize,
    latest: Option<String>,
}

struct Flow {
    ends: Ends,
    /// None before it is opened and after it ended.
    stream: Option<TcpStream>,
    stage: Stage,
    /// When its latest bytes came, wall clock ns.
    last_ns: u64,
    /// Its longest pause, ns.
    late_ns: u64,
}

#[derive(PartialEq)]
enum Stage {
    Unopened,
    Connecting,
    /// The head of the answer as far as it has come.
    Head(Vec<u8>),
    /// Bytes of the body that have come.
    Body(usize),
    Complete,
    Broken,
}

impl Downloads {
    /// Begins so many downloads, spread over these addresses. [`Downloads::wait_live`] waits until they flow.
    ///
    /// # Errors
    /// Too many, no address, or the client's machine is gone.
    pub fn start(lab: &Lab, to: &[Ends], count: usize, pace: Pace) -> Result<Downloads> {
        let doing = || format!("start {count} downloads");
        if to.is_empty() || count > CONNECTIONS_MAX {
            return Err(Error::new(doing(), format!("at most {CONNECTIONS_MAX}, to some address")));
        }
        streams::allow_many()?;
        let space = lab.space(&services::opener(to))?.clone();
        let flow = |ends: &Ends| Flow {
            ends: *ends,
            stream: None,
            stage: Stage::Unopened,
            last_ns: 0,
            late_ns: 0,
        };
        let all = to.iter().cycle().take(count).map(flow).collect();
        let flows = Arc::new(Mutex::new(Flows { all, ..Flows::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            pace,
            stop: stop.clone(),
            flows: flows.clone(),
            expected: nginx::slow_bytes(),
            buffer: vec![0; READ_MAX],
        };
        let ready = Ready::new()?;
        let thread = std::thread::Builder::new()
            .name("downloads".into())
            .spawn(move || match space.enter_net() {
                Ok(()) => reader.run(ready),
                Err(error) => eprintln!("dsc-lab: {error}"),
            })
            .doing(doing)?;
        Ok(Downloads { pace, stop, flows, thread: Some(thread) })
    }

    /// Waits until every download has brought bytes.
    ///
    /// # Errors
    /// One broke, or they do not in this time.
    pub fn wait_live(&self, limit_ms: u64) -> Result<()> {
        let result = wait::until("all downloads are live", limit_ms, || {
            let report = self.report();
            (report.broken > 0 || report.live == report.connections).then_some(report)
        });
        match result {
            Ok(report) if report.broken == 0 => Ok(()),
            Ok(report) => Err(Error::new("begin downloads", format!("{report:?}"))),
            Err(error) => Err(Error::new(error, format!("{:?}", self.report()))),
        }
    }

    /// Forgets pauses and what broke until now: the next report begins here.
    pub fn mark(&self) {
        let mut flows = lock(&self.flows);
        flows.all.iter_mut().for_each(|f| f.late_ns = 0);
        (flows.broken, flows.reset, flows.latest) = (0, 0, None);
    }

    /// What happened since the last mark. A pause that is not over counts with its length until now.
    pub fn report(&self) -> Report {
        let mut flows = lock(&self.flows);
        let now_ns = clock::now_ns();
        flows.give_up_silent(self.pace, now_ns);
        let mut late: Vec<u64> = flows
            .all
            .iter()
            .filter(|f| f.is_live())
            .map(|f| f.late_ns.max(f.overdue_ns(self.pace, now_ns)))
            .collect();
        late.sort_unstable();
        let ms = |ns: Option<&u64>| ns.map_or(0.0, |ns| *ns as f64 / 1e6);
        Report {
            connections: flows.all.len(),
            live: late.len(),
            broken: flows.broken,
            reset: flows.reset,
            longest_ms: ms(late.last()),
            median_ms: ms(late.get(late.len() / 2)),
            latest: flows.latest.clone(),
        }
    }

    /// Has every download that is not broken brought its latest bytes in time, give or take `slack_ms`?
    pub fn flowing(&self, slack_ms: u64) -> bool {
        let mut flows = lock(&self.flows);
        let now_ns = clock::now_ns();
        flows.give_up_silent(self.pace, now_ns);
        let slack_ns = slack_ms * 1_000_000;
        flows.all.iter().all(|f| f.overdue_ns(self.pace, now_ns) <= slack_ns)
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed; nothing reads the flows after this.
            let _ = thread.join();
        }
    }
}

fn lock(flows: &Mutex<Flows>) -> MutexGuard<'_, Flows> {
    flows.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Flow {
    fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Body(1..) | Stage::Complete)
    }

    /// How long its next bytes are overdue.
    fn overdue_ns(&self, pace: Pace, now_ns: u64) -> u64 {
        match self.stage {
            Stage::Head(_) | Stage::Body(_) => {
                now_ns.saturating_sub(self.last_ns + pace.every_ms() * 1_000_000)
            }
            _ => 0,
        }
    }
}

impl Flows {
    /// Those that have been silent for longer than a client waits are broken.
    fn give_up_silent(&mut self, pace: Pace, now_ns: u64) {
        for number in 0..self.all.len() {
            if self.all[number].overdue_ns(pace, now_ns) > PATIENCE_MS * 1_000_000 {
                self.broke(number, "silent", false);
            }
        }
    }

    fn broke(&mut self, number: usize, how: &str, reset: bool) {
        let Some(flow) = self.all.get_mut(number) else { return };
        self.opening -= usize::from(flow.stage == Stage::Connecting);
        self.latest = Some(format!("download from {}: {how}", flow.ends.to));
        flow.stage = Stage::Broken;
        flow.stream = None;
        self.broken += 1;
        self.reset += usize::from(reset);
    }

    fn failed(&mut self, number: usize, error: &std::io::Error) {
        self.broke(number, &error.to_string(), streams::is_reset(error));
    }
}

/// The thread's own.
struct Reader {
    pace: Pace,
    stop: Arc<AtomicBool>,
    flows: Arc<Mutex<Flows>>,
    expected: Vec<u8>,
    buffer: Vec<u8>,
}

impl Reader {
    fn run(mut self, mut ready: Ready) {
        clock::go_ahead();
        let shared = self.flows.clone();
        let start_ns = clock::now_ns();
        let count = lock(&shared).all.len();
        let opening_ns = self.pace.opening_ns(count);
        let mut unopened = 0;
        while !self.stop.load(Ordering::Relaxed) {
            clock::sleep_until(clock::now_ns() + TICK_NS);
            let passed_ns = clock::now_ns().saturating_sub(start_ns).min(opening_ns);
            let due = (u128::from(passed_ns) * count as u128).div_ceil(u128::from(opening_ns));
            let mut flows = lock(&shared);
            while flows.opening < OPENING_MAX && (unopened as u128) < due {
                open(&mut flows, unopened, &ready);
                unopened += 1;
            }
            loop {
                let (numbers, full) = ready.now();
                let now_ns = clock::now_ns();
                for number in numbers {
                    self.step(&mut flows, number, now_ns, &ready);
                }
                if !full {
                    break;
                }
            }
        }
    }

    /// Does what one connection is ready for.
    fn step(&mut self, flows: &mut Flows, number: usize, now_ns: u64, ready: &Ready) {
        let Some(flow) = flows.all.get_mut(number) else { return };
        let Some(stream) = &mut flow.stream else { return };
        let result = if flow.stage == Stage::Connecting {
            let asked = stream.take_error().and_then(|error| match error {
                Some(error) => Err(error),
                None => ask(stream, self.pace.path(), flow.ends.to),
            });
            asked.and_then(|()| ready.for_bytes(stream, number)).map(|()| None)
        } else {
            stream.read(&mut self.buffer).map(Some)
        };
        match result {
            Ok(None) => {
                (flow.stage, flow.last_ns) = (Stage::Head(Vec::new()), now_ns);
                flows.opening -= 1;
            }
            Ok(Some(0)) => flows.broke(number, "ended early", false),
            Ok(Some(count)) => {
                flow.late_ns = flow.late_ns.max(flow.overdue_ns(self.pace, now_ns));
                flow.last_ns = now_ns;
                if let Err(how) = take(flow, &self.buffer[..count], &self.expected) {
                    flows.broke(number, &how, false);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => flows.failed(number, &error),
        }
    }
}

fn open(flows: &mut Flows, number: usize, ready: &Ready) {
    let flow = &mut flows.all[number];
    let opened = streams::open(flow.ends)
        .and_then(|stream| ready.until_connected(&stream, number).map(|()| stream));
    match opened {
        Ok(stream) => {
            (flow.stream, flow.stage) = (Some(stream), Stage::Connecting);
            flows.opening += 1;
        }
        Err(error) => flows.failed(number, &error),
    }
}

/// A request fits into an empty send buffer.
fn ask(stream: &mut TcpStream, path: &str, to: SocketAddr) -> std::io::Result<()> {
    let text = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", to.ip());
    stream.write_all(text.as_bytes())
}

/// Takes what came; says what is wrong with it.
fn take(flow: &mut Flow, bytes: &[u8], expected: &[u8]) -> std::result::Result<(), String> {
    let (offset, rest) = match &mut flow.stage {
        Stage::Head(head) => {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
                let too_long = head.len() > READ_MAX;
                return if too_long { Err("a head without an end".into()) } else { Ok(()) };
            };
            let body = head.split_off(end + 4);
            let head = String::from_utf8_lossy(head);
            let length = format!("Content-Length: {SLOW_BYTES}");
            if !head.starts_with("HTTP/1.1 200") || !head.contains(&length) {
                return Err(format!("answered with {head}"));
            }
            (0, body)
        }
        Stage::Body(received) => (*received, bytes.to_vec()),
        _ => return Err("bytes after the end".into()),
    };
    let end = offset + rest.len();
    if expected.get(offset..end) != Some(&rest[..]) {
        return Err(format!("wrong bytes between {offset} and {end}"));
    }
    flow.stage = Stage::Body(end);
    if end == expected.len() {
        (flow.stage, flow.stream) = (Stage::Complete, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(stage: Stage) -> Flow {
        let ends = Ends { from: None, to: SocketAddr::from(([10, 1, 0, 100], 8080)) };
        Flow { ends, stream: None, stage, last_ns: 0, late_ns: 0 }
    }

    #[test]
    fn a_wrong_byte_is_noticed_wherever_it_is() {
        let expected = nginx::slow_bytes();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SLOW_BYTES}\r\n\r\n");
        let mut one = flow(Stage::Head(Vec::new()));
        let (first, second) = head.split_at(20);
        take(&mut one, first.as_bytes(), &expected).unwrap();
        assert!(!one.is_live());
        take(&mut one, &[second.as_bytes(), &expected[..7]].concat(), &expected).unwrap();
        assert!(one.stage == Stage::Body(7) && one.is_live());
        take(&mut one, &expected[7..1000], &expected).unwrap();
        // What belongs to another place of the same file.
        assert!(take(&mut one, &expected[1001..1100], &expected).is_err());
        let mut last = flow(Stage::Body(SLOW_BYTES - 3));
        take(&mut last, &expected[SLOW_BYTES - 3..], &expected).unwrap();
        assert!(last.stage == Stage::Complete);
        let mut beyond = flow(Stage::Body(SLOW_BYTES - 3));
        assert!(take(&mut beyond, &expected[SLOW_BYTES - 4..], &expected).is_err());
    }

    #[test]
    fn another_answer_is_no_download() {
        let expected = nginx::slow_bytes();
        for head in ["HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"] {
            assert!(take(&mut flow(Stage::Head(Vec::new())), head.as_bytes(), &expected).is_err());
        }
    }

    #[test]
    fn a_pause_is_what_exceeds_the_pace() {
        let mut one = flow(Stage::Body(10));
        one.last_ns = 5_000_000_000;
        assert_eq!(one.overdue_ns(Pace::Slow, 5_900_000_000), 0);
        assert_eq!(one.overdue_ns(Pace::Slow, 6_300_000_000), 300_000_000);
        assert_eq!(flow(Stage::Broken).overdue_ns(Pace::Slow, 6_300_000_000), 0);
    }
}
