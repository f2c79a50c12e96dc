//! One client's session: its commands, one after the other, and who answers each.

use super::attach::Search;
use super::control::{Client, Lost, Server};
use super::data::{self, Wanted};
use crate::service::Service;
use dsc_conf::Link;
use dsc_resume::ftp::{self, BadAddress, BadCommand, BadLine, Command, Refusal, Reply, Verb};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// After so many lines that are no commands, or attempts to have others connected to, it is no FTP client.
const BAD_MAX: u32 = 16;

/// So long a client may say nothing when the service is closing.
const END: Duration = Duration::from_secs(1);

/// What the relay can do too: only these lines of a server's FEAT are told.
const FEATURES: &[&str] =
    &["EPRT", "EPSV", "MDTM", "MFMT", "MLST", "PASV", "REST", "SIZE", "TVFS", "UTF8"];

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Gone {
    /// The client's connection failed.
    Client(io::Error),
    /// The client closed its connection.
    Closed,
    /// The client said nothing for too long.
    Idle,
    /// It speaks another protocol, or attacks.
    NoFtp,
    /// There is no server that can be reached.
    NoServer,
    /// The server failed, and no other can take its place.
    Bound(Refusal),
    /// The service is closing.
    Closing,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gone::Client(e) => write!(f, "{e}"),
            Gone::Closed => f.write_str("closed by the client"),
            Gone::Idle => f.write_str("idle for too long"),
            Gone::NoFtp => f.write_str("too many refused lines"),
            Gone::NoServer => f.write_str("no server can be reached"),
            Gone::Bound(refusal) => write!(f, "the server failed: {refusal}"),
            Gone::Closing => f.write_str("the service is closing"),
        }
    }
}

impl From<io::Error> for Gone {
    fn from(e: io::Error) -> Gone {
        Gone::Client(e)
    }
}

/// A line of the client, or why it is none.
pub(super) type Line = Result<Vec<u8>, BadLine>;

/// One client's session.
pub(super) struct Session {
    pub(super) service: Arc<Service>,
    /// As it was configured when the session began.
    pub(super) link: Link,
    pub(super) client: Client,
    /// Who the client is, and where it came to, as a PROXY header may tell.
    pub(super) ends: (SocketAddr, SocketAddr),
    /// Who has the other end of its control connection: the client, or a proxy.
    peer: IpAddr,
    pub(super) vip: IpAddr,
    /// What the server was told.
    pub(super) state: ftp::Session,
    pub(super) server: Option<Server>,
    pub(super) wanted: Option<Wanted>,
    /// A line that came during a transfer and has to wait for its end.
    pub(super) held: Option<Line>,
    only_epsv: bool,
    /// Lines that no client says by mistake so often.
    pub(super) bad: u32,
}

