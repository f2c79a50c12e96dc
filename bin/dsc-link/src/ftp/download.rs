//! A download: begun on the session's server, gone on with on others when it fails, and called complete only when it is.

use super::attach::{Search, Unfit};
use super::control::{Lost, Server};
use super::data::{self, Wanted};
use super::pump::{Ended, Pump};
use super::session::{Gone, Session};
use super::tally::Tally;
use crate::logged::Logged;
use dsc_resume::ftp::{Command, End, Refusal, Reply, Step, Transfer, Verb};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Between two rounds of asking all servers.
const PAUSE: Duration = Duration::from_millis(100);
/// Most servers in a row that have a part in a download and bring none of its bytes.
const BARREN_MAX: u32 = 4;

/// Why a transfer did not begin on a server.
pub(super) enum Unbegun {
    /// It answered something else: this.
    Refused(Refusal, Reply),
    /// It failed; was the transfer's command sent by then?
    Lost { lost: Lost, is_said: bool },
}

impl Session {
    /// Asks the session's server for a transfer; gives its data connection and its preliminary reply.
    pub(super) async fn begin(
        &mut self,
        transfer: &mut Transfer,
        answer: Duration,
    ) -> Result<(TcpStream, Reply), Unbegun> {
        let mut source = None;
        let mut last = None;
        let mut is_said = false;
        let Some(server) = &mut self.server else {
            return Err(Unbegun::Lost { lost: Lost::Closed, is_said });
        };
        for step in transfer.begin(server.holds_rest) {
            match step {
                Step::Connect => {
                    let connecting = data::connect(server, answer, self.link.connect);
                    let stream = connecting.await;
                    source = Some(stream.map_err(|lost| Unbegun::Lost { lost, is_said })?);
                }
                Step::Say(command) => {
                    is_said = command.verb == transfer.command().verb;
                    let reply = server.begin(&command, answer).await;
                    let reply = reply.map_err(|lost| Unbegun::Lost { lost, is_said })?;
                    if let Err(refusal) = transfer.heard(&command, &reply) {
                        return Err(Unbegun::Refused(refusal, reply));
                    }
                    last = Some(reply);
                }
            }
        }
        match (source, last) {
            (Some(source), Some(reply)) => Ok((source, reply)),
            _ => Err(Unbegun::Lost { lost: Lost::Closed, is_said }),
        }
    }

    /// Begins a transfer on a server that may be replaced until one begins it: its data connection and its preliminary
    /// reply, or the reply that is the end.
    pub(super) async fn first(
        &mut self,
        transfer: &mut Transfer,
    ) -> Result<Result<(TcpStream, Reply), Reply>, Gone> {
        let mut search = Search::new(self.link.head);
        loop {
            self.attach(&mut search).await?;
            let Some(address) = self.server.as_ref().map(Server::address) else {
                return Err(Gone::NoServer);
            };
            match self.begin(transfer, search.answer()).await {
                Ok(begun) => return Ok(Ok(begun)),
                // A code of success would be taken for the end of a transfer that nobody has seen.
                Err(Unbegun::Refused(refusal, reply)) if reply.code < 400 => {
                    self.service.counters.requests_failed.add();
                    return Ok(Err(Reply::new(
                        451,
                        &format!("The server did not begin: {refusal}."),
                    )));
                }
                Err(Unbegun::Refused(_, reply)) => return Ok(Err(reply)),
                Err(Unbegun::Lost { lost, is_said }) => {
                    self.lose(&lost);
                    if is_said && !transfer.command().repeats() {
                        self.service.counters.requests_failed.add();
                        return Ok(Err(Reply::new(451, "The server failed as it began.")));
                    }
                    self.service.counters.requests_repeated.add();
                }
            }
            search.failed(address);
        }
    }

    /// RETR and the commands that list; gives the last reply.
    pub(super) async fn download(&mut self, command: Command) -> Result<Option<Reply>, Gone> {
        self.service.counters.requests.add();
        let logged = Logged::transfer(&self.service, self.ends.0, &command);
        let mut tally = Tally::default();
        let end = self.tallied(command, &mut tally).await;
        self.service.counters.bytes.add_all(tally.sent);
        self.log(logged, &tally, &end);
        end
    }

