//! The body of a response to a client: a backend's, or a line of our own.

use crate::limits::Doing;
use crate::piece::Piece;
use crate::pump::Pump;
use crate::source::Cut;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A request that is being answered, until the value is dropped.
pub(crate) struct Running(Arc<Doing>);

impl Running {
    /// Its head is complete.
    pub fn begin(doing: &Arc<Doing>) -> Running {
        doing.begin();
        Running(doing.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A body.
pub(crate) enum Reply {
    /// A line of our own.
    Line(Option<Bytes>),
    /// A backend's.
    Pump(Box<Pump>),
}

/// An answer of our own; the connection ends with it if the request may not have come to its end.
pub(crate) fn line(status: StatusCode, what: &str, close: bool) -> Response<Reply> {
    let text = format!("{status}: {what}\n");
    let mut response = Response::new(Reply::Line(Some(text.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Body for Reply {
    type Data = Piece;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Cut>>> {
        match self.get_mut() {
            Reply::Line(line) => Poll::Ready(line.take().map(|l| Ok(Frame::data(Piece::short(l))))),
            Reply::Pump(pump) => {
                let frame = ready!(pump.poll_frame(cx));
                Poll::Ready(frame.map(|f| f.map(|f| f.map_data(|d| Piece::new(d, pump.doing())))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Line(line) => line.is_none(),
            Reply::Pump(pump) => pump.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Line(line) => SizeHint::with_exact(line.as_ref().map_or(0, |l| l.len() as u64)),
            Reply::Pump(pump) => pump.size_hint(),
        }
    }
}
