//! One request and the head of its answer, with one backend: over a connection that waits, or over a new one.

use crate::backend::{Active, Backend};
use crate::connection::Client;
use crate::dial::{connect, kept};
use crate::limits::Activity;
use crate::sender::{Sender, is_of_stream, is_refused};
use crate::upload::{Broken, Upload};
use dsc_conf::Link;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use tokio::time::{Duration, Instant, timeout};

/// How often one who waits looks whether the backend has become red.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// A request that must not be sent twice goes over a connection that was used so short a time ago, or a new one: the backend
/// may be closing an older one just now.
const FRESH: Duration = Duration::from_secs(1);

/// The head of an answer, and what belongs to its body.
pub(crate) struct Answer {
    pub response: Response<Incoming>,
    pub sender: Sender,
    pub active: Active,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// No connection.
    Connect(io::Error),
    /// The connection ended first, or what came was no HTTP.
    Broken(hyper::Error),
    /// Nothing came in time.
    Late,
    /// The backend became red meanwhile.
    Red,
    /// An answer that contradicts itself.
    Odd,
    /// The client did not send its body.
    Client(Broken),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Connect(e) => write!(f, "no connection: {e}"),
            Failed::Broken(e) => write!(f, "no answer: {e}"),
            Failed::Late => f.write_str("no answer in time"),
            Failed::Red => f.write_str("it became red before it answered"),
            Failed::Odd => f.write_str("an answer that contradicts itself"),
            Failed::Client(broken) => write!(f, "the client's body: {broken:?}"),
        }
    }
}

/// A request's head, and how long it may wait.
pub(crate) struct Question<'a> {
    pub head: &'a Parts,
    /// May it be sent twice? Then it has no body.
    pub repeatable: bool,
    /// Longest wait for the answer's head, when the body has been sent.
    pub limit: Duration,
}

/// Asks `backend`. A body that was not sent is in `upload` again: then any request may be sent elsewhere.
pub(crate) async fn exchange(
    client: &Client,
    link: &Link,
    backend: &Arc<Backend>,
    question: &Question<'_>,
    upload: &mut Option<Upload>,
) -> Result<Answer, Failed> {
    let active = backend.begin();
    let age = if question.repeatable { link.idle } else { FRESH.min(link.idle) };
    let oldest = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
    // A request that was sent, or refused, goes to the same backend once more at most.
    let mut once_more = true;
    loop {
        let has_body = matches!(upload, Some(Upload::Of { .. }));
        // Then only of what is opened from now on: what had waited beside a dead connection may be dead as well.
        let oldest = if once_more { oldest } else { Instant::now() };
        let there = once_more.then(|| kept(client, link, backend, oldest, has_body));
        let (mut sender, is_new) = match there.flatten() {
            Some(sender) => (sender, false),
            None => match connect(client, link, backend, oldest, has_body).await {
                Ok(opened) => opened,
                Err(e) => {
                    backend.suspect(Instant::now());
                    return Err(Failed::Connect(e));
                }
            },
        };
        let body = upload.take().unwrap_or(Upload::Empty);
        let is_empty = matches!(body, Upload::Empty);
        let progress = body.progress();
        progress.passed.now();
        let sending = sender.send(question.head.clone(), body);
        let asked = wait(backend, question, &progress.passed, sending).await;
        if let Some(broken) = progress.broken.get().filter(|_| !matches!(asked, Ok(Ok(_)))) {
            // That says nothing of the backend.
            return Err(Failed::Client(*broken));
        }
        let failed = match asked {
            Ok(Ok(response)) if is_odd(&response) => {
                client.service.counters.answers_refused.add();
                return Err(Failed::Odd);
            }
            Ok(Ok(response)) => return Ok(Answer { response, sender, active }),
            Ok(Err(mut error)) => {
                let unsent = error.take_message().map(Request::into_body);
                let error = error.into_error();
                let refused = is_refused(&error);
                let was_sent = unsent.is_none();
                *upload = unsent.or_else(|| (refused && is_empty).then_some(Upload::Empty));
                let again = upload.is_some() || (question.repeatable && !is_of_stream(&error));
                // It had been closed while it waited, or takes no more: that says nothing of the backend.
                if again && (!was_sent || once_more) && (refused || !is_new) {
                    once_more &= !was_sent;
                    // A stream that is refused says nothing of the others.
                    if !was_sent || !is_of_stream(&error) {
                        sender.retire();
                    }
                    continue;
                }
                if refused {
                    return Err(Failed::Broken(error));
                }
                Failed::Broken(error)
            }
            Err(failed) => {
                sender.retire();
                failed
            }
        };
        backend.suspect(Instant::now());
        return Err(failed);
    }
}

/// Waits for the answer's head, from when the last of the body passed; one that may be had elsewhere is not awaited from a
/// backend that has become red.
async fn wait<T>(
    backend: &Backend,
    question: &Question<'_>,
    passed: &Activity,
    sending: impl Future<Output = T>,
) -> Result<T, Failed> {
    let mut sending = pin!(sending);
    loop {
        let left = question.limit.saturating_sub(passed.silent());
        if let Ok(answer) = timeout(left.min(LOOK), &mut sending).await {
            return Ok(answer);
        }
        if passed.silent() >= question.limit {
            return Err(Failed::Late);
        }
        if question.repeatable && backend.has_failed() {
            return Err(Failed::Red);
        }
    }
}

/// Nobody knows where its body ends, or it ends HTTP though nobody asked for that.
fn is_odd(response: &Response<Incoming>) -> bool {
    let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
    let coded = codings.next().is_some_and(|c| {
        !c.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
            || response.headers().contains_key(header::CONTENT_LENGTH)
    });
    let lengths = response.headers().get_all(header::CONTENT_LENGTH).iter().count();
    coded || codings.next().is_some() || lengths > 1 || response.status() == StatusCode::CONTINUE
}
