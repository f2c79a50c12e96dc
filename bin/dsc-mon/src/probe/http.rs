//! A page: asked for, and judged by its status and by a text in it. Bounded in what it reads.

use super::reason;
use dsc_wire::Reason;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most bytes of an answer that are read: a server that answers for ever costs no more.
const ANSWER_MAX: usize = 16 * 1024;
/// Most bytes before the end of an answer's first line.
const LINE_MAX: usize = 256;

/// Asks for `path`, as a client that calls the server `host`, and reads until the answer can be judged.
pub async fn ask(
    stream: &mut TcpStream,
    to: SocketAddr,
    path: &str,
    host: Option<&str>,
    status: &[(u16, u16)],
    body: Option<&str>,
) -> Result<(), Reason> {
    let host = host.map_or_else(|| to.to_string(), str::to_owned);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: dsc-mon\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(reason)?;
    answer(stream, status, body).await
}

/// Reads as much of the answer as is needed to judge it.
async fn answer(
    stream: &mut TcpStream,
    wanted: &[(u16, u16)],
    text: Option<&str>,
) -> Result<(), Reason> {
    let mut bytes = Vec::with_capacity(4096);
    let mut status = None;
    loop {
        let room = ANSWER_MAX - bytes.len();
        let count = stream.take(room as u64).read_buf(&mut bytes).await.map_err(reason)?;
        if status.is_none() {
            status = first_line(&bytes)?;
            if let Some(status) = status
                && !wanted.iter().any(|(low, high)| (*low..=*high).contains(&status))
            {
                return Err(Reason::Status { status });
            }
        }
        let found = text.is_none_or(|text| contains(body(&bytes), text.as_bytes()));
        match status {
            Some(_) if found => return Ok(()),
            None if count == 0 => return Err(Reason::Closed),
            Some(_) if bytes.len() == ANSWER_MAX => return Err(Reason::TooLong),
            Some(_) if count == 0 => return Err(Reason::NoText),
            _ => {}
        }
    }
}

/// The status, if the first line is complete.
fn first_line(bytes: &[u8]) -> Result<Option<u16>, Reason> {
    let Some(end) = bytes.iter().take(LINE_MAX).position(|b| *b == b'\n') else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(Reason::NotHttp) };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Reason::NotHttp)?;
    let mut words = line.split_ascii_whitespace();
    let version = words.next().is_some_and(|v| v.starts_with("HTTP/1."));
    let status = words.next().filter(|w| w.len() == 3).and_then(|w| w.parse().ok());
    match status {
        Some(status) if version => Ok(Some(status)),
        _ => Err(Reason::NotHttp),
    }
}

/// What follows the empty line.
fn body(bytes: &[u8]) -> &[u8] {
    let at = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    at.map_or(&[], |at| &bytes[at + 4..])
}

pub(super) fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len().max(1)).any(|w| w == text)
}
