//! Bodies on their way to a backend: who makes the other wait, and for how long that may last.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::{self, Running, link};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a backend may take for its answer.
const HEAD: Duration = Duration::from_millis(600);

fn impatient() -> dsc_conf::Link {
    let mut link = link();
    link.head = HEAD;
    link
}

/// A link before a backend whose only connection is served by this, when a request's head has come.
fn before(serve: impl FnOnce(TcpStream) + Send + 'static) -> (Running, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let any = Backend::start(|_| (Vec::new(), End::Close));
    let mut plans = net::plans(&[&any]);
    plans[0].address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        serve(stream);
    });
    (Running::of_plans(impatient(), &plans), thread)
}

/// Longer than a backend may take for its answer.
fn pause() {
    let begin = Instant::now();
    net::until("time has passed", || begin.elapsed() > HEAD * 3 / 2);
}

#[test]
fn an_upload_may_take_longer_than_a_backend_has_for_its_answer() {
    let backend = Backend::start(|request| {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        ([text.as_bytes(), &request.body].concat(), End::Keep)
    });
    let run = Running::start(impatient(), &[&backend]);
    let mut client = Client::connect(run.address);
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").as_bytes());
        let pieces: &[&str] = match framing {
            "Content-Length: 9" => &["abcd", "efghi"],
            _ => &["3\r\nabc\r\n", "6\r\ndef", "ghi\r\n0\r\n\r\n"],
        };
        for piece in pieces {
            pause();
            client.send(piece.as_bytes());
        }
        let response = client.response(false).expect("a response");
        assert_eq!(response.status, 200, "{framing}");
    }
}

#[test]
fn an_answer_may_come_before_the_body_has() {
    let (run, thread) = before(|mut stream| {
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n";
        stream.write_all(answer).expect("sent");
        // Until the other end has gone.
        while matches!(stream.read(&mut [0; 4096]), Ok(count) if count > 0) {}
    });
    let mut client = Client::connect(run.address);
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    let response = client.response(false).expect("a response");
    assert_eq!((response.status, &response.body[..]), (413, &b"no\n"[..]));
    drop(client);
    thread.join().expect("no panic");
}

#[test]
fn a_backend_that_says_nothing_after_a_body_has_failed() {
    let backend = Backend::start(|_| (Vec::new(), End::Silent));
    let run = Running::start(impatient(), &[&backend]);
    let mut client = Client::connect(run.address);
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
    pause();
    client.send(b"def");
    assert_eq!(client.response(false).expect("a response").status, 504);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn a_backend_that_takes_nothing_has_failed() {
    let (over, waits) = channel::<()>();
    let (run, thread) = before(move |_stream| {
        let _ = waits.recv();
    });
    let mut client = Client::connect(run.address);
    let mut writer = client.stream.try_clone().expect("a stream");
    let sending = std::thread::spawn(move || {
        let _ = writer.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n");
        let _ = writer.write_all(&vec![b'x'; 50_000_000]);
    });
    assert_eq!(client.response(false).expect("a response").status, 504);
    drop((client, run, over));
    sending.join().expect("no panic");
    thread.join().expect("no panic");
}

#[test]
fn a_client_that_does_not_send_its_body_says_nothing_of_the_backend() {
    let backends = [0, 1].map(|_| {
        Backend::start(|_| (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), End::Keep))
    });
    let mut link = impatient();
    link.idle = Duration::from_secs(1);
    for stays in [true, false] {
        let run = Running::start(link.clone(), &[&backends[0], &backends[1]]);
        let before = [backends[0].requests(), backends[1].requests()];
        let mut client = Client::connect(run.address);
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
        if stays {
            assert_eq!(client.response(false).expect("a response").status, 408);
            assert_eq!(run.count("clients_slow"), 1);
        } else {
            net::until("it is being asked", || run.service.connections() == 1);
            drop(client);
            net::until("it is gone", || run.service.connections() == 0);
        }
        let mut client = Client::connect(run.address);
        for _ in 0..10 {
            assert_eq!(client.get("/", "").expect("a response").status, 200);
        }
        let now = [backends[0].requests() - before[0], backends[1].requests() - before[1]];
        assert_eq!(now, [5, 5], "{stays}");
    }
}
