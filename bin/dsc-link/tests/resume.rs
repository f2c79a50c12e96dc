//! Downloads whose backend fails, at every class of place and in every way: the client gets the very bytes, or sees that they are
//! not whole.

use crate::net::backend::{Backend, End, Request};
use crate::net::client::{Client, Response};
use crate::net::object::{Object, head_len, resolve};
use crate::net::{self, Running, link};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

const LEN: usize = 100_000;
const CHUNK: usize = 9_000;
const ENDS: [End; 3] = [End::Close, End::Reset, End::Silent];

/// Serves the object, but ends its first answer at `at` bytes of it.
fn breaking(object: &Object, at: usize, end: End) -> Backend {
    let object = object.clone();
    Backend::start(move |request| {
        let mut wire = object.serve(request);
        if request.number > 0 {
            return (wire, End::Keep);
        }
        wire.truncate(at);
        (wire, end)
    })
}

fn honest(object: &Object) -> Backend {
    let object = object.clone();
    Backend::start(move |request| (object.serve(request), End::Keep))
}

fn lie(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Backend {
    Backend::start(move |request| (answer(request), End::Keep))
}

fn expected(object: &Object, range: Option<&str>) -> Vec<u8> {
    let (first, end) = range.map_or((0, object.bytes.len()), |r| resolve(r, object.bytes.len()));
    object.bytes[first..end].to_vec()
}

fn fields(range: Option<&str>) -> String {
    range.map_or(String::new(), |r| format!("Range: {r}\r\n"))
}

/// Places of an answer: in its head, at the body's begin and after its first byte, in the middle, at the edges of chunks, before
/// the last byte, after it.
fn places(object: &Object, wire: &[u8]) -> Vec<usize> {
    let head = head_len(wire);
    let mut places = vec![1, head / 2, head, head + 1, head + (wire.len() - head) / 2];
    match object.chunk {
        None => places.extend([wire.len() - 1, wire.len()]),
        Some(_) => {
            let last = wire.len() - b"\r\n0\r\n\r\n".len();
            let edge = head + "2328\r\n".len() + CHUNK;
            // A chunk's last byte, its line end, the next one's size; the body's last byte, and each byte after it.
            places.extend([head + 6, edge - 1, edge, edge + 1, edge + 2, edge + 3, edge + 8]);
            places.extend(last - 1..=wire.len());
        }
    }
    places
}

/// Breaks one download, and says how often it was continued.
fn broken(object: &Object, range: Option<&str>, at: usize, end: End) -> u64 {
    let wire = object.part(range, false);
    let (bad, good) = (breaking(object, at, end), honest(object));
    let run = Running::start(link(), &[&bad, &good]);
    let mut client = Client::connect(run.address);
    let response = client.get("/o", &fields(range)).expect("a response");
    let what = format!("{at} of {} bytes, {end:?}, {range:?}", wire.len());
    assert!(response.whole, "{what}");
    assert_eq!(response.status, if range.is_some() { 206 } else { 200 }, "{what}");
    assert!(response.body == expected(object, range), "{what}");
    assert_eq!(run.count("bodies_cut"), 0, "{what}");
    // What a part of known length lacks after its last byte is lacked by nobody.
    let tail = if object.chunk.is_some() && range.is_some() { b"\r\n0\r\n\r\n".len() } else { 0 };
    let missing = at < wire.len() - tail;
    // A reset may overtake the head.
    if end != End::Reset {
        let in_body = missing && at >= head_len(&wire);
        assert_eq!(run.count("bodies_resumed"), u64::from(in_body), "{what}");
        assert_eq!(good.requests(), usize::from(missing), "{what}");
    }
    run.count("bodies_resumed")
}

#[test]
fn each_place_and_way_to_break_gives_the_whole_body() {
    let coded = Object::new(LEN).with("\r\nContent-T", "\r\nContent-Encoding: gzip\r\nContent-T");
    let kinds =
        [Object::new(LEN), Object::new(LEN).chunked(CHUNK), coded.clone(), coded.chunked(CHUNK)];
    let ranges = [None, Some("bytes=1000-70999"), Some("bytes=30000-"), Some("bytes=-60000")];
    let resumed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for object in &kinds {
            for (range, end) in ranges.iter().flat_map(|r| ENDS.map(|e| (*r, e))) {
                let resumed = &resumed;
                scope.spawn(move || {
                    for at in places(object, &object.part(range, false)) {
                        resumed.fetch_add(broken(object, range, at, end), Ordering::Relaxed);
                    }
                });
            }
        }
    });
    let resumed = resumed.into_inner();
    assert!(resumed > 200, "{resumed}");
}

