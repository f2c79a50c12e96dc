//! How the nodes come to know each other's flows (§B.3). Every node has one stream to all members: whatever it makes or
//! changes has a position in it, is sent at once, and is kept for a while, so that who missed it may ask for it. A node
//! that starts, or meets members it did not know, takes a copy of a table, and the streams go on from where the copy was.
//!
//! ```text
//!   Made,   ─▶ log ─▶ Flows ─────────▶ stream ─▶ Apply        log     what this node told, and how far it is
//!   Changed     ▲     At (position) ─▶   │  Entered ─▶ lag    stream  what one peer told, and what is missing
//!               └──── Ask (gap) ◀────────┘                    lag     how long new flows took to come here
//!                                                             gift    a copy that a peer takes from here
//!   NeedCopy ◀─ gift ◀─ CopyAsk ◀─ copy ◀─ join               copy    the one copy that is taken from a peer
//!   CopyPart ─▶  │  ──▶ CopyHead, CopyPart ─▶ copy ─▶ Apply   join    whether this node knows all, and whom to ask
//! ```
//!
//! Which of two records of one flow holds, see [`supersedes`]. A copy only adds: a flow that ended while two nodes did not
//! hear each other may come back on one of them, and goes by its age as if its client had vanished.

mod api;
mod codec;
mod copy;
mod count;
mod gift;
mod gone;
mod join;
mod lag;
mod log;
mod machine;
mod message;
mod rule;
mod stream;
mod turn;

pub use api::{COPY_FLOWS_MAX, Config, Input, Lag, Output, Progress};
pub use log::LOG_MAX;
pub use machine::Share;
pub use message::{Message, Position};
pub use rule::{is_sound, supersedes};
