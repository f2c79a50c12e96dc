//! The ring of DSC, pure: membership, token, VIP table, leases, fences, decisions (§A.4, §A.5; rules in RULES.md).
//! The driver feeds [`Input`]s and the time and carries out [`Output`]s in order. No clock, no sockets, no names.
//!
//! ```text
//! token ─▶ accept ─▶ switch, lease ─▶ turn ─▶ pass ─▶ token       waiting ─▶ notify (911) ─▶ turn
//!                                      │                           outside ─▶ beacon (merge) ─▶ notify
//!  membership · config, offer, adopt · links · command · backend · health · lights · load, balance · assign · leave    stalled ─▶ suspect
//!                                      ▼
//!                        hosts (kernel) · events · view
//! ```

mod accept;
mod adopt;
mod assign;
mod backend;
mod balance;
mod beacon;
mod command;
mod config;
mod events;
mod health;
mod hosts;
mod lease;
mod leave;
mod lights;
mod links;
mod load;
mod membership;
mod notify;
mod offer;
mod pass;
mod ring;
mod step;
mod suspect;
mod switch;
mod tacit;
mod timer;
mod turn;
mod view;

pub use config::BUSY;
pub use dsc_wire::message::{Beacon, Message, Verdict};
pub use ring::Ring;
pub use step::{Input, Output};

use std::time::Duration;

/// How long connections are steered to a node that left the ring on purpose: as long as a restart may take.
pub const STEER: Duration = Duration::from_secs(60);
