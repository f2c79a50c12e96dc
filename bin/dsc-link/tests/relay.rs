//! Requests that no backend breaks: what arrives there, what comes back, and which of them are repeated when a backend fails
//! before it answers.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::object::Object;
use crate::net::{self, Running, link};
use dsc_conf::{Forwarded, LinkBalance};
use std::sync::{Arc, Mutex};

fn honest(object: &Object) -> Backend {
    let object = object.clone();
    Backend::start(move |request| (object.serve(request), End::Keep))
}

/// The head, in small letters, and the body that came last.
type Seen = Arc<Mutex<(String, Vec<u8>)>>;

/// A backend that answers so, and what it sees.
fn hearing(answer: &'static [u8]) -> (Backend, Seen) {
    let seen = Seen::default();
    let own = seen.clone();
    let backend = Backend::start(move |request| {
        *own.lock().unwrap() = (request.head.to_ascii_lowercase(), request.body.clone());
        (answer.to_vec(), End::Keep)
    });
    (backend, seen)
}

#[test]
fn an_object_arrives_and_connections_are_used_again() {
    let object = Object::new(300_000);
    let backend = honest(&object);
    let run = Running::start(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    for _ in 0..20 {
        let response = client.get("/a", "").expect("a response");
        assert_eq!((response.status, response.whole), (200, true));
        assert!(response.body == object.bytes);
        assert_eq!(response.field("etag"), Some("\"one\""));
    }
    assert_eq!(backend.requests(), 20);
    // Each worker has its own, and one client is with one worker.
    assert_eq!(backend.connections(), 1);
    client.send(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response(true).expect("a response");
    assert_eq!(response.field("content-length"), Some("300000"));
    net::until("no download is listed", || run.service.downloads.all().is_empty());
}

#[test]
fn a_backend_sees_the_client_and_not_what_was_meant_for_the_link() {
    let (backend, seen) = hearing(
        b"HTTP/1.1 204 No Content\r\nConnection: x-own\r\nX-Own: 1\r\nKeep-Alive: 3\r\n\r\n",
    );
    let mut link = link();
    link.forwarded = Forwarded::Both;
    let run = Running::start(link, &[&backend]);
    let mut client = Client::connect(run.address);
    let response = client.get(
        "/path/../x?y=%2e",
        "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
         Expect: 100-continue\r\nTE: trailers\r\nCookie: a=b\r\n",
    );
    let response = response.expect("a response");
    assert_eq!(response.status, 204);
    assert_eq!(response.field("x-own"), None);
    assert_eq!(response.field("keep-alive"), None);
    let (head, _) = seen.lock().unwrap().clone();
    assert!(head.starts_with("get /path/../x?y=%2e http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-forwarded-for: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-forwarded-proto: http\r\n"), "{head}");
    assert!(head.contains("\r\nforwarded: for=127.0.0.1;proto=http\r\n"), "{head}");
    assert!(
        head.contains("\r\nhost: shop.example\r\n") && head.contains("\r\ncookie: a=b\r\n"),
        "{head}"
    );
    for gone in ["x-secret", "expect", "te:", "connection", "keep-alive"] {
        assert!(!head.contains(&format!("\r\n{gone}")), "{gone} in {head}");
    }
    client.send(b"GET http://other.example/z HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 204);
    let (head, _) = seen.lock().unwrap().clone();
    assert!(head.starts_with("get /z http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: other.example\r\n") && !head.contains("shop"), "{head}");
}

#[test]
fn requests_spread_by_weight() {
    let object = Object::new(10);
    let backends = [honest(&object), honest(&object)];
    let mut plans = net::plans(&[&backends[0], &backends[1]]);
    plans[1].weight = 3;
    for balance in [LinkBalance::Weight, LinkBalance::LeastRequests] {
        let before = [backends[0].requests(), backends[1].requests()];
        let mut link = link();
        link.balance = balance;
        let run = Running::of_plans(link, &plans);
        let mut client = Client::connect(run.address);
        for _ in 0..40 {
            assert_eq!(client.get("/", "").expect("a response").status, 200);
        }
        let now = [backends[0].requests() - before[0], backends[1].requests() - before[1]];
        match balance {
            LinkBalance::Weight => assert_eq!(now, [10, 30]),
            LinkBalance::LeastRequests => assert_eq!(now[0] + now[1], 40),
        }
    }
}

#[test]
fn a_body_goes_to_the_backend_as_it_came() {
    let (backend, seen) = hearing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let run = Running::start(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    client.send(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response(false).expect("a response").body, b"ok");
    let (head, body) = seen.lock().unwrap().clone();
    assert!(head.contains("content-length: 5\r\n") && body == b"hello", "{head}");
    client.send(
        b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(client.response(false).expect("a response").body, b"ok");
    let (head, body) = seen.lock().unwrap().clone();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(body, b"5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn cookies_that_came_apart_are_one_field() {
    let (backend, seen) = hearing(b"HTTP/1.1 204 No Content\r\n\r\n");
    let run = Running::start(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 204);
    let (head, _) = seen.lock().unwrap().clone();
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
}

/// A backend that takes the request and ends before it answers.
fn failing(end: End) -> Backend {
    Backend::start(move |_| (Vec::new(), end))
}

#[test]
fn a_safe_request_is_repeated_and_another_is_not() {
    let object = Object::new(1000);
    for end in [End::Close, End::Reset, End::Silent] {
        let (bad, good) = (failing(end), honest(&object));
        let run = Running::start(link(), &[&bad, &good]);
        let mut client = Client::connect(run.address);
        let response = client.get("/", "").expect("a response");
        assert!(response.whole && response.body == object.bytes, "{end:?}");
        assert_eq!((bad.requests(), good.requests()), (1, 1), "{end:?}");
        assert_eq!(run.count("requests_repeated"), 1);
        // It is left alone for a while.
        assert_eq!(client.get("/", "").expect("a response").status, 200);
        assert_eq!(bad.requests(), 1);
        let run = Running::start(link(), &[&bad, &good]);
        let mut client = Client::connect(run.address);
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        let response = client.response(false).expect("a response");
        let expected = if end == End::Silent { 504 } else { 502 };
        assert_eq!(response.status, expected, "{end:?}");
        assert_eq!((bad.requests(), good.requests()), (2, 2), "{end:?}");
    }
}

#[test]
fn a_request_that_was_not_sent_goes_elsewhere_with_its_body() {
    let object = Object::new(10);
    let good = honest(&object);
    let gone = honest(&object);
    let plans = net::plans(&[&gone, &good]);
    drop(gone);
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.response(false).expect("a response").status, 200);
    assert_eq!(good.requests(), 1);
}

#[test]
fn without_a_backend_the_client_is_told() {
    let object = Object::new(10);
    let gone = honest(&object);
    let plans = net::plans(&[&gone]);
    drop(gone);
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    assert_eq!(client.get("/", "").expect("a response").status, 502);
    let mut stands = |light, state, status| {
        run.service.stands(plans[0].id, light, state);
        assert_eq!(client.get("/", "").expect("a response").status, status);
    };
    // If all are red, all are asked.
    stands(dsc_wire::Light::Red, dsc_wire::BackendState::Enabled, 502);
    stands(dsc_wire::Light::Red, dsc_wire::BackendState::Disabled, 503);
}

/// A service that closes, because another process takes its place, still answers whoever it has accepted, once.
#[test]
fn who_was_accepted_before_the_end_is_answered() {
    let object = Object::new(100);
    let backend = honest(&object);
    let run = Running::start(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    let mut silent = Client::connect(run.address);
    net::until("they are accepted", || run.service.connections() == 2);
    run.service.close();
    let response = client.get("/", "").expect("a response");
    assert!(response.whole && response.body == object.bytes);
    assert!(client.get("/", "").is_none(), "it was told to close");
    net::until("nobody is waited for who asks nothing", || run.service.connections() == 0);
    assert!(silent.get("/", "").is_none());
}

/// A connection that has had nothing to do for a second gives its buffers back; its client notices nothing.
#[test]
fn a_connection_that_has_rested_is_served_again() {
    let object = Object::new(100_000);
    let backend = honest(&object);
    let dir = net::tls::Dir::new("rest");
    let mut tls = link();
    tls.certificates = vec![net::tls::make(&dir.0, "a", &["shop.example"]).0];
    let (plain, coded) = (Running::start(link(), &[&backend]), Running::start(tls, &[&backend]));
    let mut client = Client::connect(plain.address);
    let way = net::hyper_client::Way { tls: true, h2: false };
    let mut other = net::hyper_client::HyperClient::connect(coded.address, way, "shop.example");
    for round in 0..3 {
        for _ in 0..2 {
            let response = client.get("/", "").expect("a response");
            assert!(response.whole && response.body == object.bytes, "round {round}");
            let response = other.get("/", None).expect("a response");
            assert!(response.whole && response.body == object.bytes, "round {round}");
        }
        let begin = std::time::Instant::now();
        net::until("it rests", || begin.elapsed().as_millis() > 1_300);
    }
    assert_eq!((plain.service.connections(), coded.service.connections()), (1, 1));
    // One that rests ends with its service.
    plain.service.close();
    net::until("it ends", || plain.service.connections() == 0);
}
