//! What differs between two configurations, thing by thing, for people and for programs. It decides nothing.

use crate::balance;
use crate::checks::OnRed;
use crate::config::Config;
use crate::flows::{self, word};
use crate::print::{kind, state};
use crate::services::{self, link, probe};
use crate::timing::ms;
use dsc_wire::{Partition, Persistence, Rejoin};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A thing that one configuration has and the other has not, or has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What becomes of it.
    pub how: How,
    /// What kind of thing: `cluster`, `timing`, `subnet`, `node`, `vip`, `service`, `backend`, `source_nat`, `check`,
    /// `flows` or `balance`.
    pub what: &'static str,
    /// Which one: a name, an address; for a backend its service and its address; empty where there is only one.
    pub name: String,
    /// What is said of it. Of a thing that comes, all that is not usual; of one that goes, nothing.
    pub values: Vec<Value>,
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It stays, and something is said otherwise of it.
    Changed,
}

/// A value that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its key in the file, or the subnet of an address.
    pub key: String,
    /// Before; none of a thing that comes.
    pub from: Option<String>,
    /// Then.
    pub to: String,
}

/// One line: `+ vip 10.1.0.104 on ext`, `~ backend web 10.2.0.201:8080 weight 1 -> 2`, `- node n3`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.how {
            How::Added => '+',
            How::Removed => '-',
            How::Changed => '~',
        };
        write!(f, "{sign} {}", self.what)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        for (n, value) in self.values.iter().enumerate() {
            f.write_str(if n == 0 { " " } else { "; " })?;
            match &value.from {
                Some(from) => write!(f, "{} {from} -> {}", value.key, value.to)?,
                None => write!(f, "{} {}", value.key, value.to)?,
            }
        }
        Ok(())
    }
}

/// A thing and what is said of it.
struct Thing {
    what: &'static str,
    name: String,
    facts: Vec<Fact>,
    /// What it consists of, where only the order of that is its own, and how that is written.
    parts: Vec<String>,
    written: String,
}

struct Fact {
    key: String,
    value: String,
    /// Nobody needs to be told when the thing is new.
    usual: bool,
}

impl Thing {
    fn new(what: &'static str, name: impl Into<String>) -> Thing {
        let (facts, parts, written) = (Vec::new(), Vec::new(), String::new());
        Thing { what, name: name.into(), facts, parts, written }
    }

    fn made_of(mut self, parts: impl Iterator<Item = impl ToString>, written: String) -> Thing {
        self.parts = parts.map(|part| part.to_string()).collect();
        self.written = written;
        self
    }

    /// Do the parts that both have stand in another order?
    fn is_reordered(&self, other: &Thing) -> bool {
        let sets = (self.parts.iter().collect(), other.parts.iter().collect());
        let (own, others): (HashSet<_>, HashSet<_>) = sets;
        let shared = self.parts.iter().filter(|part| others.contains(part));
        !shared.eq(other.parts.iter().filter(|part| own.contains(part)))
    }

    fn says(self, key: &str, value: impl ToString) -> Thing {
        self.says_unless(false, key, value)
    }

    fn says_unless(mut self, usual: bool, key: &str, value: impl ToString) -> Thing {
        self.facts.push(Fact { key: key.to_owned(), value: value.to_string(), usual });
        self
    }

    fn fact(&self, key: &str) -> &str {
        self.facts.iter().find(|f| f.key == key).map_or(NONE, |f| &f.value)
    }
}

/// What is said where nothing is.
const NONE: &str = "none";

impl Config {
    /// What is otherwise in `other`: what goes, then what comes and what changes, kind by kind. Empty if both say the same.
    pub fn changes(&self, other: &Config) -> Vec<Change> {
        let (before, after) = (things(self), things(other));
        let mut out = Vec::new();
        for (before, after) in before.iter().zip(&after) {
            compare(before, after, &mut out);
        }
        out
    }
}

