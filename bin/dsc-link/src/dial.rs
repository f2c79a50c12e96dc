//! A way to a backend for one request: what is there, or a new connection.

use crate::backend::Backend;
use crate::connection::Client;
use crate::limits::Activity;
use crate::proxy_header;
use crate::sender::{STREAMS_MAX, Sender, Shared};
use crate::upload::Upload;
use dsc_conf::Link;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::io::InspectReader;

/// Largest head of an answer.
const HEAD_MAX: usize = 64 << 10;
/// Most bytes of one answer of HTTP/2 that wait for their client. The connection's window is that of all its streams: a client
/// that reads nothing holds up nobody else's answer.
const WINDOW: u32 = 256 << 10;
/// Most bytes of one request of HTTP/2 that wait for the backend.
const SEND_MAX: usize = 256 << 10;

type OnRead = Box<dyn FnMut(&[u8]) + Send>;
type Connection =
    http2::Connection<TokioIo<InspectReader<TcpStream, OnRead>>, Upload, TokioExecutor>;

/// A way that is there; none if there is none that was used since `oldest`.
pub(crate) fn kept(
    client: &Client,
    link: &Link,
    backend: &Backend,
    oldest: Instant,
    upload: bool,
) -> Option<Sender> {
    match link {
        Link { backend_http2: true, .. } => backend.pool.stream(client.worker, oldest, upload),
        // Its head is one client's.
        Link { proxy_out: true, .. } => None,
        _ => backend.pool.take(client.worker, oldest),
    }
}

/// Opens one, or waits for one that is being opened; whether it is new.
///
/// # Errors
/// The system's, or that it took too long.
pub(crate) async fn connect(
    client: &Client,
    link: &Link,
    backend: &Backend,
    oldest: Instant,
    upload: bool,
) -> io::Result<(Sender, bool)> {
    let opened = async {
        if !link.backend_http2 {
            return Ok((http1(client, link, backend).await?, true));
        }
        // One with a body shares with no other, so it waits for no other's.
        let _turn = match upload {
            true => None,
            false => Some(backend.pool.turn(client.worker).await),
        };
        match kept(client, link, backend, oldest, upload) {
            Some(sender) => Ok((sender, false)),
            None => Ok((http2(client, backend, upload).await?, true)),
        }
    };
    let opened = timeout(link.connect, opened).await;
    opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn http1(client: &Client, link: &Link, backend: &Backend) -> io::Result<Sender> {
    let mut stream = TcpStream::connect(backend.address).await?;
    stream.set_nodelay(true)?;
    if link.proxy_out {
        stream.write_all(&proxy_header::write(client.peer, client.local)).await?;
    }
    let mut builder = http1::Builder::new();
    // A request is small; the list of one piece costs more than the piece.
    builder.max_header_size(HEAD_MAX).writev(false);
    let shake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shake.map_err(io::Error::other)?;
    let service = client.service.name.clone();
    let address = backend.address;
    tokio::spawn(async move {
        if let Err(e) = connection.with_upgrades().await {
            tracing::debug!("{service}: connection to {address}: {e}");
        }
    });
    Ok(Sender::Own(sender))
}

async fn http2(client: &Client, backend: &Backend, upload: bool) -> io::Result<Sender> {
    let stream = TcpStream::connect(backend.address).await?;
    stream.set_nodelay(true)?;
    let first = Arc::new(Notify::new());
    let heard = Arc::new(Activity::default());
    let (tells, hears) = (first.clone(), heard.clone());
    let on_read: OnRead = Box::new(move |_| {
        hears.now();
        tells.notify_one();
    });
    let stream = InspectReader::new(stream, on_read);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_header_list_size(HEAD_MAX as u32);
    builder.initial_stream_window_size(WINDOW).max_send_buf_size(SEND_MAX);
    builder.initial_connection_window_size(WINDOW * STREAMS_MAX as u32);
    let shake = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shake.map_err(io::Error::other)?;
    let shared = Shared::new(sender, heard);
    let (tells, told) = oneshot::channel();
    let (service, address) = (client.service.name.clone(), backend.address);
    let carried = carry(connection, Arc::downgrade(&shared), first, tells);
    tokio::spawn(async move {
        if let Err(e) = carried.await {
            tracing::debug!("{service}: connection to {address}: {e}");
        }
    });
    told.await.map_err(|_| io::Error::other("it ended at once"))?;
    let stream = shared.stream(upload).filter(|_| shared.is_open());
    let stream = stream.ok_or_else(|| io::Error::other("it takes no request"))?;
    backend.pool.share(client.worker, shared);
    Ok(stream)
}

/// Runs a connection, keeps to what its backend takes at once, and tells when that is known first.
async fn carry(
    mut connection: Connection,
    shared: Weak<Shared>,
    first: Arc<Notify>,
    tells: oneshot::Sender<()>,
) -> hyper::Result<()> {
    let mut first = pin!(first.notified());
    let mut tells = Some(tells);
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        if let Some(shared) = shared.upgrade() {
            shared.allows(connection.current_max_send_streams());
        }
        if tells.is_some() && first.as_mut().poll(cx).is_ready() {
            tells.take().map(|tells| tells.send(()));
        }
        ended
    })
    .await
}
