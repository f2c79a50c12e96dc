//! Prints services, backends and flows for people. Decides nothing.

use super::{dash, print_table, show_facts, table};
use crate::shown::{BackendRow, FlowCount, Flows, ServiceRow};
use dsc_wire::{BackendState, FlowKind, FlowState, Light, ServiceKind};
use std::io::{self, Write};

/// Most ranges of VIPs that a line has room for.
const RANGES_MAX: usize = 3;

pub(super) fn show_services(out: &mut dyn Write, services: &[ServiceRow]) -> io::Result<()> {
    let header =
        ["SERVICE", "PROTOCOL", "PORT", "VIPS", "KIND", "BACKENDS", "FLOWS", "PACKETS", "BYTES"];
    let mut table = table(&header, &[2, 6, 7, 8]);
    for service in services {
        let enabled = || format!("{} of {}", service.enabled, service.backends);
        let (kind, backends) = match service.kind {
            ServiceKind::Nat => ("nat", enabled()),
            ServiceKind::Local => ("local", "-".to_owned()),
            ServiceKind::Link => ("link", enabled()),
        };
        table.add_row([
            service.name.clone(),
            service.protocol.to_string(),
            service.port.to_string(),
            vips(service),
            kind.to_owned(),
            backends,
            service.flows.to_string(),
            service.packets.to_string(),
            service.bytes.to_string(),
        ]);
    }
    print_table(out, &table)
}

fn vips(service: &ServiceRow) -> String {
    let shown = service.ranges.iter().take(RANGES_MAX).map(String::as_str).collect::<Vec<_>>();
    match service.ranges.len() - shown.len() {
        0 => shown.join(", "),
        _ => format!("{}, ... ({} VIPs)", shown.join(", "), service.vips.len()),
    }
}

pub(super) fn show_backends(out: &mut dyn Write, backends: &[BackendRow]) -> io::Result<()> {
    let header = [
        "SERVICE", "BACKEND", "WEIGHT", "STATE", "LIGHT", "WHY", "CHECKERS", "FLOWS", "PACKETS",
        "BYTES",
    ];
    let mut table = table(&header, &[2, 7, 8, 9]);
    for backend in backends {
        let state = match backend.state {
            BackendState::Enabled => "enabled",
            BackendState::Draining => "draining",
            BackendState::Disabled => "disabled",
        };
        table.add_row([
            backend.service.clone(),
            backend.backend.clone(),
            backend.weight.to_string(),
            state.to_owned(),
            backend.light.to_string(),
            why(backend),
            dash(&checkers(backend)),
            backend.flows.to_string(),
            backend.packets.to_string(),
            backend.bytes.to_string(),
        ]);
    }
    print_table(out, &table)
}

/// The reason, and for how long if it is red.
fn why(backend: &BackendRow) -> String {
    let place = match (backend.light, backend.balanced) {
        (Light::Red, true) => ", kept in the table",
        _ => "",
    };
    match backend.age_s {
        Some(age_s) if backend.light == Light::Red => {
            format!("{} for {age_s} s{place}", backend.reason)
        }
        _ => backend.reason.clone(),
    }
}

/// Who checks it; what each finds, if they do not agree.
fn checkers(backend: &BackendRow) -> Option<String> {
    let agree = backend.checkers.values().all(|light| *light == backend.light);
    let one = |(node, light): (&String, &Light)| match agree {
        true => node.clone(),
        false => format!("{node} ({light})"),
    };
    let all: Vec<String> = backend.checkers.iter().map(one).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

pub(super) fn show_flows(out: &mut dyn Write, flows: &Flows) -> io::Result<()> {
    let header = ["PROTOCOL", "CLIENT", "VIP", "BACKEND", "SERVICE", "STATE", "AGE", "OWNER"];
    let mut table = table(&header, &[6]);
    for flow in &flows.rows {
        let state = match flow.state {
            FlowState::Opening => "opening",
            FlowState::Open => "open",
            FlowState::ClientClosed => "client-closed",
            FlowState::ServerClosed => "server-closed",
            FlowState::Closed => "closed",
            FlowState::Gone => "gone",
        };
        table.add_row([
            flow.protocol.to_string(),
            flow.client.clone(),
            flow.vip.clone(),
            flow.backend.clone(),
            // No service is called so.
            match flow.kind {
                FlowKind::Nat => dash(&flow.service),
                FlowKind::SourceNat => "(source nat)".to_owned(),
            },
            state.to_owned(),
            format!("{} s", flow.age_s),
            dash(&flow.owner),
        ]);
    }
    print_table(out, &table)?;
    let (shown, count) = (flows.rows.len(), flows.count);
    let (now, max) = (count.totals.now, count.totals.max);
    writeln!(out, "\n{shown} of {} flows that match; the table has {now} of {max}", count.matched)
}

pub(super) fn show_count(out: &mut dyn Write, count: &FlowCount) -> io::Result<()> {
    let totals = count.totals;
    show_facts(
        out,
        &[
            ("match", count.matched.to_string()),
            ("table", format!("{} of {}", totals.now, totals.max)),
            ("made", totals.made.to_string()),
            ("learned", totals.learned.to_string()),
            ("ended", totals.ended.to_string()),
            ("refused", totals.refused.to_string()),
        ],
    )
}
