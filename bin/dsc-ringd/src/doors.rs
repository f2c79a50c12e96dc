//! The daemon's three sockets for its own node: status, control, facts. It takes what came and sends what is due; what it
//! means is `control.rs`'s and `facts.rs`'s business.

use crate::control::{Answer, Door};
use dsc_sys::local::{Access, Asker, Context, OpenError, Server};
use dsc_wire::local::{Counter, socket};
use std::io;
use std::path::Path;
use std::task::{Context as Waker, Poll};

/// Most messages taken from one socket in one turn; the rest waits for the next, after the ring had its turn.
const TURN_MAX: usize = 32;

/// Something that came by a door.
#[derive(Debug)]
pub enum Came {
    /// A question or command.
    Request(Door, Asker, Vec<u8>),
    /// Facts.
    Facts(Vec<u8>),
}

/// The open sockets.
pub struct Doors {
    status: Server,
    control: Server,
    facts: Server,
    // ZeroMQ reports news once, and an answer sent may swallow the report.
    look_again: bool,
}

impl Doors {
    /// Opens all three below `run_dir`.
    ///
    /// # Errors
    /// One of them could not be opened; none stays open.
    pub fn open(context: &Context, run_dir: &Path) -> Result<Doors, OpenError> {
        let open = |name, access| Server::open(context, &run_dir.join(name), access);
        Ok(Doors {
            status: open(socket::STATUS, Access::Read)?,
            control: open(socket::CONTROL, Access::Change)?,
            facts: open(socket::FACTS, Access::Root)?,
            look_again: true,
        })
    }

    /// Ready when [`Doors::take`] may find something.
    pub fn poll_news(&mut self, cx: &mut Waker<'_>) -> Poll<io::Result<()>> {
        let mut ready = self.look_again;
        for server in [&self.status, &self.control, &self.facts] {
            match server.poll_news(cx) {
                Poll::Ready(Ok(())) => ready = true,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {}
            }
        }
        self.look_again = ready;
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Takes what came since; nothing without news.
    ///
    /// # Errors
    /// ZeroMQ's, when a socket is beyond use.
    pub fn take(&mut self, out: &mut Vec<Came>) -> io::Result<()> {
        if !std::mem::take(&mut self.look_again) {
            return Ok(());
        }
        let mut more = take(&mut self.facts, |_, body| out.push(Came::Facts(body)))?;
        for (server, door) in [(&mut self.status, Door::Status), (&mut self.control, Door::Control)]
        {
            more |= take(server, |asker, body| out.push(Came::Request(door, asker, body)))?;
        }
        self.look_again = more;
        Ok(())
    }

    /// Sends an answer; one that cannot be sent is counted.
    pub fn answer(&mut self, answer: Answer) {
        let server = match answer.door {
            Door::Status => &mut self.status,
            Door::Control => &mut self.control,
        };
        server.answer(&answer.asker, answer.body);
        self.look_again = true;
    }

    /// What went wrong with local messages.
    pub fn counters(&self) -> [Counter; 2] {
        let servers = [&self.status, &self.control, &self.facts];
        let count = |name: &str, of: fn(&Server) -> u64| Counter {
            name: name.to_owned(),
            count: servers.iter().map(|s| of(s)).sum(),
        };
        [
            count("local_messages_malformed", |s| s.malformed),
            count("local_answers_unsent", |s| s.unsent),
        ]
    }
}

/// True if the server may have more.
fn take(server: &mut Server, mut with: impl FnMut(Asker, Vec<u8>)) -> io::Result<bool> {
    for _ in 0..TURN_MAX {
        match server.take()? {
            Some((asker, body)) => with(asker, body),
            None => return Ok(false),
        }
    }
    Ok(true)
}
