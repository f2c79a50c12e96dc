//! Prints values for people: aligned columns, units, a sentence where one helps. No colour, so that nothing has to be
//! taken out for a pipe. Decides nothing.

use crate::show::Shown;
use crate::shown::{
    CounterRow, EventRow, Local, NodeRow, Serving, Sharing, SharingLag, Status, VipRow, Warning,
};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use dsc_wire::local::{Duty, RingState};
use dsc_wire::{Partition, Persistence};
use std::io::{self, Write};

mod checks;
pub mod config;
mod flows;
mod link;
mod nodes;

/// Prints one answer.
pub fn show(out: &mut dyn Write, shown: &Shown) -> io::Result<()> {
    match shown {
        Shown::Status(status) => show_status(out, status),
        Shown::Local(local) => show_local(out, local),
        Shown::Vips(vips) => show_vips(out, vips),
        Shown::Vip(vip) => show_vip(out, vip),
        Shown::Nodes(nodes) => nodes::show_nodes(out, nodes),
        Shown::Node(node) => nodes::show_node(out, node),
        Shown::Services(services) => flows::show_services(out, services),
        Shown::Backends(backends) => flows::show_backends(out, backends),
        Shown::Checks(rows) => checks::show_checks(out, rows),
        Shown::Flows(shown) => flows::show_flows(out, shown),
        Shown::FlowCount(count) => flows::show_count(out, count),
        Shown::Downloads(downloads) => link::show_downloads(out, downloads),
        Shown::Links(links) => link::show_links(out, links),
        Shown::Events(events) => show_events(out, events),
        Shown::Counters(counters) => show_counters(out, counters),
        Shown::Change(change) => writeln!(out, "{}", change.text),
        Shown::Checked(checked) => config::show_checked(out, checked),
        Shown::InForce(config) => write!(out, "{}", config.document),
        Shown::Imported(imported) => {
            write!(out, "{}", imported.document.as_deref().unwrap_or_default())
        }
        Shown::Applied(applied) => config::show_applied(out, applied),
        Shown::Key(key) => writeln!(out, "{}", key.text),
    }
}

fn show_status(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let quorum = match (status.partition, status.quorum) {
        (Partition::Serve, true) => "partition serve",
        (Partition::Serve, false) => "partition serve, no quorum",
        (Partition::Majority, true) => "partition majority, quorum",
        (Partition::Majority, false) => "partition majority, no quorum",
    };
    let members = match status.members.len() {
        0 => "none".to_string(),
        _ => status.members.join(" "),
    };
    let facts = [
        ("cluster", status.cluster.clone()),
        ("node", format!("{} ({})", status.node, state(status.state))),
        ("members", format!("{members} ({} of {})", status.members.len(), status.nodes.len())),
        ("ring", format!("epoch {}, sequence {}, {quorum}", status.epoch, status.seq)),
        ("rotation", format!("{:.1} ms", status.rotation_us as f64 / 1000.0)),
        ("lease", lease(status.lease_valid, status.lease_left_ms, status.lease_ms)),
    ];
    let config = (status.config_version != 0 || status.config_file.is_some())
        .then(|| ("config", config::in_force(status)));
    let balanced = status.balanced.iter();
    let balanced = balanced
        .map(|e| ("balance", format!("{} {}: {}", e.wall.replace('T', " "), e.node, e.text)));
    let facts: Vec<_> = facts.into_iter().chain(config).chain(balanced).collect();
    show_facts(out, &facts)?;
    writeln!(out)?;
    nodes::show_nodes(out, &status.nodes)?;
    if !status.vips.is_empty() {
        writeln!(out)?;
        show_vips(out, &status.vips)?;
    }
    show_warnings(out, &status.warnings)
}

