//! Input that should not be: requests whose end can be read in two ways, giants, clients that do nothing, backends that send
//! garbage. Each is refused or contained, and the next client is served as if nothing had been.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::hyper_client::{HyperClient, Way};
use crate::net::object::Object;
use crate::net::{self, Running, link};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A backend that remembers what it was asked.
fn listening() -> (Backend, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = seen.clone();
    let backend = Backend::start(move |request| {
        own.lock().unwrap().push(request.head.clone());
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), End::Keep)
    });
    (backend, seen)
}

/// All that comes until the connection ends.
fn all(client: &mut Client) -> String {
    let mut text = Vec::new();
    let mut more = [0; 4096];
    loop {
        match client.stream.read(&mut more) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&more[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("it does not end"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn no_request_hides_in_another() {
    let (backend, seen) = listening();
    let run = Running::start(link(), &[&backend]);
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 40\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n Content-Length: 5\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
        "GET http://a@b/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX\0: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: 1\rY: 2\r\n\r\n",
        "GET / HTTP/2.5\r\nHost: x\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
    ];
    for request in requests {
        let mut client = Client::connect(run.address);
        client.send(request.as_bytes());
        client.send(hidden.as_bytes());
        let _ = client.stream.shutdown(Shutdown::Write);
        let text = all(&mut client);
        let statuses = text.matches("HTTP/1.1 ").count();
        assert!(statuses <= 1, "{request:?}: {text}");
        for head in seen.lock().unwrap().drain(..) {
            assert!(!head.contains("/hidden"), "{request:?}: {head}");
            let head = head.to_ascii_lowercase();
            // What is passed on has one end, and it is the chunks' that was obeyed.
            assert!(
                !(head.contains("content-length") && head.contains("transfer-encoding")),
                "{head}"
            );
        }
        // Nothing else is disturbed.
        assert_eq!(Client::connect(run.address).get("/", "").expect("a response").status, 200);
        seen.lock().unwrap().clear();
    }
}

#[test]
fn giants_are_refused() {
    let (backend, _) = listening();
    let run = Running::start(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    let fits = format!("X: {}\r\n", "a".repeat(40_000));
    assert_eq!(client.get("/", &fits).expect("a response").status, 200);
    let rows = [
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(70_000)),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5_000)),
        "a".repeat(1_000_000),
    ];
    for request in rows {
        let mut client = Client::connect(run.address);
        // It may be refused before it is all sent.
        let _ = client.stream.write_all(request.as_bytes());
        let text = all(&mut client);
        assert!(!text.contains(" 200 "), "{text}");
        assert_eq!(Client::connect(run.address).get("/", "").expect("a response").status, 200);
    }
}

#[test]
fn slow_clients_are_cut_off() {
    let object = Object::new(30_000_000);
    let backend = Backend::start(move |request| (object.serve(request), End::Keep));
    let mut link = link();
    link.client_head = Duration::from_millis(300);
    link.idle = Duration::from_millis(600);
    let run = Running::start(link, &[&backend]);
    // Nothing; a part of a head; a part of the next one; a head whose bytes come one by one; what is not read; a body that stops.
    let mut nothing = Client::connect(run.address);
    let mut part = Client::connect(run.address);
    part.send(b"GET / HT");
    let mut later = Client::connect(run.address);
    later.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(later.response(true).expect("a response").status, 200);
    later.send(b"GET /");
    for client in [&mut nothing, &mut part, &mut later] {
        assert!(!all(client).contains(" 200 "));
    }
    let mut idle = Client::connect(run.address);
    idle.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.response(true).expect("a response").status, 200);
    assert_eq!(all(&mut idle), "");
    let mut drops = Client::connect(run.address);
    net::until("it is cut off between its bytes", || {
        drops.stream.write_all(b"G").is_err() || run.service.connections() == 0
    });
    let mut deaf = Client::connect(run.address);
    deaf.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    net::until("it begins", || !run.service.downloads.all().is_empty());
    net::until("it is cut off", || run.service.connections() == 0);
    assert!(run.count("clients_slow") >= 4);
    let mut half = Client::connect(run.address);
    half.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    let text = all(&mut half);
    assert!(text.contains(" 408 "), "{text}");
}

