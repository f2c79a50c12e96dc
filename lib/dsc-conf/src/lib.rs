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
mod balance;
mod changes;
mod check;
mod checks;
mod config;
mod digest;
mod draft;
mod edit;
mod fields;
mod filter;
mod flows;
mod import;
mod join;
mod keys;
mod link;
mod machine;
mod network;
mod node_checks;
mod numbered;
mod numbers;
mod pools;
mod print;
mod problem;
mod read;
mod services;
mod source_nat;
mod stored;
mod successor;
mod timing;

pub use changes::{Change, How, Value};
pub use checks::{Check, CheckKind, FilterProtocol, NodeCheck, OnRed};
pub use config::{Backend, Config, Flows, Node, NodeUnknown, Service, SourceNat, Subnet, Vip};
pub use import::{OldFile, OldKind, import};
pub use join::Join;
pub use keys::{KEYS, KeyDoc};
pub use link::{Certificate, Forwarded, Link, LinkBalance, Speaks};
pub use network::{AddressRange, Network};
pub use numbered::{Number, Numbered};
pub use problem::{Problem, Problems};
pub use stored::{InForce, PREPARED, STATE_DIR, STORED};

use std::time::Duration;

/// Most bytes of a configuration; 64 nodes and 1024 VIPs, each with its own comment, need far less.
pub const TEXT_MAX: usize = dsc_wire::local::DOCUMENT_MAX;
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
/// Most of the load of the node that gives that a move may have to take off it, in percent: of two equal VIPs one takes half.
pub const HYSTERESIS_MOST: i64 = 50;
/// Longest cool-down of a VIP that was moved, in seconds, before it is doubled: an hour.
pub const COOLDOWN_MOST_S: i64 = 3600;
/// Largest weight of a backend.
pub const WEIGHT_MAX: u32 = 100;
/// The ports of source NAT where the configuration names none: Linux' own for connections that it begins.
pub const PORTS: (u16, u16) = (32_768, 60_999);
/// Where a client is told to connect to for a file, on a VIP of an FTP link: dynamic ports (RFC 6335).
pub const FTP_DATA_PORTS: (u16, u16) = (49_152, 65_535);
/// Fewest ports of source NAT that a node needs: connections of all servers inside to one end outside, at once.
pub const PORTS_LEAST: u16 = 64;
