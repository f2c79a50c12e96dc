//! A server that follows a script: its files, what it says of them, and where it breaks.

use dsc_resume::ftp::{Command, Lines, Verb};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinHandle;

/// How a server breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both connections are reset, as when its process is killed.
    Reset,
    /// Both are closed, as when its process ends.
    Close,
    /// The data connection is closed, and nothing is said.
    CloseData,
    /// The data connection is closed, and the transfer is said to be complete.
    SayDone,
    /// The data connection is closed, and the transfer is said to have failed.
    SayFailed,
    /// The data connection stays open, and nothing comes any more, as when the machine is lost.
    Silent,
    /// The control connection is closed; the data connection stays open and nothing comes.
    CloseControl,
    /// It says that it goes away, and sends nothing more.
    SayAway,
}

/// All of them but those that say that the transfer is over.
pub const BREAKS: [How; 7] = [
    How::Reset,
    How::Close,
    How::CloseData,
    How::SayFailed,
    How::Silent,
    How::CloseControl,
    How::SayAway,
];

/// An answer that is none: the server says nothing, and stays.
pub const SILENCE: &str = "(silence)";

/// What a server does.
#[derive(Clone)]
pub struct Script {
    /// The one file's bytes; any path is its path.
    pub file: Vec<u8>,
    /// What SIZE says; the truth if nothing else.
    pub size: Option<&'static str>,
    /// What MDTM says.
    pub mdtm: &'static str,
    /// What REST says.
    pub rest: &'static str,
    /// What these commands are answered: the beginning of the line, the answer.
    pub answers: Vec<(&'static str, &'static str)>,
    /// Where each RETR breaks, by its place in the file, and how; those after the last do not.
    pub breaks: Vec<(usize, How)>,
    /// Does it break only when it is told to?
    pub is_held: bool,
    /// Does it want a PROXY header?
    pub is_behind: bool,
    /// So many bytes fit on its disk. When no more do, it says so when it may break.
    pub room: Option<usize>,
}

impl Script {
    pub fn of(file: &[u8]) -> Script {
        Script {
            file: file.to_vec(),
            size: None,
            mdtm: "213 20261127230300",
            rest: "350 go on",
            answers: Vec::new(),
            breaks: Vec::new(),
            is_held: false,
            is_behind: false,
            room: None,
        }
    }

    /// It breaks when it is told to.
    pub fn held(self) -> Script {
        Script { is_held: true, ..self }
    }

    pub fn breaks(mut self, at: usize, how: How) -> Script {
        self.breaks.push((at, how));
        self
    }

    pub fn answers(mut self, line: &'static str, answer: &'static str) -> Script {
        self.answers.push((line, answer));
        self
    }
}

/// What all sessions of a server share.
struct Shared {
    script: Script,
    breaks: Mutex<VecDeque<(usize, How)>>,
    heard: Mutex<Vec<String>>,
    stored: Mutex<Vec<Vec<u8>>>,
    sessions: Mutex<Vec<JoinHandle<()>>>,
    may_break: Semaphore,
    /// What the sessions say that nobody asked.
    unasked: broadcast::Sender<String>,
}