fn show_local(out: &mut dyn Write, local: &Local) -> io::Result<()> {
    let heard = |silent_ms: Option<u64>| match silent_ms {
        None => "not heard by dsc-ringd".to_string(),
        Some(ms) => format!("heard by dsc-ringd {:.1} s ago", ms as f64 / 1000.0),
    };
    let programs = match local.links.len() {
        0 => "no program known".to_string(),
        _ => local.links.join("; "),
    };
    let mut facts = vec![
        ("cluster", local.cluster.clone()),
        ("node", local.node.clone()),
        ("dsc-ringd", format!("{}, view {}", state(local.state), local.view)),
        ("dsc-fwd", heard(local.fwd_silent_ms)),
        ("dsc-mon", heard(local.mon_silent_ms)),
        ("lease", lease(local.lease_valid, local.lease_left_ms, local.lease_ms)),
        ("kernel", programs),
    ];
    facts.extend(keys_fact(local));
    facts.extend(local.sharing.iter().flat_map(sharing_facts));
    show_facts(out, &facts)?;
    if let Some(sharing) = &local.sharing {
        show_sharing_peers(out, sharing)?;
    }
    if !local.vips.is_empty() {
        writeln!(out)?;
        let mut table = table(&["VIP", "STATE", "PACKETS", "BYTES", "STEERED"], &[2, 3, 4]);
        for vip in &local.vips {
            let state = match &vip.steer_to {
                Some(node) => format!("steer to {node}"),
                None => vip.state.to_string(),
            };
            table.add_row([
                vip.address.clone(),
                state,
                vip.packets.to_string(),
                vip.bytes.to_string(),
                vip.steered.to_string(),
            ]);
        }
        print_table(out, &table)?;
    }
    if !local.verdicts.is_empty() {
        writeln!(out)?;
        let mut table = table(&["VERDICT", "FRAMES"], &[1]);
        for verdict in &local.verdicts {
            table.add_row([verdict.name.clone(), verdict.count.to_string()]);
        }
        print_table(out, &table)?;
    }
    show_warnings(out, &local.warnings)
}

/// The keys in force; those of the data path daemon only if they are others.
fn keys_fact(local: &Local) -> Option<(&'static str, String)> {
    let said = |keys: &[String]| match keys {
        [] => None,
        [seals] => Some(format!("{seals} seals and opens")),
        [seals, opens @ ..] => Some(format!("{seals} seals and opens, {} opens", opens.join(" "))),
    };
    let (ring, flows) = (said(&local.keys)?, local.sharing.as_ref().and_then(|s| said(&s.keys)));
    let others = flows.filter(|flows| *flows != ring).map(|keys| format!("; dsc-fwd: {keys}"));
    Some(("keys", ring + &others.unwrap_or_default()))
}

fn sharing_facts(sharing: &Sharing) -> [(&'static str, String); 2] {
    let knows = if sharing.ready { "knows all flows" } else { "does not know all flows yet" };
    let Sharing { told, backlog, gaps, .. } = sharing;
    let line = format!("{knows}, told {told}, can repeat {backlog}, found {gaps} gaps");
    let lag = sharing.lag.map(|lag| {
        let SharingLag { flows, p50_us, p99_us, max_us } = lag;
        format!("half within {p50_us} us, 99 % within {p99_us} us, all {flows} within {max_us} us")
    });
    let lag = lag.unwrap_or_else(|| "no new flow of another node lately".into());
    [("sharing", line), ("lag", lag)]
}

fn show_sharing_peers(out: &mut dyn Write, sharing: &Sharing) -> io::Result<()> {
    if sharing.peers.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = table(&["FLOWS OF", "KNOWS ALL", "TOLD", "MISSING"], &[2, 3]);
    for peer in &sharing.peers {
        table.add_row([
            peer.node.clone(),
            if peer.ready { "yes" } else { "no" }.to_owned(),
            peer.told.to_string(),
            peer.missing.to_string(),
        ]);
    }
    print_table(out, &table)
}

/// `12.3 %`.
pub(crate) fn percent(permille: u16) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// Each subnet's, `ext 1.5 MB/s, int 0 B/s`.
pub(crate) fn traffic(node: &NodeRow) -> String {
    let rates = node.bytes_per_s.iter();
    let rates: Vec<String> =
        rates.map(|(subnet, bytes)| format!("{subnet} {}", bytes_per_s(*bytes))).collect();
    words(&rates)
}

fn show_vips(out: &mut dyn Write, vips: &[VipRow]) -> io::Result<()> {
    let header = ["VIP", "SUBNET", "HOST", "STATE", "TRAFFIC", "PREFERRED", "PERSISTENCE", "MOVES"];
    let mut table = table(&header, &[4, 7]);
    for vip in vips {
        table.add_row([
            vip.address.clone(),
            vip.subnet.clone(),
            dash(&vip.host),
            serving(vip),
            bytes_per_s(vip.bytes_per_s),
            dash(&vip.preferred),
            persistence(vip.persistence).to_string(),
            vip.moves.to_string(),
        ]);
    }
    print_table(out, &table)
}

fn show_vip(out: &mut dyn Write, vip: &VipRow) -> io::Result<()> {
    show_facts(
        out,
        &[
            ("VIP", vip.address.clone()),
            ("subnet", vip.subnet.clone()),
            ("host", dash(&vip.host)),
            ("state", serving(vip)),
            ("traffic", bytes_per_s(vip.bytes_per_s)),
            ("preferred", dash(&vip.preferred)),
            ("persistence", persistence(vip.persistence).to_string()),
            ("moves", vip.moves.to_string()),
            ("past hosts", words(&vip.past)),
        ],
    )
}

/// Whether it is answered for, in a few words.
pub(crate) fn serving(vip: &VipRow) -> String {
    let name = |node: &Option<String>| node.clone().unwrap_or_else(|| "?".into());
    match vip.state {
        Serving::Served => "served".to_string(),
        Serving::HandingOver => format!("handing over to {}", name(&vip.next)),
        Serving::Fenced => format!("fenced {} ms, heir {}", vip.fence_ms, name(&vip.heir)),
        Serving::Unserved => "UNSERVED".to_string(),
    }
}

/// The number and what it means.
pub(crate) fn persistence(persistence: Persistence) -> &'static str {
    match persistence {
        Persistence::Free => "0 free",
        Persistence::Current => "1 current host",
        Persistence::Preferred => "3 preferred host",
    }
}

