//! A client that reads what comes byte for byte, and knows whether the body it got is whole.

use super::LIMIT;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Did the body come to its announced end?
    pub whole: bool,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        Client::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Client<S> {
        Client { stream, buffer: Vec::new() }
    }

    /// Asks for a path, with fields that each have their line end.
    pub fn get(&mut self, path: &str, fields: &str) -> Option<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n").as_bytes());
        self.response(false)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// More bytes; false at the end, or when the connection is reset.
    fn more(&mut self) -> bool {
        let mut more = [0; 65536];
        match self.stream.read(&mut more) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&more[..n]);
                true
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing comes"),
            Err(_) => false,
        }
    }

    /// The next response; none if the connection ends before its head does.
    pub fn response(&mut self, head_only: bool) -> Option<Response> {
        let at = loop {
            match self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.more() => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.buffer.drain(..at).collect();
        let head = String::from_utf8(head).expect("text");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let mut response = Response { status, head, body: Vec::new(), whole: false };
        if head_only || status == 204 || status == 304 {
            response.whole = true;
        } else if let Some(length) = response.field("content-length") {
            let length: usize = length.parse().expect("a number");
            while self.buffer.len() < length && self.more() {}
            response.whole = self.buffer.len() >= length;
            let end = length.min(self.buffer.len());
            response.body = self.buffer.drain(..end).collect();
        } else if response.field("transfer-encoding") == Some("chunked") {
            response.whole = self.chunks(&mut response.body);
        } else {
            // Its end is the connection's: a reset says that it is not whole.
            response.whole = self.until_closed();
            response.body = std::mem::take(&mut self.buffer);
        }
        Some(response)
    }

    fn until_closed(&mut self) -> bool {
        let mut more = [0; 65536];
        loop {
            match self.stream.read(&mut more) {
                Ok(0) => return true,
                Ok(n) => self.buffer.extend_from_slice(&more[..n]),
                Err(_) => return false,
            }
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let line = loop {
                match self.buffer.windows(2).position(|w| w == b"\r\n") {
                    Some(at) => break at,
                    None if self.more() => {}
                    None => return false,
                }
            };
            let size = std::str::from_utf8(&self.buffer[..line]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a size");
            self.buffer.drain(..line + 2);
            let mut gone = false;
            while self.buffer.len() < size + 2 && !gone {
                gone = !self.more();
            }
            if gone {
                let part = size.min(self.buffer.len());
                body.extend(self.buffer.drain(..part));
                return false;
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return true;
            }
        }
    }
}