/// Breaks a download in its middle, and asks one other backend for the rest.
fn continued_by(
    object: &Object,
    other: Backend,
    change: impl Fn(&mut dsc_conf::Link),
) -> (Response, Running) {
    let at = object.part(None, false).len() / 2;
    let object = object.clone();
    // Gone for good after its first answer.
    let bad = Backend::start(move |request| match request.number {
        0 => (object.serve(request)[..at].to_vec(), End::Close),
        _ => (Vec::new(), End::Close),
    });
    let mut link = link();
    change(&mut link);
    let run = Running::start(link, &[&bad, &other]);
    let mut client = Client::connect(run.address);
    let response = client.get("/o", "").expect("a response");
    (response, run)
}

#[test]
fn a_backend_that_disagrees_is_never_mixed_in() {
    let object = Object::new(LEN);
    let mut longer = object.clone();
    longer.bytes.push(0);
    let mut shorter = object.clone();
    shorter.bytes.pop();
    let other = |from, to| honest(&object.clone().with(from, to));
    let of = |object: &Object, answer: fn(&Object, usize, usize, usize) -> Vec<u8>| {
        let object = object.clone();
        lie(move |request| {
            let total = object.bytes.len();
            let (first, end) = request.field("range").map_or((0, total), |r| resolve(r, total));
            answer(&object, first, end, total)
        })
    };
    let partial = |o: &Object, range: String, body: &[u8]| {
        o.answer("206 Partial Content", &format!("Content-Range: bytes {range}\r\n"), body, false)
    };
    let rows: Vec<(&str, Backend)> = vec![
        ("another tag", other("\"one\"", "\"two\"")),
        ("a weak tag", other("\"one\"", "W/\"one\"")),
        ("no tag", other("ETag", "X-Tag")),
        ("another coding", other("\r\nContent-T", "\r\nContent-Encoding: gzip\r\nContent-T")),
        ("another type", other("x-test", "x-other")),
        ("a longer object", honest(&longer)),
        ("a shorter object", honest(&shorter)),
        ("the whole object", of(&object, |o, _, _, _| o.part(None, false))),
        (
            "no such range",
            of(&object, |o, _, _, total| {
                o.answer(
                    "416 Range Not Satisfiable",
                    &format!("Content-Range: bytes */{total}\r\n"),
                    b"",
                    false,
                )
            }),
        ),
        (
            "an error",
            of(&object, |o, _, _, _| o.answer("503 Service Unavailable", "", b"sorry", false)),
        ),
        (
            "no range",
            of(&object, |o, first, _, _| {
                o.answer("206 Partial Content", "", &o.bytes[first..], false)
            }),
        ),
    ];
    for (what, backend) in rows {
        let (response, run) = continued_by(&object, backend, |_| ());
        assert!(!response.whole, "{what}");
        assert!(object.bytes.starts_with(&response.body), "{what}");
        assert!(response.body.len() > LEN / 3, "{what}: what had come is not lost");
        assert_eq!(run.count("bodies_cut"), 1, "{what}");
        assert_eq!(run.count("bodies_resumed"), 0, "{what}");
        assert_eq!(run.count("rests_refused"), 1, "{what}");
    }
    let ranges: [fn(usize, usize, usize) -> String; 4] = [
        |first, end, total| format!("{}-{}/{total}", first + 1, end - 1),
        |first, end, total| format!("{}-{}/{total}", first - 1, end - 1),
        |first, end, total| format!("{first}-{}/{total}", end - 2),
        |first, end, _| format!("{first}-{}/*", end - 1),
    ];
    for range in ranges {
        let object = object.clone();
        let own = object.clone();
        let backend = lie(move |request| {
            let total = own.bytes.len();
            let (first, end) = request.field("range").map_or((0, total), |r| resolve(r, total));
            partial(&own, range(first, end, total), &own.bytes[first..end])
        });
        let (response, run) = continued_by(&object, backend, |_| ());
        assert!(!response.whole && object.bytes.starts_with(&response.body));
        assert_eq!((run.count("bodies_resumed"), run.count("rests_refused")), (0, 1));
    }
}

