//! Connections of HTTP/2 to a backend that requests share: how many there are, and which one a request gets.

use crate::net::backend::{Answer, End};
use crate::net::client::Client;
use crate::net::http2::Http2Backend;
use crate::net::hyper_client::{HyperClient, Way};
use crate::net::object::Object;
use crate::net::{LIMIT, Running, link};
use h2::client::SendRequest;
use hyper::Request;
use hyper::body::Bytes;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const LEN: usize = 100_000;
/// So long a connection has said nothing that may be dead: more than the clock of its age is coarse.
const SILENT: Duration = Duration::from_millis(20);
const H2: Way = Way { tls: false, h2: true };

fn ok() -> Answer {
    (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep)
}

/// What one client does by HTTP/2: all of it is one worker's.
fn with_client(run: &Running, act: impl AsyncFnOnce(SendRequest<Bytes>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a loop").block_on(async {
        let stream = tokio::net::TcpStream::connect(run.address).await.expect("a connection");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        timeout(LIMIT, act(client)).await.expect("in time");
    });
}

async fn get(client: &SendRequest<Bytes>) -> u16 {
    let request = Request::get("http://shop.example/").body(()).expect("a request");
    let mut client = client.clone().ready().await.expect("ready");
    let (answer, _) = client.send_request(request, true).expect("sent");
    answer.await.expect("an answer").status().as_u16()
}

/// Two requests, whose bodies end when `both` is so.
async fn two_uploads(client: &SendRequest<Bytes>, both: impl Fn() -> bool) {
    let mut sent = Vec::new();
    for _ in 0..2 {
        let request = Request::post("http://shop.example/").body(()).expect("a request");
        let mut client = client.clone().ready().await.expect("ready");
        let (answer, mut body) = client.send_request(request, false).expect("sent");
        body.send_data("abc".into(), false).expect("sent");
        sent.push((answer, body));
    }
    let end = Instant::now() + LIMIT;
    while !both() {
        assert!(Instant::now() < end, "not both");
        tokio::task::yield_now().await;
    }
    for (answer, mut body) in sent {
        body.send_data(Bytes::new(), true).expect("sent");
        assert_eq!(answer.await.expect("an answer").status(), 200);
    }
}

#[test]
fn requests_share_connections_up_to_what_a_backend_takes() {
    let object = Object::new(LEN);
    let own = object.clone();
    let backend = Http2Backend::streams(3, move |request| (own.serve(request), End::Keep));
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = HyperClient::connect(run.address, H2, "shop.example");
    assert!(client.get("/", None).expect("a response").whole);
    let paths = ["/"; 20];
    for response in client.get_all(&paths, None) {
        assert!(response.expect("a response").body == object.bytes);
    }
    assert_eq!(backend.requests(), 21);
    assert!(backend.busiest() <= 3, "{}", backend.busiest());
    // One worker has this client; it opened what 20 at once need, or less where they were not at once.
    assert!((1..=7).contains(&backend.connections()), "{}", backend.connections());
}

#[test]
fn a_backend_that_refuses_once_is_asked_once_more() {
    let backend = Http2Backend::start(|request| match request.number {
        0 => (Vec::new(), End::Refuse),
        _ => (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep),
    });
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    client.send(b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 200);
    assert_eq!((backend.requests(), run.count("requests_repeated")), (2, 0));
}

#[test]
fn a_connection_is_given_up_before_its_backend_does() {
    let backend = Http2Backend::start(|_| (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep));
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    for _ in 0..501 {
        assert_eq!(client.get("/", "").expect("a response").status, 200);
    }
    assert_eq!(backend.connections(), 2);
}

#[test]
fn requests_with_a_body_do_not_wait_for_each_others_connections() {
    const CLIENTS: usize = 4;
    let backend =
        Http2Backend::together(CLIENTS, |_| (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep));
    let run = Running::over_http2(link(), &[&backend]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(run.address)).collect();
    for client in &mut clients {
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    }
    for client in &mut clients {
        assert_eq!(client.response(false).expect("a response").status, 200);
    }
    assert_eq!(backend.connections(), CLIENTS);
}

#[test]
fn what_waited_beside_a_dead_connection_is_not_tried() {
    let backend = Http2Backend::start(|request| match request.number {
        2 => (Vec::new(), End::Reset),
        _ => ok(),
    });
    let run = Running::over_http2(link(), &[&backend]);
    with_client(&run, async |client| {
        two_uploads(&client, || backend.connections() == 2).await;
        let since = Instant::now();
        while since.elapsed() < SILENT {
            tokio::task::yield_now().await;
        }
        assert_eq!(get(&client).await, 200);
    });
    assert_eq!((backend.requests(), backend.connections()), (4, 3));
}

#[test]
fn a_refused_stream_leaves_its_connection_to_others() {
    let backend = Http2Backend::start(|request| match request.number {
        1 => (Vec::new(), End::Refuse),
        _ => ok(),
    });
    let run = Running::over_http2(link(), &[&backend]);
    with_client(&run, async |client| {
        for _ in 0..2 {
            assert_eq!(get(&client).await, 200);
        }
        assert_eq!(backend.requests(), 3);
        // Each needs a connection of its own.
        two_uploads(&client, || backend.open() == 2).await;
    });
    assert_eq!(backend.connections(), 2);
}
