//! What an operator should act on, found in a view, in recent events and in what the daemons answered. Called by
//! `status.rs` and `local.rs`. What backends, their health, checks of nodes and this node's data path give cause for is below
//! `warnings/`. Each warning has a stable word, listed in dscctl(8); a test compares them.

mod backends;
mod health;
mod lights;
mod path;

use crate::failure::Failure;
use crate::names::{self, node as node_name, subnet as subnet_name, vip as vip_name};
use crate::shown::{Serving, VipRow, Warning};
use crate::status::{lease_valid, mac_text};
use dsc_wire::local::{Duty, Event, EventKind, FwdCounters, NodeView, RingState, View, VipView};
use dsc_wire::{NodeId, Persistence, SubnetId, Time};
use std::time::Duration;

/// Every word that may stand in a warning.
pub const WORDS: &[&str] = &[
    NOT_IN_RING,
    NO_QUORUM,
    VIP_UNSERVED,
    VIP_FENCED,
    NODE_MISSING,
    NODE_NOT_ABLE,
    PATH_DOWN,
    SERVICE_RED,
    BACKEND_RED,
    BACKEND_DISPUTED,
    lights::RED,
    lights::DISABLED,
    lights::UNFIT,
    lights::ALL_UNFIT,
    CONFLICT,
    CONFIG_DIFFERS,
    LEASE_OVER,
    LEASE_LAPSED,
    FWD_SILENT,
    FWD_UNREACHABLE,
    MON_SILENT,
    NODE_CLOSED,
    NODE_DRAINING,
    VIP_AWAY,
    backends::DISABLED,
    backends::DRAINING,
    backends::UNSERVED,
    path::NO_PROGRAM,
    path::BEHIND,
    path::LATE,
];

const NOT_IN_RING: &str = "not-in-ring";
const NO_QUORUM: &str = "no-quorum";
const VIP_UNSERVED: &str = "vip-unserved";
const VIP_FENCED: &str = "vip-fenced";
const NODE_MISSING: &str = "node-missing";
const NODE_NOT_ABLE: &str = "node-not-able";
const NODE_CLOSED: &str = "node-closed";
const NODE_DRAINING: &str = "node-draining";
const VIP_AWAY: &str = "vip-away";
const PATH_DOWN: &str = "path-down";
const SERVICE_RED: &str = "service-red";
const BACKEND_RED: &str = "backend-red";
const BACKEND_DISPUTED: &str = "backend-disputed";
const CONFLICT: &str = "conflict";
const CONFIG_DIFFERS: &str = "config-differs";
const LEASE_OVER: &str = "lease-over";
const LEASE_LAPSED: &str = "lease-lapsed";
const FWD_SILENT: &str = "fwd-silent";
const FWD_UNREACHABLE: &str = "fwd-unreachable";
const MON_SILENT: &str = "mon-silent";

/// A daemon that speaks every second and has not for this long is silent.
pub const SILENT: Duration = Duration::from_secs(5);
/// Events older than this are history, for `events` to show.
const RECENT_MS: u64 = 10 * 60 * 1000;

/// Warnings about the whole cluster.
pub fn of_cluster(
    view: &View,
    vips: &[VipRow],
    events: &[Event],
    now: Time,
    wall_ms: u64,
) -> Vec<Warning> {
    let mut found = Vec::new();
    of_ring(view, &mut found);
    view.vips.iter().zip(vips).for_each(|(seen, vip)| of_vip(view, seen, vip, &mut found));
    of_preferred(view, &mut found);
    view.nodes.iter().for_each(|node| of_node(view, node, &mut found));
    backends::find(view, wall_ms, &mut found);
    of_paths(view, &mut found);
    health::of_backends(view, wall_ms, &mut found);
    lights::find(view, wall_ms, true, |_| true, &mut found);
    of_events(view, events, wall_ms, &mut found);
    of_daemons(view, now, &mut found);
    found
}

