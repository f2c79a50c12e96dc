//! The commands that look at the load balancer: `service`, `backend` and `flows`, as dsc-fwd of this node answers. Called
//! by `lib.rs`; dsc-ringd is not asked.

use crate::arguments::FlowsArguments;
use crate::ask::Ask;
use crate::failure::{DONE, Failure};
use crate::names;
use crate::reads::Reader;
use crate::show::Shown;
use crate::shown::{BackendRow, FlowCount, FlowRow, Flows, ServiceRow};
use dsc_wire::health::SHARES;
use dsc_wire::local::{FlowFilter, FwdBackend, FwdFlow, FwdService, FwdServices, Names};
use dsc_wire::{BackendId, BackendState, Light, Reason};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `service`: all of them.
pub fn show_services(world: &dyn Ask, reader: &mut Reader) -> Result<u8, Failure> {
    let answer = world.services(reader.timeout)?;
    let rows = answer.there().map(|service| service_row(&answer, service)).collect();
    reader.print(&Shown::Services(rows))?;
    Ok(DONE)
}

/// `backend`: those of all services.
pub fn show_backends(world: &dyn Ask, reader: &mut Reader) -> Result<u8, Failure> {
    let answer = world.services(reader.timeout)?;
    let wall_ms = world.wall_ms();
    let rows = answer.backends_there().map(|backend| BackendRow {
        service: names::service(&answer.services, backend.service),
        backend: backend.address.to_string(),
        weight: backend.weight,
        state: backend.state,
        light: light(backend),
        reason: reason(backend),
        age_s: backend.red.first().map(|(_, v)| wall_ms.saturating_sub(v.since_ms) / 1000),
        checkers: checkers(&answer.names, backend),
        balanced: backend.balanced,
        flows: backend.flows,
        packets: backend.packets,
        bytes: backend.bytes,
    });
    reader.print(&Shown::Backends(rows.collect()))?;
    Ok(DONE)
}

/// Green if one of its checkers finds it so, red if all that have a verdict find it so.
pub(crate) fn light(backend: &FwdBackend) -> Light {
    match (backend.green.is_empty(), backend.red.is_empty()) {
        (false, _) => Light::Green,
        (true, false) => Light::Red,
        (true, true) => Light::Yellow,
    }
}

fn reason(backend: &FwdBackend) -> String {
    let found = match backend.red.first() {
        Some((_, verdict)) => verdict.reason.to_string(),
        None if !backend.green.is_empty() => Reason::Answered.to_string(),
        None if backend.checked => "not checked yet".to_owned(),
        None => "not monitored".to_owned(),
    };
    match backend.share {
        Some(share) => format!("{found}; {share} of {SHARES} parts of its weight"),
        None => found,
    }
}

fn checkers(names: &Names, backend: &FwdBackend) -> BTreeMap<String, Light> {
    let green = backend.green.iter().map(|node| (*node, Light::Green));
    let red = backend.red.iter().map(|(node, _)| (*node, Light::Red));
    green.chain(red).map(|(node, light)| (names::node(names, node), light)).collect()
}

/// `flows`: those that match, or how many.
pub fn show_flows(
    world: &dyn Ask,
    reader: &mut Reader,
    wanted: &FlowsArguments,
) -> Result<u8, Failure> {
    // Asked first: flows have numbers, and only this answer has the names for them.
    let known = world.services(reader.timeout)?;
    let service = wanted.service.as_deref();
    let service = service.map(|name| names::find_service(&known.services, name)).transpose()?;
    let filter = FlowFilter { service, client: wanted.client, backend: wanted.backend };
    let limit = if wanted.count { 0 } else { wanted.limit };
    let mut answer = world.flows(filter, limit, reader.timeout)?;
    let count = FlowCount { matched: answer.matched, totals: answer.totals };
    if wanted.count {
        reader.print(&Shown::FlowCount(count))?;
        return Ok(DONE);
    }
    answer.flows.sort_unstable_by_key(|f| (f.flow.key.protocol, f.flow.key.vip, f.flow.key.client));
    let rows = answer.flows.iter().map(|flow| flow_row(&known, flow)).collect();
    reader.print(&Shown::Flows(Flows { rows, count }))?;
    Ok(DONE)
}

fn service_row(answer: &FwdServices, service: &FwdService) -> ServiceRow {
    let enabled = |id: &&BackendId| {
        let backend = answer.backends.get(id.index());
        backend.is_some_and(|b| b.state == BackendState::Enabled)
    };
    let addresses = service.vips.iter().filter_map(|id| answer.names.vips.get(id.index()));
    ServiceRow {
        name: service.name.clone(),
        protocol: service.protocol,
        port: service.port,
        kind: service.kind,
        vips: service.vips.iter().map(|id| names::vip(&answer.names, *id)).collect(),
        backends: service.backends.len(),
        enabled: service.backends.iter().filter(enabled).count(),
        flows: service.flows,
        packets: service.packets,
        bytes: service.bytes,
        ranges: ranges(addresses.copied()),
    }
}

fn flow_row(known: &FwdServices, listed: &FwdFlow) -> FlowRow {
    let flow = &listed.flow;
    FlowRow {
        protocol: flow.key.protocol,
        kind: flow.kind,
        client: flow.key.client.to_string(),
        vip: flow.key.vip.to_string(),
        backend: flow.backend.to_string(),
        service: listed.service.map(|id| names::service(&known.services, id)),
        state: flow.state,
        age_s: listed.age_s,
        owner: listed.owner.map(|id| names::node(&known.names, id)),
    }
}

/// The addresses in their order, with each next to the one before it drawn into a range.
fn ranges(addresses: impl Iterator<Item = IpAddr>) -> Vec<String> {
    let mut ranges: Vec<(IpAddr, IpAddr)> = Vec::new();
    for address in addresses {
        match ranges.last_mut() {
            Some((_, last)) if follows(*last, address) => *last = address,
            _ => ranges.push((address, address)),
        }
    }
    let text = |(first, last): &(IpAddr, IpAddr)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(text).collect()
}

/// Is `next` the address after `last`?
fn follows(last: IpAddr, next: IpAddr) -> bool {
    match (last, next) {
        (IpAddr::V4(last), IpAddr::V4(next)) => {
            last.to_bits().checked_add(1) == Some(next.to_bits())
        }
        (IpAddr::V6(last), IpAddr::V6(next)) => {
            last.to_bits().checked_add(1) == Some(next.to_bits())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_drawn_together() {
        let drawn = |list: &[&str]| ranges(list.iter().map(|a| a.parse().unwrap())).join(" ");
        assert_eq!(drawn(&[]), "");
        assert_eq!(drawn(&["10.1.0.100"]), "10.1.0.100");
        assert_eq!(
            drawn(&["10.1.0.255", "10.1.1.0", "10.1.1.1", "10.1.1.3", "10.1.1.2"]),
            "10.1.0.255-10.1.1.1 10.1.1.3 10.1.1.2"
        );
        assert_eq!(
            drawn(&["255.255.255.255", "0.0.0.0", "fd00:1::ffff", "fd00:1::1:0"]),
            "255.255.255.255 0.0.0.0 fd00:1::ffff-fd00:1::1:0"
        );
    }
}