#[test]
fn what_is_fetched_again_must_be_the_same() {
    let object = Object::new(LEN);
    let mut changed = object.clone();
    // The same by all that it says, but not by its bytes.
    let at = object.part(None, false).len() / 2 - head_len(&object.part(None, false));
    changed.bytes[at - 100] ^= 1;
    let overlap = |link: &mut dsc_conf::Link| link.verify_overlap = 4096;
    let (response, run) = continued_by(&object, honest(&changed), overlap);
    assert!(!response.whole && object.bytes.starts_with(&response.body));
    assert_eq!((run.count("overlaps_differed"), run.count("bodies_cut")), (1, 1));
    let (response, run) = continued_by(&object, honest(&object), overlap);
    assert!(response.whole && response.body == object.bytes);
    assert_eq!((run.count("overlaps_differed"), run.count("bodies_resumed")), (0, 1));
}

#[test]
fn without_a_strong_validator_the_body_is_cut() {
    let rows = [
        ("ETag: \"one\"", "ETag: W/\"one\""),
        ("ETag: \"one\"", "X-Nothing: 1"),
        ("ETag: \"one\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    for (from, to) in rows {
        for object in [Object::new(LEN), Object::new(LEN).chunked(CHUNK)] {
            let object = object.with(from, to);
            let (response, run) = continued_by(&object, honest(&object), |_| ());
            assert!(!response.whole && object.bytes.starts_with(&response.body), "{to}");
            assert_eq!((run.count("bodies_cut"), run.count("bodies_resumed")), (1, 0), "{to}");
        }
    }
    let dates =
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT";
    let object = Object::new(LEN).with("ETag: \"one\"", dates);
    let (response, run) = continued_by(&object, honest(&object), |_| ());
    assert!(response.whole && response.body == object.bytes);
    assert_eq!(run.count("bodies_resumed"), 1);
}

#[test]
fn a_body_that_only_the_connection_ends_is_cut_by_a_reset() {
    let object = Object::new(LEN).chunked(CHUNK);
    let at = object.part(None, false).len() / 2;
    let own = object.clone().with("ETag", "X-Tag");
    let bad = Backend::start(move |request| (own.serve(request)[..at].to_vec(), End::Close));
    let run = Running::start(link(), &[&bad]);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let response = client.response(false).expect("a response");
    assert_eq!(response.field("transfer-encoding"), None);
    assert!(!response.whole && object.bytes.starts_with(&response.body));
}

#[test]
fn a_silent_backend_that_wakes_up_goes_on_if_nobody_else_can() {
    let object = Object::new(LEN);
    let wire = object.part(None, false);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let other = honest(&object.clone().with("\"one\"", "\"two\""));
    let mut plans = net::plans(&[&other, &other]);
    plans[0].address = address;
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (mut stream, _) = listener.accept().expect("a connection");
    // What comes before the request would be no answer to it.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    stream.write_all(&wire[..50_000]).expect("sent");
    net::until("the other was asked", || run.count("rests_refused") >= 1);
    stream.write_all(&wire[50_000..]).expect("sent");
    let response = client.response(false).expect("a response");
    assert!(response.whole && response.body == object.bytes);
    assert_eq!((run.count("bodies_broken"), run.count("bodies_cut")), (1, 0));
}

#[test]
fn a_red_light_moves_what_is_silent_before_its_time() {
    let object = Object::new(LEN);
    let wire = object.part(None, false);
    let (bad, good) = (breaking(&object, wire.len() / 2, End::Silent), honest(&object));
    let mut link = link();
    link.silence = std::time::Duration::from_secs(600);
    let plans = net::plans(&[&bad, &good]);
    let run = Running::of_plans(link, &plans);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    net::until("half has come", || {
        run.service.downloads.all().iter().any(|d| d.bytes() > LEN as u64 / 3)
    });
    let listed = run.service.downloads.all();
    assert_eq!((listed[0].backend(), listed[0].resumes()), (bad.address, 0));
    assert_eq!(listed[0].object, "/");
    run.service.stands(plans[0].id, dsc_wire::Light::Red, dsc_wire::BackendState::Enabled);
    let response = client.response(false).expect("a response");
    assert!(response.whole && response.body == object.bytes);
    assert_eq!((listed[0].backend(), listed[0].resumes()), (good.address, 1));
}

#[test]
fn a_disabled_backend_has_nothing_any_more() {
    let object = Object::new(20_000_000);
    let (first, second) = (honest(&object), honest(&object));
    let plans = net::plans(&[&first, &second]);
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    net::until("it has begun", || run.service.downloads.all().iter().any(|d| d.bytes() > 0));
    run.service.stands(plans[0].id, dsc_wire::Light::Green, dsc_wire::BackendState::Disabled);
    let response = client.response(false).expect("a response");
    assert!(response.whole && response.body == object.bytes);
    assert_eq!((second.requests(), run.count("bodies_resumed")), (1, 1));
}
