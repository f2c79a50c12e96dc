//! The table [flows]: reads it. Its values do not depend on any other.

use crate::config::Flows;
use crate::fields::{Fields, mistyped};
use crate::problem::Problems;
use crate::{FLOWS_LEAST, FLOWS_MOST, HOLD_MOST_MS, TIMEOUT_LEAST_S, TIMEOUT_MOST_S};
use dsc_wire::{FlowTimeouts, Routing};
use std::time::Duration;
use toml::Spanned;

const ROUTINGS: &[(&str, Routing)] =
    &[("direct", Routing::Direct), ("symmetric", Routing::Symmetric)];

type Timeout = fn(&mut FlowTimeouts) -> &mut Duration;

const TIMEOUTS: [(&str, Timeout); 6] = [
    ("tcp_timeout_syn_sent_s", |t| &mut t.tcp_syn_sent),
    ("tcp_timeout_established_s", |t| &mut t.tcp_established),
    ("tcp_timeout_fin_wait_s", |t| &mut t.tcp_fin_wait),
    ("tcp_timeout_time_wait_s", |t| &mut t.tcp_time_wait),
    ("udp_timeout_s", |t| &mut t.udp),
    ("udp_timeout_stream_s", |t| &mut t.udp_stream),
];

/// What the file says, and the defaults where it says nothing or something that is wrong.
pub(crate) fn read(file: &Fields, problems: &mut Problems) -> Flows {
    let mut flows = Flows::default();
    let Some(value) = file.get("flows") else { return flows };
    let Some(table) = value.get_ref().as_table() else {
        problems.add(mistyped("flows", value, "a table that begins with [flows]"));
        return flows;
    };
    let fields = Fields::open("flows", value.span(), table, problems);
    let (least, most) = (i64::from(FLOWS_LEAST), i64::from(FLOWS_MOST));
    if let Some(max) = fields.integer("max", least, most, problems) {
        flows.max = max as u32;
    }
    if let Some(routing) = fields.choice("routing", ROUTINGS, problems) {
        flows.routing = Spanned::into_inner(routing);
    }
    if let Some(hold) = fields.integer("hold_ms", 1, HOLD_MOST_MS, problems) {
        flows.hold = Duration::from_millis(hold as u64);
    }
    for (key, timeout) in TIMEOUTS {
        if let Some(s) = fields.integer(key, TIMEOUT_LEAST_S, TIMEOUT_MOST_S, problems) {
            *timeout(&mut flows.timeouts) = Duration::from_secs(s as u64);
        }
    }
    flows
}

/// Each timeout with its key, in seconds.
pub(crate) fn timeouts(mut timeouts: FlowTimeouts) -> [(&'static str, u64); 6] {
    TIMEOUTS.map(|(key, timeout)| (key, timeout(&mut timeouts).as_secs()))
}

/// As it is written.
pub(crate) fn word(routing: Routing) -> &'static str {
    ROUTINGS.iter().find(|(_, r)| *r == routing).map_or("", |(word, _)| word)
}