    async fn tallied(
        &mut self,
        command: Command,
        tally: &mut Tally,
    ) -> Result<Option<Reply>, Gone> {
        let rest = self.state.take_rest();
        let Some(wanted) = self.wanted.take() else {
            return Ok(Some(Reply::new(425, "Say PASV, EPSV, PORT or EPRT first.")));
        };
        let overlap = self.link.verify_overlap;
        let mut transfer = Transfer::new(command, rest, self.state.representation(), overlap);
        let (source, begun) = match self.first(&mut transfer).await? {
            Ok(begun) => begun,
            Err(reply) => return Ok(Some(reply)),
        };
        let end = self.relay(wanted, (source, begun), &mut transfer, tally).await;
        tally.sent = transfer.sent();
        end
    }

    /// Relays a download that a server has begun.
    async fn relay(
        &mut self,
        wanted: Wanted,
        (mut source, begun): (TcpStream, Reply),
        transfer: &mut Transfer,
        tally: &mut Tally,
    ) -> Result<Option<Reply>, Gone> {
        self.client.say(&begun).await?;
        let opening = wanted.open(self.vip, self.owners(), self.link.client_head);
        let mut pump = match opening.await {
            Ok(sink) => Pump::new(sink),
            Err(e) => {
                drop(source);
                self.settle().await;
                return Ok(Some(Reply::new(425, &format!("No data connection: {e}."))));
            }
        };
        let listed = self.service.downloads.list(
            &self.service.name,
            self.ends.0,
            object(transfer.command()),
            transfer.length(),
            self.link.resume && transfer.resumes(),
            self.server.as_ref().map_or(self.ends.0, Server::address),
        );
        // Who serves a file answers at once; a server that does not is as silent as the one before.
        let answer = self.link.silence.max(self.link.connect).min(self.link.head);
        let mut search = Search::new(answer);
        let mut barren = 0;
        while barren <= BARREN_MAX {
            let sent = transfer.sent();
            let Some(server) = &mut self.server else { return Err(Gone::NoServer) };
            let address = server.address();
            let client = (&mut self.client, &mut self.held);
            let from = (server, &mut source);
            let own = (&self.link, &*self.service);
            let ended = pump.run(own, client, from, transfer, &listed.download).await;
            let refusal = match ended {
                Ended::Server { is_closed, reply, lost } => {
                    let end = transfer.end(is_closed, reply.as_ref().map(|r| r.code));
                    let is_known = reply.is_some();
                    if let Some(lost) = &lost {
                        self.lose(lost);
                    } else if !is_known || end == End::Broken {
                        self.lose(&Lost::Closed);
                    }
                    match end {
                        End::Complete => {
                            drop(source);
                            return self.complete(pump, reply, tally).await;
                        }
                        End::Failed(refusal) => return self.cut(pump, refusal).await,
                        End::Broken => None,
                    }
                }
                Ended::Foreign(refusal) => {
                    self.service.counters.overlaps_differed.add();
                    self.server = None;
                    search.refused(address);
                    Some(refusal)
                }
                Ended::Data(e) => {
                    drop(source);
                    self.give_up(pump).await;
                    return Ok(Some(Reply::new(426, &format!("The data connection failed: {e}."))));
                }
                Ended::Abort => {
                    drop(source);
                    self.give_up(pump).await;
                    self.client.say(&Reply::new(426, "The transfer is aborted.")).await?;
                    return Ok(Some(Reply::new(226, "ABOR is done.")));
                }
                Ended::Gone => {
                    data::reset(pump.sink);
                    self.server = None;
                    return Err(Gone::Closed);
                }
            };
            self.service.counters.bodies_broken.add();
            barren = if transfer.sent() > sent { 0 } else { barren + 1 };
            let why = refusal.map_or("it failed".to_owned(), |r| r.to_string());
            if !self.link.resume {
                return self.cut(pump, Refusal::Off).await;
            }
            listed.download.searches();
            search.again();
            search.failed(address);
            match self.go_on(transfer, &mut search).await {
                Ok((next, to)) => {
                    self.service.counters.bodies_resumed.add();
                    tally.resumes += 1;
                    listed.download.resumed(to);
                    let at = transfer.sent();
                    self.note(format_args!(
                        "{} goes on at byte {at} from {to}, no more from {address}: {why}",
                        transfer.command()
                    ));
                    source = next;
                }
                Err(refusal) => return self.cut(pump, refusal).await,
            }
        }
        self.cut(pump, Refusal::NoServer).await
    }