impl Session {
    pub(super) async fn new(
        stream: TcpStream,
        from: SocketAddr,
        service: Arc<Service>,
    ) -> io::Result<Session> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let link = service.setup().link.clone();
        let mut client = Client::new(stream, link.client_head);
        let told = if link.proxy_in { client.header().await? } else { None };
        Ok(Session {
            client,
            link,
            service,
            ends: told.unwrap_or((from, local)),
            peer: from.ip(),
            vip: local.ip().to_canonical(),
            state: ftp::Session::default(),
            server: None,
            wanted: None,
            held: None,
            only_epsv: false,
            bad: 0,
        })
    }

    /// Serves the client until one of both goes.
    pub(super) async fn run(&mut self) -> Result<(), Gone> {
        let end = self.commands().await;
        if let Err(gone) = &end {
            if let Gone::Client(_) | Gone::Closed = gone {
                self.leave().await;
                return end;
            }
            match gone {
                Gone::Idle | Gone::NoFtp => self.service.counters.clients_slow.add(),
                Gone::NoServer | Gone::Bound(_) => self.service.counters.requests_failed.add(),
                Gone::Client(_) | Gone::Closed | Gone::Closing => {}
            }
            self.client.say(&Reply::new(421, &format!("Goodbye: {gone}."))).await?;
        }
        self.leave().await;
        end
    }

    async fn commands(&mut self) -> Result<(), Gone> {
        if let Some(greeting) = self.attach(&mut Search::new(self.link.head)).await? {
            self.client.say(&greeting).await?;
        }
        while self.bad <= BAD_MAX {
            let command = match self.line().await?.map(|line| Command::parse(&line)) {
                Ok(Ok(command)) => command,
                Ok(Err(bad)) => {
                    self.refuse(bad).await?;
                    continue;
                }
                Err(bad) => {
                    let text = match bad {
                        BadLine::TooLong => "The line is too long.",
                        BadLine::Control => "The line holds bytes that have no place in it.",
                    };
                    self.bad(500, text).await?;
                    continue;
                }
            };
            if command.verb == Verb::Quit {
                let goodbye = self.forward(&command).await?;
                self.server = None;
                return Ok(self.client.say(&goodbye).await?);
            }
            if let Some(reply) = self.command(command).await? {
                self.client.say(&reply).await?;
            }
        }
        Err(Gone::NoFtp)
    }

    /// Carries a command out; gives the last reply to it, if it was not sent yet.
    async fn command(&mut self, command: Command) -> Result<Option<Reply>, Gone> {
        let wants_data = |verb: Verb| {
            let sets = matches!(verb, Verb::Pasv | Verb::Epsv | Verb::Port | Verb::Eprt);
            sets || is_download(verb) || is_upload(verb)
        };
        if wants_data(command.verb) && !self.state.is_logged_in() {
            return Ok(Some(Reply::new(530, "Log in with USER and PASS.")));
        }
        match command.verb {
            Verb::Pasv | Verb::Epsv => Ok(Some(self.passive(&command))),
            Verb::Port | Verb::Eprt => Ok(Some(self.active(&command))),
            Verb::Abor => Ok(Some(Reply::new(225, "There is no transfer."))),
            verb if is_download(verb) => self.download(command).await,
            verb if is_upload(verb) => self.upload(command).await,
            Verb::Feat => {
                let mut reply = self.forward(&command).await?;
                reply.retain(is_feature);
                Ok(Some(reply))
            }
            _ => self.forward(&command).await.map(Some),
        }
    }

    /// The client's next line. A server that leaves meanwhile is replaced when there is something to ask.
    async fn line(&mut self) -> Result<Line, Gone> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        let since = Instant::now();
        let service = self.service.clone();
        loop {
            let closing = service.closed.notified();
            // A client that takes one file after the other is not interrupted.
            let (limit, late) = if service.is_closing() {
                (self.link.idle.min(END), Gone::Closing)
            } else {
                (self.link.idle, Gone::Idle)
            };
            tokio::select! {
                line = self.client.line() => return line?.ok_or(Gone::Closed),
                lost = unasked(&mut self.server) => {
                    self.debug(format_args!("a server left: {lost}"));
                    self.server = None;
                }
                () = closing => {}
                () = sleep_until(since + limit) => return Err(late),
            }
        }
    }

    /// Answers a line that is not passed on.
    async fn refuse(&mut self, bad: BadCommand) -> Result<(), Gone> {
        let (code, text) = match bad {
            BadCommand::Malformed => return self.bad(500, "This is no command.").await,
            BadCommand::Unknown => return self.bad(502, "This command is not known here.").await,
            BadCommand::Security => (502, "TLS is not offered here."),
            BadCommand::Argument => (501, "The argument is missing, or not as it should be."),
            BadCommand::Parameter => (504, "Only TYPE I and A, MODE S and STRU F are known here."),
        };
        self.service.counters.requests_refused.add();
        Ok(self.client.say(&Reply::new(code, text)).await?)
    }

    /// Answers a line of which too many end the session.
    async fn bad(&mut self, code: u16, text: &str) -> Result<(), Gone> {
        self.service.counters.requests_refused.add();
        self.bad += 1;
        Ok(self.client.say(&Reply::new(code, text)).await?)
    }

    /// PASV and EPSV: the client will connect to the VIP.
    fn passive(&mut self, command: &Command) -> Reply {
        let argument = command.argument().trim_ascii();
        let own: &[u8] = if self.vip.is_ipv4() { b"1" } else { b"2" };
        match (command.verb, argument) {
            (Verb::Epsv, argument) if argument.eq_ignore_ascii_case(b"ALL") => {
                self.only_epsv = true;
                return Reply::new(200, "Only EPSV from now on.");
            }
            (Verb::Epsv, argument) if !argument.is_empty() && argument != own => {
                return self.other_family();
            }
            (Verb::Pasv, _) if self.only_epsv => return Reply::new(503, "You said EPSV ALL."),
            _ => {}
        }
        let listener = match data::listen(self.vip) {
            Ok(listener) => listener,
            Err(e) => {
                self.warn(format_args!("no port for a data connection: {e}"));
                return Reply::new(425, "No port is free.");
            }
        };
        let port = listener.local_addr().map_or(0, |at| at.port());
        self.wanted = Some(Wanted::Passive(listener));
        match (command.verb, self.vip) {
            (Verb::Pasv, IpAddr::V4(vip)) => Reply::new(227, &ftp::pasv_reply(vip, port)),
            (Verb::Pasv, IpAddr::V6(_)) => {
                self.wanted = None;
                Reply::new(425, "PASV is for IPv4: use EPSV.")
            }
            _ => Reply::new(229, &ftp::epsv_reply(port)),
        }
    }

    /// PORT and EPRT: the client listens, if it is the client.
    fn active(&mut self, command: &Command) -> Reply {
        if self.only_epsv {
            return Reply::new(503, "You said EPSV ALL.");
        }
        let said = match command.verb {
            Verb::Port => ftp::port(command.argument()),
            _ => ftp::extended_port(command.argument()),
        };
        match said.and_then(|to| ftp::active(self.ends.0.ip(), self.vip, to)) {
            Ok(to) => {
                self.wanted = Some(Wanted::Active(to));
                Reply::new(200, "The data connection will go there.")
            }
            Err(BadAddress::Malformed) => Reply::new(501, "This is no address."),
            Err(BadAddress::Family) => self.other_family(),
            Err(BadAddress::Bounce | BadAddress::LowPort) => {
                self.service.counters.requests_refused.add();
                self.bad += 1;
                self.warn(format_args!("does not connect where {command} says"));
                Reply::new(504, "Data connections go to your own address, from port 1024 on.")
            }
        }
    }

    fn other_family(&self) -> Reply {
        let own = if self.vip.is_ipv4() { 1 } else { 2 };
        Reply::new(522, &format!("Network protocol not supported, use ({own})"))
    }

    /// Who may have an end of its data connections: the client, and the proxy that it comes by.
    pub(super) fn owners(&self) -> [IpAddr; 2] {
        [self.ends.0.ip(), self.peer].map(|ip| ip.to_canonical())
    }

    pub(super) fn warn(&self, what: fmt::Arguments<'_>) {
        tracing::warn!("{}: {}: {what}", self.service.name, self.ends.0);
    }

    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        tracing::info!("{}: {}: {what}", self.service.name, self.ends.0);
    }

    pub(super) fn debug(&self, what: fmt::Arguments<'_>) {
        tracing::debug!("{}: {}: {what}", self.service.name, self.ends.0);
    }
}

/// What a server says that nobody asked: it leaves, or is out of step.
async fn unasked(server: &mut Option<Server>) -> Lost {
    match server {
        Some(server) => match server.reply().await {
            Ok(reply) => Lost::Unready(reply.code),
            Err(lost) => lost,
        },
        None => std::future::pending().await,
    }
}

fn is_download(verb: Verb) -> bool {
    matches!(verb, Verb::Retr | Verb::List | Verb::Nlst | Verb::Mlsd)
}

fn is_upload(verb: Verb) -> bool {
    matches!(verb, Verb::Stor | Verb::Stou | Verb::Appe)
}

/// Is it a line of FEAT for something that the relay can do?
fn is_feature(line: &[u8]) -> bool {
    let mut words = line.trim_ascii_start().split(|b| *b == b' ');
    let word = words.next().unwrap_or_default().trim_ascii().to_ascii_uppercase();
    FEATURES.iter().any(|f| f.as_bytes() == word)
}
