//! Where a body comes from, why it does not go on from there, and what is needed to go on elsewhere.

use crate::backend::Active;
use crate::sender::Sender;
use dsc_resume::{Resumable, Tail};
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use std::fmt;
use std::net::SocketAddr;

/// The body ended early: the connection or the stream is to end so that the client sees it.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server failed, and no other could go on")
    }
}

impl std::error::Error for Cut {}

/// Why a body does not go on from where it came.
#[derive(Debug)]
pub(crate) enum Cause {
    Broken(hyper::Error),
    Short,
    Long,
    Silent,
    Dead,
    Red,
    Disabled,
    Differs,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Broken(e) => write!(f, "{e}"),
            Cause::Short => f.write_str("it ended early"),
            Cause::Long => f.write_str("it is longer than announced"),
            Cause::Silent => f.write_str("it is silent"),
            Cause::Dead => f.write_str("it is silent, and nobody else can go on"),
            Cause::Red => f.write_str("it is red and silent"),
            Cause::Disabled => f.write_str("it is disabled"),
            Cause::Differs => f.write_str("it has other bytes where some were fetched again"),
        }
    }
}

/// Where the body comes from now.
pub(crate) struct Source {
    pub body: Incoming,
    pub sender: Option<Sender>,
    pub active: Active,
    /// Of what comes first, so many bytes went to the client already.
    pub overlap: usize,
    /// So many must still come; none if only the end tells.
    pub left: Option<u64>,
}

impl Source {
    /// An exact answer to a request for the rest.
    pub fn rest(
        body: Incoming,
        sender: Sender,
        active: Active,
        overlap: usize,
        length: u64,
    ) -> Source {
        Source { body, sender: Some(sender), active, overlap, left: Some(length) }
    }

    /// Did a stream that ended not come to its end? One that is reset without an error gives no other sign.
    pub fn is_cut(&self) -> bool {
        matches!(self.sender, Some(Sender::Stream(_))) && !self.body.is_end_stream()
    }

    /// Has all come? Where the length is known, that counts, whatever the backend does next.
    pub fn is_complete(&self) -> bool {
        self.left.map_or_else(|| self.body.is_end_stream(), |left| left == 0)
    }
}

/// What is needed to go on elsewhere.
pub(crate) struct Resume {
    pub resumable: Resumable,
    pub head: Parts,
    pub verify: u32,
    pub tail: Tail,
    pub refused: Vec<SocketAddr>,
    /// Bytes that had gone at the last break, and breaks since then.
    pub barren: (u64, u32),
}

impl Resume {
    /// Of the response to a request.
    pub fn new(resumable: Resumable, head: Parts, verify: u32) -> Resume {
        let tail = Tail::new(resumable.overlap(verify) as usize);
        Resume { resumable, head, verify, tail, refused: Vec::new(), barren: (0, 0) }
    }
}
