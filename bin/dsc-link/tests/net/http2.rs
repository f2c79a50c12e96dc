//! A server of HTTP/2 that follows scripts as the one of HTTP/1.1 does: an answer as that one would send it becomes a stream's,
//! and its end a stream's or the connection's.

use super::backend::{Answer, End, Request};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::{Request as Asked, Response};
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::io::InspectWriter;

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    streams: u32,
    together: usize,
    requests: AtomicUsize,
    connections: AtomicUsize,
    busiest: AtomicUsize,
    open: AtomicUsize,
    stopped: Notify,
}

/// The server; it ends with the value.
pub struct Http2Backend {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Backend {
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Http2Backend {
        Http2Backend::with(100, 0, script)
    }

    /// That begins to speak when so many connections are there.
    pub fn together(
        together: usize,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Http2Backend {
        Http2Backend::with(100, together, script)
    }

    /// With so many streams at once on a connection.
    pub fn streams(
        streams: u32,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Http2Backend {
        Http2Backend::with(streams, 0, script)
    }

    fn with(
        streams: u32,
        together: usize,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Http2Backend {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            streams,
            together,
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            stopped: Notify::new(),
        });
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a loop").block_on(async move {
                let mut early = Vec::new();
                let listener = TcpListener::from_std(listener).expect("a socket");
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            let (stream, _) = accepted.expect("a connection");
                            early.push(stream);
                            if own.connections.fetch_add(1, Ordering::SeqCst) + 1 >= own.together {
                                for stream in early.drain(..) {
                                    tokio::spawn(serve(stream, own.clone()));
                                }
                            }
                        }
                        () = own.stopped.notified() => return,
                    }
                }
            });
        });
        Http2Backend { address, shared, thread: Some(thread) }
    }

    /// Requests that came.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections that came.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests whose bodies have not ended.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Most requests at once on one of them.
    pub fn busiest(&self) -> usize {
        self.shared.busiest.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Backend {
    fn drop(&mut self) {
        self.shared.stopped.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    // What is reset may take with it what waits, so that it must be known what went out.
    let written = Arc::new(AtomicU64::new(0));
    let went = written.clone();
    let stream = stream.into_std().expect("a socket");
    let socket = stream.try_clone().expect("a descriptor");
    let stream = TcpStream::from_std(stream).expect("a socket");
    let counted = InspectWriter::new(stream, move |bytes: &[u8]| {
        went.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    });
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(shared.streams);
    let shake = builder.handshake(counted).await;
    let Ok(mut connection): Result<Connection<_, Bytes>, _> = shake else { return };
    let (ends, mut ended) = mpsc::unbounded_channel();
    let running = Arc::new(AtomicUsize::new(0));
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                shared.busiest.fetch_max(now, Ordering::SeqCst);
                let (shared, written, ends) = (shared.clone(), written.clone(), ends.clone());
                let running = running.clone();
                tokio::spawn(async move {
                    let end = answer(request, respond, &shared, &written, &ends).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    let _ = ends.send(end);
                });
            }
            Some(end) = ended.recv() => match end {
                End::Reset => {
                    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                    return;
                }
                End::Away => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
                End::Last => connection.graceful_shutdown(),
                _ => {}
            },
        }
    }
}

/// Answers one request; what is to become of its connection.
async fn answer(
    request: Asked<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
    written: &AtomicU64,
    ends: &mpsc::UnboundedSender<End>,
) -> End {
    let (head, mut incoming) = request.into_parts();
    let mut text = format!("{} {} HTTP/2\r\n", head.method, head.uri);
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\r\n", value.to_str().expect("text"));
    }
    shared.open.fetch_add(1, Ordering::SeqCst);
    let mut body = Vec::new();
    while let Some(Ok(data)) = incoming.data().await {
        let _ = incoming.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
    let number = shared.requests.fetch_add(1, Ordering::SeqCst);
    let (wire, end) = (shared.script)(&Request { number, head: text, body });
    if end == End::Refuse {
        respond.send_reset(Reason::REFUSED_STREAM);
        return end;
    }
    let Some(at) = wire.windows(4).position(|w| w == b"\r\n\r\n") else {
        return over(end, ends, |reason| respond.send_reset(reason)).await;
    };
    let (response, chunked) = head_of(&wire[..at]);
    let bytes = if chunked { unchunked(&wire[at + 4..]) } else { wire[at + 4..].to_vec() };
    let whole = matches!(end, End::Keep | End::Last);
    let Ok(mut stream) = respond.send_response(response, whole && bytes.is_empty()) else {
        return end;
    };
    let before = written.load(Ordering::SeqCst);
    let sent = bytes.len() as u64;
    if !bytes.is_empty() && send(&mut stream, bytes, whole).await.is_err() {
        return end;
    }
    while !whole && written.load(Ordering::SeqCst) < before + sent {
        tokio::task::yield_now().await;
    }
    over(end, ends, |reason| stream.send_reset(reason)).await
}

/// Ends a stream as told; one that ends with its connection would be reset if it were dropped before.
async fn over(end: End, ends: &mpsc::UnboundedSender<End>, reset: impl FnOnce(Reason)) -> End {
    match end {
        End::Close => reset(Reason::INTERNAL_ERROR),
        End::Stop => reset(Reason::NO_ERROR),
        End::Silent => std::future::pending().await,
        End::Reset | End::Away => {
            let _ = ends.send(end);
            std::future::pending().await
        }
        _ => {}
    }
    end
}

async fn send(stream: &mut SendStream<Bytes>, bytes: Vec<u8>, whole: bool) -> Result<(), ()> {
    let mut bytes = Bytes::from(bytes);
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.and_then(Result::ok).ok_or(())?;
        let part = bytes.split_to(room.min(bytes.len()));
        stream.send_data(part, whole && bytes.is_empty()).map_err(|_| ())?;
    }
    Ok(())
}

/// A head as HTTP/2 has it, and whether its body is in chunks.
fn head_of(head: &[u8]) -> (Response<()>, bool) {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).expect("a status");
    let mut response = Response::builder().status(status);
    let mut chunked = false;
    for (name, value) in lines.filter_map(|l| l.split_once(':')) {
        match name.eq_ignore_ascii_case("transfer-encoding") {
            true => chunked = true,
            false => response = response.header(name, value.trim()),
        }
    }
    (response.body(()).expect("a head"), chunked)
}

/// What of a body in chunks has come.
fn unchunked(mut wire: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(at) = wire.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&wire[..at]), 16);
        let size = size.expect("a size");
        let rest = &wire[at + 2..];
        bytes.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size + 2 {
            break;
        }
        wire = &rest[size + 2..];
    }
    bytes
}