/// Things of one kind.
fn compare(before: &[Thing], after: &[Thing], out: &mut Vec<Change>) {
    let by_name = |things: &[Thing]| -> HashMap<String, usize> {
        things.iter().enumerate().map(|(at, t)| (t.name.clone(), at)).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    for thing in before.iter().filter(|t| !new.contains_key(&t.name)) {
        let (what, name) = (thing.what, thing.name.clone());
        out.push(Change { how: How::Removed, what, name, values: Vec::new() });
    }
    for thing in after {
        let (what, name) = (thing.what, thing.name.clone());
        let Some(before) = old.get(&thing.name).map(|at| &before[*at]) else {
            let told = thing.facts.iter().filter(|f| !f.usual);
            let values = told
                .map(|f| Value { key: f.key.clone(), from: None, to: f.value.clone() })
                .collect();
            out.push(Change { how: How::Added, what, name, values });
            continue;
        };
        let gone = before.facts.iter().filter(|f| thing.facts.iter().all(|g| g.key != f.key));
        let keys = thing.facts.iter().chain(gone).map(|f| &f.key);
        let mut values: Vec<Value> = keys
            .map(|key| (key, before.fact(key), thing.fact(key)))
            .filter(|(_, from, to)| from != to)
            .map(|(key, from, to)| Value {
                key: key.clone(),
                from: Some(from.to_owned()),
                to: to.to_owned(),
            })
            .collect();
        if before.is_reordered(thing) {
            let (from, to) = (Some(before.written.clone()), thing.written.clone());
            values.push(Value { key: "order".to_owned(), from, to });
        }
        if !values.is_empty() {
            out.push(Change { how: How::Changed, what, name, values });
        }
    }
}

fn list(texts: impl Iterator<Item = impl ToString>) -> String {
    let texts: Vec<String> = texts.map(|t| t.to_string()).collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join(", ") }
}

/// Everything that a configuration says, kind by kind.
fn things(config: &Config) -> [Vec<Thing>; 11] {
    [
        vec![cluster(config)],
        vec![timing(config)],
        subnets(config),
        nodes(config),
        vips(config),
        services(config),
        backends(config),
        source_nats(config),
        checks(config),
        vec![flows(config)],
        vec![balance(config)],
    ]
}

fn cluster(config: &Config) -> Thing {
    let partition = match config.partition {
        Partition::Serve => "serve",
        Partition::Majority => "majority",
    };
    let rejoin = match config.rejoin {
        Rejoin::Auto => "auto",
        Rejoin::Manual => "manual",
    };
    Thing::new("cluster", "")
        .says("name", &config.name)
        .says("key_file", config.key_file.display())
        .says("port", config.port)
        .says("partition", partition)
        .says("rejoin", rejoin)
}

fn timing(config: &Config) -> Thing {
    let timing = &config.timing;
    let lease = match timing.lease == timing.lease_max {
        true => ms(timing.lease),
        false => format!("{} to {}", ms(timing.lease), ms(timing.lease_max)),
    };
    Thing::new("timing", "")
        .says("rotation_ms", ms(timing.rotation))
        .says("removal_ms", ms(timing.removal))
        .says("starve_ms", ms(timing.starve))
        .says("lease_ms", lease)
        .says("beacon_ms", ms(timing.beacon))
        .says("stall_ms", ms(timing.stall))
}

fn subnets(config: &Config) -> Vec<Thing> {
    let thing = |subnet: &crate::Subnet| {
        Thing::new("subnet", &subnet.name)
            .says("networks", list(subnet.networks.iter()))
            .made_of(subnet.pool.iter().flat_map(|range| range.iter()), list(subnet.pool.iter()))
    };
    config.subnets.values().map(thing).collect()
}

fn nodes(config: &Config) -> Vec<Thing> {
    let thing = |node: &crate::Node| {
        let mut thing = Thing::new("node", &node.name);
        for (id, subnet) in config.subnets.iter() {
            if let Some(address) = node.address_on(id) {
                thing = thing.says(&subnet.name, address);
            }
        }
        thing.says_unless(!node.witness, "witness", node.witness)
    };
    config.nodes.values().map(thing).collect()
}

fn vips(config: &Config) -> Vec<Thing> {
    let thing = |vip: &crate::Vip| {
        let preferred = vip.preferred.map_or(NONE, |node| &config.nodes[node].name);
        let usual = vip.persistence == Persistence::Current;
        Thing::new("vip", vip.address.to_string())
            .says("on", &config.subnets[vip.subnet].name)
            .says_unless(vip.preferred.is_none(), "preferred", preferred)
            .says_unless(usual, "persistence", u8::from(vip.persistence))
    };
    config.vips.values().map(thing).collect()
}

