//! Thousands of downloads whose backends break at random places in random ways, and some of whose backends disagree. Not one byte
//! may be wrong. `DSC_BREAKS=10000` makes as many breaks; what a download is follows from its number alone.

use crate::net::backend::{Answer, Backend, End, Request};
use crate::net::client::{Client, Response};
use crate::net::http2::Http2Backend;
use crate::net::hyper_client::{HyperClient, WAYS, Way};
use crate::net::object::{Object, bytes, resolve};
use crate::net::tls::{Dir, make};
use crate::net::{self, Running, link};
use dsc_conf::Link;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Breaks of a usual run.
const SHORT: u64 = 400;
const CLIENTS: u64 = 6;
const BACKENDS: u64 = 3;

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The object of a download, and what of it is asked for.
fn download(number: u64) -> (Object, Option<String>) {
    let mut random = Random(number);
    let len = match random.below(4) {
        0 => 1 + random.below(20),
        1 => 1 + random.below(5_000),
        _ => 1 + random.below(200_000),
    };
    let mut object = Object::new(len as usize);
    object.bytes = bytes(len as usize, number + 1);
    if random.one_in(3) {
        object = object.with("\r\nContent-T", "\r\nContent-Encoding: gzip\r\nContent-T");
    }
    if random.one_in(2) {
        object = object.chunked(1 + random.below(30_000) as usize);
    }
    let first = random.below(len);
    let last = first + random.below(len - first);
    let range = match random.below(5) {
        0 => Some(format!("bytes={first}-{last}")),
        1 => Some(format!("bytes={first}-")),
        2 => Some(format!("bytes=-{}", 1 + first)),
        _ => None,
    };
    (object, range)
}

/// Of the download that is asked for.
fn number(request: &Request) -> u64 {
    let target = request.head.split(' ').nth(1).expect("a target");
    target.rsplit('/').next().and_then(|n| n.parse().ok()).expect("a number")
}

/// What a backend says to its n-th request for a download. The first may disagree, the last is good from its third answer on.
fn answer(backend: u64, nth: u64, request: &Request) -> Answer {
    let number = number(request);
    let (object, _) = download(number);
    let mut random = Random(number ^ (backend << 40) ^ (nth << 50));
    // The same lie each time, or the first answer would be of another object than the rest.
    let mut kind = Random(number ^ (backend << 40) ^ 77);
    let mut wire = match kind.below(12) {
        0 if backend == 0 => {
            let mut other = object.clone().with("\"one\"", "\"other\"");
            other.bytes = bytes(object.bytes.len(), number + 99);
            other.serve(request)
        }
        // Where nobody knows the length, a longer object with the same strong tag cannot be told from the same.
        1 if backend == 0 && object.chunk.is_none() && request.field("if-range").is_some() => {
            let mut other = object.clone();
            other.bytes.extend_from_slice(b"more");
            other.serve(request)
        }
        2 if backend == 0 && request.field("if-range").is_some() => object.part(None, false),
        3 if backend == 0 && request.field("if-range").is_some() => {
            let total = object.bytes.len();
            let (first, end) = resolve(request.field("range").expect("a range"), total);
            let shifted = format!("Content-Range: bytes {}-{end}/{}\r\n", first + 1, total + 1);
            object.answer("206 Partial Content", &shifted, &object.bytes[first..end], false)
        }
        _ => object.serve(request),
    };
    if backend == BACKENDS - 1 && nth >= 2 || random.one_in(4) {
        return (wire, End::Keep);
    }
    wire.truncate(random.below(wire.len() as u64 + 1) as usize);
    let end = match random.below(40) {
        0 => End::Silent,
        n if n % 2 == 0 => End::Reset,
        _ => End::Close,
    };
    (wire, end)
}

/// A client that speaks in one way or another.
enum Either {
    Plain(Client),
    Other(Box<HyperClient>),
}

impl Either {
    fn connect(address: SocketAddr, way: Option<Way>) -> Either {
        match way {
            None => Either::Plain(Client::connect(address)),
            Some(way) => {
                Either::Other(Box::new(HyperClient::connect(address, way, "shop.example")))
            }
        }
    }

    fn get(&mut self, path: &str, range: Option<&str>) -> Option<Response> {
        match self {
            Either::Plain(client) => {
                client.get(path, &range.map_or(String::new(), |r| format!("Range: {r}\r\n")))
            }
            Either::Other(client) => client.get(path, range),
        }
    }
}

