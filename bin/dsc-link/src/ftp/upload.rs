//! An upload: relayed to the session's server, and never repeated on another.

use super::chunk::{Chunk, Passed};
use super::control::Lost;
use super::data;
use super::session::{Gone, Session};
use super::tally::Tally;
use crate::logged::Logged;
use dsc_resume::ftp::{Command, Reply, Transfer, Verb};
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// Why no more bytes pass.
enum Ended {
    /// The client sent all of it, and the server has all of that.
    Sent,
    /// The client's data connection failed, or brings nothing.
    Data(io::Error),
    /// The server takes nothing, or its data connection failed.
    Target(io::Error),
    /// The server wants no more.
    Said(Reply),
    /// The server failed.
    Lost(Lost),
    /// The client stopped.
    Abort,
    /// The client's control connection ended.
    Gone,
}

impl Session {
    /// STOR, STOU and APPE; gives the last reply.
    pub(super) async fn upload(&mut self, command: Command) -> Result<Option<Reply>, Gone> {
        self.service.counters.requests.add();
        let logged = Logged::transfer(&self.service, self.ends.0, &command);
        let mut tally = Tally::default();
        let end = self.take(command, &mut tally).await;
        self.log(logged, &tally, &end);
        end
    }

    async fn take(&mut self, command: Command, tally: &mut Tally) -> Result<Option<Reply>, Gone> {
        let rest = self.state.take_rest();
        let Some(wanted) = self.wanted.take() else {
            return Ok(Some(Reply::new(425, "Say PASV, EPSV, PORT or EPRT first.")));
        };
        let mut transfer = Transfer::new(command, rest, self.state.representation(), 0);
        let (target, begun) = match self.first(&mut transfer).await? {
            Ok(begun) => begun,
            Err(reply) => return Ok(Some(reply)),
        };
        self.client.say(&begun).await?;
        let opening = wanted.open(self.vip, self.owners(), self.link.client_head);
        let mut source = match opening.await {
            Ok(source) => source,
            Err(e) => {
                // The server is told that this is no file's end.
                drop(target);
                self.settle().await;
                return Ok(Some(Reply::new(425, &format!("No data connection: {e}."))));
            }
        };
        let mut target = target;
        let reply = match self.pour(&mut source, &mut target).await {
            Ended::Sent => match &mut self.server {
                Some(server) => match server.answer(self.link.head).await {
                    Ok(reply) => {
                        tally.is_whole = reply.is_done();
                        return Ok(Some(reply));
                    }
                    Err(lost) => {
                        self.lose(&lost);
                        Reply::new(451, "The server failed. It may have the file, or not.")
                    }
                },
                None => return Err(Gone::NoServer),
            },
            Ended::Said(reply) => not_done(reply),
            Ended::Data(e) => {
                drop(target);
                self.settle().await;
                Reply::new(426, &format!("The data connection failed: {e}."))
            }
            // It may say why it takes no more: a full disk makes no server a bad one.
            Ended::Target(e) => {
                drop(target);
                self.debug(format_args!("a server takes no more: {e}"));
                self.last_word().await
            }
            Ended::Lost(lost) => {
                self.lose(&lost);
                failed()
            }
            Ended::Abort => {
                drop(target);
                self.settle().await;
                self.client.say(&Reply::new(426, "The transfer is aborted.")).await?;
                Reply::new(226, "ABOR is done.")
            }
            Ended::Gone => {
                self.server = None;
                return Err(Gone::Closed);
            }
        };
        data::reset(source);
        Ok(Some(reply))
    }

    /// What the server says of an upload that it did not take to its end.
    async fn last_word(&mut self) -> Reply {
        let Some(server) = &mut self.server else { return failed() };
        match server.answer(self.link.silence).await {
            Ok(reply) => not_done(reply),
            Err(lost) => {
                self.lose(&lost);
                failed()
            }
        }
    }

    /// Passes the client's bytes to the server, and the end of them.
    async fn pour(&mut self, source: &mut TcpStream, target: &mut TcpStream) -> Ended {
        let Some(server) = &mut self.server else { return Ended::Lost(Lost::Closed) };
        let mut chunk = Chunk::new();
        let mut until = Instant::now() + self.link.idle;
        loop {
            let is_drained = chunk.is_drained();
            tokio::select! {
                biased;
                line = self.client.line(), if self.held.is_none() => match line {
                    Ok(Some(line)) => match line.as_ref().map(|l| Command::parse(l)) {
                        Ok(Ok(command)) if command.verb == Verb::Abor => return Ended::Abort,
                        _ => self.held = Some(line),
                    },
                    Ok(None) | Err(_) => return Ended::Gone,
                },
                heard = server.reply() => match heard {
                    Ok(heard) if heard.is_preliminary() => {}
                    Ok(heard) => return Ended::Said(heard),
                    Err(lost) => return Ended::Lost(lost),
                },
                passed = chunk.pass(source, target, true) => {
                    match passed {
                        Passed::Sent(Ok(())) | Passed::Read(Ok(1..)) => {}
                        Passed::Sent(Err(e)) => return Ended::Target(e),
                        Passed::Read(Err(e)) => return Ended::Data(e),
                        Passed::Read(Ok(0)) => match target.shutdown().await {
                            Ok(()) => return Ended::Sent,
                            Err(e) => return Ended::Target(e),
                        },
                    }
                    until = Instant::now() + self.link.idle;
                }
                () = sleep_until(until) => {
                    let late = io::Error::from(io::ErrorKind::TimedOut);
                    return if is_drained { Ended::Data(late) } else { Ended::Target(late) };
                }
            }
        }
    }
}

fn failed() -> Reply {
    Reply::new(426, "The server failed. It has not got all.")
}

/// What a server said before it was told the end of an upload. It cannot have all.
fn not_done(reply: Reply) -> Reply {
    if reply.is_done() { Reply::new(451, "The server has not got all.") } else { reply }
}
