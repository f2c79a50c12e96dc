//! Fills the values of `status`, `vip` and `node` from one view. Pure: time is an argument, nobody is asked.

use crate::checks;
use crate::shown::{NodeRow, Serving, Status, VipRow};
use crate::warnings;
use crate::{events, names};
use dsc_wire::local::{Event, EventKind, NodeView, RingState, View, VipView};
use dsc_wire::{SubnetId, Time};
use std::collections::BTreeMap;

/// The cluster as `view` tells it at `now`; `happened` and the wall clock only feed the warnings and the latest move.
pub fn fill(view: &View, happened: &[Event], now: Time, wall_ms: u64) -> Status {
    let vips: Vec<VipRow> = view.vips.iter().map(|v| vip(view, v, now)).collect();
    let speaks = matches!(view.state, RingState::Member | RingState::Alone);
    let mut latest = happened.iter().rev();
    let latest = latest.find(|e| matches!(e.kind, EventKind::Balanced { .. }));
    let answered = |v: &VipRow| matches!(v.state, Serving::Served | Serving::HandingOver);
    Status {
        cluster: view.names.cluster.clone(),
        node: names::node(&view.names, view.me),
        state: view.state,
        incarnation: hex(view.incarnation.0),
        view: view.number,
        members: view.members.iter().map(|m| names::node(&view.names, *m)).collect(),
        epoch: view.key.epoch.counter,
        seq: view.key.seq,
        quorum: view.quorum,
        partition: view.partition,
        lease_valid: lease_valid(view, now),
        lease_left_ms: lease_left_ms(view, now),
        lease_ms: view.lease_ms,
        rotation_us: view.rotation_us,
        config_digest: hex(view.config_digest),
        config_version: view.config_version,
        config_file: view.config_file.clone(),
        nodes: view.nodes.iter().map(|n| node(view, n)).collect(),
        serving: speaks && view.quorum && vips.iter().all(answered),
        balanced: latest.map(|e| events::fill(&view.names, e)),
        warnings: warnings::of_cluster(view, &vips, happened, now, wall_ms),
        vips,
    }
}

/// May the node that speaks answer for its VIPs at `now`?
pub fn lease_valid(view: &View, now: Time) -> bool {
    now < view.lease_end
}

/// What is left of its lease.
pub fn lease_left_ms(view: &View, now: Time) -> u64 {
    now.until(view.lease_end).as_millis() as u64
}

/// Sixteen digits: JSON readers that keep numbers as doubles would lose some of 64 bits.
pub fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// One node of the view.
pub fn node(view: &View, node: &NodeView) -> NodeRow {
    let names = &view.names;
    let subnet = |index: usize| names::subnet(names, SubnetId(index as u8));
    let hosted = view.vips.iter().filter(|v| v.host == Some(node.id));
    let bytes_per_s = node.load.bytes_per_s.iter().enumerate();
    let macs = node.macs.iter().enumerate();
    let lights = checks::of_node(view, node.id).filter(|_| node.member);
    NodeRow {
        name: names::node(names, node.id),
        member: node.member,
        duty: node.duty,
        able: node.able.iter().map(|s| names::subnet(names, s)).collect(),
        unfit: node.unfit.iter().map(|s| names::subnet(names, s)).collect(),
        light: checks::worst(view, node).filter(|_| node.member),
        lights: lights
            .map(|(check, known)| (known.name.clone(), checks::light(view, check, node).light))
            .collect(),
        vips: hosted.map(|v| names::vip(names, v.id)).collect(),
        cpu_permille: node.load.cpu_permille,
        bytes_per_s: bytes_per_s.map(|(index, bytes)| (subnet(index), *bytes)).collect(),
        macs: macs
            .filter_map(|(index, mac)| Some((subnet(index), mac_text(&(*mac)?))))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// `02:00:00:00:00:01`.
pub fn mac_text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// One VIP of the view.
pub fn vip(view: &View, vip: &VipView, now: Time) -> VipRow {
    let name = |id| names::node(&view.names, id);
    VipRow {
        address: names::vip(&view.names, vip.id),
        subnet: names::vip_subnet(&view.names, vip.id),
        host: vip.host.map(name),
        state: serving(view, vip, now),
        heir: vip.heir.map(name),
        next: vip.next.map(name),
        fence_ms: vip.fence_ms,
        preferred: vip.preferred.map(name),
        persistence: vip.persistence,
        moves: vip.moves,
        past: vip.past.iter().map(|n| name(*n)).collect(),
        bytes_per_s: vip.bytes_per_s,
    }
}

/// Is the VIP answered for, as far as the node that speaks can know?
fn serving(view: &View, vip: &VipView, now: Time) -> Serving {
    let Some(host) = vip.host else { return Serving::Unserved };
    if vip.heir.is_some() {
        return Serving::Fenced;
    }
    let subnet = view.names.vip_subnets.get(vip.id.index());
    let can = |node: &&NodeView| {
        node.id == host && node.member && subnet.is_none_or(|s| node.able.contains(*s))
    };
    let silent = host == view.me && !lease_valid(view, now);
    if !view.quorum || silent || !view.nodes.iter().any(|node| can(&node)) {
        Serving::Unserved
    } else if vip.next.is_some() {
        Serving::HandingOver
    } else {
        Serving::Served
    }
}