    /// Has another server go on with a transfer; one that failed only when there is no other. All are asked again until there
    /// is one, all have something else, or the time for an answer is over.
    async fn go_on(
        &mut self,
        transfer: &mut Transfer,
        search: &mut Search,
    ) -> Result<(TcpStream, SocketAddr), Refusal> {
        let until = Instant::now() + self.link.head;
        let mut last = Refusal::NoServer;
        let mut is_first = true;
        loop {
            match self.attach(search).await {
                Ok(_) => {}
                Err(Gone::NoServer) => {
                    if search.is_hopeless(&self.service.setup().backends) || Instant::now() >= until
                    {
                        return Err(last);
                    }
                    if !std::mem::take(&mut is_first) {
                        sleep(PAUSE).await;
                    }
                    search.again();
                    continue;
                }
                Err(Gone::Bound(refusal)) => return Err(refusal),
                Err(_) => return Err(last),
            }
            let Some(address) = self.server.as_ref().map(Server::address) else {
                return Err(last);
            };
            let unfit = match self.begin(transfer, search.answer()).await {
                Ok((source, _)) => return Ok((source, address)),
                Err(Unbegun::Refused(refusal, _)) => {
                    self.service.counters.rests_refused.add();
                    last = refusal;
                    Unfit::Refused(refusal)
                }
                Err(Unbegun::Lost { lost, .. }) => {
                    self.service.counters.rests_failed.add();
                    Unfit::Lost(lost)
                }
            };
            self.warn(format_args!(
                "{address} does not go on with {}: {unfit}",
                transfer.command()
            ));
            match unfit {
                Unfit::Lost(lost) => {
                    self.lose(&lost);
                    search.failed(address);
                }
                // Its session is well, but the next server begins anew.
                Unfit::Refused(_) => {
                    self.server = None;
                    search.refused(address);
                }
            }
        }
    }

    /// The client has all.
    async fn complete(
        &mut self,
        pump: Pump,
        reply: Option<Reply>,
        tally: &mut Tally,
    ) -> Result<Option<Reply>, Gone> {
        let end = pump.finish(self.link.idle).await;
        tally.is_whole = end.is_ok();
        let reply = match end {
            Ok(()) => reply.unwrap_or_else(|| Reply::new(226, "The transfer is complete.")),
            Err(e) => Reply::new(426, &format!("The data connection failed: {e}.")),
        };
        Ok(Some(reply))
    }

    /// The client has not got all, and can tell: its data connection is reset, and the reply says so.
    async fn cut(&mut self, pump: Pump, refusal: Refusal) -> Result<Option<Reply>, Gone> {
        data::reset(pump.sink);
        self.service.counters.bodies_cut.add();
        self.warn(format_args!("a transfer was cut: {refusal}"));
        Ok(Some(Reply::new(426, &format!("The transfer broke: {refusal}."))))
    }

    /// The client wants no more.
    async fn give_up(&mut self, pump: Pump) {
        data::reset(pump.sink);
        if !pump.is_answered {
            self.settle().await;
        }
    }

    /// Waits for what the server says of a transfer that the client ended; without it, nobody knows what its next reply is to.
    pub(super) async fn settle(&mut self) {
        let Some(server) = &mut self.server else { return };
        if let Err(lost) = server.answer(self.link.silence).await {
            self.debug(format_args!("a server left: {lost}"));
            self.server = None;
        }
    }
}

/// What a download is called: a file by its path, a list by its command. Without characters that a terminal obeys.
fn object(command: &Command) -> String {
    let path = String::from_utf8_lossy(command.argument());
    let text = match command.verb {
        Verb::Retr => path.into_owned(),
        _ => format!("{} {path}", command.word()),
    };
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
