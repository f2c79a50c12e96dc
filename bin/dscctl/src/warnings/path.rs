//! Warnings about this node's data path: its programs, and how it learns the flows of the others.

use super::warning;
use crate::names;
use crate::shown::Warning;
use dsc_wire::local::{FwdCounters, View};

pub const NO_PROGRAM: &str = "no-program";
pub const BEHIND: &str = "sharing-behind";
pub const LATE: &str = "sharing-late";

/// A packet is held no longer than this for its flow, unless the configuration says otherwise: after 10 ms.
const LATE_US: u32 = 10_000;

/// Adds them.
pub fn find(view: &View, counted: &FwdCounters, found: &mut Vec<Warning>) {
    let me = names::node(&view.names, view.me);
    if counted.links.is_empty() {
        let text = format!("dsc-fwd on {me} has no program in the kernel: no frame reaches it");
        found.push(warning(NO_PROGRAM, "dsc-fwd".into(), text));
    }
    let Some(sharing) = &counted.sharing else { return };
    if !sharing.ready {
        let text = format!(
            "{me} does not know all flows yet: it hosts no VIP that is new to it until it does"
        );
        found.push(warning(BEHIND, me.clone(), text));
    }
    if let Some(lag) = sharing.lag.filter(|lag| lag.p99_us > LATE_US) {
        let text = format!(
            "flows of other nodes come late to {me}: 99 % of {} within {} ms only; a reply may be here before its flow",
            lag.flows,
            lag.p99_us / 1000
        );
        found.push(warning(LATE, me, text));
    }
}
