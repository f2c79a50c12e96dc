//! The ring of DSC, pure: membership, token, VIP table, leases, fences, decisions (§A.4, §A.5; rules in RULES.md).
//! The driver feeds [`Input`]s and the time and carries out [`Output`]s in order. No clock, no sockets, no names.

mod ring;
mod step;

pub use dsc_wire::message::{Beacon, Message, Verdict};
pub use ring::Ring;
pub use step::{Input, Output};

use std::time::Duration;

/// How long connections are steered to a node that left the ring on purpose: as long as a restart may take.
pub const STEER: Duration = Duration::from_secs(60);
