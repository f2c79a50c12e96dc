//! The metrics of what this node's data path does: VIPs in the kernel, counters, sharing, services, backends, flows. Pure.

use super::DataPath;
use super::text::{Text, seconds};
use crate::names;
use dsc_wire::local::{FwdBackend, FwdSharing, HostState, Names};
use dsc_wire::{BackendState, ServiceKind};
use std::time::Duration;

/// Adds them all; `known` are the ring daemon's names, if it answered.
pub fn fill(text: &mut Text, known: Option<&Names>, path: &DataPath) {
    let known = known.unwrap_or(&path.services.names);
    of_kernel(text, path);
    if let Some(sharing) = &path.counters.sharing {
        of_sharing(text, known, sharing);
    }
    of_services(text, path);
    of_backends(text, path);
    let totals = path.totals;
    text.gauge("dsc_flows", "Flows in this node's table").add(&[], totals.now);
    text.gauge("dsc_flows_max", "Flows that this node's table can hold").add(&[], totals.max);
    let mut count = |name, help, count: u64| text.counter(name, help).add(&[], count);
    count("dsc_flows_made_total", "Flows that this node's kernel entered", totals.made);
    count("dsc_flows_learned_total", "Flows entered because another node told", totals.learned);
    count("dsc_flows_ended_total", "Flows removed from the table", totals.ended);
    count("dsc_flows_refused_total", "Flows not entered, the table being full", totals.refused);
}

fn of_kernel(text: &mut Text, path: &DataPath) {
    let counters = &path.counters;
    let mut links = text.gauge("dsc_kernel_program_info", "1; interface, hook and direction");
    for link in &counters.links {
        links.add(&[("program", link)], 1);
    }
    let mut state =
        text.gauge("dsc_vip_kernel_state", "1 for what this node's kernel does for the VIP");
    for vip in &counters.vips {
        let is = match vip.state {
            HostState::Off => "off",
            HostState::On => "on",
            HostState::Incoming => "incoming",
            HostState::Steer(_) => "steer",
        };
        let address = vip.vip.to_string();
        state.one_of(&[("vip", &address)], "state", &["off", "on", "incoming", "steer"], is);
    }
    let mut packets = text.counter("dsc_vip_packets_total", "Frames of the VIP delivered here");
    for vip in &counters.vips {
        packets.add(&[("vip", &vip.vip.to_string())], vip.packets);
    }
    let mut bytes = text.counter("dsc_vip_bytes_total", "Bytes of the VIP delivered here");
    for vip in &counters.vips {
        bytes.add(&[("vip", &vip.vip.to_string())], vip.bytes);
    }
    let help = "Frames of the VIP steered to another node";
    let mut steered = text.counter("dsc_vip_steered_packets_total", help);
    for vip in &counters.vips {
        steered.add(&[("vip", &vip.vip.to_string())], vip.steered);
    }
    let help = "Frames by verdict since the programs were loaded, and counters of dsc-fwd since it started";
    let mut counted = text.counter("dsc_path_counter_total", help);
    for counter in &counters.verdicts {
        counted.add(&[("counter", &counter.name)], counter.count);
    }
}

fn of_sharing(text: &mut Text, known: &Names, sharing: &FwdSharing) {
    let ready = u64::from(sharing.ready);
    text.gauge("dsc_sharing_ready", "1 if this node knows all flows").add(&[], ready);
    let told = "Flows and changes that this node has told the others";
    text.counter("dsc_sharing_told_total", told).add(&[], sharing.told);
    let backlog = "Flows and changes that this node can still repeat";
    text.gauge("dsc_sharing_backlog", backlog).add(&[], sharing.backlog);
    let gaps = "Gaps found in what the others told";
    text.counter("dsc_sharing_gaps_total", gaps).add(&[], sharing.gaps);
    if let Some(lag) = sharing.lag {
        let help = "Share of the last minutes' flows of other nodes that came no later than this";
        let mut late = text.gauge("dsc_sharing_lag_seconds", help);
        for (share, us) in [("0.5", lag.p50_us), ("0.99", lag.p99_us), ("1", lag.max_us)] {
            late.add(&[("share", share)], seconds(Duration::from_micros(us.into())));
        }
        text.gauge("dsc_sharing_lag_flows", "Flows that the lag is of").add(&[], lag.flows);
    }
    let mut ready =
        text.gauge("dsc_sharing_peer_ready", "1 if the node says that it knows all flows");
    for peer in &sharing.peers {
        ready.add(&[("node", &names::node(known, peer.node))], u64::from(peer.ready));
    }
    let help = "Flows and changes that the node has told";
    let mut told = text.counter("dsc_sharing_peer_told_total", help);
    for peer in &sharing.peers {
        told.add(&[("node", &names::node(known, peer.node))], peer.told);
    }
    let mut missing = text.gauge("dsc_sharing_peer_missing", "Those of them that are not here yet");
    for peer in &sharing.peers {
        missing.add(&[("node", &names::node(known, peer.node))], peer.missing);
    }
}