/// A head's first bytes may come with the request before. The rest is owed in time, and served if it comes.
#[test]
fn a_head_that_came_in_part_with_the_request_before_is_owed() {
    let (backend, _) = listening();
    let ask = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HT";
    let begin = |client_head: Duration| {
        let mut link = link();
        link.client_head = client_head;
        let run = Running::start(link, &[&backend]);
        let mut client = Client::connect(run.address);
        client.send(ask);
        assert_eq!(client.response(false).expect("a response").status, 200);
        (run, client)
    };
    let (run, mut client) = begin(Duration::from_millis(300));
    assert_eq!(all(&mut client), "");
    assert_eq!(run.count("clients_slow"), 1);
    let (run, mut client) = begin(Duration::from_secs(10));
    let since = Instant::now();
    net::until("it might have rested", || since.elapsed() > Duration::from_millis(1_300));
    client.send(b"TP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 200);
    assert_eq!(run.count("clients_slow"), 0);
}

/// By HTTP/2 a client can leave a body where it is although its connection flows.
#[test]
fn a_stream_that_is_not_read_is_cut_off() {
    let object = Object::new(30_000_000);
    let backend = Backend::start(move |request| (object.serve(request), End::Keep));
    let mut link = link();
    link.idle = Duration::from_millis(600);
    let run = Running::start(link, &[&backend]);
    let way = Way { tls: false, h2: true };
    let mut client = HyperClient::connect(run.address, way, "shop.example");
    client.hold("/", || run.count("clients_slow") == 1);
    net::until("it is cut off", || run.service.connections() == 0);
    assert_eq!(run.count("bodies_broken"), 0);
}

#[test]
fn no_more_connections_than_may_be() {
    let (backend, _) = listening();
    let mut link = link();
    link.connections = 3;
    let run = Running::start(link, &[&backend]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(run.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/", "").expect("a response").status, 200);
    }
    let mut fourth = Client::connect(run.address);
    assert_eq!(all(&mut fourth), "");
    assert_eq!(run.count("connections_refused"), 1);
    clients.pop();
    net::until("there is room", || run.service.connections() == 2);
    assert_eq!(Client::connect(run.address).get("/", "").expect("a response").status, 200);
}

#[test]
fn garbage_of_a_backend_reaches_nobody() {
    let good = Object::new(1000);
    let answers: [&[u8]; 14] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0\0",
        b"\r\n\r\n",
        b"220 ftp.example ready\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"",
    ];
    for answer in answers {
        let bad = Backend::start(move |_| (answer.to_vec(), End::Close));
        let object = good.clone();
        let backend = Backend::start(move |request| (object.serve(request), End::Keep));
        let run = Running::start(link(), &[&bad, &backend]);
        let mut client = Client::connect(run.address);
        let response = client.get("/", "").expect("a response");
        let what = String::from_utf8_lossy(answer);
        assert!(response.whole && response.body == good.bytes, "{what}: {response:?}");
        assert_eq!(run.count("requests_repeated"), 1, "{what}");
    }
    let endless = Backend::start(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(50_000));
        (head.into_bytes(), End::Silent)
    });
    let run = Running::start(link(), &[&endless]);
    assert_eq!(Client::connect(run.address).get("/", "").expect("a response").status, 502);
}

#[test]
fn what_is_longer_than_announced_is_not_passed_on() {
    let object = Object::new(1000);
    let own = object.clone();
    let backend = Backend::start(move |request| {
        let mut wire = own.serve(request);
        wire.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        (wire, End::Keep)
    });
    let run = Running::start(link(), &[&backend]);
    let mut client = Client::connect(run.address);
    for _ in 0..10 {
        let response = client.get("/", "").expect("a response");
        assert!(response.whole && response.body == object.bytes);
    }
    // A chunk that is broken in the middle of a body is a break, and nothing of it is passed on.
    let object = Object::new(50_000).chunked(10_000);
    let own = object.clone();
    let bad = Backend::start(move |request| {
        let mut wire = own.serve(request);
        let at = wire.windows(6).rposition(|w| w == b"2710\r\n").expect("a chunk");
        wire[at] = b'z';
        (wire, End::Keep)
    });
    let own = object.clone();
    let good = Backend::start(move |request| (own.serve(request), End::Keep));
    let run = Running::start(link(), &[&bad, &good]);
    let response = Client::connect(run.address).get("/", "").expect("a response");
    assert!(response.whole && response.body == object.bytes);
    assert_eq!(run.count("bodies_resumed"), 1);
}
