//! Bytes of a response that were handed to HTTP: they tell when the client's connection takes them, and when they are gone.

use crate::limits::Doing;
use bytes::{Buf, Bytes};
use std::sync::Arc;

/// Some bytes of a body.
pub(crate) struct Piece {
    bytes: Bytes,
    /// With HTTP/1 what can be sent tells enough: there is one response at a time.
    told: Option<Arc<Doing>>,
}

impl Piece {
    /// For the client of this connection.
    pub fn new(bytes: Bytes, doing: &Arc<Doing>) -> Piece {
        let told = doing.is_h2().then(|| doing.clone());
        if let Some(doing) = &told {
            doing.gave();
        }
        Piece { bytes, told }
    }

    /// A short one, of our own.
    pub fn short(bytes: Bytes) -> Piece {
        Piece { bytes, told: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(doing) = &self.told {
            doing.took();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(doing) = &self.told {
            doing.gone();
        }
    }
}
