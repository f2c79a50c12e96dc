//! One transfer: what is asked before it, which bytes of it are the client's, and whether another server may go on with it.
//! The file's SIZE and MDTM, taken before the first byte, tell one state of a file from another; a server that tells others
//! has another file.

use super::address::number;
use super::command::{Command, Verb};
use super::refusal::Refusal;
use super::reply::Reply;
use super::session::Representation;
use crate::Tail;
use std::collections::VecDeque;

/// The service goes away: nothing is said about the transfer.
const GOING_AWAY: u16 = 421;

/// What is done to begin, or to go on, on a server whose session is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This is said, and [`Transfer::heard`] judges the answer.
    Say(Command),
    /// The data connection is opened.
    Connect,
}

/// How a server's part of a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has all.
    Complete,
    /// Another server may be asked for the rest.
    Broken,
    /// The client has to be told that it has not got all.
    Failed(Refusal),
}

/// One transfer, over all servers that have a part in it.
#[derive(Clone, Debug)]
pub struct Transfer {
    command: Command,
    /// Place of the first byte that the client wanted.
    first: u64,
    representation: Representation,
    size: Option<u64>,
    modified: Option<Vec<u8>>,
    sent: u64,
    tail: Tail,
    /// Bytes that the server has still to send a second time, to be compared.
    owed: usize,
    /// A server went on with what another began.
    is_resumed: bool,
}

impl Transfer {
    /// What `command` asks for, from byte `rest` on; the last `overlap` bytes are compared when another server goes on.
    pub fn new(
        command: Command,
        rest: u64,
        representation: Representation,
        overlap: u32,
    ) -> Transfer {
        Transfer {
            command,
            first: rest,
            representation,
            size: None,
            modified: None,
            sent: 0,
            tail: Tail::new(overlap as usize),
            owed: 0,
            is_resumed: false,
        }
    }

