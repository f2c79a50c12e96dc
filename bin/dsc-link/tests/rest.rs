//! What backends are asked when another has failed in the middle of a body: the one question, and no more often than helps.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::object::{Object, head_len};
use crate::net::{self, LIMIT, Running, link};
use dsc_wire::{BackendState, Light};
use http_body_util::{BodyExt, Empty};
use hyper::Request as Asking;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::{Arc, Mutex};

const LEN: usize = 100_000;

/// Half of the object, and the end.
fn half(object: &Object) -> Backend {
    let object = object.clone();
    Backend::start(move |request| (object.serve(request)[..LEN / 2].to_vec(), End::Close))
}

/// A client's own conditions were met by the first answer; the rest depends on nothing but that.
#[test]
fn the_rest_has_one_condition() {
    let object = Object::new(LEN);
    let seen = Arc::new(Mutex::new(String::new()));
    let (own, told) = (object.clone(), seen.clone());
    let good = Backend::start(move |request| {
        *told.lock().unwrap() = request.head.to_ascii_lowercase();
        (own.serve(request), End::Keep)
    });
    let bad = half(&object);
    let run = Running::start(link(), &[&bad, &good]);
    let conditions = "If-None-Match: \"old\"\r\nIf-Match: \"one\"\r\nX-Own: 1\r\n\
                      If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                      If-Unmodified-Since: Sun, 06 Nov 2094 08:49:37 GMT\r\n";
    let response = Client::connect(run.address).get("/", conditions).expect("a response");
    assert!(response.whole && response.body == object.bytes);
    let head = seen.lock().unwrap().clone();
    assert!(
        head.contains("\r\nif-range: \"one\"\r\n") && head.contains("\r\nx-own: 1\r\n"),
        "{head}"
    );
    for gone in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
        assert!(!head.contains(&format!("\r\n{gone}:")), "{gone} in {head}");
    }
}

/// Exact answers of which no byte comes lead nowhere.
#[test]
fn bodies_that_break_again_and_again_are_given_up() {
    let object = Object::new(LEN);
    let broken = |object: &Object| {
        let object = object.clone();
        Backend::start(move |request| {
            let mut wire = object.serve(request);
            let end = if request.number == 0 { LEN / 2 } else { head_len(&wire) };
            wire.truncate(end);
            (wire, End::Close)
        })
    };
    let backends = [broken(&object), broken(&object)];
    let run = Running::start(link(), &[&backends[0], &backends[1]]);
    let response = Client::connect(run.address).get("/", "").expect("a response");
    assert!(!response.whole && object.bytes.starts_with(&response.body));
    let asked = backends[0].requests() + backends[1].requests();
    assert!((3..20).contains(&asked), "{asked}");
}

#[test]
fn one_that_is_disabled_is_not_asked_again() {
    let object = Object::new(20_000_000);
    let own = object.clone();
    let backend = Backend::start(move |request| (own.serve(request), End::Keep));
    let plans = net::plans(&[&backend]);
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    net::until("it has begun", || run.service.downloads.all().iter().any(|d| d.bytes() > 0));
    run.service.stands(plans[0].id, Light::Green, BackendState::Disabled);
    let response = client.response(false).expect("a response");
    assert!(!response.whole && object.bytes.starts_with(&response.body));
    assert_eq!((backend.requests(), run.count("bodies_cut")), (1, 1));
}

/// What comes after a body, as with gRPC.
#[test]
fn trailers_reach_a_client_of_http2() {
    let backend = Backend::start(|_| {
        let wire = b"HTTP/1.1 200 OK\r\nTrailer: x-status\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\nabc\r\n0\r\nx-status: 7\r\n\r\n";
        (wire.to_vec(), End::Keep)
    });
    let run = Running::start(link(), &[&backend]);
    let asking = async {
        let stream = tokio::net::TcpStream::connect(run.address).await.expect("a connection");
        let builder = http2::Builder::new(TokioExecutor::new());
        let shake = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
        let (mut sender, connection) = shake.expect("HTTP/2");
        tokio::spawn(connection);
        let request = Asking::get("http://shop.example/").body(Empty::new()).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        answer.into_body().collect().await.expect("a body")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let body =
        runtime.expect("a loop").block_on(async { tokio::time::timeout(LIMIT, asking).await });
    let body = body.expect("in time");
    assert_eq!(body.trailers().and_then(|t| t.get("x-status")).expect("a trailer"), "7");
    assert_eq!(&body.to_bytes()[..], b"abc");
}
