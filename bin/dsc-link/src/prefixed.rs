//! A client's stream of which some bytes were read to know what it speaks; they are read again by those who serve it.

use crate::watched::OnTcp;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Read at once.
const PIECE: usize = 1024;
/// Parts that are no longer together are sent as one piece: that costs less than a list of them.
const GATHER: usize = 2048;
/// What HTTP/2 begins with; no method of HTTP/1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The stream, and what was read of it.
pub(crate) struct Prefixed {
    stream: TcpStream,
    prefix: Vec<u8>,
    at: usize,
}

impl Prefixed {
    pub fn new(stream: TcpStream) -> Prefixed {
        Prefixed { stream, prefix: Vec::new(), at: 0 }
    }

    /// What was read and not taken.
    pub fn seen(&self) -> &[u8] {
        &self.prefix[self.at..]
    }

    /// These bytes are done with.
    pub fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.prefix.len());
    }

    /// Reads more. While nothing comes, nothing but the socket is needed.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` if there is no more.
    pub async fn more(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            let mut piece = [0; PIECE];
            match self.stream.try_read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.prefix.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Does it begin as HTTP/2 does? The rest of the preface is the business of those who serve it.
    ///
    /// # Errors
    /// As [`Prefixed::more`].
    pub async fn is_h2(&mut self) -> io::Result<bool> {
        let enough = 4;
        loop {
            let seen = self.seen();
            let count = seen.len().min(enough);
            if seen[..count] != PREFACE[..count] {
                return Ok(false);
            }
            if count == enough {
                return Ok(true);
            }
            self.more().await?;
        }
    }
}

impl OnTcp for Prefixed {
    fn tcp(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let seen = self.seen();
        if seen.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = seen.len().min(buf.remaining());
        buf.put_slice(&seen[..count]);
        self.skip(count);
        if self.seen().is_empty() {
            (self.prefix, self.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = bufs.iter().map(|b| b.len()).sum();
        if length > GATHER {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        }
        let mut piece = [0; GATHER];
        let mut at = 0;
        for part in bufs {
            piece[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Pin::new(&mut self.stream).poll_write(cx, &piece[..at])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
