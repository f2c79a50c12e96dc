//! What there is to draw: the cluster as `status` fills it, the last events, and what keeps us from a newer one. Pure.

use crate::events;
use crate::shown::{EventRow, NodeRow, Status, VipRow};
use crate::status;
use dsc_wire::Time;
use dsc_wire::local::{Event, View};

/// No screen shows more of them.
const EVENTS_MAX: usize = 64;

/// The cluster at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// As the command of that name has it.
    pub status: Status,
    /// The last to happen, the latest at the end.
    pub events: Vec<EventRow>,
    /// Why there is no newer one, if the ring daemon does not answer now.
    pub lost: Option<String>,
}

/// A node, or the place of the VIPs that no node hosts.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// None: of nobody.
    pub node: Option<&'a NodeRow>,
    name: Option<&'a str>,
}

impl Picture {
    /// From what the ring daemon answered.
    pub fn new(view: &View, happened: &[Event], now: Time, wall_ms: u64) -> Picture {
        let last = &happened[happened.len().saturating_sub(EVENTS_MAX)..];
        Picture {
            status: status::fill(view, happened, now, wall_ms),
            events: last.iter().map(|event| events::fill(&view.names, event)).collect(),
            lost: None,
        }
    }

    /// The nodes in the order of the configuration, and nobody if anything is theirs.
    pub fn columns(&self) -> Vec<Column<'_>> {
        let nodes = self.status.nodes.iter();
        let mut columns: Vec<Column> =
            nodes.map(|n| Column { node: Some(n), name: Some(&n.name) }).collect();
        if self.status.vips.iter().any(|v| v.host.is_none()) {
            columns.push(Column { node: None, name: None });
        }
        columns
    }

    /// Its VIPs, in the order of the configuration.
    pub fn vips_of(&self, column: Column<'_>) -> Vec<&VipRow> {
        self.status.vips.iter().filter(|v| v.host.as_deref() == column.name).collect()
    }
}

impl Column<'_> {
    /// What it is called.
    pub fn name(&self) -> &str {
        self.name.unwrap_or("nobody")
    }
}
