//! What a request is sent on: a connection of its own (HTTP/1.1), or a stream of a connection that many share (HTTP/2).

use crate::limits::Activity;
use crate::upload::Upload;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header;
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri, Version};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::time::Duration;

/// Most requests at once on one connection to a backend; fewer, if it says so.
pub(crate) const STREAMS_MAX: usize = 32;

/// Most requests of one connection, one after the other. Servers have a limit of their own, often 1000; requests on their way when it
/// is reached are lost if they have a body.
const REQUESTS_MAX: usize = 500;

/// What came of a request: its body with the error if nothing of it was sent.
pub(crate) type Sent = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// What a request is sent on.
pub(crate) enum Sender {
    /// A connection.
    Own(http1::SendRequest<Upload>),
    /// A stream of one.
    Stream(Stream),
}

impl Sender {
    /// Sends a request.
    pub async fn send(&mut self, head: Parts, body: Upload) -> Sent {
        match self {
            Sender::Own(sender) => sender.try_send_request(Request::from_parts(head, body)).await,
            Sender::Stream(stream) => {
                let request = Request::from_parts(of_http2(head), body);
                stream.sender.try_send_request(request).await
            }
        }
    }

    /// Nothing came in time: what it is on gets no other request.
    pub fn retire(&self) {
        if let Sender::Stream(stream) = self {
            stream.shared.retired.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection of HTTP/2.
pub(crate) struct Shared {
    sender: http2::SendRequest<Upload>,
    /// Requests that it carries.
    streams: AtomicUsize,
    /// How many it may carry.
    most: AtomicUsize,
    /// How many it has had.
    given: AtomicUsize,
    /// Does one of them have a body? Bodies share what the backend lets come: one that is not read would hold up the others.
    uploads: AtomicBool,
    retired: AtomicBool,
    /// When the backend said something last.
    heard: Arc<Activity>,
}

impl Shared {
    /// One that was opened now.
    pub fn new(sender: http2::SendRequest<Upload>, heard: Arc<Activity>) -> Arc<Shared> {
        Arc::new(Shared {
            sender,
            streams: AtomicUsize::new(0),
            most: AtomicUsize::new(STREAMS_MAX),
            given: AtomicUsize::new(0),
            uploads: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            heard,
        })
    }

    /// The backend takes so many requests at once.
    pub fn allows(&self, streams: usize) {
        self.most.store(streams.min(STREAMS_MAX), Ordering::Relaxed);
    }

    /// Can another request ever be sent on it?
    pub fn is_open(&self) -> bool {
        let worn = self.given.load(Ordering::Relaxed) >= REQUESTS_MAX;
        !worn && !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// Does it carry nothing?
    pub fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }

    /// For so long the backend has said nothing.
    pub fn silent(&self) -> Duration {
        self.heard.silent()
    }

    /// A stream for one request; none if it carries as many as it may, or another one with a body.
    pub fn stream(self: &Arc<Shared>, upload: bool) -> Option<Sender> {
        let most = self.most.load(Ordering::Relaxed);
        let another = |streams| (streams < most).then_some(streams + 1);
        self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok()?;
        let mut stream =
            Stream { sender: self.sender.clone(), shared: self.clone(), upload: false };
        if upload {
            if self.uploads.swap(true, Ordering::Relaxed) {
                return None;
            }
            stream.upload = true;
        }
        self.given.fetch_add(1, Ordering::Relaxed);
        Some(Sender::Stream(stream))
    }
}

/// One request's part of a shared connection, until it is dropped.
pub(crate) struct Stream {
    sender: http2::SendRequest<Upload>,
    shared: Arc<Shared>,
    upload: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.upload {
            self.shared.uploads.store(false, Ordering::Relaxed);
        }
        self.shared.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The authority of a request's `Host`, if it is one.
pub(crate) fn authority(host: &[u8]) -> Option<Authority> {
    Authority::try_from(host).ok()
}

/// A head as HTTP/2 has it: `Host` is a part of the target (RFC 9113, 8.3.1).
fn of_http2(mut head: Parts) -> Parts {
    head.version = Version::HTTP_2;
    let mut target = head.uri.clone().into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = head.headers.get(header::HOST).and_then(|h| authority(h.as_bytes()));
    if let Ok(uri) = Uri::from_parts(target) {
        head.uri = uri;
        head.headers.remove(header::HOST);
    }
    head
}

/// Did the backend say that it has not begun with a request? Then the request may be sent again, whatever it does
/// (RFC 9113, 8.7).
pub(crate) fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = of_h2(error) else { return false };
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let closing = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || closing)
}

/// Did a stream alone fail, and not the connection?
pub(crate) fn is_of_stream(error: &hyper::Error) -> bool {
    of_h2(error).is_some_and(h2::Error::is_reset)
}

fn of_h2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}
