//! Packets between nodes: what one UDP datagram holds under its seal. Made and read by `dsc-rml`, sealed and
//! opened by `seal`. Knows the layout, no rule about when to send or believe what.

use crate::cursor::{Malformed, Reader, Writer};
use crate::delivery::{MESSAGE_MAX, VERDICT_MAX};
use crate::ids::{Incarnation, NODES_MAX, NodeId, SUBNETS_MAX, SubnetId};
use crate::local::DOCUMENT_MAX;

/// The wire version of this build; any other layout of a packet raises it.
pub const VERSION: u8 = 2;
/// Bytes of a header; it travels in the clear, authenticated by the seal.
pub const HEADER_LEN: usize = 29;
/// Most bytes of a fragment or datagram body: with header, seal and IPv6/UDP headers below the 1,280 bytes that
/// every IPv6 link carries unfragmented (RFC 8200 §5), so no path needs MTU discovery.
pub const FRAGMENT_MAX: usize = 1_150;
/// Most fragments of a message.
pub const FRAGMENTS_MAX: usize = MESSAGE_MAX.div_ceil(FRAGMENT_MAX);
/// Most bytes of an encoded packet before it is sealed.
pub const PACKET_MAX: usize = HEADER_LEN + 17 + FRAGMENT_MAX;

/// One packet.
///
/// ```text
///  0      1      2      3      4      5             13            21            29
///  +------+------+------+------+------+-------------+-------------+-------------+--------
///  | ver  | kind | from |  to  | path | incarnation |  receiver   |   counter   | body ..
///  +------+------+------+------+------+-------------+-------------+-------------+--------
///   u8     u8     u8     u8     u8     u64           u64           u64            big-endian
///
///  1 Data        message u64 · stamp u32 · index u16 · count u16 · tacit u8 · fragment ..
///  2 Ack         message u64 · stamp u32 · via u8 · base u16 · beyond u32 · whole u8 · verdict .. (if whole)
///  3 Probe       stamp u32
///  4 ProbeReply  stamp u32
///  5 Hello       stamp u32 · challenge u64
///  6 HelloReply  stamp u32 · challenge u64 · its own stamp u32 · challenge u64 (0: none)
///  7 Datagram    number u64 · body ..
///  8 Ask         digest u64 · at u16 · count u8
///  9 Piece       version u64 · digest u64 · size u32 · at u16 · piece ..
/// ```
/// In 8 and 9 nothing of the header but incarnation and counter means anything: who asks may not know its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// From whom to whom.
    pub header: Header,
    /// What.
    pub body: Body,
}

/// From whom to whom, in which of their lives, and the number that makes a replay visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The node that sent it.
    pub from: NodeId,
    /// The node it is for.
    pub to: NodeId,
    /// The subnet it was sent on.
    pub path: SubnetId,
    /// The sender's life.
    pub incarnation: Incarnation,
    /// The receiver's life as the sender knows it; 0 in a [`Body::Hello`], which asks for it.
    pub receiver: Incarnation,
    /// Counts all packets of this incarnation of the sender, to whomever; never repeats (it is the seal's nonce).
    pub counter: u64,
}

/// What a packet says. A `stamp` is the sender's clock in microseconds, truncated, sent back unread by the
/// answer: it tells which of several tries was answered, so that RTT needs no guess (RFC 7323 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A piece of a message. All pieces but the last are [`FRAGMENT_MAX`] long.
    Data {
        /// Numbers the messages from this incarnation of the sender to this receiver.
        message: u64,
        /// See [`Body`].
        stamp: u32,
        /// Position of the piece.
        index: u16,
        /// Pieces of the message, 1 to [`FRAGMENTS_MAX`].
        count: u16,
        /// The sender does not wait for an acknowledgement; a repeated piece is never tacit.
        tacit: bool,
        /// The piece.
        fragment: Vec<u8>,
    },
    /// Pieces of a message arrived.
    Ack {
        /// Which message.
        message: u64,
        /// Of the [`Body::Data`] that caused it.
        stamp: u32,
        /// The subnet that [`Body::Data`] came by. An acknowledgement of a repeated piece is sent on every path,
        /// so that it arrives although each path may be cut one way; it then proves no path.
        via: SubnetId,
        /// All pieces below this one are here.
        base: u16,
        /// Bit `i`: piece `base + 1 + i` is here.
        beyond: u32,
        /// The receiver's verdict, once the message was whole and judged; at most [`VERDICT_MAX`] bytes.
        verdict: Option<Vec<u8>>,
    },
    /// Does this path work both ways?
    Probe {
        /// See [`Body`].
        stamp: u32,
    },
    /// It does.
    ProbeReply {
        /// Of the [`Body::Probe`].
        stamp: u32,
    },
    /// Is your incarnation alive now? (A recording of an earlier life cannot answer.)
    Hello {
        /// See [`Body`].
        stamp: u32,
        /// Never used before in the sender's life; not 0.
        challenge: u64,
    },
    /// It is.
    HelloReply {
        /// Of the [`Body::Hello`], or of the counter-challenge that this answers.
        stamp: u32,
        /// The challenge.
        challenge: u64,
        /// Stamp and challenge of the answerer's own, if it does not know the asker either.
        counter: Option<(u32, u64)>,
    },
    /// An unreliable message, one copy on each path.
    Datagram {
        /// Tells the copies of one datagram from the next one.
        number: u64,
        /// At most [`FRAGMENT_MAX`] bytes.
        body: Vec<u8>,
    },
    /// Please send pieces of a configuration's document. Who is asked keeps nothing about who asks.
    Ask {
        /// Of this configuration; 0: of the one in force.
        digest: u64,
        /// The first piece.
        at: u16,
        /// How many, at most [`ASK_MAX`].
        count: u8,
    },
    /// A piece of a configuration's document, or, to who did not ask, the news that there is a newer one.
    Piece {
        /// Of this configuration.
        version: u64,
        /// Its digest.
        digest: u64,
        /// Bytes of the document, at most [`DOCUMENT_MAX`].
        size: u32,
        /// Position of the piece.
        at: u16,
        /// The bytes from `at` times [`PIECE_MAX`] on; [`PIECE_MAX`] of them but in the last piece.
        bytes: Vec<u8>,
    },
}

