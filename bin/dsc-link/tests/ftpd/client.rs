//! A client that says what it is told to say and reports what it gets.

use dsc_resume::ftp::{Replies, Reply, extended_passive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing in these tests takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// One control connection.
pub struct Client {
    pub stream: TcpStream,
    replies: Replies,
    unread: Vec<u8>,
}

/// What came of a download.
#[derive(Debug)]
pub struct Got {
    /// What the data connection brought.
    pub bytes: Vec<u8>,
    /// Was it closed in good order?
    pub is_closed: bool,
    /// The last reply's code.
    pub code: u16,
}

impl Client {
    pub async fn connect(to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, replies: Replies::default(), unread: Vec::new() }
    }

    /// The next reply; none when the connection ends.
    pub async fn heard(&mut self) -> Option<Reply> {
        loop {
            let (count, reply) = self.replies.take(&self.unread);
            self.unread.drain(..count);
            if let Some(reply) = reply {
                return Some(reply.expect("a reply"));
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
            if read.expect("an answer in time").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn reply(&mut self) -> Reply {
        self.heard().await.expect("a reply, but the connection ended")
    }

    /// Sends a line, or part of one.
    pub async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Says a line and gives the code of the answer.
    pub async fn ask(&mut self, line: &str) -> u16 {
        self.say(format!("{line}\r\n").as_bytes()).await;
        self.reply().await.code
    }

    /// The port that EPSV opens.
    pub async fn passive(&mut self) -> SocketAddr {
        self.say(b"EPSV\r\n").await;
        let reply = self.reply().await;
        let port = extended_passive(reply.text()).unwrap_or_else(|| panic!("{reply:?}"));
        SocketAddr::new(self.stream.peer_addr().unwrap().ip(), port)
    }

    /// A data connection, and the code of the answer to a transfer's command.
    pub async fn begin(&mut self, line: &str) -> (TcpStream, u16) {
        let to = self.passive().await;
        let data = TcpStream::connect(to).await.unwrap();
        (data, self.ask(line).await)
    }

    /// The first bytes of a download, and the data connection that brings the rest.
    pub async fn part(&mut self, line: &str, bytes: usize) -> (TcpStream, Vec<u8>) {
        let (mut data, code) = self.begin(line).await;
        assert_eq!(code, 150, "{line}");
        let mut begin = vec![0; bytes];
        data.read_exact(&mut begin).await.unwrap();
        (data, begin)
    }

    /// A whole download.
    pub async fn get(&mut self, line: &str) -> Got {
        let (data, code) = self.begin(line).await;
        if code / 100 != 1 {
            return Got { bytes: Vec::new(), is_closed: false, code };
        }
        self.rest(data).await
    }

    /// What is left of a download.
    pub async fn rest(&mut self, data: TcpStream) -> Got {
        let (bytes, is_closed) = all(data).await;
        Got { bytes, is_closed, code: self.reply().await.code }
    }

    /// A whole upload.
    pub async fn put(&mut self, line: &str, bytes: &[u8]) -> u16 {
        let (mut data, code) = self.begin(line).await;
        if code / 100 != 1 {
            return code;
        }
        data.write_all(bytes).await.unwrap();
        data.shutdown().await.unwrap();
        self.reply().await.code
    }
}

/// All that a connection brings, and whether it was closed in good order.
pub async fn all(mut data: TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            match data.read_buf(&mut bytes).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => {
                    assert_eq!(e.kind(), io::ErrorKind::ConnectionReset);
                    return false;
                }
            }
        }
    };
    let is_closed = timeout(PATIENCE, read).await.expect("an end in time");
    (bytes, is_closed)
}
