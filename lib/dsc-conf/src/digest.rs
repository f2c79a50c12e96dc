//! One number for everything that must be the same on every node. Nodes compare it before they form a ring.

use crate::balance;
use crate::checks::OnRed;
use crate::config::{Config, Flows};
use crate::flows::{self, word};
use crate::node_checks;
use crate::numbers::KINDS;
use crate::print::{kind, state};
use crate::services::{self, link, probe};
use crate::timing::ms;
use crate::{FLOWS, HOLD};
use dsc_wire::{Balance, FlowTimeouts, Partition, Rejoin, Routing, Timing};
use std::fmt::Write;

/// The digest: FNV-1a over [`canonical`]. It guards against differing files, not against an attacker, who
/// would need the cluster key first.
pub(crate) fn of(config: &Config) -> u64 {
    canonical(config)
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// Every value but the key file's path and the version, one a line, in an order and form that do not depend on how the file
/// was written. A new value is added at the end, and only when it is not the default, so that nodes of two
/// builds agree during an upgrade.
fn canonical(config: &Config) -> String {
    let mut out = String::from("dsc 1\n");
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line(format!("cluster {} {}", config.name, config.port));
    line(match config.partition {
        Partition::Serve => "partition serve".to_owned(),
        Partition::Majority => "partition majority".to_owned(),
    });
    let Timing { rotation, removal, starve, lease, lease_max, beacon, stall } = config.timing;
    for time in [rotation, removal, starve, lease, lease_max, beacon, stall] {
        line(format!("ns {}", time.as_nanos()));
    }
    for subnet in config.subnets.values() {
        line(format!("subnet {}", subnet.name));
        for network in &subnet.networks {
            line(format!("network {network}"));
        }
    }
    for node in config.nodes.values() {
        line(format!("node {} {}", node.name, node.witness));
        for (id, subnet) in config.subnets.iter() {
            if let Some(address) = node.address_on(id) {
                line(format!("on {} {address}", subnet.name));
            }
        }
    }
    for vip in config.vips.values() {
        let preferred = vip.preferred.map_or(-1, |n| i32::from(n.0));
        let persistence = u8::from(vip.persistence);
        line(format!("vip {} {} {preferred} {persistence}", vip.subnet.0, vip.address));
    }
    for service in config.services.values() {
        let kind = kind(service.kind);
        line(format!("service {} {} {} {kind}", service.name, service.protocol, service.port));
        for vip in &service.vips {
            line(format!("end {}", vip.0));
        }
        for backend in service.backends.iter().map(|b| &config.backends[*b]) {
            line(format!(
                "backend {} {} {}",
                backend.address,
                backend.weight,
                state(backend.state)
            ));
        }
    }
    let Flows { max, routing, hold, timeouts } = config.flows;
    if max != FLOWS {
        line(format!("flows {max}"));
    }
    if routing != Routing::default() {
        line(format!("routing {}", word(routing)));
    }
    if hold != HOLD {
        line(format!("hold {}", ms(hold)));
    }
    let usual = flows::timeouts(FlowTimeouts::DEFAULT);
    for (timeout, usual) in flows::timeouts(timeouts).into_iter().zip(usual) {
        if timeout != usual {
            line(format!("{} {}", timeout.0, timeout.1));
        }
    }
    for source in &config.source_nats {
        line(format!("source_nat {} {}", source.ports.0, source.ports.1));
        for (network, _) in &source.from {
            line(format!("from {network}"));
        }
        for vip in &source.vips {
            line(format!("as {}", vip.0));
        }
    }
    let Balance { on, hysteresis_percent, vip_cooldown, .. } = config.balance;
    if on != Balance::DEFAULT.on {
        line(format!("balance {}", balance::word(on)));
    }
    if hysteresis_percent != Balance::DEFAULT.hysteresis_percent {
        line(format!("hysteresis {hysteresis_percent}"));
    }
    if vip_cooldown != Balance::DEFAULT.vip_cooldown {
        line(format!("cooldown {}", vip_cooldown.as_secs()));
    }
    for service in config.services.values() {
        if let Some(check) = &service.check {
            let check = probe::toml(check, |text| format!("{text:?}"));
            line(format!("check {} {check}", service.name));
            if service.on_red != OnRed::of(service.protocol) {
                line(format!("on_red {}", services::on_red(service.on_red)));
            }
            if !service.slow_start.is_zero() {
                line(format!("slow_start {}", service.slow_start.as_secs()));
            }
        }
    }
    let checks = node_checks::toml(config, |text| format!("{text:?}"));
    if let Some(checks) = checks.trim_start().strip_suffix('\n') {
        line(checks.to_owned());
    }
    if config.rejoin == Rejoin::Manual {
        line("rejoin manual".to_owned());
    }
    for service in config.services.values() {
        if let Some(link) = &service.link {
            line(format!("link {}", service.name));
            let values = link::unusual(link, |text| format!("{text:?}"));
            values.iter().for_each(|(key, value)| line(format!("{key} {value}")));
        }
    }
    let (numbers, positions) = (config.numbers(), config.positions());
    let lists = numbers.lists().into_iter().zip(positions.lists()).zip(KINDS);
    for ((names, _), (key, ..)) in lists.filter(|((names, positions), _)| names != positions) {
        line(format!("numbers {key} {}", names.len()));
        names.iter().for_each(|name| line(format!("is {name}")));
    }
    out
}
