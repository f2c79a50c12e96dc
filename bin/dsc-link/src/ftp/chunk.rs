//! Bytes on their way from one data connection to another: read when the ones before have gone.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that are read at once.
const SIZE: usize = 64 * 1024;

/// What happened to them.
pub(super) enum Passed {
    /// So many were read; none at the end.
    Read(io::Result<usize>),
    /// Some were sent.
    Sent(io::Result<()>),
}

/// The bytes.
pub(super) struct Chunk {
    bytes: Vec<u8>,
    /// So many of them went.
    gone: usize,
}

impl Chunk {
    pub(super) fn new() -> Chunk {
        Chunk { bytes: Vec::with_capacity(SIZE), gone: 0 }
    }

    /// Have all gone?
    pub(super) fn is_drained(&self) -> bool {
        self.gone == self.bytes.len()
    }

    /// What has still to go; all of what was just read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    /// Only the last of them go.
    pub(super) fn keep(&mut self, last: usize) {
        self.gone = self.bytes.len().saturating_sub(last);
    }

    /// Sends, or reads if all have gone and there may be more. May be given up at any time.
    pub(super) async fn pass(
        &mut self,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        is_more: bool,
    ) -> Passed {
        if !self.is_drained() {
            let sent = sink.write(&self.bytes[self.gone..]).await;
            return Passed::Sent(sent.map(|sent| self.gone += sent));
        }
        if !is_more {
            return std::future::pending().await;
        }
        self.bytes.clear();
        self.gone = 0;
        Passed::Read(source.read_buf(&mut self.bytes).await)
    }
}