/// What one backend does.
fn script(which: u64) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let nth: Mutex<HashMap<u64, u64>> = Mutex::new(HashMap::new());
    move |request| {
        let mut nth = nth.lock().unwrap();
        let own = nth.entry(number(request)).or_default();
        *own += 1;
        let own = *own - 1;
        drop(nth);
        answer(which, own, request)
    }
}

/// A link without and one with TLS.
fn links(called: &str) -> (Dir, [Link; 2]) {
    let mut link = link();
    link.verify_overlap = 64;
    let dir = Dir::new(called);
    let mut tls = link.clone();
    tls.certificates = vec![make(&dir.0, "a", &["shop.example"]).0];
    (dir, [link, tls])
}

#[test]
fn no_byte_is_ever_wrong() {
    let backends: Vec<Backend> = (0..BACKENDS).map(|b| Backend::start(script(b))).collect();
    let backends: Vec<&Backend> = backends.iter().collect();
    let (_dir, links) = links("random");
    download_all(&links.map(|link| Running::start(link, &backends)));
}

#[test]
fn no_byte_from_backends_of_http2_is_ever_wrong() {
    let backend = |which| {
        let script = script(which);
        Http2Backend::start(move |request| {
            let (wire, end) = script(request);
            // One break in three takes the connection with it, and all that it carries.
            let away = end == End::Close && wire.len() % 3 == 0;
            (wire, if away { End::Away } else { end })
        })
    };
    let backends: Vec<Http2Backend> = (0..BACKENDS).map(backend).collect();
    let backends: Vec<&Http2Backend> = backends.iter().collect();
    let (_dir, links) = links("random-http2");
    download_all(&links.map(|link| Running::over_http2(link, &backends)));
}

/// Downloads until so much was broken.
fn download_all(runs: &[Running; 2]) {
    let breaks = std::env::var("DSC_BREAKS").map_or(SHORT, |n| n.parse().expect("a number"));
    let count = |name: &str| runs.iter().map(|r| r.count(name)).sum::<u64>();
    let next = AtomicU64::new(0);
    let (whole, cut, none) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (count, next) = (&count, &next);
            let (whole, cut, none) = (&whole, &cut, &none);
            scope.spawn(move || {
                // One in two speaks HTTP/1.1 without TLS, the others the other ways.
                let way = (client % 2 == 1).then(|| WAYS[client as usize / 2 % WAYS.len()]);
                let address = runs[usize::from(way.is_some_and(|w| w.tls))].address;
                let mut client: Option<Either> = None;
                while count("bodies_broken") < breaks {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (object, range) = download(number);
                    let own = client.get_or_insert_with(|| Either::connect(address, way));
                    let response = own.get(&format!("/{number}"), range.as_deref());
                    let Some(response) = response else {
                        none.fetch_add(1, Ordering::Relaxed);
                        client = None;
                        continue;
                    };
                    if response.status >= 500 {
                        none.fetch_add(1, Ordering::Relaxed);
                        client = None;
                        continue;
                    }
                    let other = response.field("etag") == Some("\"other\"");
                    let mut bytes = match other {
                        true => net::object::bytes(object.bytes.len(), number + 99),
                        false => object.bytes.clone(),
                    };
                    if let Some(range) = &range {
                        let (first, end) = resolve(range, bytes.len());
                        bytes = bytes[first..end].to_vec();
                    }
                    match response.whole {
                        true => assert!(response.body == bytes, "download {number}"),
                        false => assert!(bytes.starts_with(&response.body), "download {number}"),
                    }
                    let counted = if response.whole { whole } else { cut };
                    counted.fetch_add(1, Ordering::Relaxed);
                    if !response.whole {
                        client = None;
                    }
                }
            });
        }
    });
    let (whole, cut, none) = (whole.into_inner(), cut.into_inner(), none.into_inner());
    let broken = count("bodies_broken");
    println!(
        "{broken} breaks in {} downloads: {whole} whole, {cut} cut, {none} refused",
        whole + cut + none
    );
    for (name, _) in runs[0].service.counters.list() {
        println!("{name} {}", count(name));
    }
    assert!(whole > 10 * cut, "{whole} whole, {cut} cut");
    assert!(count("rests_refused") > 0 && count("bodies_resumed") > broken / 2);
}