/// Warnings about the node that speaks; `fwd` is what its data path daemon answered, or why it did not.
pub fn of_local(
    view: &View,
    fwd: Result<&FwdCounters, &Failure>,
    events: &[Event],
    now: Time,
    wall_ms: u64,
) -> Vec<Warning> {
    let mut found = Vec::new();
    of_ring(view, &mut found);
    view.nodes.iter().filter(|n| n.id == view.me).for_each(|n| of_node(view, n, &mut found));
    of_paths(view, &mut found);
    lights::find(view, wall_ms, false, |n| n.id == view.me, &mut found);
    let hosts = view.vips.iter().filter(|v| v.host == Some(view.me)).count();
    if hosts > 0 && !lease_valid(view, now) {
        found.push(warning(
            LEASE_OVER,
            node_name(&view.names, view.me),
            format!("the lease is over: this node is silent for its {hosts} VIPs"),
        ));
    }
    let mine: Vec<Event> = events.iter().filter(|e| e.node == view.me).cloned().collect();
    of_events(view, &mine, wall_ms, &mut found);
    match fwd {
        Ok(counted) => path::find(view, counted, &mut found),
        Err(cause) => found.push(warning(FWD_UNREACHABLE, "dsc-fwd".into(), cause.to_string())),
    }
    of_daemons(view, now, &mut found);
    found
}

fn warning(warning: &'static str, about: String, text: String) -> Warning {
    Warning { warning, about, text }
}

fn of_ring(view: &View, found: &mut Vec<Warning>) {
    let me = node_name(&view.names, view.me);
    let why = match view.state {
        RingState::Member | RingState::Alone => None,
        RingState::Quiet => Some("it waits until a lease of its previous life must have ended"),
        RingState::Joining => Some("it is asking to be let in"),
        RingState::Starving => Some("it misses the token"),
    };
    if let Some(why) = why {
        let text = format!("{me} is not in the ring: {why}; what follows may be out of date");
        found.push(warning(NOT_IN_RING, me.clone(), text));
    }
    if !view.quorum {
        let text = format!(
            "no quorum: {} of {} nodes are here, so this side serves no VIP",
            view.members.len(),
            view.nodes.len()
        );
        found.push(warning(NO_QUORUM, me, text));
    }
}

fn of_vip(view: &View, seen: &VipView, vip: &VipRow, found: &mut Vec<Warning>) {
    let address = &vip.address;
    match (vip.state, &vip.host) {
        (Serving::Served | Serving::HandingOver, _) => {}
        (Serving::Fenced, host) => {
            let heir = vip.heir.as_deref().unwrap_or("another node");
            let lost = host.as_deref().unwrap_or("its host");
            let text = format!("{lost} is lost; {heir} answers in {} ms", vip.fence_ms);
            found.push(warning(VIP_FENCED, address.clone(), format!("{address}: {text}")));
        }
        // One line about the quorum says it for all of them.
        (Serving::Unserved, _) if !view.quorum => {}
        (Serving::Unserved, _) => {
            let why = unserved(view, seen);
            let text = format!("{address} is not served: {why}");
            found.push(warning(VIP_UNSERVED, address.clone(), text));
        }
    }
}

/// Why nobody answers for a VIP.
fn unserved(view: &View, vip: &VipView) -> String {
    let subnet = view.names.vip_subnets.get(vip.id.index()).copied();
    let Some(host) = vip.host else {
        let why = |n: &NodeView| {
            Some(format!("{} {}", node_name(&view.names, n.id), cannot(view, n.id, subnet)?))
        };
        let reasons: Vec<String> = view.nodes.iter().filter_map(why).collect();
        return match reasons.len() == view.nodes.len() && !view.members.is_empty() {
            true => format!("no node can host it: {}", names::list(reasons.into_iter())),
            false => "no node hosts it".to_owned(),
        };
    };
    let name = node_name(&view.names, host);
    match cannot(view, host, subnet) {
        // That it is to host no more does not keep it from answering until another does.
        Some(why) if !matches!(why, IS_CLOSED | IS_DRAINED) => format!("its host {name} {why}"),
        _ if host == view.me => format!("the lease of its host {name} is over"),
        _ => format!("its host {name} cannot answer now"),
    }
}

