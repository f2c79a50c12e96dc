//! Whole downloads from the machine `client`, some hundred at once, until each has come to its end: every byte is compared with
//! the one that belongs to its place. Each has a thread of its own; how fast they come is the server's matter.

use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::nginx::{self, PACED, PACED_BYTES};
use crate::services::Ends;
use crate::{streams, wait};
use std::io::{ErrorKind, Read};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Most at once.
pub const TRANSFERS_MAX: usize = 1_000;
/// A client waits so long for a connection, or for more bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one read, and longest head of an answer.
const READ_MAX: usize = 16 * 1024;

/// What has become of them so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were asked for.
    pub asked: usize,
    /// How many bring bytes.
    pub running: usize,
    /// How many had all bytes, none of them wrong.
    pub complete: usize,
    /// How many ended early, fell silent, were reset or not answered, or had wrong bytes.
    pub broken: usize,
    /// Bytes that belong to another place or to nothing.
    pub wrong_bytes: usize,
    /// The latest that broke, in words.
    pub latest: Option<String>,
}

#[derive(Default)]
struct Shared {
    /// Those that bring bytes.
    running: Vec<bool>,
    complete: usize,
    broken: usize,
    wrong_bytes: usize,
    latest: Option<String>,
}

impl Shared {
    fn broke(&mut self, how: &str) {
        self.broken += 1;
        self.latest = Some(how.to_owned());
    }
}

/// Downloads at work; none is left when this value has been dropped.
pub struct Transfers {
    shared: Arc<Mutex<Shared>>,
    threads: Vec<JoinHandle<()>>,
}

impl Transfers {
    /// Begins so many downloads of [`PACED`], spread over these addresses.
    ///
    /// # Errors
    /// Too many, no address, or no thread is left.
    pub fn start(lab: &Lab, to: &[Ends], count: usize) -> Result<Transfers> {
        let doing = || format!("start {count} downloads");
        if to.is_empty() || count > TRANSFERS_MAX {
            return Err(Error::new(doing(), format!("at most {TRANSFERS_MAX}, to some address")));
        }
        streams::allow_many()?;
        let expected: Arc<[u8]> = nginx::slow_bytes()[..PACED_BYTES].into();
        let shared = Shared { running: vec![false; count], ..Shared::default() };
        let shared = Arc::new(Mutex::new(shared));
        let mut threads = Vec::new();
        for (number, ends) in to.iter().copied().cycle().take(count).enumerate() {
            let (space, shared) = (lab.space("client")?.clone(), shared.clone());
            let one = One { number, shared, expected: expected.clone() };
            let run = move || match space.enter_net() {
                Ok(()) => one.run(ends),
                Err(error) => lock(&one.shared).broke(&error.to_string()),
            };
            let thread = std::thread::Builder::new().name("transfer".into()).spawn(run);
            threads.push(thread.doing(doing)?);
        }
        Ok(Transfers { shared, threads })
    }

    /// What has become of them so far.
    pub fn tally(&self) -> Tally {
        let shared = lock(&self.shared);
        Tally {
            asked: shared.running.len(),
            running: shared.running.iter().filter(|runs| **runs).count(),
            complete: shared.complete,
            broken: shared.broken,
            wrong_bytes: shared.wrong_bytes,
            latest: shared.latest.clone(),
        }
    }

    /// Waits until all of them bring bytes.
    ///
    /// # Errors
    /// One has ended, or they do not in this time.
    pub fn wait_running(&self, limit_ms: u64) -> Result<()> {
        let tally = wait::until("all downloads are under way", limit_ms, || {
            let tally = self.tally();
            let ended = tally.broken + tally.complete > 0;
            (ended || tally.running == tally.asked).then_some(tally)
        })?;
        match tally.running == tally.asked {
            true => Ok(()),
            false => Err(Error::new("see all downloads under way", format!("{tally:?}"))),
        }
    }

