//! TLS and HTTP/2 towards clients: which certificate is shown, and that downloads break and go on there as they do with HTTP/1.1.

use crate::net::backend::{Backend, End};
use crate::net::hyper_client::{HyperClient, WAYS, Way};
use crate::net::object::{Object, head_len, resolve};
use crate::net::tls::{Dir, make};
use crate::net::{Running, link};
use dsc_conf::Certificate;
use std::sync::atomic::{AtomicU64, Ordering};

const LEN: usize = 300_000;
const CHUNK: usize = 40_000;
const TLS: Way = Way { tls: true, h2: false };

fn honest(object: &Object) -> Backend {
    let object = object.clone();
    Backend::start(move |request| (object.serve(request), End::Keep))
}

fn breaking(object: &Object, at: usize, end: End) -> Backend {
    let object = object.clone();
    Backend::start(move |request| match request.number {
        0 => (object.serve(request)[..at].to_vec(), end),
        _ => (object.serve(request), End::Keep),
    })
}

fn start(way: Way, files: &Certificate, backends: &[&Backend]) -> Running {
    let mut link = link();
    if way.tls {
        link.certificates = vec![files.clone()];
    }
    Running::start(link, backends)
}

fn broken(
    way: Way,
    files: &Certificate,
    object: &Object,
    range: Option<&str>,
    at: usize,
    end: End,
) -> u64 {
    let (bad, good) = (breaking(object, at, end), honest(object));
    let run = start(way, files, &[&bad, &good]);
    let mut client = HyperClient::connect(run.address, way, "shop.example");
    let response = client.get("/o", range).expect("a response");
    let (first, last) = range.map_or((0, LEN), |r| resolve(r, LEN));
    let what = format!("{at} bytes, {end:?}, {range:?}, {way:?}");
    assert!(response.whole, "{what}");
    assert!(response.body == object.bytes[first..last], "{what}");
    run.count("bodies_resumed")
}

#[test]
fn each_way_to_speak_and_to_break_gives_the_whole_body() {
    let dir = Dir::new("ways");
    let files = make(&dir.0, "a", &["shop.example"]).0;
    let resumed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for object in [Object::new(LEN), Object::new(LEN).chunked(CHUNK)] {
            for way in WAYS {
                for range in [None, Some("bytes=100000-")] {
                    let (object, files, resumed) = (object.clone(), &files, &resumed);
                    scope.spawn(move || {
                        let wire = object.part(range, false);
                        let head = head_len(&wire);
                        let middle = head + (wire.len() - head) / 2;
                        for at in [
                            head / 2,
                            head,
                            head + 1,
                            middle,
                            wire.len() - 8,
                            wire.len() - 1,
                            wire.len(),
                        ] {
                            for end in [End::Close, End::Reset, End::Silent] {
                                let more = broken(way, files, &object, range, at, end);
                                resumed.fetch_add(more, Ordering::Relaxed);
                            }
                        }
                    });
                }
            }
        }
    });
    assert!(resumed.into_inner() > 100);
}

#[test]
fn a_body_that_cannot_go_on_is_seen_to_be_cut() {
    let dir = Dir::new("cut");
    let files = make(&dir.0, "a", &["shop.example"]).0;
    for way in WAYS {
        for object in [Object::new(LEN), Object::new(LEN).chunked(CHUNK)] {
            let object = object.with("\"one\"", "W/\"one\"");
            let at = object.part(None, false).len() / 2;
            let (bad, good) = (breaking(&object, at, End::Close), honest(&object));
            let run = start(way, &files, &[&bad, &good]);
            let mut client = HyperClient::connect(run.address, way, "shop.example");
            let response = client.get("/o", None).expect("a response");
            assert!(!response.whole && object.bytes.starts_with(&response.body), "{way:?}");
            assert_eq!((run.count("bodies_cut"), run.count("bodies_resumed")), (1, 0));
            if way.h2 {
                // Only its stream ended.
                let next = client.get("/o", None).expect("a response");
                assert!(next.whole && next.body == object.bytes);
            }
        }
    }
}

#[test]
fn many_downloads_of_one_connection_survive_their_backend() {
    let dir = Dir::new("many");
    let files = make(&dir.0, "a", &["shop.example"]).0;
    let object = Object::new(LEN);
    let at = object.part(None, false).len() / 3;
    // Everything that it is asked for first ends in its middle.
    let own = object.clone();
    let bad = Backend::start(move |request| match request.field("if-range") {
        None => (own.serve(request)[..at].to_vec(), End::Reset),
        Some(_) => (own.serve(request), End::Keep),
    });
    let good = honest(&object);
    for way in WAYS.into_iter().filter(|w| w.h2) {
        let run = start(way, &files, &[&bad, &good]);
        let mut client = HyperClient::connect(run.address, way, "shop.example");
        for response in client.get_all(&["/o"; 40], None) {
            let response = response.expect("a response");
            assert!(response.whole && response.body == object.bytes);
        }
        assert!(run.count("bodies_resumed") > 0);
        assert_eq!(run.service.connections(), 1);
    }
}

#[test]
fn the_certificate_is_the_one_for_the_name_and_follows_its_files() {
    let dir = Dir::new("names");
    let (one, one_der) = make(&dir.0, "one", &["one.example"]);
    let (two, two_der) = make(&dir.0, "two", &["*.two.example", "two.example"]);
    let mut link = link();
    link.certificates = vec![one.clone(), two];
    let backend = honest(&Object::new(10));
    let run = Running::start(link, &[&backend]);
    let shown = |name: &str| {
        let client = HyperClient::connect(run.address, TLS, name);
        client.certificate.expect("one").to_vec()
    };
    assert!(shown("one.example") == one_der && shown("two.example") == two_der);
    assert!(shown("a.two.example") == two_der);
    assert!(shown("other.example") == one_der, "the first is for all others");
    let (_, new_der) = make(&dir.0, "one", &["one.example"]);
    assert!(shown("one.example") == one_der);
    run.service.refresh(false);
    assert!(shown("one.example") == new_der && new_der != one_der);
    // A key that is another's, and no key at all.
    let (other, _) = make(&dir.0, "other", &["one.example"]);
    for bad in [std::fs::read(&other.key).expect("a key"), b"nothing".to_vec()] {
        std::fs::write(&one.key, bad).expect("written");
        run.service.refresh(false);
        assert!(shown("one.example") == new_der);
    }
    let (_, last_der) = make(&dir.0, "one", &["one.example"]);
    run.service.refresh(false);
    assert!(shown("one.example") == last_der);
}
