//! The ring daemon's rooms. The simulator uses [`member`] alone, which touches no system.
//!
//! ```text
//!   peers -- paths --+                  +-- lease map
//!                    +--> daemon <------+
//!    node -- doors --+      |  ^        +-- control (questions, events)
//!                           v  |        +-- facts
//!                          member
//! ```

pub mod changes;
pub mod control;
pub mod critical;
pub mod daemon;
pub mod documents;
pub mod doors;
pub mod facts;
pub mod join;
pub mod member;
pub mod store;
pub mod words;

use dsc_sys::paths::Sites;
use dsc_sys::udp::{Arrivals, BATCH};

/// Most datagrams of one path in one turn: a flood must not keep the ring from its own deadlines.
const TURN_MAX: usize = 32 * BATCH;

/// Where the ring daemons of a configuration are.
pub fn sites(config: &dsc_conf::Config) -> Sites<'_> {
    Sites {
        port: config.port,
        subnets: config.subnets.slots().map(|s| s.map_or("", |s| &s.name)).collect(),
        nodes: config.nodes.slots().map(|n| n.map_or(&[][..], |n| &n.addresses)).collect(),
        turn_max: TURN_MAX,
        arrivals: Arrivals::Plain,
    }
}
