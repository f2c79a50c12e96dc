//! The two control connections of a session: lines of the client, replies of a server. What is awaited here may be given up at
//! any time without losing a byte.

use crate::backend::Active;
use crate::proxy_header;
use bytes::{Buf, BytesMut};
use dsc_resume::ftp::{BadLine, BadReply, Command, Lines, Replies, Reply, Verb};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes that are read at once.
const READ: usize = 2048;
/// The service goes away.
const GOING_AWAY: u16 = 421;

/// A client's side.
pub(super) struct Client {
    stream: TcpStream,
    lines: Lines,
    unread: BytesMut,
    /// It may take so long to read a reply.
    patience: Duration,
}

impl Client {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Client {
        Client { stream, lines: Lines::of_client(), unread: BytesMut::new(), patience }
    }

    /// The ends that the PROXY header tells which the connection has to begin with, if it tells any.
    pub(super) async fn header(&mut self) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
        let reading = async {
            loop {
                let bad = |()| io::Error::other("no PROXY header");
                if let Some(header) = proxy_header::read(&self.unread).map_err(bad)? {
                    self.unread.advance(header.len);
                    return Ok(header.ends);
                }
                self.unread.reserve(READ);
                if self.stream.read_buf(&mut self.unread).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        timeout(self.patience, reading)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next line; none when the client has closed.
    pub(super) async fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, BadLine>>> {
        loop {
            let (count, line) = self.lines.take(&self.unread);
            self.unread.advance(count);
            if line.is_some() {
                return Ok(line);
            }
            self.unread.reserve(READ);
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends a reply.
    pub(super) async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        let bytes = reply.to_bytes();
        let sent = timeout(self.patience, self.stream.write_all(&bytes)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Why a server is of no use any more.
#[derive(Debug)]
pub(super) enum Lost {
    /// The connection failed.
    Io(io::Error),
    /// It closed the connection.
    Closed,
    /// It did not answer in time, or sent nothing for too long.
    Silent,
    /// What it said is no reply.
    Garbage(BadReply),
    /// It said that it goes away, or does not serve now.
    Unready(u16),
    /// It said something that nobody asked.
    OutOfStep,
    /// Its light is red, or it was disabled.
    Red,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Io(e) => write!(f, "{e}"),
            Lost::Closed => f.write_str("it closed the connection"),
            Lost::Silent => f.write_str("it is silent"),
            Lost::Garbage(BadReply::NoCode) => f.write_str("it speaks no FTP"),
            Lost::Garbage(BadReply::TooLong) => f.write_str("its reply is too long"),
            Lost::Unready(code) => write!(f, "it says {code}"),
            Lost::OutOfStep => f.write_str("it says what nobody asked"),
            Lost::Red => f.write_str("its light is red"),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(e: io::Error) -> Lost {
        Lost::Io(e)
    }
}

/// A server's side.
pub(super) struct Server {
    stream: TcpStream,
    replies: Replies,
    unread: BytesMut,
    /// Does it know EPSV? It did not the last time.
    pub(super) only_pasv: bool,
    /// It was told a place by REST, and no transfer took it yet.
    pub(super) holds_rest: bool,
    /// Counts as one that the backend has to do with.
    active: Active,
}

impl Server {
    /// Connects, says who the client is if that is wanted, and waits for the greeting.
    pub(super) async fn connect(
        active: Active,
        header: Option<&[u8]>,
        connect: Duration,
        answer: Duration,
    ) -> Result<(Server, Reply), Lost> {
        let connecting = dsc_sys::connect::connect(None, active.backend().address);
        let mut stream = timeout(connect, connecting).await.map_err(|_| Lost::Silent)??;
        if let Some(header) = header {
            let sent = timeout(connect, stream.write_all(header)).await;
            sent.map_err(|_| Lost::Silent)??;
        }
        let (replies, unread) = (Replies::default(), BytesMut::new());
        let (only_pasv, holds_rest) = (false, false);
        let mut server = Server { stream, replies, unread, only_pasv, holds_rest, active };
        let greeting = server.answer(answer).await?;
        if greeting.code != 220 {
            return Err(Lost::Unready(greeting.code));
        }
        Ok((server, greeting))
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.active.backend().address
    }

    /// Should what it has go on elsewhere?
    pub(super) fn has_failed(&self) -> bool {
        self.active.backend().has_failed()
    }

    /// May it have nothing, not even what it has?
    pub(super) fn is_disabled(&self) -> bool {
        self.active.backend().is_disabled()
    }

    /// May it be given sessions?
    pub(super) fn is_open(&self) -> bool {
        self.active.backend().is_open()
    }

    /// Does it wait for a command? What it had said before would be taken for the answer.
    pub(super) fn listens(&mut self) -> Result<(), Lost> {
        let read = self.stream.try_read_buf(&mut self.unread);
        let is_quiet = self.unread.is_empty() && self.replies.is_between();
        match read {
            Ok(0) => Err(Lost::Closed),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && is_quiet => Ok(()),
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(Lost::Io(e)),
            _ => Err(Lost::OutOfStep),
        }
    }

    /// The next reply. One that says that the server goes away is its end.
    pub(super) async fn reply(&mut self) -> Result<Reply, Lost> {
        loop {
            let (count, reply) = self.replies.take(&self.unread);
            self.unread.advance(count);
            match reply {
                Some(Ok(reply)) if reply.code == GOING_AWAY => {
                    return Err(Lost::Unready(reply.code));
                }
                Some(reply) => return reply.map_err(Lost::Garbage),
                None => {}
            }
            self.unread.reserve(READ);
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(Lost::Closed);
            }
        }
    }

    /// The next reply that is not preliminary.
    pub(super) async fn answer(&mut self, limit: Duration) -> Result<Reply, Lost> {
        let last = async {
            loop {
                let reply = self.reply().await?;
                if !reply.is_preliminary() {
                    return Ok(reply);
                }
            }
        };
        timeout(limit, last).await.unwrap_or(Err(Lost::Silent))
    }

    /// Says a command.
    pub(super) async fn say(&mut self, command: &Command, limit: Duration) -> Result<(), Lost> {
        self.listens()?;
        let bytes = command.to_bytes();
        let sent = timeout(limit, self.stream.write_all(&bytes)).await;
        sent.map_err(|_| Lost::Silent)?.map_err(Lost::Io)
    }

    /// Says a command and waits for its answer.
    pub(super) async fn ask(&mut self, command: &Command, limit: Duration) -> Result<Reply, Lost> {
        self.say(command, limit).await?;
        let reply = self.answer(limit).await?;
        self.told(command, &reply);
        Ok(reply)
    }

    /// Says a command and waits for the first reply to it.
    pub(super) async fn begin(
        &mut self,
        command: &Command,
        limit: Duration,
    ) -> Result<Reply, Lost> {
        self.say(command, limit).await?;
        let reply = timeout(limit, self.reply()).await.unwrap_or(Err(Lost::Silent))?;
        self.told(command, &reply);
        Ok(reply)
    }

    /// Does it hold a place now that the next transfer would begin at?
    fn told(&mut self, command: &Command, reply: &Reply) {
        match command.verb {
            Verb::Rest if reply.code < 400 => self.holds_rest = command.number() != Some(0),
            Verb::Retr | Verb::Stor | Verb::Appe if reply.is_preliminary() => {
                self.holds_rest = false;
            }
            _ => {}
        }
    }
}
