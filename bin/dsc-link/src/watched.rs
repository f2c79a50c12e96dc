//! A client's stream that tells what it does, and that is reset where only that can tell the client that something is missing.

use crate::limits::Doing;
use hyper::body::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What lies on TCP.
pub(crate) trait OnTcp {
    /// The connection below.
    fn tcp(&self) -> &TcpStream;
}

impl<S: OnTcp> OnTcp for TlsStream<S> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0.tcp()
    }
}

/// A stream, and what is known of it.
pub(crate) struct Watched<S: OnTcp> {
    stream: S,
    doing: Arc<Doing>,
    /// Was read, and is read again.
    unread: Bytes,
}

impl<S: OnTcp> Watched<S> {
    pub fn new(stream: S, doing: Arc<Doing>) -> Watched<S> {
        Watched { stream, doing, unread: Bytes::new() }
    }

    /// These bytes are read again: they were read too early to be known as the begin of a head.
    pub fn unread(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.doing.left();
        }
        self.unread = bytes;
    }

    /// Waits until something may be read.
    pub async fn more(&self) -> io::Result<()> {
        if !self.unread.is_empty() {
            return Ok(());
        }
        self.stream.tcp().readable().await
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(_)) => self.doing.wrote(true),
            Poll::Pending => self.doing.wrote(false),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl<S: OnTcp> Drop for Watched<S> {
    fn drop(&mut self) {
        if self.doing.is_reset() {
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}

impl<S: AsyncRead + OnTcp + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let count = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.doing.read();
        }
        result
    }
}

impl<S: AsyncWrite + OnTcp + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        match result {
            Poll::Ready(Ok(())) => self.doing.wrote(true),
            Poll::Pending => self.doing.wrote(false),
            Poll::Ready(Err(_)) => {}
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
