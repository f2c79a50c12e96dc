//! What stands around HTTP: the PROXY protocol on both sides, and the access log.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::object::Object;
use crate::net::tls::Dir;
use crate::net::{self, Running, link};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

/// Answers with the address that it was told.
fn echo() -> Backend {
    Backend::start(move |request| {
        let client = request.field("x-forwarded-for").unwrap_or("none").to_owned();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{client}", client.len());
        (answer.into_bytes(), End::Keep)
    })
}

#[test]
fn a_proxy_header_tells_who_the_client_is() {
    let backend = echo();
    let mut link = link();
    link.proxy_in = true;
    let run = Running::start(link, &[&backend]);
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\x01\0\x64\x12\x34\x01\xbb";
    let headers: [(&[u8], &str); 3] = [
        (b"PROXY TCP4 192.0.2.1 10.1.0.100 56324 443\r\n", "192.0.2.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2, "192.0.2.7"),
    ];
    for (header, expected) in headers {
        // In two pieces, as a network may deliver it.
        for at in [1, header.len() - 1, header.len()] {
            let mut client = Client::connect(run.address);
            client.send(&header[..at]);
            let sent = run.service.connections();
            net::until("it was accepted", || run.service.connections() >= sent);
            client.send(&header[at..]);
            for _ in 0..2 {
                let response = client.get("/", "").expect("a response");
                assert_eq!(response.body, expected.as_bytes());
            }
        }
    }
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.response(false).is_none(), "who tells nothing is not served");
}

#[test]
fn a_backend_is_told_the_client_and_no_connection_serves_two() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut plans = net::plans(&[&echo()]);
    plans[0].address = listener.local_addr().expect("an address");
    let mut link = link();
    link.proxy_out = true;
    let run = Running::of_plans(link, &plans);
    let mut client = Client::connect(run.address);
    let from = client.stream.local_addr().expect("an address");
    for _ in 0..2 {
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut header = [0; 28];
        stream.read_exact(&mut header).expect("a header");
        assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        assert_eq!(&header[16..24], &[127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!(&header[24..26], &from.port().to_be_bytes());
        assert_eq!(&header[26..], &run.address.port().to_be_bytes());
        let mut line = [0; 14];
        stream.read_exact(&mut line).expect("a request");
        assert_eq!(&line, b"GET / HTTP/1.1");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("sent");
        assert_eq!(client.response(false).expect("a response").status, 204);
    }
}

fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|l| serde_json::from_str(l).expect("a line of JSON")).collect()
}

#[test]
fn each_request_is_a_line_of_the_log() {
    let dir = Dir::new("log");
    let path = dir.0.join("shop.log");
    let object = Object::new(100_000);
    let at = object.part(None, false).len() / 2;
    let own = object.clone();
    let bad = Backend::start(move |request| match request.number {
        0 => (own.serve(request)[..at].to_vec(), End::Close),
        _ => (own.serve(request), End::Keep),
    });
    let own = object.clone();
    let good = Backend::start(move |request| (own.serve(request), End::Keep));
    let mut link = link();
    link.access_log = Some(path.clone());
    let run = Running::start(link, &[&bad, &good]);
    let mut client = Client::connect(run.address);
    assert!(client.get("/a?\u{1b}[31m\"", "").is_none_or(|r| r.status == 400));
    let mut client = Client::connect(run.address);
    assert!(client.get("/a?b=%0a", "").expect("a response").whole);
    net::until("it is logged", || lines(&path).iter().any(|l| l["status"] == 200));
    let all = lines(&path);
    let line = all.iter().find(|l| l["status"] == 200).expect("a line");
    assert_eq!(
        (&line["method"], &line["path"], &line["host"]),
        (&"GET".into(), &"/a?b=%0a".into(), &"shop.example".into())
    );
    assert_eq!(
        (&line["sent"], &line["whole"], &line["resumes"]),
        (&100_000.into(), &true.into(), &1.into())
    );
    assert_eq!(line["backend"], good.address.to_string());
    assert_eq!(line["client"], client.stream.local_addr().expect("an address").to_string());
    // The file is moved away, as by a rotation.
    let moved = dir.0.join("shop.log.1");
    fs::rename(&path, &moved).expect("moved");
    run.service.refresh(true);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 400);
    net::until("it goes on in a new file", || lines(&path).iter().any(|l| l["status"] == 400));
    assert!(!lines(&moved).is_empty() && lines(&path).len() == 1);
}

#[test]
fn a_client_that_leaves_is_logged_with_what_it_got() {
    let dir = Dir::new("left");
    let path = dir.0.join("shop.log");
    let object = Object::new(30_000_000);
    let backend = Backend::start(move |request| (object.serve(request), End::Keep));
    let mut link = link();
    link.access_log = Some(path.clone());
    let run = Running::start(link, &[&backend]);
    let mut client = Client::connect(run.address);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    net::until("it has begun", || run.service.downloads.all().iter().any(|d| d.bytes() > 0));
    client.stream.shutdown(Shutdown::Both).expect("an end");
    drop(client);
    net::until("it is logged", || lines(&path).len() == 1);
    let line = &lines(&path)[0];
    assert_eq!(line["whole"], false);
    assert!(line["sent"].as_u64().expect("a number") < 30_000_000);
    assert_eq!(run.count("bodies_broken"), 0, "a client that leaves is no fault of the backend");
    net::until("nothing is left", || run.service.connections() == 0);
}