fn of_services(text: &mut Text, path: &DataPath) {
    let services = || path.services.there();
    let mut labelled = text.gauge("dsc_service_info", "1; protocol, port and kind of the service");
    for service in services() {
        let protocol = service.protocol.to_string();
        let kind = match service.kind {
            ServiceKind::Nat => "nat",
            ServiceKind::Local => "local",
            ServiceKind::Link => "link",
        };
        let labels = [
            ("service", service.name.as_str()),
            ("protocol", &protocol),
            ("port", &service.port.to_string()),
            ("kind", kind),
        ];
        labelled.add(&labels, 1);
    }
    let mut flows = text.gauge("dsc_service_flows", "Flows of the service in this node's table");
    for service in services() {
        flows.add(&[("service", &service.name)], service.flows);
    }
    let help = "Packets that this node forwarded for the service";
    let mut packets = text.counter("dsc_service_packets_total", help);
    for service in services() {
        packets.add(&[("service", &service.name)], service.packets);
    }
    let help = "Bytes that this node forwarded for the service";
    let mut bytes = text.counter("dsc_service_bytes_total", help);
    for service in services() {
        bytes.add(&[("service", &service.name)], service.bytes);
    }
}

fn of_backends(text: &mut Text, path: &DataPath) {
    let backends = || path.services.backends_there();
    let named = |backend: &FwdBackend| {
        (names::service(&path.services.services, backend.service), backend.address.to_string())
    };
    let mut state = text.gauge("dsc_backend_state", "1 for the state of the backend on this node");
    for backend in backends() {
        let (service, address) = named(backend);
        let all = [BackendState::Enabled, BackendState::Draining, BackendState::Disabled];
        let all = all.map(|state| state.to_string());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let labels = [("service", service.as_str()), ("backend", &address)];
        state.one_of(&labels, "state", &all, &backend.state.to_string());
    }
    let mut light = text.gauge("dsc_backend_light", "1 for the light of the backend");
    for backend in backends() {
        let (service, address) = named(backend);
        let labels = [("service", service.as_str()), ("backend", &address)];
        let is = crate::flows::light(backend).to_string();
        light.one_of(&labels, "light", &["green", "yellow", "red"], &is);
    }
    let mut weight = text.gauge("dsc_backend_weight", "The backend's share of new flows");
    for backend in backends() {
        let (service, address) = named(backend);
        weight.add(&[("service", &service), ("backend", &address)], backend.weight);
    }
    let mut flows = text.gauge("dsc_backend_flows", "Flows to the backend in this node's table");
    for backend in backends() {
        let (service, address) = named(backend);
        flows.add(&[("service", &service), ("backend", &address)], backend.flows);
    }
    let help = "Packets to and from the backend that this node forwarded";
    let mut packets = text.counter("dsc_backend_packets_total", help);
    for backend in backends() {
        let (service, address) = named(backend);
        packets.add(&[("service", &service), ("backend", &address)], backend.packets);
    }
    let help = "Bytes to and from the backend that this node forwarded";
    let mut bytes = text.counter("dsc_backend_bytes_total", help);
    for backend in backends() {
        let (service, address) = named(backend);
        bytes.add(&[("service", &service), ("backend", &address)], backend.bytes);
    }
}
