//! Reliable messages over every path two nodes share (§B.1). Pure: no clock, no sockets; `dsc-ringd` feeds it
//! packets and time and sends what it puts out. It decides nothing about the ring.

mod api;

pub use api::{Config, Input, Output, PathState, PeerState, Rml};