const IS_CLOSED: &str = "is closed";
const IS_DRAINED: &str = "is being drained";
const IS_UNFIT: &str = "should not host on its subnet";

/// Why a node may not have a VIP of that subnet now; none if it may.
fn cannot(view: &View, node: NodeId, subnet: Option<SubnetId>) -> Option<&'static str> {
    let Some(node) = view.nodes.iter().find(|n| n.id == node) else {
        return Some("is not in the configuration");
    };
    match node.duty {
        _ if !node.member => Some("is not in the ring"),
        Duty::Witness => Some("is a witness"),
        Duty::Closed => Some(IS_CLOSED),
        Duty::Draining => Some(IS_DRAINED),
        Duty::Open if subnet.is_some_and(|s| !node.able.contains(s)) => {
            Some("cannot host on its subnet")
        }
        Duty::Open => None,
    }
}

/// VIPs that another node has than the one they are pinned to, because that one cannot: one line for each such node.
fn of_preferred(view: &View, found: &mut Vec<Warning>) {
    for node in &view.nodes {
        let mut reason = None;
        let mut away = Vec::new();
        let pinned =
            |v: &&VipView| v.preferred == Some(node.id) && v.persistence == Persistence::Preferred;
        for vip in view.vips.iter().filter(pinned) {
            // Without a host, or with an heir, it is told already.
            if vip.host.is_none_or(|host| host == node.id) || vip.heir.is_some() {
                continue;
            }
            let subnet = view.names.vip_subnets.get(vip.id.index()).copied();
            let unfit = subnet.is_some_and(|s| node.unfit.contains(s)).then_some(IS_UNFIT);
            if let Some(why) = cannot(view, node.id, subnet).or(unfit) {
                reason = Some(why);
                away.push(vip_name(&view.names, vip.id));
            }
        }
        if let (Some(why), true) = (reason, view.quorum) {
            let name = node_name(&view.names, node.id);
            let away = names::list(away.into_iter());
            let text = format!("away from the preferred host {name}, which {why}: {away}");
            found.push(warning(VIP_AWAY, name, text));
        }
    }
}

fn of_node(view: &View, node: &NodeView, found: &mut Vec<Warning>) {
    let name = node_name(&view.names, node.id);
    if !node.member {
        // A node that is itself outside cannot judge the others.
        if !view.members.is_empty() && node.id != view.me {
            let text = format!("{name} is not in the ring");
            found.push(warning(NODE_MISSING, name, text));
        }
        return;
    }
    match node.duty {
        Duty::Witness => return,
        Duty::Open => {}
        Duty::Closed => {
            let text = format!("{name} is closed: it hosts no VIP until dscctl node open {name}");
            found.push(warning(NODE_CLOSED, name.clone(), text));
        }
        Duty::Draining => {
            let text = format!("{name} is being drained: it gives its VIPs away one by one");
            found.push(warning(NODE_DRAINING, name.clone(), text));
        }
    }
    let on = node.macs.iter().enumerate().filter(|(_, mac)| mac.is_some());
    for subnet in on.map(|(index, _)| dsc_wire::SubnetId(index as u8)) {
        if !node.able.contains(subnet) {
            let text = format!(
                "{name} cannot host on {}: no carrier, no peer reached there, or its dsc-fwd is not ready",
                subnet_name(&view.names, subnet)
            );
            found.push(warning(NODE_NOT_ABLE, name.clone(), text));
        }
    }
    if node.able.is_empty() && node.macs.iter().all(Option::is_none) {
        let text = format!("{name} cannot host on any subnet: is its dsc-fwd running?");
        found.push(warning(NODE_NOT_ABLE, name, text));
    }
}

