//! One connection of a client: what it speaks, and who serves it.

use crate::drive::{END, Outcome, drive, rest};
use crate::ftp;
use crate::limits::{self, Doing};
use crate::prefixed::Prefixed;
use crate::proxy_header;
use crate::relay::relay;
use crate::seats::{Accepted, Seat};
use crate::service::{Connected, Service, Setup};
use crate::watched::{OnTcp, Watched};
use dsc_conf::Speaks;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Largest head of a request.
pub const HEAD_MAX: usize = 64 << 10;
/// Most requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 100;
/// Most bytes of one response of HTTP/2 that wait for the client.
const SEND_MAX: usize = 256 << 10;
/// A connection without requests for so long gives its buffers back.
const REST: Duration = Duration::from_secs(1);

/// Who is served, and by whom.
pub(crate) struct Client {
    pub peer: SocketAddr,
    /// The end that it came to.
    pub local: SocketAddr,
    pub tls: bool,
    /// Which of the workers.
    pub worker: usize,
    pub service: Arc<Service>,
    pub doing: Arc<Doing>,
    /// For as long as anything of it goes on.
    pub _counted: (Connected, Seat),
}

/// Serves one connection until it ends; it is closed at once if there are too many.
pub async fn serve(accepted: Accepted, worker: usize) {
    let Accepted { stream, peer, service, connected, seat } = accepted;
    match (service.setup().link.speaks, connected) {
        (Speaks::Http, Some(connected)) => {
            http(stream, peer, service, (connected, seat), worker).await;
        }
        (Speaks::Http, None) => {}
        // Apart, so that a connection of HTTP does not need its room.
        (Speaks::Ftp, connected) => {
            Box::pin(ftp::serve(stream, peer, service, connected)).await;
        }
    }
}

async fn http(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    counted: (Connected, Seat),
    worker: usize,
) {
    let Ok(local) = stream.local_addr() else { return };
    let mut ends = (peer, local);
    // Small answers go out at once; large ones are full segments anyhow.
    let _ = stream.set_nodelay(true);
    limits::little_unsent(&stream);
    let setup = service.setup();
    let begun = timeout(setup.link.client_head, begin(stream, &mut ends, &setup));
    let closing = async {
        // In the other order it could be told in between, and wait for as long as a head may take.
        let closed = service.closed.notified();
        if !service.is_closing() {
            closed.await;
        }
        sleep(END).await;
    };
    let begun = tokio::select! {
        begun = begun => begun,
        // Nobody has asked for anything yet; one that was accepted just now may be about to.
        () = closing => return,
    };
    let begun = match begun {
        Ok(Ok(begun)) => begun,
        Ok(Err(e)) => return tracing::debug!("{}: connection of {peer}: {e}", service.name),
        Err(_) => return service.counters.clients_slow.add(),
    };
    let is_h2 = matches!(begun, Begun::Plain(_, true) | Begun::Tls(_, true));
    let tls = matches!(begun, Begun::Tls(..));
    let doing = Arc::new(Doing::new(is_h2));
    let (peer, local) = ends;
    let client = Client { peer, local, tls, worker, service, doing, _counted: counted };
    let client = Arc::new(client);
    // Each has its own memory, or one that waits for its first byte would have that of the largest.
    match begun {
        Begun::Plain(stream, false) => Box::pin(http1(client, *stream)).await,
        Begun::Plain(stream, true) => Box::pin(http2(client, *stream)).await,
        Begun::Tls(stream, false) => Box::pin(http1(client, *stream)).await,
        Begun::Tls(stream, true) => Box::pin(http2(client, *stream)).await,
    }
}

/// What a client speaks, and whether that is HTTP/2.
enum Begun {
    Plain(Box<Prefixed>, bool),
    Tls(Box<TlsStream<Prefixed>>, bool),
}

/// Finds out; `ends` are the client's and this one's, or those that a PROXY header tells.
async fn begin(
    stream: TcpStream,
    ends: &mut (SocketAddr, SocketAddr),
    setup: &Setup,
) -> io::Result<Begun> {
    let mut stream = Prefixed::new(stream);
    let mut expected = setup.link.proxy_in;
    while expected {
        let bad = |()| io::Error::other("no PROXY header");
        match proxy_header::read(stream.seen()).map_err(bad)? {
            Some(header) => {
                stream.skip(header.len);
                *ends = header.ends.unwrap_or(*ends);
                expected = false;
            }
            None => stream.more().await?,
        }
    }
    let Some(certificates) = &setup.certificates else {
        let is_h2 = stream.is_h2().await?;
        return Ok(Begun::Plain(Box::new(stream), is_h2));
    };
    let config = certificates.config().ok_or_else(|| io::Error::other("no certificate"))?;
    // The handshake has its own memory, and needs none before the client begins.
    if stream.seen().is_empty() {
        stream.more().await?;
    }
    let stream = Box::pin(TlsAcceptor::from(config).accept(stream)).await?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Begun::Tls(Box::new(stream), is_h2))
}

async fn http1<S>(client: Arc<Client>, stream: S)
where
    S: AsyncRead + AsyncWrite + OnTcp + Send + Unpin + 'static,
{
    let mut stream = Watched::new(stream, client.doing.clone());
    let link = client.service.setup().link.clone();
    loop {
        let own = client.clone();
        let service = service_fn(move |request| relay(own.clone(), request));
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD_MAX).auto_date_header(false).half_close(false);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = connection.with_upgrades();
        let close = |c: Pin<&mut _>| http1::UpgradeableConnection::graceful_shutdown(c);
        match drive(&client, &link, Some(REST), &mut connection, close).await {
            Outcome::Over => return,
            Outcome::Rests => {}
        }
        // Its buffers go; the socket stays.
        let Some(parts) = connection.into_parts() else { return };
        stream = parts.io.into_inner();
        stream.unread(parts.read_buf);
        if !rest(&client, &link, &stream).await {
            return;
        }
    }
}

async fn http2<S>(client: Arc<Client>, stream: S)
where
    S: AsyncRead + AsyncWrite + OnTcp + Send + Unpin + 'static,
{
    let stream = TokioIo::new(Watched::new(stream, client.doing.clone()));
    let own = client.clone();
    let service = service_fn(move |request| relay(own.clone(), request));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).auto_date_header(false);
    builder.max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_MAX as u32);
    builder.max_send_buf_size(SEND_MAX);
    let mut connection = builder.serve_connection(stream, service);
    let link = client.service.setup().link.clone();
    let close = |c: Pin<&mut _>| http2::Connection::graceful_shutdown(c);
    drive(&client, &link, None, &mut connection, close).await;
}
