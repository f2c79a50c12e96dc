//! The body of a request on its way to a backend.

use crate::limits::Activity;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::time::{Duration, Sleep};

/// A body, or none.
pub(crate) enum Upload {
    /// None.
    Empty,
    /// What the client sends; it may pause for so long.
    Of {
        /// From the client.
        incoming: Incoming,
        /// By HTTP/2, where a stream that is reset without an error gives no other sign than that it has not come to its end.
        is_stream: bool,
        /// Longest pause.
        idle: Duration,
        /// Runs while nothing comes.
        pause: Option<Pin<Box<Sleep>>>,
        /// Told while it goes on.
        progress: Arc<Progress>,
    },
}

impl Upload {
    /// What follows a request's head.
    pub fn of(incoming: Incoming, is_stream: bool, idle: Duration) -> Upload {
        if incoming.is_end_stream() {
            Upload::Empty
        } else {
            Upload::Of { incoming, is_stream, idle, pause: None, progress: Arc::default() }
        }
    }

    /// How it goes on.
    pub fn progress(&self) -> Arc<Progress> {
        match self {
            Upload::Empty => Arc::default(),
            Upload::Of { progress, .. } => progress.clone(),
        }
    }
}

/// How a request's body goes on.
#[derive(Default)]
pub(crate) struct Progress {
    /// When something came last; the client is awaited, and nobody else, while nothing does.
    pub passed: Activity,
    /// Why the client did not send it to its end.
    pub broken: OnceLock<Broken>,
}

/// What a client did with a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It went away, or what came was no body.
    Gone,
    /// It paused for too long.
    Slow,
}

/// Why a request's body ended early; the connection to the backend ends with it.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The client's connection failed.
    Client(hyper::Error),
    /// The client gave it up.
    Cut,
    /// The client paused for too long.
    Slow,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UploadError::Client(e) => write!(f, "the client's body: {e}"),
            UploadError::Cut => f.write_str("the client's body: it was given up"),
            UploadError::Slow => f.write_str("the client's body: it pauses for too long"),
        }
    }
}

impl std::error::Error for UploadError {}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Upload::Of { incoming, is_stream, idle, pause, progress } = self.get_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) {
            *pause = None;
            progress.passed.now();
            if frame.is_none() && *is_stream && !incoming.is_end_stream() {
                let _ = progress.broken.set(Broken::Gone);
                return Poll::Ready(Some(Err(UploadError::Cut)));
            }
            let gone = |e| {
                let _ = progress.broken.set(Broken::Gone);
                UploadError::Client(e)
            };
            return Poll::Ready(frame.map(|f| f.map_err(gone)));
        }
        progress.passed.pause();
        let pause = pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(*idle)));
        ready!(pause.as_mut().poll(cx));
        let _ = progress.broken.set(Broken::Slow);
        Poll::Ready(Some(Err(UploadError::Slow)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Of { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::Empty => SizeHint::with_exact(0),
            Upload::Of { incoming, .. } => incoming.size_hint(),
        }
    }
}