/// Bytes of a piece of a configuration's document.
pub const PIECE_MAX: usize = 1024;
/// Most pieces that are asked for at once.
pub const ASK_MAX: u8 = 16;

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Body::Data { .. } => 1,
            Body::Ack { .. } => 2,
            Body::Probe { .. } => 3,
            Body::ProbeReply { .. } => 4,
            Body::Hello { .. } => 5,
            Body::HelloReply { .. } => 6,
            Body::Datagram { .. } => 7,
            Body::Ask { .. } => 8,
            Body::Piece { .. } => 9,
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Body::Data { message, stamp, index, count, tacit, fragment } => {
                w.u64(*message);
                w.u32(*stamp);
                w.u16(*index);
                w.u16(*count);
                w.bool(*tacit);
                w.bytes(fragment);
            }
            Body::Ack { message, stamp, via, base, beyond, verdict } => {
                w.u64(*message);
                w.u32(*stamp);
                w.u8(via.0);
                w.u16(*base);
                w.u32(*beyond);
                w.bool(verdict.is_some());
                w.bytes(verdict.as_deref().unwrap_or_default());
            }
            Body::Probe { stamp } | Body::ProbeReply { stamp } => w.u32(*stamp),
            Body::Hello { stamp, challenge } => {
                w.u32(*stamp);
                w.u64(*challenge);
            }
            Body::HelloReply { stamp, challenge, counter } => {
                let (own_stamp, own_challenge) = counter.unwrap_or((0, 0));
                w.u32(*stamp);
                w.u64(*challenge);
                w.u32(own_stamp);
                w.u64(own_challenge);
            }
            Body::Datagram { number, body } => {
                w.u64(*number);
                w.bytes(body);
            }
            Body::Ask { digest, at, count } => {
                w.u64(*digest);
                w.u16(*at);
                w.u8(*count);
            }
            Body::Piece { version, digest, size, at, bytes } => {
                w.u64(*version);
                w.u64(*digest);
                w.u32(*size);
                w.u16(*at);
                w.bytes(bytes);
            }
        }
    }

    /// Reads the body of a packet of `kind`: everything after the header.
    ///
    /// # Errors
    /// [`Malformed`] if it is not one exactly.
    pub fn decode(kind: u8, bytes: &[u8]) -> Result<Body, Malformed> {
        let mut r = Reader::new(bytes);
        let body = match kind {
            1 => Body::decode_data(&mut r)?,
            2 => {
                let (message, stamp, via) = (r.u64()?, r.u32()?, r.u8()?);
                let (base, beyond) = (r.u16()?, r.u32()?);
                if usize::from(via) >= SUBNETS_MAX {
                    return Err(Malformed::Value);
                }
                if usize::from(base) > FRAGMENTS_MAX {
                    return Err(Malformed::TooLong);
                }
                let verdict = r.bool()?.then(|| r.rest().to_vec());
                if verdict.as_ref().is_some_and(|v| v.len() > VERDICT_MAX) {
                    return Err(Malformed::TooLong);
                }
                Body::Ack { message, stamp, via: SubnetId(via), base, beyond, verdict }
            }
            3 => Body::Probe { stamp: r.u32()? },
            4 => Body::ProbeReply { stamp: r.u32()? },
            5 => Body::Hello { stamp: r.u32()?, challenge: nonzero(r.u64()?)? },
            6 => {
                let (stamp, challenge) = (r.u32()?, nonzero(r.u64()?)?);
                let counter = match (r.u32()?, r.u64()?) {
                    (0, 0) => None,
                    (_, 0) => return Err(Malformed::Value),
                    own => Some(own),
                };
                Body::HelloReply { stamp, challenge, counter }
            }
            7 => {
                let number = r.u64()?;
                Body::Datagram { number, body: piece(&mut r)? }
            }
            8 => Body::Ask { digest: r.u64()?, at: r.u16()?, count: ask_count(r.u8()?)? },
            9 => Body::decode_piece(&mut r)?,
            _ => return Err(Malformed::Value),
        };
        r.end()?;
        Ok(body)
    }

    fn decode_piece(r: &mut Reader<'_>) -> Result<Body, Malformed> {
        let (version, digest) = (r.u64()?, r.u64()?);
        let (size, at) = (r.u32()?, r.u16()?);
        if size as usize > DOCUMENT_MAX {
            return Err(Malformed::TooLong);
        }
        let bytes = r.rest().to_vec();
        let left = (size as usize).saturating_sub(usize::from(at) * PIECE_MAX);
        if bytes.len() != left.min(PIECE_MAX) {
            return Err(Malformed::Value);
        }
        Ok(Body::Piece { version, digest, size, at, bytes })
    }

    fn decode_data(r: &mut Reader<'_>) -> Result<Body, Malformed> {
        let (message, stamp, index, count) = (r.u64()?, r.u32()?, r.u16()?, r.u16()?);
        if usize::from(count) > FRAGMENTS_MAX {
            return Err(Malformed::TooLong);
        }
        if index >= count {
            return Err(Malformed::Value);
        }
        let tacit = r.bool()?;
        let fragment = piece(r)?;
        let last = index + 1 == count;
        // Only a message without a byte has an empty piece, and only the last piece may be short.
        if (!last && fragment.len() != FRAGMENT_MAX) || (fragment.is_empty() && count != 1) {
            return Err(Malformed::Value);
        }
        if usize::from(index) * FRAGMENT_MAX + fragment.len() > MESSAGE_MAX {
            return Err(Malformed::TooLong);
        }
        Ok(Body::Data { message, stamp, index, count, tacit, fragment })
    }
}

