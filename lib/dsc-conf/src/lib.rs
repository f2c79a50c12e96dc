//! `dsc.toml`: reading it, checking all of it against itself and against the machine, explaining what is
//! wrong. Every program calls [`Config::read`] first. It touches no network and no clock; the only file it
//! opens is the one it is told to read.
//!
//! ```text
//!   text --toml--> tables --read--> draft (values with their places) --check--> Config
//!                     |                |                                |
//!                     +----------------+----- Problems: all at once ----+
//! ```

mod addresses;
mod check;
mod config;
mod digest;
mod draft;
mod fields;
mod flows;
mod keys;
mod machine;
mod network;
mod pools;
mod print;
mod problem;
mod read;
mod services;
mod source_nat;
mod timing;

pub use config::{Backend, Config, Flows, Node, NodeUnknown, Service, SourceNat, Subnet, Vip};
pub use keys::{KEYS, KeyDoc};
pub use network::{AddressRange, Network};
pub use problem::{Problem, Problems};

use std::time::Duration;

/// Most bytes of a configuration; 64 nodes and 1024 VIPs, each with its own comment, need far less.
pub const TEXT_MAX: usize = 1024 * 1024;
/// Most problems that are kept; what follows is counted only.
pub const PROBLEMS_MAX: usize = 50;
/// Most networks of one subnet.
pub const NETWORKS_MAX: usize = 16;
/// The key file where the configuration names none.
pub const KEY_FILE: &str = "/etc/dsc/key";
/// The UDP port where the configuration names none.
pub const PORT: u16 = 7946;
/// How many flows the kernel's table holds where the configuration does not say.
pub const FLOWS: u32 = 131_072;
/// Fewest flows that the kernel's table may be made for.
pub const FLOWS_LEAST: u32 = 1024;
/// Most flows that the kernel's table may be made for.
pub const FLOWS_MOST: u32 = 4_194_304;
/// How long a reply is held for its flow where the configuration does not say.
pub const HOLD: Duration = Duration::from_millis(50);
/// Longest that a reply may be held, in milliseconds: a client's SYN is sent again after a second (RFC 6298).
pub const HOLD_MOST_MS: i64 = 1000;
/// Shortest timeout of a flow, in seconds: the table is walked through no more often.
pub const TIMEOUT_LEAST_S: i64 = 5;
/// Longest timeout of a flow, in seconds: a week.
pub const TIMEOUT_MOST_S: i64 = 7 * 24 * 3600;
/// Largest weight of a backend.
pub const WEIGHT_MAX: u32 = 100;
/// The ports of source NAT where the configuration names none: Linux' own for connections that it begins.
pub const PORTS: (u16, u16) = (32_768, 60_999);
/// Fewest ports of source NAT that a node needs: connections of all servers inside to one end outside, at once.
pub const PORTS_LEAST: u16 = 64;
