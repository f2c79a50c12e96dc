//! The bytes of a download, from the server's data connection to the client's, while both control connections are heard.

use super::chunk::{Chunk, Passed};
use super::control::{Client, Lost, Server};
use super::data;
use super::session::Line;
use crate::downloads::Download;
use crate::exchange::LOOK;
use crate::service::Service;
use dsc_conf::Link;
use dsc_resume::ftp::{Command, Refusal, Reply, Transfer, Verb};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// So long a server may pause whose control connection ended.
const LAST: Duration = Duration::from_millis(100);

/// Why no more bytes pass.
pub(super) enum Ended {
    /// The server's part is over: was its data connection closed in good order, and what did it say?
    Server { is_closed: bool, reply: Option<Reply>, lost: Option<Lost> },
    /// The server sent what is not the client's.
    Foreign(Refusal),
    /// The client's data connection failed, or takes nothing.
    Data(io::Error),
    /// The client wants no more.
    Abort,
    /// The client's control connection ended.
    Gone,
}

/// Bytes that have still to go to the client.
pub(super) struct Pump {
    pub(super) sink: TcpStream,
    /// The server has said how its part ended.
    pub(super) is_answered: bool,
    chunk: Chunk,
}

impl Pump {
    pub(super) fn new(sink: TcpStream) -> Pump {
        data::may_break(&sink);
        Pump { sink, is_answered: false, chunk: Chunk::new() }
    }

    /// Passes bytes until the server's part is over, or the client goes. What is left goes before the next server's.
    pub(super) async fn run(
        &mut self,
        (link, service): (&Link, &Service),
        (client, held): (&mut Client, &mut Option<Line>),
        (server, source): (&mut Server, &mut TcpStream),
        transfer: &mut Transfer,
        listed: &Download,
    ) -> Ended {
        self.is_answered = false;
        let mut reply: Option<Reply> = None;
        let mut lost: Option<Lost> = None;
        let mut is_closed = false;
        let mut since = Instant::now();
        let mut is_elsewhere = is_elsewhere(service, server);
        loop {
            let is_drained = self.chunk.is_drained();
            if is_drained && is_closed && (reply.is_some() || lost.is_some()) {
                return Ended::Server { is_closed, reply, lost };
            }
            if server.is_disabled() {
                return Ended::Server { is_closed, reply, lost: Some(Lost::Red) };
            }
            let goes_on = link.resume && is_elsewhere && transfer.may_go_on().is_ok();
            let limit = match lost {
                _ if !is_drained => link.idle,
                Some(_) => LAST,
                None if goes_on || is_closed => link.silence,
                // Nobody else has it: better late than never.
                None => link.silence.max(link.idle),
            };
            tokio::select! {
                // What is said is heard even if the data never pauses.
                biased;
                line = client.line(), if held.is_none() => match line {
                    Ok(Some(line)) => match line.as_ref().map(|l| Command::parse(l)) {
                        Ok(Ok(command)) if command.verb == Verb::Abor => return Ended::Abort,
                        _ => *held = Some(line),
                    },
                    Ok(None) | Err(_) => return Ended::Gone,
                },
                heard = server.reply(), if reply.is_none() && lost.is_none() => match heard {
                    Ok(heard) if heard.is_preliminary() => {}
                    Ok(heard) => {
                        self.is_answered = true;
                        reply = Some(heard);
                    }
                    // What it sent before has its worth.
                    Err(why) => {
                        lost = Some(why);
                        since = Instant::now();
                    }
                },
                passed = self.chunk.pass(source, &mut self.sink, !is_closed) => {
                    match passed {
                        Passed::Sent(Ok(())) => {}
                        Passed::Sent(Err(e)) => return Ended::Data(e),
                        Passed::Read(Ok(0)) => is_closed = true,
                        Passed::Read(Ok(_)) => match transfer.received(self.chunk.bytes()) {
                            Ok(new) => {
                                let new = new.len();
                                self.chunk.keep(new);
                            }
                            Err(refusal) => {
                                self.chunk.keep(0);
                                return Ended::Foreign(refusal);
                            }
                        },
                        Passed::Read(Err(e)) => {
                            return Ended::Server { is_closed, reply, lost: Some(Lost::Io(e)) };
                        }
                    }
                    listed.sent(transfer.sent());
                    since = Instant::now();
                }
                () = sleep_until((since + limit).min(Instant::now() + LOOK)) => {
                    let now = Instant::now();
                    if now >= since + limit {
                        if !is_drained {
                            return Ended::Data(io::ErrorKind::TimedOut.into());
                        }
                        let lost = lost.or(Some(Lost::Silent));
                        return Ended::Server { is_closed, reply, lost };
                    }
                    // A light may be wrong while bytes come.
                    if goes_on && server.has_failed() && is_drained && now >= since + LOOK {
                        return Ended::Server { is_closed, reply, lost: Some(Lost::Red) };
                    }
                    is_elsewhere = self::is_elsewhere(service, server);
                }
            }
        }
    }

    /// Sends what is left, and closes in good order.
    pub(super) async fn finish(mut self, limit: Duration) -> io::Result<()> {
        let sending = async {
            self.sink.write_all(self.chunk.bytes()).await?;
            data::close(&mut self.sink).await
        };
        let sent = tokio::time::timeout(limit, sending).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Is there another server that may be asked?
fn is_elsewhere(service: &Service, server: &Server) -> bool {
    let address = server.address();
    service.setup().backends.iter().any(|b| b.is_open() && b.address != address)
}
