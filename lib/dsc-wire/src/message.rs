//! Messages between rings and the verdicts that come back in their acknowledgements, with their codec. A kind that
//! this build does not know is an error of the decoder, not of the ring; ends of newer builds are ignored.

use crate::cursor::{Malformed, Reader, Writer};
use crate::delivery::{MESSAGE_MAX, VERDICT_MAX};
use crate::event::{duty_code, duty_of};
use crate::ids::{Incarnation, NODES_MAX, NodeId, NodeSet};
use crate::key::{Epoch, Key};
use crate::local::Duty;
use crate::token::Token;

/// Version of everything in this file and in `token_codec`. Additions keep it; a changed meaning raises it.
pub const VERSION: u8 = 1;

/// A reliable message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The token, for the ring's next member.
    Token(Box<Token>),
    /// The 911 (§A.4): "I miss the token", or "let me join".
    Notice(Notice),
    /// A token that its holder cannot bring to `to`: forward it (asymmetry).
    Relay {
        /// Its next holder.
        to: NodeId,
        /// The token.
        token: Box<Token>,
    },
    /// A token that `origin` had relayed.
    Relayed {
        /// Who passed it.
        origin: NodeId,
        /// The token.
        token: Box<Token>,
    },
    /// What became of a token that the receiver had relayed.
    Passed {
        /// Key of the token.
        key: Key,
        /// The next holder's verdict; none if it could not be reached.
        verdict: Option<TokenVerdict>,
    },
    /// Can you answer me directly?
    Reach,
    /// Something changed here: pass the token on, if you hold it.
    Call,
}

/// The 911.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The token that the asker accepted or made last; [`Key::ZERO`] if it has none.
    pub key: Key,
    /// Greatest epoch counter that it heard of.
    pub counter: u32,
    /// It asks to be let in, whatever the receiver believes about its membership.
    pub join: bool,
    /// Its configuration.
    pub digest: u64,
    /// That configuration's version; 0 from an older build.
    pub version: u64,
    /// What it was allowed to do when it was last a member.
    pub duty: Duty,
}

/// The receiver's answer to a [`Message`], carried by the acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To a token, relayed or not.
    Token(TokenVerdict),
    /// To a 911.
    Notice {
        /// Somebody has a newer token, or the asker will be let in: do not regenerate.
        deny: bool,
        /// Greatest epoch counter that the receiver heard of.
        counter: u32,
        /// The receiver runs another configuration and does not take part.
        differs: bool,
        /// The receiver's life, for a ring that takes it in.
        incarnation: Incarnation,
        /// What the receiver was allowed to do when it was last a member.
        duty: Duty,
        /// Version of the receiver's configuration, and its digest; both 0 from an older build.
        version: u64,
        /// See `version`.
        digest: u64,
    },
    /// To a relay: the token is under way.
    Forwarded,
    /// To the outcome of a relay, to the question whether one can be reached, and to a call.
    Noted,
    /// Just started: as if not there (rule 12).
    Quiet,
}

/// What the receiver of a token made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenVerdict {
    /// Taken or not.
    pub outcome: Outcome,
    /// Greatest epoch counter that the receiver heard of.
    pub counter: u32,
    /// Is the sender a member of the receiver's ring?
    pub member: bool,
}

/// Was a token taken?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver holds it now.
    Accepted,
    /// The receiver has seen a newer one (rule 13).
    Stale,
    /// It was meant for another life of the receiver, or for another configuration: as if not there.
    Stranger,
}

/// A datagram to nodes outside the ring (rule 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Members of the sender's ring while its lease runs, else 0.
    pub size: u8,
    /// Greatest key that the sender has seen.
    pub key: Key,
    /// Greatest epoch counter that it heard of.
    pub counter: u32,
    /// Please answer with a beacon.
    pub want: bool,
    /// Its configuration.
    pub digest: u64,
    /// Nodes it has heard lately: who is not among them need not act on the beacon, nobody would hear it.
    pub heard: NodeSet,
    /// Version of its configuration; 0 from an older build.
    pub version: u64,
}

fn version(r: &mut Reader<'_>) -> Result<(), Malformed> {
    if r.u8()? == VERSION { Ok(()) } else { Err(Malformed::Version) }
}

/// Version or digest of a configuration, which an older build did not write.
fn read_version(r: &mut Reader<'_>) -> Result<u64, Malformed> {
    if r.is_empty() { Ok(0) } else { r.u64() }
}

/// A configured node's number; bounded, so that it can index and be put into a set.
pub(crate) fn read_node(r: &mut Reader<'_>) -> Result<NodeId, Malformed> {
    let n = r.u8()?;
    if usize::from(n) < NODES_MAX { Ok(NodeId(n)) } else { Err(Malformed::Value) }
}

/// A key in full; its proposer may be the marker above all nodes, with which a ring gives itself up (rule 15).
pub(crate) fn write_key(w: &mut Writer, key: Key) {
    w.u32(key.epoch.counter);
    w.u8(key.epoch.proposer.0);
    w.u64(key.epoch.incarnation.0);
    w.u64(key.seq);
}

