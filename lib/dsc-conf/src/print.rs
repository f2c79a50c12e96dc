//! The configuration as a file again: what is printed can be read.

use crate::balance;
use crate::config::{Backend, Config, Flows};
use crate::flows::{self, word};
use crate::node_checks;
use crate::numbers::KINDS;
use crate::services::{self, link, probe};
use crate::timing::ms;
use dsc_wire::{BackendState, Balance, Partition, Persistence, Rejoin, ServiceKind, Timing};
use std::fmt::Write;

/// A complete `dsc.toml` with every value spelled out.
pub(crate) fn toml(config: &Config) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line("[cluster]".to_owned());
    line(format!("name = {}", quoted(&config.name)));
    line(format!("key_file = {}", quoted(&config.key_file.to_string_lossy())));
    line(format!("port = {}", config.port));
    line(format!(
        "partition = \"{}\"",
        match config.partition {
            Partition::Serve => "serve",
            Partition::Majority => "majority",
        }
    ));
    if config.rejoin == Rejoin::Manual {
        line("rejoin = \"manual\"".to_owned());
    }
    line(format!("timing = {}", timing(&config.timing)));
    if config.version != 0 {
        line(format!("version = {}", config.version));
    }
    for subnet in config.subnets.values() {
        line(format!("\n[[subnet]]\nname = {}", quoted(&subnet.name)));
        line(format!("networks = {}", list(subnet.networks.iter().map(|n| n.to_string()))));
        if !subnet.pool.is_empty() {
            line(format!("pool = {}", list(subnet.pool.iter().map(|r| r.to_string()))));
        }
    }
    for node in config.nodes.values() {
        line(format!("\n[[node]]\nname = {}", quoted(&node.name)));
        let on = config.subnets.iter().filter_map(|(id, s)| Some((s, node.address_on(id)?)));
        let addresses: Vec<String> =
            on.map(|(s, a)| format!("{} = \"{a}\"", quoted(&s.name))).collect();
        line(format!("addresses = {{ {} }}", addresses.join(", ")));
        if node.witness {
            line("witness = true".to_owned());
        }
    }
    for vip in config.vips.values() {
        if vip.preferred.is_none() && vip.persistence == Persistence::Current {
            continue;
        }
        line(format!("\n[[vip]]\naddress = \"{}\"", vip.address));
        if let Some(node) = vip.preferred {
            line(format!("preferred = {}", quoted(&config.nodes[node].name)));
        }
        line(format!("persistence = {}", u8::from(vip.persistence)));
    }
    for service in config.services.values() {
        line(format!("\n[[service]]\nname = {}", quoted(&service.name)));
        let addresses = service.vips.iter().map(|v| config.vips[*v].address.to_string());
        line(format!("vips = {}", list(addresses)));
        line(format!("protocol = \"{}\"", service.protocol));
        line(format!("port = {}", service.port));
        line(format!("kind = \"{}\"", kind(service.kind)));
        if !service.backends.is_empty() {
            line("backends = [".to_owned());
            service.backends.iter().for_each(|b| line(backend(&config.backends[*b])));
            line("]".to_owned());
        }
        if let Some(check) = &service.check {
            line(format!("check = {}", probe::toml(check, quoted)));
            if service.link.is_none() {
                line(format!("on_red = {}", quoted(services::on_red(service.on_red))));
            }
            line(format!("slow_start_s = {}", service.slow_start.as_secs()));
        }
        if let Some(link) = &service.link {
            line("[service.link]".to_owned());
            link::values(link, quoted)
                .iter()
                .for_each(|(key, value)| line(format!("{key} = {value}")));
        }
    }
    for source in &config.source_nats {
        line("\n[[source_nat]]".to_owned());
        line(format!("from = {}", list(source.from.iter().map(|(n, _)| n.to_string()))));
        let addresses = source.vips.iter().map(|v| config.vips[*v].address.to_string());
        line(format!("vips = {}", list(addresses)));
        line(format!("ports = \"{}-{}\"", source.ports.0, source.ports.1));
    }
    if !config.checks.is_empty() {
        line(node_checks::toml(config, quoted).trim_end().to_owned());
    }
    let Flows { max, routing, hold, timeouts } = config.flows;
    line(format!("\n[flows]\nmax = {max}"));
    line(format!("routing = \"{}\"", word(routing)));
    line(format!("hold_ms = {}", ms(hold)));
    flows::timeouts(timeouts).iter().for_each(|(key, s)| line(format!("{key} = {s}")));
    let Balance { on, hysteresis_percent, vip_cooldown, .. } = config.balance;
    line(format!("\n[balance]\nmode = \"{}\"", balance::word(on)));
    line(format!("hysteresis_percent = {hysteresis_percent}"));
    line(format!("cooldown_s = {}", vip_cooldown.as_secs()));
    let (numbers, positions) = (config.numbers(), config.positions());
    let lists = numbers.lists().into_iter().zip(positions.lists()).zip(KINDS);
    let mut lists = lists.filter(|((names, positions), _)| names != positions).peekable();
    if lists.peek().is_some() {
        line("\n[numbers]".to_owned());
    }
    for ((names, _), (key, ..)) in lists {
        line(format!("{key} = {}", list(names.iter().cloned())));
    }
    out
}

pub(crate) fn kind(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Nat => "nat",
        ServiceKind::Local => "local",
        ServiceKind::Link => "link",
    }
}

pub(crate) fn state(state: BackendState) -> &'static str {
    match state {
        BackendState::Enabled => "enabled",
        BackendState::Draining => "draining",
        BackendState::Disabled => "disabled",
    }
}

fn backend(backend: &Backend) -> String {
    format!(
        "  {{ address = \"{}\", port = {}, weight = {}, state = \"{}\" }},",
        backend.address.ip(),
        backend.address.port(),
        backend.weight,
        state(backend.state)
    )
}

/// A lease that adapts cannot be written, so it stands for its profile; a fixed one is written.
fn timing(timing: &Timing) -> String {
    if *timing == Timing::DEFAULT {
        return "\"default\"".to_owned();
    }
    if *timing == Timing::FAST {
        return "\"fast\"".to_owned();
    }
    let is_fast = timing.lease == Timing::FAST.lease && timing.lease_max == Timing::FAST.lease_max;
    let mut values = vec![
        format!("profile = \"{}\"", if is_fast { "fast" } else { "default" }),
        format!("rotation_ms = {}", ms(timing.rotation)),
        format!("removal_ms = {}", ms(timing.removal)),
        format!("starve_ms = {}", ms(timing.starve)),
        format!("beacon_ms = {}", ms(timing.beacon)),
        format!("stall_ms = {}", ms(timing.stall)),
    ];
    if timing.lease == timing.lease_max {
        values.push(format!("lease_ms = {}", ms(timing.lease)));
    }
    format!("{{ {} }}", values.join(", "))
}

pub(crate) fn list(texts: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = texts.map(|t| quoted(&t)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A TOML string or quoted key.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
