//! Runs a client's connection within its limits, ends it when its service closes, and lets it rest when it has nothing to do.

use crate::connection::Client;
use crate::limits::Late;
use crate::watched::{OnTcp, Watched};
use dsc_conf::Link;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use tokio::time::{Duration, Instant, sleep_until};

/// How long a connection without requests may take to end after it was asked to.
pub(crate) const END: Duration = Duration::from_secs(1);

/// How a stretch of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So did the connection.
    Over,
    /// It has nothing to do.
    Rests,
}

/// Runs a connection within its limits, until it ends or has had nothing to do for `rests`.
pub(crate) async fn drive<C>(
    client: &Client,
    link: &Link,
    rests: Option<Duration>,
    connection: &mut C,
    close: impl Fn(Pin<&mut C>),
) -> Outcome
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    let mut connection = Pin::new(connection);
    let mut closed = pin!(client.service.closed.notified());
    closed.as_mut().enable();
    let mut registered = false;
    let mut ends_at: Option<Instant> = None;
    let mut told = false;
    let mut timer = pin!(sleep_until(Instant::now() + link.client_head));
    let ended = poll_fn(|cx| {
        if !registered {
            registered = true;
            // Its waker is the task's; it is asked by a flag from here on.
            let _ = closed.as_mut().poll(cx);
        }
        if client.service.is_closing() {
            ends_at.get_or_insert_with(|| Instant::now() + END);
        }
        let mut asked = ends_at.is_some();
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.map(|()| Outcome::Over).map_err(|e| e.to_string()));
            }
            // One that was accepted just now may be about to ask; told to end before, it would end at once.
            if asked && !told && !client.doing.is_fresh() {
                told = true;
                close(connection.as_mut());
                continue;
            }
            let Some((mut at, late)) = client.doing.deadline(link, rests.filter(|_| !asked)) else {
                return Poll::Pending;
            };
            let fresh = client.doing.is_fresh();
            if asked && (late == Late::Idle || fresh) {
                at = ends_at.unwrap_or(at.into()).into_std();
            }
            let at = Instant::from_std(at);
            if at < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                if Instant::now() >= at {
                    break;
                }
                timer.as_mut().reset(at);
            }
            match late {
                Late::Idle if !asked => {
                    ends_at = Some(Instant::now() + END);
                    asked = true;
                }
                Late::Idle => return Poll::Ready(Ok(Outcome::Over)),
                Late::Resting => return Poll::Ready(Ok(Outcome::Rests)),
                Late::Head if asked && fresh => return Poll::Ready(Ok(Outcome::Over)),
                Late::Head | Late::Reading => {
                    client.service.counters.clients_slow.add();
                    return Poll::Ready(Err(format!("too slow: {late:?}")));
                }
            }
        }
    });
    ended.await.unwrap_or_else(|e| {
        tracing::debug!("{}: connection of {}: {e}", client.service.name, client.peer);
        Outcome::Over
    })
}

/// Waits until something comes. False if nothing does for as long as it may be idle, or if the service closes: nobody has asked
/// for anything.
pub(crate) async fn rest<S: OnTcp>(client: &Client, link: &Link, stream: &Watched<S>) -> bool {
    let mut closed = pin!(client.service.closed.notified());
    closed.as_mut().enable();
    if client.service.is_closing() {
        return false;
    }
    let over = match client.doing.deadline(link, None) {
        Some((at, _)) => Instant::from_std(at),
        None => Instant::now(),
    };
    tokio::select! {
        biased;
        more = stream.more() => more.is_ok(),
        () = closed => false,
        () = sleep_until(over) => false,
    }
}