pub(crate) fn read_key(r: &mut Reader<'_>) -> Result<Key, Malformed> {
    let counter = r.u32()?;
    let proposer = NodeId(r.u8()?);
    let incarnation = Incarnation(r.u64()?);
    Ok(Key { epoch: Epoch { counter, proposer, incarnation }, seq: r.u64()? })
}

impl TokenVerdict {
    fn write(self, w: &mut Writer) {
        w.u8(match self.outcome {
            Outcome::Accepted => 0,
            Outcome::Stale => 1,
            Outcome::Stranger => 2,
        });
        w.u32(self.counter);
        w.bool(self.member);
    }

    fn read(r: &mut Reader<'_>) -> Result<TokenVerdict, Malformed> {
        let outcome = match r.u8()? {
            0 => Outcome::Accepted,
            1 => Outcome::Stale,
            2 => Outcome::Stranger,
            _ => return Err(Malformed::Value),
        };
        Ok(TokenVerdict { outcome, counter: r.u32()?, member: r.bool()? })
    }
}

impl Message {
    /// As bytes: version, kind, body. Its bounds keep every legal token below [`MESSAGE_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(MESSAGE_MAX);
        w.u8(VERSION);
        match self {
            Message::Token(token) => {
                w.u8(1);
                token.write(&mut w);
            }
            Message::Notice(notice) => {
                w.u8(2);
                write_key(&mut w, notice.key);
                w.u32(notice.counter);
                w.bool(notice.join);
                w.u64(notice.digest);
                w.u8(duty_code(notice.duty));
                w.u64(notice.version);
            }
            Message::Relay { to, token } => {
                w.u8(3);
                w.u8(to.0);
                token.write(&mut w);
            }
            Message::Relayed { origin, token } => {
                w.u8(4);
                w.u8(origin.0);
                token.write(&mut w);
            }
            Message::Passed { key, verdict } => {
                w.u8(5);
                write_key(&mut w, *key);
                w.bool(verdict.is_some());
                if let Some(verdict) = verdict {
                    verdict.write(&mut w);
                }
            }
            Message::Reach => w.u8(6),
            Message::Call => w.u8(7),
        }
        w.finish().unwrap_or_default()
    }

    /// What [`Message::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        let r = &mut Reader::new(bytes);
        version(r)?;
        Ok(match r.u8()? {
            1 => Message::Token(Box::new(Token::read(r)?)),
            2 => Message::Notice(Notice {
                key: read_key(r)?,
                counter: r.u32()?,
                join: r.bool()?,
                digest: r.u64()?,
                duty: duty_of(r.u8()?)?,
                version: read_version(r)?,
            }),
            3 => Message::Relay { to: read_node(r)?, token: Box::new(Token::read(r)?) },
            4 => Message::Relayed { origin: read_node(r)?, token: Box::new(Token::read(r)?) },
            5 => {
                let key = read_key(r)?;
                let verdict = if r.bool()? { Some(TokenVerdict::read(r)?) } else { None };
                Message::Passed { key, verdict }
            }
            6 => Message::Reach,
            7 => Message::Call,
            _ => return Err(Malformed::Value),
        })
    }
}

impl Verdict {
    /// As bytes, at most [`VERDICT_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERDICT_MAX);
        w.u8(VERSION);
        match *self {
            Verdict::Token(verdict) => {
                w.u8(1);
                verdict.write(&mut w);
            }
            Verdict::Notice { deny, counter, differs, incarnation, duty, version, digest } => {
                w.u8(2);
                w.bool(deny);
                w.u32(counter);
                w.bool(differs);
                w.u64(incarnation.0);
                w.u8(duty_code(duty));
                w.u64(version);
                w.u64(digest);
            }
            Verdict::Forwarded => w.u8(3),
            Verdict::Noted => w.u8(4),
            Verdict::Quiet => w.u8(5),
        }
        w.finish().unwrap_or_default()
    }

    /// What [`Verdict::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Verdict, Malformed> {
        let r = &mut Reader::new(bytes);
        version(r)?;
        Ok(match r.u8()? {
            1 => Verdict::Token(TokenVerdict::read(r)?),
            2 => Verdict::Notice {
                deny: r.bool()?,
                counter: r.u32()?,
                differs: r.bool()?,
                incarnation: Incarnation(r.u64()?),
                duty: duty_of(r.u8()?)?,
                version: read_version(r)?,
                digest: read_version(r)?,
            },
            3 => Verdict::Forwarded,
            4 => Verdict::Noted,
            5 => Verdict::Quiet,
            _ => return Err(Malformed::Value),
        })
    }
}

impl Beacon {
    /// As bytes, one datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERDICT_MAX);
        w.u8(VERSION);
        w.u8(self.size);
        write_key(&mut w, self.key);
        w.u32(self.counter);
        w.bool(self.want);
        w.u64(self.digest);
        w.u64(self.heard.0);
        w.u64(self.version);
        w.finish().unwrap_or_default()
    }

    /// What [`Beacon::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Beacon, Malformed> {
        let r = &mut Reader::new(bytes);
        version(r)?;
        Ok(Beacon {
            size: r.u8()?,
            key: read_key(r)?,
            counter: r.u32()?,
            want: r.bool()?,
            digest: r.u64()?,
            heard: NodeSet(r.u64()?),
            version: read_version(r)?,
        })
    }
}
