//! Connections to the web server that are kept and asked again and again, and how long an answer takes.

use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::services::Ends;
use crate::streams;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest wait for a connection or for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer: the page is a few bytes.
const ANSWER_MAX: usize = 4096;

/// One connection.
pub struct Kept {
    stream: TcpStream,
    request: String,
}

impl Kept {
    /// Connects.
    ///
    /// # Errors
    /// It cannot in time.
    pub fn open(ends: Ends) -> io::Result<Kept> {
        let stream = streams::connected(ends, PATIENCE)?;
        stream.set_nodelay(true)?;
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", ends.to.ip());
        Ok(Kept { stream, request })
    }

    /// Asks for the page and reads all of it.
    ///
    /// # Errors
    /// It does not come in time, or something else does.
    pub fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(self.request.as_bytes())?;
        let (mut answer, mut length) = ([0; ANSWER_MAX], 0);
        while !is_whole(&answer[..length])? {
            match self.stream.read(&mut answer[length..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => length += count,
            }
        }
        Ok(())
    }
}

/// Is it all of a good answer? An error if it can be none.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Ok(false);
    };
    let wrong = || io::Error::new(ErrorKind::InvalidData, String::from_utf8_lossy(answer));
    let mut lines = std::str::from_utf8(&answer[..end]).map_err(|_| wrong())?.lines();
    if !lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 200")) {
        return Err(wrong());
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    let due = end + 4 + length.ok_or_else(wrong)?;
    if answer.len() > due { Err(wrong()) } else { Ok(answer.len() == due) }
}

/// How long answers take on one kept connection, one after the other: of so many, sorted, ns.
///
/// # Errors
/// The client's machine is gone, or the connection broke.
pub fn answer_times(lab: &Lab, ends: Ends, count: usize) -> Result<Vec<u64>> {
    let measure = || {
        let mut connection = Kept::open(ends)?;
        // The way through is new to the first ones.
        (0..count / 10).try_for_each(|_| connection.ask())?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let asked = Instant::now();
            connection.ask()?;
            times.push(asked.elapsed().as_nanos() as u64);
        }
        times.sort_unstable();
        Ok::<_, io::Error>(times)
    };
    lab.space("client")?.inside(|| measure().doing(|| format!("ask {}", ends.to)))
}

/// So many connections, asked once each; they rest until they are dropped.
///
/// # Errors
/// One cannot be opened or is not answered.
pub fn resting(lab: &Lab, to: &[Ends], count: usize) -> Result<Vec<Kept>> {
    let doing = || format!("open {count} connections");
    if to.is_empty() {
        return Err(Error::new(doing(), "no address to open them to"));
    }
    streams::allow_many()?;
    let one = |ends: &Ends| {
        let mut connection = Kept::open(*ends)?;
        connection.ask()?;
        Ok(connection)
    };
    let all = || to.iter().cycle().take(count).map(one).collect::<io::Result<_>>();
    lab.space("client")?.inside(|| all().doing(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_at_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nServer: x\r\n\r\nh1\n";
        for length in 0..answer.len() {
            assert!(!is_whole(&answer[..length]).unwrap(), "{length}");
        }
        assert!(is_whole(answer).unwrap());
        assert!(is_whole(&[answer, &b"x"[..]].concat()).is_err());
        assert!(is_whole(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
