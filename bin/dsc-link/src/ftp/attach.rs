//! Which server has the session: one is chosen, connected to, and told what the one before was told.

use super::control::{Lost, Server};
use super::session::{Gone, Session};
use crate::backend::Backend;
use crate::proxy_header;
use dsc_resume::ftp::{BadReply, Command, Refusal, Reply, Verb};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Most servers that are tried in a row, however many there are.
const TRIES_MAX: usize = 16;

/// So many bad lines a wrong password counts: each server has its own limit, and there are several.
const BAD_LOGIN: u32 = 4;

/// The look for a server.
pub(super) struct Search {
    /// They are not asked again before the others.
    tried: Vec<SocketAddr>,
    /// They have something else, and are not asked again at all.
    refused: Vec<SocketAddr>,
    /// How long each may take for an answer.
    answer: Duration,
}

impl Search {
    /// Among all.
    pub(super) fn new(answer: Duration) -> Search {
        Search { tried: Vec::new(), refused: Vec::new(), answer }
    }

    /// How long a server may take for an answer.
    pub(super) fn answer(&self) -> Duration {
        self.answer
    }

    /// It failed.
    pub(super) fn failed(&mut self, server: SocketAddr) {
        self.tried.push(server);
    }

    /// It has something else.
    pub(super) fn refused(&mut self, server: SocketAddr) {
        self.refused.push(server);
    }

    /// Those that failed may be asked again.
    pub(super) fn again(&mut self) {
        self.tried.clear();
    }

    /// Have all of these something else?
    pub(super) fn is_hopeless(&self, backends: &[Arc<Backend>]) -> bool {
        backends.iter().all(|b| self.refused.contains(&b.address))
    }

    fn excludes(&self, backend: &Backend) -> bool {
        self.tried.contains(&backend.address) || self.refused.contains(&backend.address)
    }
}

/// Why a server did not get the session.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It failed.
    Lost(Lost),
    /// It cannot take another's place.
    Refused(Refusal),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Lost(lost) => write!(f, "{lost}"),
            Unfit::Refused(refusal) => write!(f, "{refusal}"),
        }
    }
}

impl From<Lost> for Unfit {
    fn from(lost: Lost) -> Unfit {
        Unfit::Lost(lost)
    }
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Unfit {
        Unfit::Refused(refusal)
    }
}

impl Session {
    /// Sees to it that a server has the session; those that fail are excluded from the search. The greeting is that of a
    /// server that was connected to now.
    pub(super) async fn attach(&mut self, search: &mut Search) -> Result<Option<Reply>, Gone> {
        match self.server.as_mut().map(Server::listens) {
            Some(Ok(())) if self.server.as_ref().is_some_and(Server::has_failed) => {
                self.lose(&Lost::Red);
            }
            Some(Ok(())) if self.should_move() => self.leave().await,
            Some(Ok(())) => return Ok(None),
            // It had nothing to do: nothing is said against it.
            Some(Err(_)) => self.server = None,
            None => {}
        }
        self.state.replay().map_err(Gone::Bound)?;
        for _ in 0..TRIES_MAX {
            let setup = self.service.setup();
            let all = setup.backends.iter().enumerate();
            let tried: Vec<usize> =
                all.filter(|(_, b)| search.excludes(b)).map(|(at, _)| at).collect();
            let Some(at) = setup.choose(&tried) else { break };
            let backend = &setup.backends[at];
            let (from, to) = self.ends;
            let header = self.link.proxy_out.then(|| proxy_header::write(from, to));
            let (connect, answer) = (self.link.connect, search.answer);
            let connecting = Server::connect(backend.begin(), header.as_deref(), connect, answer);
            let fit = match connecting.await {
                Ok((server, greeting)) => {
                    self.replay(server, search.answer).await.map(|s| (s, greeting))
                }
                Err(lost) => Err(lost.into()),
            };
            match fit {
                Ok((server, greeting)) => {
                    self.server = Some(server);
                    return Ok(Some(greeting));
                }
                Err(unfit) => {
                    let address = backend.address;
                    self.note(format_args!("{address} does not take the session: {unfit}"));
                    match unfit {
                        Unfit::Lost(lost) => {
                            self.blame(backend, &lost);
                            search.failed(address);
                        }
                        Unfit::Refused(_) => search.refused(address),
                    }
                }
            }
        }
        Err(Gone::NoServer)
    }

    /// Is its server being drained, and can another one take the session?
    fn should_move(&self) -> bool {
        let is_drained = self.server.as_ref().is_some_and(|server| !server.is_open());
        is_drained && self.state.may_move() && self.service.setup().choose(&[]).is_some()
    }

    /// Tells a server what the one before was told.
    async fn replay(&self, mut server: Server, answer: Duration) -> Result<Server, Unfit> {
        let mut replay = self.state.replay()?;
        while let Some(command) = replay.next() {
            let reply = server.ask(command, answer).await?;
            replay.heard(&reply)?;
        }
        Ok(server)
    }

    /// The server failed.
    pub(super) fn lose(&mut self, lost: &Lost) {
        let Some(server) = self.server.take() else { return };
        let address = server.address();
        self.note(format_args!("{address} has lost the session: {lost}"));
        let setup = self.service.setup();
        for backend in setup.backends.iter().filter(|b| b.address == address) {
            self.blame(backend, lost);
        }
    }

    /// The backend gets nothing for a while, unless there is no other.
    fn blame(&self, backend: &Backend, lost: &Lost) {
        backend.suspect(Instant::now());
        if let Lost::Garbage(_) | Lost::OutOfStep = lost {
            self.service.counters.answers_refused.add();
        }
    }

    /// Passes a command on and gives its answer. A server that fails is replaced; what may have been done by it is not
    /// repeated.
    pub(super) async fn forward(&mut self, command: &Command) -> Result<Reply, Gone> {
        let mut search = Search::new(self.link.head);
        loop {
            self.attach(&mut search).await?;
            let Some(server) = &mut self.server else { return Err(Gone::NoServer) };
            let address = server.address();
            match server.ask(command, self.link.head).await {
                Ok(reply) => {
                    self.state.heard(command, reply.code);
                    if command.verb == Verb::Pass && reply.code == 530 {
                        self.bad += BAD_LOGIN;
                    }
                    return Ok(reply);
                }
                // What was asked for is as long elsewhere: a client that asks for it makes no server a bad one.
                Err(Lost::Garbage(BadReply::TooLong)) => {
                    self.service.counters.answers_refused.add();
                    self.server = None;
                    return Ok(Reply::new(451, "The server's reply is too long."));
                }
                Err(lost) => self.lose(&lost),
            }
            search.failed(address);
            if !command.repeats() {
                self.service.counters.requests_failed.add();
                return Ok(Reply::new(451, "The server failed. It may have done this, or not."));
            }
            self.service.counters.requests_repeated.add();
        }
    }

    /// Says goodbye to the server.
    pub(super) async fn leave(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have left before.
            let _gone = server.ask(&Command::bare(Verb::Quit), self.link.connect).await;
        }
    }
}