/// A server.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub async fn start(script: Script) -> Server {
        Server::at("127.0.0.1:0", script).await
    }

    /// The same, at this address.
    pub async fn at(own: &str, script: Script) -> Server {
        let listener = TcpListener::bind(own).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            breaks: Mutex::new(script.breaks.iter().copied().collect()),
            script,
            heard: Mutex::new(Vec::new()),
            stored: Mutex::new(Vec::new()),
            sessions: Mutex::new(Vec::new()),
            may_break: Semaphore::new(0),
            unasked: broadcast::channel(1).0,
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Server { address, shared, accepting }
    }

    /// What it was told, all sessions together.
    pub fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// How often it was told this.
    pub fn times(&self, line: &str) -> usize {
        self.heard().iter().filter(|h| *h == line).count()
    }

    /// The files that were stored.
    pub fn stored(&self) -> Vec<Vec<u8>> {
        self.shared.stored.lock().unwrap().clone()
    }

    /// It may break now, and later as often as its script says.
    pub fn may_break(&self) {
        self.shared.may_break.add_permits(1);
    }

    /// Its sessions say what nobody asked.
    pub async fn say(&self, line: &str) {
        self.shared.unasked.send(line.to_owned()).unwrap();
        let all_said = || self.shared.unasked.is_empty();
        while !all_said() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends its sessions, and takes new ones.
    pub fn restart(&self) {
        self.shared.sessions.lock().unwrap().drain(..).for_each(|s| s.abort());
    }

    /// Ends it.
    pub fn kill(&self) {
        self.accepting.abort();
        self.restart();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (control, _) = listener.accept().await.unwrap();
        control.set_nodelay(true).unwrap();
        let session = Session { control, data: None, rest: 0, shared: shared.clone() };
        let running = tokio::spawn(async move {
            // The other end may leave at any time.
            let _left = session.run().await;
        });
        shared.sessions.lock().unwrap().push(running);
    }
}

struct Session {
    control: TcpStream,
    data: Option<TcpListener>,
    rest: usize,
    shared: Arc<Shared>,
}