    /// Waits for the end of all of them.
    ///
    /// # Errors
    /// Not in this time.
    pub fn wait_ended(&self, limit_ms: u64) -> Result<Tally> {
        let ended = wait::until("all downloads have ended", limit_ms, || {
            let tally = self.tally();
            (tally.complete + tally.broken == tally.asked).then_some(tally)
        });
        ended.map_err(|error| Error::new(error, format!("{:?}", self.tally())))
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been printed; no client waits longer than its patience for anything.
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// One download.
struct One {
    number: usize,
    shared: Arc<Mutex<Shared>>,
    expected: Arc<[u8]>,
}

/// What came of a body.
struct Body<'a> {
    expected: &'a [u8],
    at: usize,
    wrong: usize,
}

impl Body<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let rest = self.expected.get(self.at..).unwrap_or_default();
        if !rest.starts_with(bytes) {
            let right = bytes.iter().zip(rest).filter(|(came, due)| came == due).count();
            self.wrong += bytes.len() - right;
        }
        self.at += bytes.len();
    }

    fn end(&self) -> std::io::Result<()> {
        match self.at == self.expected.len() && self.wrong == 0 {
            true => Ok(()),
            false => Err(std::io::Error::other(format!("ended, {} bytes wrong", self.wrong))),
        }
    }
}

impl One {
    fn run(&self, ends: Ends) {
        let mut body = Body { expected: &self.expected, at: 0, wrong: 0 };
        let result = self.download(ends, &mut body).and_then(|()| body.end());
        let mut shared = lock(&self.shared);
        shared.running[self.number] = false;
        shared.wrong_bytes += body.wrong;
        match result {
            Ok(()) => shared.complete += 1,
            Err(error) => shared.broke(&format!("{} after {} bytes: {error}", ends.to, body.at)),
        }
    }

    fn download(&self, ends: Ends, body: &mut Body) -> std::io::Result<()> {
        let mut stream = streams::ask(ends, PACED, PATIENCE)?;
        body.take(&head(&mut stream, self.expected.len())?);
        let mut buffer = [0; READ_MAX];
        loop {
            lock(&self.shared).running[self.number] = body.at > 0;
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => body.take(&buffer[..count]),
            }
        }
    }
}

/// Reads the head of the answer, which must be a whole file's; returns what came of the body with it.
fn head(stream: &mut impl Read, length: usize) -> std::io::Result<Vec<u8>> {
    let (mut came, mut buffer) = (Vec::new(), [0; READ_MAX]);
    loop {
        if let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = came.split_off(end + 4);
            let head = String::from_utf8_lossy(&came).to_ascii_lowercase();
            let whole = head.contains(&format!("\r\ncontent-length: {length}\r\n"));
            return match head.starts_with("http/1.1 200 ") && whole {
                true => Ok(body),
                false => Err(std::io::Error::other(head)),
            };
        }
        match stream.read(&mut buffer)? {
            count if count > 0 && came.len() < READ_MAX => came.extend_from_slice(&buffer[..count]),
            _ => return Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_right_only_at_their_place() {
        let expected = nginx::slow_bytes();
        let expected = &expected[..100];
        let took = |parts: &[&[u8]]| {
            let mut body = Body { expected, at: 0, wrong: 0 };
            parts.iter().for_each(|part| body.take(part));
            (body.wrong, body.end().is_ok())
        };
        assert_eq!(took(&[&expected[..30], &expected[30..]]), (0, true));
        assert_eq!(took(&[&expected[..99]]), (0, false));
        assert_eq!(took(&[expected, &[7]]), (1, false));
        let (wrong, whole) = took(&[&expected[..50], &expected[49..99]]);
        assert!(wrong > 40 && !whole, "{wrong}");
    }

    #[test]
    fn only_a_whole_file_is_an_answer() {
        let read = |text: &str| head(&mut text.as_bytes(), 3);
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap(), b"ab");
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nEtag: x\r\n\r\n").unwrap(), b"");
        for text in [
            "HTTP/1.1 502 No\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
