//! The metrics of what the ring daemon knows: the ring, nodes, VIPs, warnings and its counters. Pure.

use super::Ring;
use super::text::{Text, seconds};
use crate::checks;
use crate::failure::Failure;
use crate::local;
use crate::show_text;
use crate::shown::{Serving, Status};
use crate::status;
use crate::warnings;
use dsc_wire::local::{FwdCounters, View};
use dsc_wire::{SubnetId, Time};
use std::time::Duration;

/// A daemon that speaks every second and has not for this long is silent, as the warnings have it.
pub fn speaks(last: Time, now: Time) -> bool {
    now.since(last) <= warnings::SILENT
}

/// Adds them all; `fwd` is what the data path daemon answered, for the warnings.
pub fn fill(text: &mut Text, ring: &Ring, fwd: Result<&FwdCounters, &Failure>) {
    let Ring { view, events, now, wall_ms } = ring;
    let status = status::fill(view, events, *now, *wall_ms);
    let local = local::fill(view, fwd, events, *now, *wall_ms);
    of_ring(text, ring, &status);
    of_nodes(text, view, &status);
    of_checks(text, ring, &status);
    of_vips(text, &status);
    let mut paths = text.gauge(
        "dsc_paths_down",
        "Members that this node does not reach on the subnet, but does on another",
    );
    let subnets = view.names.subnets.iter().enumerate().filter(|(_, name)| !name.is_empty());
    for (index, subnet) in subnets {
        let down = view.paths_down.iter().filter(|p| p.subnet == SubnetId(index as u8));
        paths.add(&[("subnet", subnet)], down.count());
    }
    let both = local.warnings.iter().filter(|w| !status.warnings.contains(w));
    let both: Vec<_> = both.chain(&status.warnings).collect();
    let help = "Warnings of dscctl status, of the cluster and of this node, by their word";
    let mut warned = text.gauge("dsc_warnings", help);
    for word in warnings::WORDS {
        let count = both.iter().filter(|w| w.warning == *word).count();
        warned.add(&[("warning", word)], count);
    }
    let mut counted =
        text.counter("dsc_ring_counter_total", "Counters of dsc-ringd since it started");
    for counter in &view.counters {
        counted.add(&[("counter", &counter.name)], counter.count);
    }
}

fn of_ring(text: &mut Text, ring: &Ring, status: &Status) {
    let view = &ring.view;
    let labels = [
        ("cluster", status.cluster.as_str()),
        ("node", &status.node),
        ("config_digest", &status.config_digest),
    ];
    text.gauge("dsc_info", "1; the cluster, this node and its configuration").add(&labels, 1);
    let states = ["quiet", "joining", "member", "alone", "starving"];
    text.gauge("dsc_ring_state", "1 for what dsc-ringd is doing, 0 for the other states").one_of(
        &[],
        "state",
        &states,
        show_text::state(view.state),
    );
    let mut one = |name, help, value: String| text.gauge(name, help).add(&[], value);
    let flag = |is: bool| u64::from(is).to_string();
    let ms = |ms| seconds(Duration::from_millis(ms));
    one("dsc_members", "Members of the ring", status.members.len().to_string());
    one("dsc_ring_epoch", "Re-formations of the ring", status.epoch.to_string());
    one("dsc_ring_sequence", "Passes of the token", status.seq.to_string());
    one("dsc_quorum", "1 if this side may serve", flag(status.quorum));
    one(
        "dsc_serving",
        "1 if every VIP is answered for, as dscctl status ends",
        flag(status.serving),
    );
    one("dsc_lease_valid", "1 if this node may answer for its VIPs", flag(status.lease_valid));
    one("dsc_lease_seconds", "Length of a new lease", ms(status.lease_ms));
    one("dsc_lease_left_seconds", "What is left of the lease", ms(status.lease_left_ms));
    let turn = seconds(Duration::from_micros(status.rotation_us));
    one("dsc_rotation_seconds", "A full turn of the token, smoothed", turn);
    let mut heard = text.gauge("dsc_heard_age_seconds", "Since the daemon last spoke to dsc-ringd");
    for (daemon, last) in [("dsc-fwd", view.heard.fwd), ("dsc-mon", view.heard.mon)] {
        if let Some(last) = last {
            heard.add(&[("daemon", daemon)], seconds(ring.now.since(last)));
        }
    }
}