/// One line per subnet: a switch that fails takes many paths with it.
fn of_paths(view: &View, found: &mut Vec<Warning>) {
    let me = node_name(&view.names, view.me);
    for subnet in dsc_wire::SubnetId::all() {
        let down = view.paths_down.iter().filter(|p| p.subnet == subnet);
        let peers: Vec<_> = down.map(|p| node_name(&view.names, p.peer)).collect();
        if !peers.is_empty() {
            let name = subnet_name(&view.names, subnet);
            let text = format!(
                "{me} has lost {} on {name} and reaches them on another subnet only: check NICs, cables and switch",
                peers.join(", ")
            );
            found.push(warning(PATH_DOWN, name, text));
        }
    }
}

/// Causes that only events tell, each thing once, the latest.
fn of_events(view: &View, events: &[Event], wall_ms: u64, found: &mut Vec<Warning>) {
    let names = &view.names;
    let first = found.len();
    // One from the future was told before a clock was set back: nobody knows when.
    let recent = events.iter().rev().filter(|e| e.wall_ms.abs_diff(wall_ms) <= RECENT_MS);
    for event in recent {
        let at = node_name(names, event.node);
        let ago = ago(wall_ms.saturating_sub(event.wall_ms));
        let new = match event.kind {
            EventKind::Conflict { vip, mac } => {
                let address = vip_name(names, vip);
                let text = format!(
                    "{address}: another machine ({}) answers for it, seen by {at} {ago}: find and stop it",
                    mac_text(&mac)
                );
                warning(CONFLICT, address, text)
            }
            EventKind::ConfigDiffers { peer } => {
                let peer = node_name(names, peer);
                let text = format!(
                    "{peer} runs another configuration than {at} ({ago}): make /etc/dsc/dsc.toml the same"
                );
                warning(CONFIG_DIFFERS, peer, text)
            }
            EventKind::Lapsed { gap_ms } => {
                let text = format!("{at}: its lease lapsed for {gap_ms} ms, {ago}");
                warning(LEASE_LAPSED, at, text)
            }
            _ => continue,
        };
        let same = |w: &Warning| w.warning == new.warning && w.about == new.about;
        if !found[first..].iter().any(same) {
            found.push(new);
        }
    }
    for conflict in &view.heard.conflicts {
        let address = vip_name(names, conflict.vip);
        let same = |w: &Warning| w.warning == CONFLICT && w.about == address;
        if !found.iter().any(same) {
            let text = format!(
                "{address}: another machine ({}) has answered for it in the last 10 minutes",
                mac_text(&conflict.mac)
            );
            found.push(warning(CONFLICT, address, text));
        }
    }
}

fn of_daemons(view: &View, now: Time, found: &mut Vec<Warning>) {
    let heard = &view.heard;
    let at = node_name(&view.names, view.me);
    let daemons = [("dsc-fwd", heard.fwd, FWD_SILENT), ("dsc-mon", heard.mon, MON_SILENT)];
    for (daemon, last, word) in daemons {
        let silent = match last {
            None => "has not spoken since dsc-ringd started".to_string(),
            Some(last) if now.since(last) > SILENT => {
                format!("has been silent for {} s", now.since(last).as_secs())
            }
            Some(_) => continue,
        };
        let text = format!("{daemon} on {at} {silent}: systemctl status {daemon}");
        found.push(warning(word, daemon.into(), text));
    }
    if heard.fwd_config_digest.is_some_and(|digest| digest != view.config_digest) {
        let text = format!(
            "dsc-fwd on {at} works with another configuration than dsc-ringd: restart dsc-fwd"
        );
        found.push(warning(CONFIG_DIFFERS, "dsc-fwd".into(), text));
    }
}

fn ago(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds => format!("{} min ago", seconds / 60),
    }
}