    /// What it is.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// Bytes that went to the client.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that the client waits for, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.size.and_then(|size| size.checked_sub(self.first))
    }

    /// Place of the next byte.
    fn at(&self) -> u64 {
        self.first.saturating_add(self.sent)
    }

    /// Do bytes have the same place on each server?
    fn is_file(&self) -> bool {
        self.command.verb == Verb::Retr && self.representation == Representation::Image
    }

    /// May another server be asked to go on?
    ///
    /// # Errors
    /// No: it could not be told whether its bytes are the right ones.
    pub fn may_go_on(&self) -> Result<(), Refusal> {
        if self.sent == 0 && self.command.repeats() {
            return Ok(());
        }
        if self.command.verb != Verb::Retr {
            return Err(Refusal::NotAFile);
        }
        if self.representation == Representation::Ascii {
            return Err(Refusal::Ascii);
        }
        let size = self.size.ok_or(Refusal::NoSize)?;
        if self.modified.is_none() {
            return Err(Refusal::NoTime);
        }
        if self.at() > size { Err(Refusal::Longer) } else { Ok(()) }
    }

    /// Is all known that another server would be compared by?
    pub fn resumes(&self) -> bool {
        self.is_file() && self.size.is_some() && self.modified.is_some()
    }

    /// What the next server is asked, the first as well. One that holds the place of a REST that no transfer took would begin
    /// there, so it is told another.
    pub fn begin(&mut self, holds_rest: bool) -> VecDeque<Step> {
        if self.sent == 0 {
            (self.size, self.modified) = (None, None);
        }
        self.is_resumed = self.sent > 0;
        let kept = self.sent.min(self.tail.size() as u64);
        self.owed = kept as usize;
        let from = self.at() - kept;
        let mut steps = VecDeque::new();
        if self.is_file() {
            for verb in [Verb::Size, Verb::Mdtm] {
                steps.push_back(Step::Say(Command::new(verb, self.command.argument())));
            }
        }
        steps.push_back(Step::Connect);
        let starts_within = matches!(self.command.verb, Verb::Retr | Verb::Stor | Verb::Appe);
        let from = if starts_within { from } else { 0 };
        if from > 0 || holds_rest {
            steps.push_back(Step::Say(Command::new(Verb::Rest, from.to_string().as_bytes())));
        }
        steps.push_back(Step::Say(self.command.clone()));
        steps
    }

    /// The server answered a step of [`Transfer::begin`].
    ///
    /// # Errors
    /// It does not have these bytes, or does not send them.
    pub fn heard(&mut self, said: &Command, reply: &Reply) -> Result<(), Refusal> {
        match said.verb {
            Verb::Size => {
                let size = (reply.code == 213).then(|| length(reply.text())).flatten();
                if self.is_resumed {
                    agrees(self.size.as_ref(), size.as_ref(), Refusal::NoSize, Refusal::OtherSize)?;
                }
                self.size = size;
            }
            Verb::Mdtm => {
                let modified = (reply.code == 213).then(|| modified(reply.text())).flatten();
                if self.is_resumed {
                    let (before, now) = (self.modified.as_ref(), modified.as_ref());
                    agrees(before, now, Refusal::NoTime, Refusal::OtherTime)?;
                }
                self.modified = modified;
            }
            Verb::Rest if reply.code != 350 => return Err(Refusal::Restart(reply.code)),
            Verb::Rest => {}
            _ if reply.is_preliminary() => {}
            _ => return Err(Refusal::Transfer(reply.code)),
        }
        Ok(())
    }

    /// The server sent these bytes; says which of them go to the client, and counts them as sent.
    ///
    /// # Errors
    /// They are not what the client waits for: none of them goes to it.
    pub fn received<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (again, new) = bytes.split_at(self.owed.min(bytes.len()));
        if !self.tail.is(self.owed, again) {
            return Err(Refusal::OtherBytes);
        }
        let end = self.at().saturating_add(new.len() as u64);
        if self.is_resumed && self.size.is_none_or(|size| end > size) {
            return Err(Refusal::Longer);
        }
        self.owed -= again.len();
        self.tail.push(new);
        self.sent += new.len() as u64;
        Ok(new)
    }

    /// The server's part is over: its data connection was closed in good order or not, and it said so much about the
    /// transfer, or nothing.
    pub fn end(&self, is_closed: bool, code: Option<u16>) -> End {
        let code = code.filter(|code| *code != GOING_AWAY);
        let is_done = code.is_some_and(|code| code / 100 == 2);
        let is_whole = is_closed && is_done;
        let size = if self.is_file() { self.size } else { None };
        match size {
            _ if self.owed > 0 && is_done => End::Failed(Refusal::Shorter),
            Some(size) if self.at() == size && self.owed == 0 => match code {
                Some(code) if !is_done => End::Failed(Refusal::Transfer(code)),
                _ => End::Complete,
            },
            Some(size) if self.at() < size && is_done => End::Failed(Refusal::Shorter),
            Some(size) if self.at() > size && is_whole => End::Complete,
            None if is_whole => End::Complete,
            _ => self.may_go_on().map_or_else(End::Failed, |()| End::Broken),
        }
    }
}

/// Both are known, and the same.
fn agrees<T: PartialEq>(
    before: Option<&T>,
    now: Option<&T>,
    missing: Refusal,
    other: Refusal,
) -> Result<(), Refusal> {
    match (before, now) {
        (Some(before), Some(now)) if before == now => Ok(()),
        (Some(_), Some(_)) => Err(other),
        _ => Err(missing),
    }
}

/// What SIZE answers.
fn length(text: &[u8]) -> Option<u64> {
    number(std::str::from_utf8(text).ok()?.trim())
}

/// What MDTM answers: 14 digits and, if the server knows them, parts of a second; without zeros at its end. The first day
/// of 1970 is what tools give every file, so it tells nothing.
fn modified(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let (time, parts) = match text.get(14..)? {
        [] => (text, &b""[..]),
        [b'.', parts @ ..] if !parts.is_empty() => (&text[..14], parts),
        _ => return None,
    };
    if ![time, parts].concat().iter().all(u8::is_ascii_digit) || time.starts_with(b"19700101") {
        return None;
    }
    let kept = parts.iter().rposition(|b| *b != b'0').map_or(0, |at| at + 1);
    Some([time, &parts[..kept]].concat())
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