fn ask_count(count: u8) -> Result<u8, Malformed> {
    if count <= ASK_MAX { Ok(count) } else { Err(Malformed::Value) }
}

fn nonzero(value: u64) -> Result<u64, Malformed> {
    if value == 0 { Err(Malformed::Value) } else { Ok(value) }
}

fn piece(r: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    if r.left() > FRAGMENT_MAX { Err(Malformed::TooLong) } else { Ok(r.rest().to_vec()) }
}

impl Header {
    /// Reads a header and the kind of the body behind it.
    ///
    /// # Errors
    /// [`Malformed`]: too short, another version, a node or subnet beyond any configuration, an incarnation 0.
    pub fn decode(r: &mut Reader<'_>) -> Result<(Header, u8), Malformed> {
        if r.u8()? != VERSION {
            return Err(Malformed::Version);
        }
        let kind = r.u8()?;
        let (from, to, path) = (r.u8()?, r.u8()?, r.u8()?);
        let (incarnation, receiver, counter) = (r.u64()?, r.u64()?, r.u64()?);
        if usize::from(from) >= NODES_MAX
            || usize::from(to) >= NODES_MAX
            || usize::from(path) >= SUBNETS_MAX
        {
            return Err(Malformed::Value);
        }
        let header = Header {
            from: NodeId(from),
            to: NodeId(to),
            path: SubnetId(path),
            incarnation: Incarnation(nonzero(incarnation)?),
            receiver: Incarnation(receiver),
            counter,
        };
        Ok((header, kind))
    }

    fn encode(&self, kind: u8, w: &mut Writer) {
        w.u8(VERSION);
        w.u8(kind);
        w.u8(self.from.0);
        w.u8(self.to.0);
        w.u8(self.path.0);
        w.u64(self.incarnation.0);
        w.u64(self.receiver.0);
        w.u64(self.counter);
    }
}

impl Packet {
    /// Appends the packet, unsealed, to `w`: [`HEADER_LEN`] bytes of header, then the body.
    pub fn encode(&self, w: &mut Writer) {
        self.header.encode(self.body.kind(), w);
        self.body.encode(w);
    }

    /// Reads an unsealed packet; never panics, whatever the bytes.
    ///
    /// # Errors
    /// [`Malformed`] if it is not a packet exactly.
    pub fn decode(bytes: &[u8]) -> Result<Packet, Malformed> {
        if bytes.len() > PACKET_MAX {
            return Err(Malformed::TooLong);
        }
        let mut r = Reader::new(bytes);
        let (header, kind) = Header::decode(&mut r)?;
        Ok(Packet { header, body: Body::decode(kind, r.rest())? })
    }
}
