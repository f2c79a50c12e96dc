//! Prints values for scripts: one JSON object per line, with the field names of `shown.rs`. Decides nothing.

use crate::show::Shown;
use serde::Serialize;
use std::io::{self, Write};

/// Prints one answer.
pub fn show(out: &mut dyn Write, shown: &Shown) -> io::Result<()> {
    match shown {
        Shown::Status(status) => line(out, status),
        Shown::Local(local) => line(out, local),
        Shown::Vips(vips) => lines(out, vips),
        Shown::Vip(vip) => line(out, vip),
        Shown::Nodes(nodes) => lines(out, nodes),
        Shown::Node(node) => line(out, node),
        Shown::Services(services) => lines(out, services),
        Shown::Backends(backends) => lines(out, backends),
        Shown::Checks(checks) => lines(out, checks),
        Shown::Flows(flows) => lines(out, &flows.rows),
        Shown::FlowCount(count) => line(out, count),
        Shown::Downloads(downloads) => lines(out, &downloads.rows),
        Shown::Links(links) => lines(out, links),
        Shown::Events(events) => lines(out, events),
        Shown::Counters(counters) => lines(out, counters),
        Shown::Change(change) => line(out, change),
        Shown::Checked(checked) => line(out, checked),
        Shown::InForce(config) => line(out, config),
        Shown::Imported(imported) => line(out, imported),
        Shown::Applied(applied) => line(out, applied),
        Shown::Key(key) => line(out, key),
    }
}

fn lines(out: &mut dyn Write, values: &[impl Serialize]) -> io::Result<()> {
    values.iter().try_for_each(|value| line(out, value))
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    // Written whole: a reader of a pipe never sees half an object.
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    out.write_all(text.as_bytes())
}
