//! The asking side: one question at a time, with a limit on the wait.

use super::{
    AskError, CHANGE_MAX, Context, REPLY_MAX, REQUEST_MAX, Watched, bound, endpoint, system,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// First wait before connecting again after the daemon went away, and the longest.
const RECONNECT_MS: (i32, i32) = (50, 1000);

/// Asks questions of one daemon.
pub struct Client {
    context: Context,
    path: PathBuf,
    connection: Option<Watched>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(context: &Context, path: &Path) -> Client {
        Client { context: context.clone(), path: path.to_owned(), connection: None }
    }

    /// Asks and waits for the answer. Given up on, by time-out or by dropping the future, it leaves nothing behind: a
    /// late answer is never taken for that of the next question.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        question: &Q,
        timeout: Duration,
    ) -> Result<A, AskError> {
        let request = encode(&self.path, question, REQUEST_MAX)?;
        // Kept out of `self` while an answer is owed.
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.context, &self.path, zmq::DEALER)
                .and_then(|socket| Watched::new(socket).map_err(|e| failed(&self.path, e)))?,
        };
        connection
            .socket
            .send(request, zmq::DONTWAIT)
            .map_err(|e| failed(&self.path, system(e)))?;
        let answer = match tokio::time::timeout(timeout, answer(&connection)).await {
            Ok(answer) => answer.map_err(|e| failed(&self.path, e))?,
            Err(_) => return Err(AskError::TimedOut { path: self.path.clone(), after: timeout }),
        };
        self.connection = Some(connection);
        decode(&self.path, &answer)
    }
}

async fn answer(connection: &Watched) -> io::Result<Vec<u8>> {
    loop {
        if let Some(mut frames) = connection.take()? {
            return Ok(frames.pop().unwrap_or_default());
        }
        std::future::poll_fn(|cx| connection.poll_news(cx)).await?;
    }
}

/// Tells one daemon things that need no answer, each time the whole state: of what the daemon has not taken yet, only the
/// newest is kept.
pub struct Teller {
    socket: zmq::Socket,
    path: PathBuf,
}

impl Teller {
    /// Connects as soon as the daemon is there, and again when it is back.
    ///
    /// # Errors
    /// [`AskError::System`].
    pub fn new(context: &Context, path: &Path) -> Result<Teller, AskError> {
        let socket = open(context, path, zmq::DEALER, |socket| socket.set_conflate(true))
            .map_err(|e| failed(path, e))?;
        Ok(Teller { socket, path: path.to_owned() })
    }

    /// Hands `state` over; it never waits.
    ///
    /// # Errors
    /// [`AskError::System`]: it could not be encoded or queued.
    pub fn tell<T: Serialize>(&mut self, state: &T) -> Result<(), AskError> {
        let text = encode(&self.path, state, REQUEST_MAX)?;
        self.socket.send(text, zmq::DONTWAIT).map_err(|e| failed(&self.path, system(e)))
    }
}

/// Asks one question from a program without a loop, as dscctl.
///
/// # Errors
/// [`AskError`].
pub fn ask_blocking<Q: Serialize, A: DeserializeOwned>(
    path: &Path,
    question: &Q,
    timeout: Duration,
) -> Result<A, AskError> {
    let request = encode(path, question, CHANGE_MAX)?;
    let context = Context::new();
    let socket = connect(&context, path, zmq::DEALER)?;
    let failed = |e| failed(path, system(e));
    socket.send(request, zmq::DONTWAIT).map_err(failed)?;
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up, or the last fraction of a millisecond would be spent asking again and again.
        let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX - 1) + 1;
        match socket.poll(zmq::POLLIN, left_ms) {
            Ok(0) => {
                return Err(AskError::TimedOut { path: path.to_owned(), after: timeout });
            }
            Ok(_) => return decode(path, &socket.recv_bytes(0).map_err(failed)?),
            Err(zmq::Error::EINTR) => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

/// ZeroMQ connects in the background and never says why it cannot; a plain connection tells at once.
fn connect(context: &Context, path: &Path, kind: zmq::SocketType) -> Result<zmq::Socket, AskError> {
    UnixStream::connect(path).map_err(|e| failed(path, e))?;
    open(context, path, kind, |_| Ok(())).map_err(|e| failed(path, e))
}

fn open(
    context: &Context,
    path: &Path,
    kind: zmq::SocketType,
    more: impl FnOnce(&zmq::Socket) -> zmq::Result<()>,
) -> io::Result<zmq::Socket> {
    let socket = context.socket(kind)?;
    bound(&socket, REPLY_MAX).map_err(system)?;
    socket.set_reconnect_ivl(RECONNECT_MS.0).map_err(system)?;
    socket.set_reconnect_ivl_max(RECONNECT_MS.1).map_err(system)?;
    more(&socket).map_err(system)?;
    socket.connect(&endpoint(path)?).map_err(system)?;
    Ok(socket)
}

fn encode<T: Serialize>(path: &Path, value: &T, most: usize) -> Result<Vec<u8>, AskError> {
    let text = serde_json::to_vec(value).map_err(|e| failed(path, e.into()))?;
    if text.len() > most {
        let problem = format!("a request of {} bytes, at most {most} are taken", text.len());
        return Err(failed(path, io::Error::new(io::ErrorKind::InvalidInput, problem)));
    }
    Ok(text)
}

fn decode<A: DeserializeOwned>(path: &Path, answer: &[u8]) -> Result<A, AskError> {
    serde_json::from_slice(answer)
        .map_err(|e| AskError::BadAnswer { path: path.to_owned(), problem: e.to_string() })
}

fn failed(path: &Path, source: io::Error) -> AskError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoDaemon { path },
        io::ErrorKind::PermissionDenied => AskError::Denied { path },
        _ => AskError::System { path, source },
    }
}
