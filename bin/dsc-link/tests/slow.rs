//! Clients that are slow but steady: whoever takes bytes in time is served to the end, however long that lasts.

use crate::net::backend::{Backend, End};
use crate::net::object::Object;
use crate::net::{self, LIMIT, Running, link};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_secs(1);
/// Between two reads of a slow client.
const PACE: Duration = Duration::from_millis(50);
/// What a slow client of HTTP/2 lets come before it has read what came.
const WINDOW: u32 = 16 << 10;

/// The body of an answer by HTTP/2, frame after frame.
async fn read_slowly(address: SocketAddr) -> Vec<u8> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW);
    let shake = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("http://shop.example/").body(Empty::new()).expect("a request");
    let mut body = sender.send_request(request).await.expect("an answer").into_body();
    let mut got = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => break,
        }
        tokio::time::sleep(PACE).await;
    }
    got
}

/// A link before a backend that has one object.
fn start(len: usize) -> (Object, Backend, Running) {
    let object = Object::new(len);
    let own = object.clone();
    let backend = Backend::start(move |request| (own.serve(request), End::Keep));
    let mut link = link();
    link.idle = IDLE;
    let run = Running::start(link, &[&backend]);
    (object, backend, run)
}

/// Both a body of many pieces and one that is with HTTP as a whole when its client has just begun to read.
#[test]
fn a_download_by_http2_may_last_longer_than_a_connection_may_be_idle() {
    for len in [700_000, 300_000] {
        let (object, _backend, run) = start(len);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let reading = async { tokio::time::timeout(LIMIT, read_slowly(run.address)).await };
        let begin = Instant::now();
        let got = runtime.expect("a loop").block_on(reading).expect("in time");
        assert_eq!((got.len(), run.count("clients_slow")), (len, 0));
        assert!(got == object.bytes);
        assert!(begin.elapsed() > IDLE * 2, "it was not slow");
    }
}

/// Steadily, but more slowly than what waits in the kernel for it becomes a large part less.
#[test]
fn a_slow_client_of_http1_is_served_to_the_end() {
    let (object, _backend, run) = start(8_000_000);
    let mut client = std::net::TcpStream::connect(run.address).expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut got = vec![0; 16 << 10];
    let begin = Instant::now();
    let mut answer = Vec::new();
    while begin.elapsed() < IDLE * 4 {
        let count = client.read(&mut got).expect("a part");
        answer.extend_from_slice(&got[..count]);
        let read = Instant::now();
        net::until("its pace has passed", || read.elapsed() > PACE);
    }
    client.read_to_end(&mut answer).expect("the rest");
    assert!(answer.ends_with(&object.bytes) && run.count("clients_slow") == 0);
}
