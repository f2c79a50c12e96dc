//! From the tables [[service]] to drafts: keys and the form of each value. Values are not compared with each other here.

use super::{link, probe};
use crate::WEIGHT_MAX;
use crate::checks::OnRed;
use crate::draft::{BackendDraft, ServiceDraft, VipsDraft};
use crate::fields::{Fields, mistyped, string};
use crate::problem::{Problem, Problems};
use crate::read::{ip, legal_name};
use dsc_wire::{BackendState, Protocol, ServiceKind};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

const PROTOCOLS: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
const KINDS: &[(&str, ServiceKind)] =
    &[("nat", ServiceKind::Nat), ("local", ServiceKind::Local), ("link", ServiceKind::Link)];
const STATES: &[(&str, BackendState)] = &[
    ("enabled", BackendState::Enabled),
    ("draining", BackendState::Draining),
    ("disabled", BackendState::Disabled),
];

/// What becomes of the flows of a red backend, as it is written.
pub(crate) const ON_RED: &[(&str, OnRed)] = &[("keep", OnRed::Keep), ("reset", OnRed::Reset)];
/// Longest time in which a backend's share of new flows grows.
const SLOW_START_MAX_S: i64 = 3600;
/// Keys of a service that say something about backends that are checked.
const OF_CHECKS: &[&str] = &["on_red", "slow_start_s"];

/// What is expected of a list of VIPs or of backends.
const VIPS: &str = "an array of VIPs, such as [\"10.1.0.100\"], or the name of a subnet";
const BACKENDS: &str = "tables such as { address = \"10.2.0.201\", port = 8080 }";

/// The services.
pub(crate) fn read(file: &Fields, problems: &mut Problems) -> Vec<ServiceDraft> {
    let tables = file.tables("service", problems);
    tables.into_iter().map(|(at, t)| service(at, t, problems)).collect()
}

fn service(at: Range<usize>, table: &DeTable, problems: &mut Problems) -> ServiceDraft {
    let fields = Fields::open("service", at.clone(), table, problems);
    let name = fields.string("name", problems).filter(|n| legal_name("service", n, problems));
    let vips = vips(&fields, problems);
    let protocol = choice(&fields, "protocol", PROTOCOLS, problems);
    let port = port(&fields, problems);
    let kind = choice(&fields, "kind", KINDS, problems);
    let before = problems.count();
    let tables = fields.tables_such_as("backends", BACKENDS, problems);
    let backends_whole = problems.count() == before;
    let backends = tables.into_iter().map(|(at, t)| backend(at, t, port, problems)).collect();
    let called = name.as_ref().map_or("?", |n| n.get_ref());
    let check = probe::read(&fields, &probe::Of { service: called, protocol, kind }, problems);
    let link = link::read(&fields, called, kind, protocol, problems);
    for key in OF_CHECKS {
        if let Some(value) = fields.get(key).filter(|_| fields.get("check").is_none()) {
            let message = format!("service `{called}` has `{key}`, but no check");
            let problem = Problem::at(value.span(), message, "expected a check, or nothing");
            problems.add(problem.help("without a check no backend is red, and none recovers"));
        }
    }
    if let Some(value) = fields.get("on_red").filter(|_| kind == Some(ServiceKind::Link)) {
        let message = format!("service `{called}` is link, but has `on_red`");
        let problem = Problem::at(value.span(), message, "expected nothing");
        problems.add(problem.help("what can go on at another backend does, and nothing else ends"));
    }
    let slow_start_s = fields.integer("slow_start_s", 0, SLOW_START_MAX_S, problems);
    let on_red = fields.choice("on_red", ON_RED, problems).map(Spanned::into_inner);
    ServiceDraft {
        check,
        link,
        on_red,
        slow_start_s: slow_start_s.map(|s| s as u32),
        name,
        vips,
        protocol,
        port,
        kind,
        backends_at: fields.get("backends").map(|v| v.span()),
        backends,
        backends_whole,
        at,
    }
}

fn vips(fields: &Fields, problems: &mut Problems) -> VipsDraft {
    let Some(value) = fields.get("vips") else { return VipsDraft::List(Vec::new()) };
    if let Some(name) = string(value) {
        return VipsDraft::Pool(name);
    }
    let Some(array) = value.get_ref().as_array() else {
        problems.add(mistyped("vips", value, VIPS));
        return VipsDraft::List(Vec::new());
    };
    if array.is_empty() {
        let message = "the service has no VIPs".to_owned();
        problems.add(Problem::at(value.span(), message, format!("expected {VIPS}")));
    }
    VipsDraft::List(array.iter().filter_map(|v| ip("vips", v, problems)).collect())
}

fn port(fields: &Fields, problems: &mut Problems) -> Option<u16> {
    fields.integer("port", 1, 65_535, problems).map(|p| p as u16)
}

/// One of some words, the first where there is none; `None` if it is another word.
fn choice<T: Copy>(
    fields: &Fields,
    key: &str,
    words: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    if fields.get(key).is_none() {
        return words.first().map(|(_, first)| *first);
    }
    fields.choice(key, words, problems).map(Spanned::into_inner)
}

fn backend(
    at: Range<usize>,
    table: &DeTable,
    of_service: Option<u16>,
    problems: &mut Problems,
) -> BackendDraft {
    let fields = Fields::open("backends", at.clone(), table, problems);
    let own_port = port(&fields, problems);
    let weight = fields.integer("weight", 1, i64::from(WEIGHT_MAX), problems);
    let state = choice(&fields, "state", STATES, problems);
    BackendDraft {
        at,
        address: fields.get("address").and_then(|value| ip("address", value, problems)),
        port: if fields.get("port").is_some() { own_port } else { of_service },
        weight: weight.map_or(1, |w| w as u32),
        state: state.unwrap_or_default(),
    }
}
