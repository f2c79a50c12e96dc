//! What goes on after HTTP, and what streams: bytes pass as they come, in both directions.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::{self, Running, link};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

const WANT: &[u8] = b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_websocket_passes_through_and_ends_on_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nX-K: 1\r\n\r\nfirst";
        stream.write_all(answer).expect("sent");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("the end");
        stream.write_all(b"last").expect("sent");
        (String::from_utf8(head).expect("text"), got)
    });
    let any = Backend::start(|_| (Vec::new(), End::Close));
    let mut plans = net::plans(&[&any]);
    plans[0].address = address;
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    client.send(WANT);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("x-k: 1"), "{head}");
    let mut first = [0; 5];
    client.stream.read_exact(&mut first).expect("bytes");
    assert_eq!(&first, b"first");
    client.send(b"hello");
    assert_eq!(run.service.connections(), 1);
    client.stream.shutdown(Shutdown::Write).expect("an end");
    let mut last = Vec::new();
    client.stream.read_to_end(&mut last).expect("the end");
    assert_eq!(last, b"last");
    let (head, got) = thread.join().expect("no panic");
    assert_eq!(got, b"hello");
    assert!(head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
    net::until("it is counted no more", || run.service.connections() == 0);
}

#[test]
fn nobody_switches_unasked_and_connect_is_refused() {
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    let backend = Backend::start(move |_| (answer.to_vec(), End::Keep));
    let run = Running::start(link(), &[&backend]);
    for ask in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], WANT] {
        let mut client = Client::connect(run.address);
        client.send(ask);
        assert_eq!(client.response(false).expect("a response").status, 502);
    }
    assert_eq!(run.count("answers_refused"), 2);
    let mut client = Client::connect(run.address);
    client.send(b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n");
    assert_eq!(client.response(false).expect("a response").status, 405);
    assert_eq!(backend.requests(), 2);
}

/// Events come one by one: each is with the client before the next one is made, and long silence ends nothing.
#[test]
fn a_stream_is_not_held_back() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let any = Backend::start(|_| (Vec::new(), End::Close));
    let mut plans = net::plans(&[&any]);
    plans[0].address = listener.local_addr().expect("an address");
    let run = Running::of_plans(link(), &plans);
    let mut client = Client::connect(run.address);
    client.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    let (mut stream, _) = listener.accept().expect("a connection");
    // What comes before the request would be no answer to it.
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        request.push(byte[0]);
    }
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head).expect("sent");
    let mut seen = Vec::new();
    let mut wait_for = |client: &mut Client, what: &[u8]| {
        let mut more = [0; 4096];
        while !seen.windows(what.len()).any(|w| w == what) {
            let count = client.stream.read(&mut more).expect("bytes");
            assert!(count > 0, "it ended");
            seen.extend_from_slice(&more[..count]);
        }
    };
    wait_for(&mut client, b"\r\n\r\n");
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).expect("sent");
        wait_for(&mut client, event.as_bytes());
        if number == 2 {
            // Longer than a download may be silent.
            let begin = std::time::Instant::now();
            net::until("time has passed", || begin.elapsed() > link().silence * 2);
        }
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    wait_for(&mut client, b"\r\n0\r\n\r\n");
}