fn dash(name: &Option<String>) -> String {
    name.clone().unwrap_or_else(|| "-".into())
}

fn show_events(out: &mut dyn Write, events: &[EventRow]) -> io::Result<()> {
    for event in events {
        // Lines that follow later must align too, so no table measures them.
        let wall = event.wall.replace('T', " ");
        writeln!(out, "{:>6}  {wall}  {:<8}  {}", event.number, event.node, event.text)?;
    }
    Ok(())
}

fn show_counters(out: &mut dyn Write, counters: &[CounterRow]) -> io::Result<()> {
    let mut table = table(&["OF", "COUNTER", "COUNT"], &[2]);
    for counter in counters {
        table.add_row([counter.of.to_string(), counter.name.clone(), counter.count.to_string()]);
    }
    print_table(out, &table)
}

fn show_warnings(out: &mut dyn Write, warnings: &[Warning]) -> io::Result<()> {
    if !warnings.is_empty() {
        writeln!(out)?;
    }
    warnings.iter().try_for_each(|warning| writeln!(out, "warning: {}", warning.text))
}

fn show_facts(out: &mut dyn Write, facts: &[(&str, String)]) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().try_for_each(|(name, fact)| {
        let line = format!("{name:<width$}  {fact}");
        writeln!(out, "{}", line.trim_end())
    })
}

fn lease(valid: bool, left_ms: u64, lease_ms: u64) -> String {
    match valid {
        true => format!("valid, {left_ms} of {lease_ms} ms left"),
        false => "over".to_string(),
    }
}

/// One word.
pub(crate) fn state(state: RingState) -> &'static str {
    match state {
        RingState::Quiet => "quiet",
        RingState::Joining => "joining",
        RingState::Member => "member",
        RingState::Alone => "alone",
        RingState::Starving => "starving",
    }
}

/// One word.
pub(crate) fn duty(duty: Duty) -> &'static str {
    match duty {
        Duty::Open => "open",
        Duty::Draining => "draining",
        Duty::Closed => "closed",
        Duty::Witness => "witness",
    }
}

/// `ext, int`, or a dash for nothing.
pub(crate) fn words(words: &[String]) -> String {
    match words.len() {
        0 => "-".into(),
        _ => words.join(", "),
    }
}

/// Three or four digits and the unit: `1.5 MB/s`.
pub fn bytes_per_s(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB/s", "MB/s", "GB/s", "TB/s"];
    if bytes < 1000 {
        return format!("{bytes} B/s");
    }
    let mut scaled = bytes as f64 / 1000.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while scaled >= 999.95 {
        let Some(next) = units.next() else { break };
        scaled /= 1000.0;
        unit = Some(next);
    }
    format!("{scaled:.1} {}", unit.unwrap_or(&""))
}

/// Columns two blanks apart, without lines; `right` are the columns of numbers.
fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn print_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_or_four_digits() {
        let shown = [0, 999, 1000, 999_949, 999_950, 1_500_000, u64::MAX].map(bytes_per_s);
        let last = "18446744.1 TB/s";
        let expected = ["0 B/s", "999 B/s", "1.0 kB/s", "999.9 kB/s", "1.0 MB/s", "1.5 MB/s", last];
        assert_eq!(shown, expected);
    }
}
