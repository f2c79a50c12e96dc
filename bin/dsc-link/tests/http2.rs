//! Backends that speak HTTP/2: what arrives there, that requests share connections, and that whatever ends a stream or a
//! connection, the client gets the very bytes or sees that they are not whole.

use crate::net::backend::{Backend, End, Request};
use crate::net::client::Client;
use crate::net::http2::Http2Backend;
use crate::net::hyper_client::{HyperClient, Way};
use crate::net::object::{Object, head_len, resolve};
use crate::net::{self, LIMIT, Running, link};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LEN: usize = 100_000;
const H2: Way = Way { tls: false, h2: true };

fn honest(object: &Object) -> Http2Backend {
    let object = object.clone();
    Http2Backend::start(move |request| (object.serve(request), End::Keep))
}

/// Serves the object, but ends its first answer at `at` bytes of it.
fn breaking(object: &Object, at: usize, end: End) -> Http2Backend {
    let object = object.clone();
    Http2Backend::start(move |request| {
        let mut wire = object.serve(request);
        if request.number > 0 {
            return (wire, End::Keep);
        }
        wire.truncate(at);
        (wire, end)
    })
}

#[test]
fn a_backend_sees_a_request_of_http2() {
    let seen = Arc::new(Mutex::new((String::new(), Vec::new())));
    let own = seen.clone();
    let backend = Http2Backend::start(move |request| {
        *own.lock().unwrap() = (request.head.clone(), request.body.clone());
        (b"HTTP/2 200 OK\r\nX-Own: 1\r\n\r\nok".to_vec(), End::Keep)
    });
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    client.send(
        b"POST /p?q=1 HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n\
          hello",
    );
    let response = client.response(false).expect("a response");
    assert_eq!((response.status, response.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(response.field("x-own"), Some("1"));
    assert!(response.head.starts_with("HTTP/1.1 200"), "{}", response.head);
    let (head, body) = seen.lock().unwrap().clone();
    assert!(head.starts_with("POST http://shop.example:8080/p?q=1 HTTP/2\r\n"), "{head}");
    assert!(head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 5\r\n"), "{head}");
    for gone in ["host", "connection", "upgrade"] {
        assert!(!head.contains(&format!("\r\n{gone}:")), "{gone} in {head}");
    }
    assert_eq!(body, b"hello");
    client.send(b"GET / HTTP/1.1\r\nHost: a[b\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 400);
}

#[test]
fn each_place_and_way_to_break_gives_the_whole_body() {
    let ends = [End::Close, End::Stop, End::Reset, End::Silent, End::Away];
    let ranges = [None, Some("bytes=1000-70999"), Some("bytes=-60000")];
    let kinds = [Object::new(LEN), Object::new(LEN).chunked(9_000)];
    std::thread::scope(|scope| {
        for object in &kinds {
            for (end, range) in ends.iter().flat_map(|e| ranges.map(|r| (*e, r))) {
                scope.spawn(move || {
                    let wire = object.part(range, false);
                    let head = head_len(&wire);
                    let mid = head + (wire.len() - head) / 2;
                    for at in [1, head, head + 10, mid, wire.len() - 10, wire.len()] {
                        broken(object, range, at, end);
                    }
                });
            }
        }
    });
}

fn broken(object: &Object, range: Option<&str>, at: usize, end: End) {
    let (bad, good) = (breaking(object, at, end), honest(object));
    let run = Running::over_http2(link(), &[&bad, &good]);
    let mut client = Client::connect(run.address);
    let fields = range.map_or(String::new(), |r| format!("Range: {r}\r\n"));
    let response = client.get("/o", &fields).expect("a response");
    let what = format!("{at}, {end:?}, {range:?}");
    assert!(response.whole, "{what}");
    let (first, last) = range.map_or((0, LEN), |r| resolve(r, LEN));
    assert!(response.body == object.bytes[first..last], "{what}");
    assert_eq!(run.count("bodies_cut"), 0, "{what}");
    // A reset of the connection may overtake the head.
    let in_body =
        at > head_len(&object.part(range, false)) + 10 && at < object.part(range, false).len();
    if in_body && end != End::Reset {
        assert_eq!(run.count("bodies_resumed"), 1, "{what}");
    }
}

#[test]
fn those_who_disagree_are_never_mixed() {
    let object = Object::new(LEN);
    let at = object.part(None, false).len() / 2;
    let longer = Object { bytes: [&object.bytes[..], b"x"].concat(), ..object.clone() };
    let whole = object.clone();
    let lies = [
        honest(&object.clone().with("\"one\"", "\"two\"")),
        honest(&object.clone().with("\"one\"", "W/\"one\"")),
        honest(&longer),
        Http2Backend::start(move |_| (whole.part(None, false), End::Keep)),
    ];
    for other in &lies {
        let own = object.clone();
        let bad = Http2Backend::start(move |request| match request.number {
            0 => (own.serve(request)[..at].to_vec(), End::Away),
            _ => (own.answer("503 Service Unavailable", "", b"", false), End::Keep),
        });
        let run = Running::over_http2(link(), &[&bad, other]);
        let mut client = Client::connect(run.address);
        let response = client.get("/", "").expect("a response");
        assert!(!response.whole && object.bytes.starts_with(&response.body));
        assert_eq!((run.count("bodies_cut"), run.count("bodies_resumed")), (1, 0));
    }
}

#[test]
fn a_connection_that_takes_no_more_ends_without_anybody_seeing_it() {
    let object = Object::new(LEN);
    let own = object.clone();
    let backend = Http2Backend::start(move |request| (own.serve(request), End::Last));
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    for _ in 0..10 {
        let response = client.get("/", "").expect("a response");
        assert!(response.whole && response.body == object.bytes);
    }
    assert_eq!((run.count("bodies_broken"), run.count("requests_failed")), (0, 0));
    assert_eq!(run.count("requests_repeated"), 0);
    assert!(backend.connections() > 1, "{}", backend.connections());
}

#[test]
fn a_request_that_was_refused_unseen_goes_elsewhere_whatever_it_does() {
    let bad = Http2Backend::start(|_| (Vec::new(), End::Refuse));
    let good = Http2Backend::start(|_| (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep));
    let run = Running::over_http2(link(), &[&bad, &good]);
    let mut client = Client::connect(run.address);
    for _ in 0..4 {
        client.send(b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response(false).expect("a response").status, 200);
    }
    assert!(bad.requests() >= 1);
    // With a body it may not: what was sent of it is gone.
    let run = Running::over_http2(link(), &[&bad]);
    let mut client = Client::connect(run.address);
    client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(client.response(false).expect("a response").status, 502);
}

#[test]
fn what_a_backend_may_have_begun_is_not_sent_twice() {
    for end in [End::Close, End::Away, End::Reset] {
        let bad = Http2Backend::start(move |_| (Vec::new(), end));
        let good = Http2Backend::start(|_| (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep));
        let run = Running::over_http2(link(), &[&bad, &good]);
        let mut client = Client::connect(run.address);
        client.send(b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response(false).expect("a response").status, 502, "{end:?}");
        assert_eq!((bad.requests(), good.requests()), (1, 0), "{end:?}");
    }
}

#[test]
fn clients_that_read_nothing_hold_up_nobody_else() {
    const IDLE: usize = 12;
    let object = Object::new(4_000_000);
    let backend = honest(&object);
    let mut link = link();
    (link.silence, link.head) = (Duration::from_secs(600), LIMIT);
    let run = Running::over_http2(link, &[&backend]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..IDLE {
            scope.spawn(|| {
                let mut client = HyperClient::connect(run.address, H2, "shop.example");
                client.hold("/slow", || done.load(Ordering::SeqCst));
            });
        }
        // As much as such a client takes without reading.
        net::until("all stand still", || {
            let listed = run.service.downloads.all();
            listed.len() == IDLE && listed.iter().all(|d| d.bytes() > 1_900_000)
        });
        for _ in 0..4 {
            let mut client = Client::connect(run.address);
            let response = client.get("/", "").expect("a response");
            assert!(response.whole && response.body == object.bytes);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(run.count("bodies_broken"), 0);
}

#[test]
fn those_for_whom_there_is_no_stream_get_another_connection() {
    let object = Object::new(LEN);
    let own = object.clone();
    let backend = Http2Backend::streams(3, move |request| {
        (own.serve(request)[..LEN / 2].to_vec(), End::Silent)
    });
    let mut link = link();
    link.silence = Duration::from_secs(600);
    let run = Running::over_http2(link, &[&backend]);
    let mut clients = Vec::new();
    // Of seven, one of the two workers has four.
    for count in 1..=7 {
        let mut client = Client::connect(run.address);
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        clients.push(client);
        net::until("it has begun", || {
            run.service.downloads.all().iter().filter(|d| d.bytes() > 0).count() == count
        });
    }
    assert!(backend.busiest() <= 3);
}

#[test]
fn a_connection_that_was_closed_meanwhile_says_nothing_of_its_backend() {
    let object = Object::new(LEN);
    let own = object.clone();
    let backend = Http2Backend::start(move |request| match request.number {
        1 => (Vec::new(), End::Reset),
        _ => (own.serve(request), End::Keep),
    });
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    for _ in 0..2 {
        assert_eq!(client.get("/", "").expect("a response").status, 200);
    }
    assert_eq!((backend.requests(), backend.connections()), (3, 2));
    assert_eq!((run.count("requests_failed"), run.count("requests_repeated")), (0, 0));
}

#[test]
fn a_silent_connection_gets_no_other_request() {
    let object = Object::new(LEN);
    let own = object.clone();
    let script = move |request: &Request| match request.number {
        0 => (own.serve(request)[..LEN / 2].to_vec(), End::Silent),
        _ => (own.serve(request), End::Keep),
    };
    let backend = Http2Backend::start(script);
    let run = Running::over_http2(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    // The only one is asked again, by another connection.
    let response = client.get("/", "").expect("a response");
    assert!(response.whole && response.body == object.bytes);
    assert_eq!((run.count("bodies_resumed"), backend.connections()), (1, 2));
}

#[test]
fn who_does_not_begin_with_http2_is_sent_nothing() {
    let good = Http2Backend::start(|_| (b"HTTP/2 200 OK\r\n\r\nok".to_vec(), End::Keep));
    // One of them speaks HTTP/1.1, and the other accepts and says nothing, as one that is stopped does.
    let old = Backend::start(|_| {
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(), End::Close)
    });
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for bad in [old.address, silent.local_addr().expect("an address")] {
        let mut link = link();
        link.backend_http2 = true;
        let run = Running::of_plans(link, &net::plans_of([bad, good.address].into_iter()));
        let mut client = Client::connect(run.address);
        let before = good.requests();
        for _ in 0..2 {
            client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
            assert_eq!(client.response(false).expect("a response").status, 200);
        }
        assert_eq!(good.requests(), before + 2);
        assert_eq!(run.count("requests_repeated"), 1, "it is suspect from then on");
    }
}

#[test]
fn a_stream_that_stops_without_an_error_is_not_taken_for_whole() {
    // Nobody knows the length, and without a validator nobody else can go on.
    let object = Object::new(LEN).chunked(9_000).with("ETag", "X-Tag");
    let bad = breaking(&object, LEN / 2, End::Stop);
    let run = Running::over_http2(link(), &[&bad]);
    let mut client = Client::connect(run.address);
    // The end may come before the head has left: then there is nothing but an end.
    if let Some(response) = client.get("/", "") {
        assert!(!response.whole && object.bytes.starts_with(&response.body));
    }
    assert_eq!(run.count("bodies_cut"), 1);
}

#[test]
fn a_body_that_a_client_gives_up_is_not_taken_for_whole() {
    const ROUNDS: u64 = 100;
    let backend = Backend::start(|_| (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), End::Keep));
    let run = Running::start(link(), &[&backend]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a loop").block_on(async {
        let stream = tokio::net::TcpStream::connect(run.address).await.expect("a connection");
        let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        for round in 1..=ROUNDS {
            let request = hyper::Request::post("http://shop.example/").body(());
            client = client.ready().await.expect("ready");
            let sent = client.send_request(request.expect("a request"), false);
            let (_answer, mut body) = sent.expect("sent");
            body.send_data("abc".into(), false).expect("sent");
            // Given up when it is on its way to the backend, or will be soon.
            while run.count("requests") < round {
                tokio::task::yield_now().await;
            }
            body.send_reset(h2::Reason::NO_ERROR);
        }
        drop(client);
        let _ = connection.await;
    });
    net::until("it is gone", || run.service.connections() == 0);
    assert_eq!(backend.requests(), 0, "a request that was whole");
}
