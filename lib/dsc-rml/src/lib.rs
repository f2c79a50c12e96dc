//! Reliable messages over every path two nodes share (§B.1). Pure: no clock, no sockets; `dsc-ringd` feeds it
//! packets and time and sends what it puts out. It decides nothing about the ring.
//!
//! ```text
//!            Send, Datagram, Answer        Delivered, Failed, Received
//!                      │                              ▲
//!   rml ───────────────┼──────────────────────────────┼──────────── deadline, linked
//!    │            ┌────▼─────┐                   ┌────┴─────┐
//!    ├─ peer ×63  │ sending  │                   │  inbox   │     life: whose packets to believe
//!    │            └────┬─────┘                   └────▲─────┘     path: which way works, how fast
//!    └─ links          │ pieces, tries                │ pieces    links: which of our subnets is dead
//!                      ▼                              │
//!                     packets, on each path in turn, out and in
//! ```

mod api;
mod count;
mod inbox;
mod life;
mod links;
mod pace;
mod path;
mod peer;
mod pieces;
mod post;
mod receive;
mod rml;
mod sending;
mod window;

pub use api::{Config, Input, Output, PathState, PeerState};
pub use rml::Rml;