fn services(config: &Config) -> Vec<Thing> {
    let thing = |service: &crate::Service| {
        let vips = service.vips.iter().map(|vip| config.vips[*vip].address);
        let check = service.check.as_ref();
        let said = check.map_or(NONE.to_owned(), |c| probe::toml(c, |text| format!("{text:?}")));
        // Without a check nothing is ever red.
        let on_red = check.map_or(OnRed::Keep, |_| service.on_red);
        let usual = check.is_none() || service.on_red == OnRed::of(service.protocol);
        let backends = || service.backends.iter().map(|id| config.backends[*id].called());
        let thing = Thing::new("service", &service.name)
            .says("vips", list(vips))
            .says("protocol", service.protocol)
            .says("port", service.port)
            .says("kind", kind(service.kind))
            .says_unless(check.is_none(), "check", said)
            .says_unless(usual, "on_red", services::on_red(on_red))
            .says_unless(service.slow_start.is_zero(), "slow_start_s", service.slow_start.as_secs())
            .made_of(backends(), list(backends()));
        let values = service.link.as_ref().map(|l| link::values(l, |text| text.to_owned()));
        let unusual = service.link.as_ref().map(|l| link::unusual(l, |text| text.to_owned()));
        let unusual = unusual.unwrap_or_default();
        values.into_iter().flatten().fold(thing, |thing, value| {
            thing.says_unless(!unusual.contains(&value), value.0, value.1)
        })
    };
    config.services.values().map(thing).collect()
}

fn backends(config: &Config) -> Vec<Thing> {
    let ids = config.services.values().flat_map(|s| &s.backends);
    let thing = |backend: &crate::Backend| {
        Thing::new("backend", config.backend_called(backend))
            .says("weight", backend.weight)
            .says_unless(backend.state == Default::default(), "state", state(backend.state))
    };
    ids.map(|id| thing(&config.backends[*id])).collect()
}

fn source_nats(config: &Config) -> Vec<Thing> {
    let thing = |source: &crate::SourceNat| {
        let vips = source.vips.iter().map(|vip| config.vips[*vip].address);
        let (first, last) = source.ports;
        Thing::new("source_nat", list(source.from.iter().map(|(network, _)| network)))
            .says("vips", list(vips))
            .says("ports", format!("{first}-{last}"))
    };
    config.source_nats.iter().map(thing).collect()
}

fn checks(config: &Config) -> Vec<Thing> {
    let thing = |check: &crate::NodeCheck| {
        let nodes = check.nodes.iter().map(|node| &config.nodes[node].name);
        let critical = check.critical.iter().map(|subnet| &config.subnets[subnet].name);
        let subnet = check.subnet.map_or(NONE, |subnet| &config.subnets[subnet].name);
        let address = check.address.map_or(NONE.to_owned(), |a| a.to_string());
        let thing = Thing::new("check", &check.name)
            .says("nodes", list(nodes))
            .says_unless(check.critical.is_empty(), "critical", list(critical))
            .says_unless(check.critical.is_empty(), "hold_down_s", check.hold_down.as_secs())
            .says_unless(check.subnet.is_none(), "subnet", subnet)
            .says_unless(check.address.is_none(), "address", address);
        let values = probe::values(&check.check, |text| format!("{text:?}"));
        values.iter().fold(thing, |thing, text| match text.split_once(" = ") {
            Some((key, value)) => thing.says(key, value),
            None => thing,
        })
    };
    config.checks.values().map(thing).collect()
}

fn flows(config: &Config) -> Thing {
    let flows = &config.flows;
    let thing = Thing::new("flows", "")
        .says("max", flows.max)
        .says("routing", word(flows.routing))
        .says("hold_ms", ms(flows.hold));
    flows::timeouts(flows.timeouts).iter().fold(thing, |thing, (key, s)| thing.says(key, s))
}

fn balance(config: &Config) -> Thing {
    Thing::new("balance", "")
        .says("mode", balance::word(config.balance.on))
        .says("hysteresis_percent", config.balance.hysteresis_percent)
        .says("cooldown_s", config.balance.vip_cooldown.as_secs())
}
