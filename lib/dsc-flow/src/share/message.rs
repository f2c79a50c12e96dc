//! What the nodes say to each other about flows.

use dsc_wire::{Flow, Incarnation, NodeId};
use std::time::Duration;

/// How far the stream of a node was known when a copy began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Whose stream.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// All records before this position are in the copy, or were overtaken by later ones.
    pub position: u64,
}

/// One datagram's body. A position counts the records of the sender's life: the first has position 0.
///
/// ```text
///  0      1
///  +------+------+--------
///  | ver  | tag  | fields ..                                        big-endian; a flow as in dsc-wire's flow.rs
///  +------+------+--------
///   u8     u8
///
///  1 Flows        first u64 · age u32 · flows ..
///  2 At           oldest u64 · position u64 · ready u8
///  3 Ask          first u64 · count u32
///  4 CopyAsk      copy u64 · base u32 · beyond u32 · any u8 · again u8
///  5 CopyRefused  copy u64
///  6 CopyHead     copy u64 · count u8 · count times: node u8 · incarnation u64 · position u64
///  7 CopyPart     copy u64 · index u32 · last u8 · flows ..
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Records of the sender's stream: new ones, or repeated ones.
    Flows {
        /// Position of the first.
        first: u64,
        /// How old the oldest of those is that the sender's kernel made and that are opening, when this is sent; to a
        /// microsecond, and no more than an hour. None if there is none of them.
        age: Option<Duration>,
        /// At least one.
        flows: Vec<Flow>,
    },
    /// How far the sender's stream is: who has less has missed the last datagram.
    At {
        /// The first record that it can repeat.
        oldest: u64,
        /// Where the next record will be; at least `oldest`.
        position: u64,
        /// It knows all flows.
        ready: bool,
    },
    /// Repeat records of your stream.
    Ask {
        /// Position of the first.
        first: u64,
        /// How many, at least one.
        count: u32,
    },
    /// Give me a copy of your table, or go on with it. Its pieces are numbered from 0, which is the [`Message::CopyHead`].
    CopyAsk {
        /// Names the copy, never used before in the asker's life.
        copy: u64,
        /// All pieces below this one are here.
        base: u32,
        /// Bit `i`: piece `base + 1 + i` is here.
        beyond: u32,
        /// A copy is wanted even if the giver does not know all flows itself.
        any: bool,
        /// Nothing came for a while: repeat what was sent and is not here.
        again: bool,
    },
    /// There is no such copy: the giver does not know all flows, or has given the copy up.
    CopyRefused {
        /// As asked.
        copy: u64,
    },
    /// Piece 0 of a copy.
    CopyHead {
        /// As asked.
        copy: u64,
        /// One per node all of whose flows the giver knows, itself included. They are all in the copy.
        positions: Vec<Position>,
    },
    /// A later piece of a copy.
    CopyPart {
        /// As asked.
        copy: u64,
        /// Its number, at least 1.
        index: u32,
        /// It is the last.
        last: bool,
        /// Flows of the table.
        flows: Vec<Flow>,
    },
}