fn of_nodes(text: &mut Text, view: &View, status: &Status) {
    let mut member = text.gauge("dsc_member", "1 if the node is in the ring");
    for node in &status.nodes {
        member.add(&[("node", &node.name)], u64::from(node.member));
    }
    let mut duty =
        text.gauge("dsc_node_duty", "1 for what the node may do, 0 for the other duties");
    for node in &status.nodes {
        let all = ["open", "draining", "closed", "witness"];
        duty.one_of(&[("node", &node.name)], "duty", &all, show_text::duty(node.duty));
    }
    let mut able = text.gauge("dsc_node_able", "1 if the node can host on the subnet");
    for node in &status.nodes {
        for subnet in view.names.subnets.iter().filter(|name| !name.is_empty()) {
            let labels = [("node", node.name.as_str()), ("subnet", subnet)];
            able.add(&labels, u64::from(node.able.contains(subnet)));
        }
    }
    let mut vips = text.gauge("dsc_node_vips", "VIPs that the node hosts");
    for node in &status.nodes {
        vips.add(&[("node", &node.name)], node.vips.len());
    }
    let mut cpu = text.gauge("dsc_node_cpu_ratio", "Busy share of the node's processors");
    for node in &status.nodes {
        cpu.add(&[("node", &node.name)], f64::from(node.cpu_permille) / 1000.0);
    }
    let help = "Received and sent by the node on the subnet";
    let mut traffic = text.gauge("dsc_node_traffic_bytes_per_second", help);
    for node in &status.nodes {
        for (subnet, bytes) in &node.bytes_per_s {
            traffic.add(&[("node", &node.name), ("subnet", subnet)], bytes);
        }
    }
}

fn of_checks(text: &mut Text, ring: &Ring, status: &Status) {
    let view = &ring.view;
    let rows = checks::rows(view, ring.wall_ms);
    let mut light = text.gauge("dsc_check_light", "1 for the light of the check on the node");
    for row in &rows {
        let labels = [("check", row.check.as_str()), ("node", &row.node)];
        light.one_of(&labels, "light", &["green", "yellow", "red"], &row.light.to_string());
    }
    let help = "1 if the check is made on the node, 0 if operators switched it off";
    let mut enabled = text.gauge("dsc_check_enabled", help);
    for row in &rows {
        enabled.add(&[("check", &row.check), ("node", &row.node)], u64::from(row.enabled));
    }
    let help = "1 if no critical check keeps the node from hosting on the subnet";
    let mut fit = text.gauge("dsc_node_fit", help);
    for node in status.nodes.iter().filter(|n| n.light.is_some()) {
        for subnet in view.names.subnets.iter().filter(|name| !name.is_empty()) {
            let labels = [("node", node.name.as_str()), ("subnet", subnet)];
            fit.add(&labels, u64::from(!node.unfit.contains(subnet)));
        }
    }
}

fn of_vips(text: &mut Text, status: &Status) {
    let mut state = text.gauge("dsc_vip_state", "1 for whether the VIP is answered for");
    for vip in &status.vips {
        let all = ["served", "handing-over", "fenced", "unserved"];
        state.one_of(&[("vip", &vip.address)], "state", &all, serving_word(vip.state));
    }
    let mut host = text.gauge("dsc_vip_host", "1; the node that the VIP is assigned to");
    for vip in &status.vips {
        if let Some(node) = &vip.host {
            host.add(&[("vip", &vip.address), ("node", node)], 1);
        }
    }
    let mut labelled =
        text.gauge("dsc_vip_info", "1; subnet, persistence and preferred host of the VIP");
    for vip in &status.vips {
        let persistence = u8::from(vip.persistence).to_string();
        labelled.add(
            &[
                ("vip", vip.address.as_str()),
                ("subnet", &vip.subnet),
                ("persistence", &persistence),
                ("preferred", vip.preferred.as_deref().unwrap_or_default()),
            ],
            1,
        );
    }
    let mut fence = text.gauge("dsc_vip_fence_seconds", "What is left of the VIP's fence");
    for vip in &status.vips {
        let left = seconds(Duration::from_millis(vip.fence_ms));
        fence.add(&[("vip", &vip.address)], left);
    }
    let mut moves = text.counter("dsc_vip_moves_total", "Assignments of the VIP");
    for vip in &status.vips {
        moves.add(&[("vip", &vip.address)], vip.moves);
    }
}

fn serving_word(state: Serving) -> &'static str {
    match state {
        Serving::Served => "served",
        Serving::HandingOver => "handing-over",
        Serving::Fenced => "fenced",
        Serving::Unserved => "unserved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::local::{Duty, RingState};

    /// What `one_of` has no row for would be no series at all.
    #[test]
    fn the_words_are_those_of_the_json_output() {
        let word = |value: serde_json::Result<String>| value.unwrap().trim_matches('"').to_owned();
        for duty in [Duty::Open, Duty::Draining, Duty::Closed, Duty::Witness] {
            assert_eq!(word(serde_json::to_string(&duty)), show_text::duty(duty));
        }
        use RingState::{Alone, Joining, Member, Quiet, Starving};
        for state in [Quiet, Joining, Member, Alone, Starving] {
            assert_eq!(word(serde_json::to_string(&state)), show_text::state(state));
        }
        use Serving::{Fenced, HandingOver, Served, Unserved};
        for state in [Served, HandingOver, Fenced, Unserved] {
            assert_eq!(word(serde_json::to_string(&state)), serving_word(state));
        }
    }
}