impl Session {
    async fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.control.write_all(format!("{line}\r\n").as_bytes()).await
    }

    async fn run(mut self) -> std::io::Result<()> {
        if self.shared.script.is_behind {
            // Version 2, IPv4: 16 bytes, and two addresses with their ports.
            let mut header = [0; 28];
            self.control.read_exact(&mut header).await?;
            let text = format!("PROXY {:?}", &header[16..20]);
            self.shared.heard.lock().unwrap().push(text);
        }
        let greeting = self.scripted("greeting").unwrap_or("220 ready");
        if greeting != SILENCE {
            self.say(greeting).await?;
        }
        let mut lines = Lines::of_server();
        let mut unread = Vec::new();
        let mut unasked = self.shared.unasked.subscribe();
        loop {
            let (count, line) = lines.take(&unread);
            unread.drain(..count);
            if let Some(line) = line {
                let line = line.unwrap();
                let text = String::from_utf8_lossy(&line).into_owned();
                self.shared.heard.lock().unwrap().push(text.clone());
                if self.is_over(&text, &line).await? {
                    return Ok(());
                }
                continue;
            }
            tokio::select! {
                read = self.control.read_buf(&mut unread) => if read? == 0 {
                    return Ok(());
                },
                line = unasked.recv() => self.say(&line.unwrap()).await?,
            }
        }
    }

    fn scripted(&self, line: &str) -> Option<&'static str> {
        let answers = &self.shared.script.answers;
        answers.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, answer)| *answer)
    }

    async fn is_over(&mut self, text: &str, line: &[u8]) -> std::io::Result<bool> {
        match self.scripted(text) {
            Some("") => return Ok(true),
            Some(SILENCE) => return Ok(false),
            Some(answer) => return self.say(answer).await.map(|()| false),
            None => {}
        }
        let script = &self.shared.script;
        let command = Command::parse(line).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let answer = match command.verb {
            Verb::User => "331 password?".to_owned(),
            Verb::Pass => "230 welcome".to_owned(),
            Verb::Cwd | Verb::Cdup => "250 done".to_owned(),
            Verb::Pwd => "257 \"/\"".to_owned(),
            Verb::Feat => "211-Features:\r\n SIZE\r\n AUTH TLS\r\n EPSV\r\n211 End".to_owned(),
            Verb::Size => match script.size {
                Some(size) => size.to_owned(),
                None => format!("213 {}", script.file.len()),
            },
            Verb::Mdtm => script.mdtm.to_owned(),
            Verb::Rest => {
                self.rest = command.number().unwrap() as usize;
                script.rest.to_owned()
            }
            Verb::Epsv => {
                let own = self.control.local_addr()?.ip();
                let listener = TcpListener::bind((own, 0)).await?;
                let port = listener.local_addr()?.port();
                self.data = Some(listener);
                format!("229 listening (|||{port}|)")
            }
            Verb::Pasv => {
                let own = self.control.local_addr()?.ip();
                let listener = TcpListener::bind((own, 0)).await?;
                let [high, low] = listener.local_addr()?.port().to_be_bytes();
                self.data = Some(listener);
                // An address that is wrong on purpose: nobody may connect to it.
                format!("227 listening (192,0,2,1,{high},{low})")
            }
            Verb::Retr | Verb::List => return self.send().await,
            Verb::Stor | Verb::Appe => return self.store().await,
            Verb::Rnfr => "350 to?".to_owned(),
            Verb::Quit => {
                self.say("221 goodbye").await?;
                return Ok(true);
            }
            _ => "200 done".to_owned(),
        };
        self.say(&answer).await?;
        Ok(false)
    }

    async fn send(&mut self) -> std::io::Result<bool> {
        let Some(listener) = self.data.take() else {
            return self.say("425 no data connection").await.map(|()| false);
        };
        let (mut data, _) = listener.accept().await?;
        self.say("150 here it comes").await?;
        let shared = self.shared.clone();
        let file = &shared.script.file;
        let begin = std::mem::take(&mut self.rest).min(file.len());
        let next = shared.breaks.lock().unwrap().pop_front();
        let (end, how) = next.map_or((file.len(), None), |(at, how)| (at, Some(how)));
        if data.write_all(&file[begin..end.clamp(begin, file.len())]).await.is_err() {
            return self.say("426 nobody takes it").await.map(|()| false);
        }
        if how.is_some() && shared.script.is_held {
            // The permit is given back, for the next break.
            drop(shared.may_break.acquire().await.unwrap());
        }
        match how {
            None => {
                data.shutdown().await?;
                self.say("226 complete").await?;
            }
            Some(How::Reset) => {
                data.set_zero_linger()?;
                self.control.set_zero_linger()?;
                return Ok(true);
            }
            Some(How::Close) => return Ok(true),
            Some(How::CloseData) => data.shutdown().await?,
            Some(How::SayDone) => {
                data.shutdown().await?;
                self.say("226 complete").await?;
            }
            Some(How::SayFailed) => {
                data.shutdown().await?;
                self.say("451 the disk failed").await?;
            }
            Some(How::Silent) => self.until_left().await,
            Some(How::CloseControl) => {
                self.control.shutdown().await?;
                self.until_left().await;
                return Ok(true);
            }
            Some(How::SayAway) => {
                self.say("421 going down").await?;
                self.until_left().await;
            }
        }
        Ok(false)
    }

    /// Waits, with all connections open, until the other end gives up.
    async fn until_left(&mut self) {
        let mut bytes = [0; 256];
        while self.control.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }

    async fn store(&mut self) -> std::io::Result<bool> {
        let Some(listener) = self.data.take() else {
            return self.say("425 no data connection").await.map(|()| false);
        };
        let (mut data, _) = listener.accept().await?;
        self.say("150 send it").await?;
        if let Some(room) = self.shared.script.room {
            data.read_exact(&mut vec![0; room]).await?;
            data.set_zero_linger()?;
            drop(data);
            self.shared.heard.lock().unwrap().push("(full)".to_owned());
            drop(self.shared.may_break.acquire().await.unwrap());
            return self.say("552 the disk is full").await.map(|()| false);
        }
        let mut bytes = Vec::new();
        match data.read_to_end(&mut bytes).await {
            Ok(_) => {
                self.shared.stored.lock().unwrap().push(bytes);
                self.say("226 stored").await?;
            }
            Err(_) => self.say("426 not all came").await?,
        }
        Ok(false)
    }
}
