//! The checks that this node makes of itself and of its surroundings, and their lights. Which are switched off, the ring's view
//! says. Pure: view, ends and time are arguments.

use crate::checks::{Of, Probe};
use crate::probe::{Errors, Target};
use dsc_conf::{Config, NodeCheck};
use dsc_health::{Check, Input, Output, Settings, Start};
use dsc_wire::health::{CheckId, NodeLight};
use dsc_wire::local::View;
use dsc_wire::{Light, NodeId, Reason, Time};
use std::sync::Arc;
use std::time::Duration;

/// One of them.
struct Row {
    id: CheckId,
    plan: NodeCheck,
    target: Target,
    /// None while it is switched off.
    check: Option<Check>,
    /// Which of all checks that began here: the last probe of one that ended is none of the next.
    life: u64,
    since_ms: u64,
}

/// All of them.
pub struct Own {
    me: NodeId,
    digest: u64,
    rows: Vec<Row>,
    /// Checks that have begun.
    lives: u64,
    out: Vec<Output>,
}

impl Own {
    /// Of node `me`; they begin at once.
    pub fn new(config: &Config, me: NodeId, now: Time, wall_ms: u64) -> Own {
        let mut own = Own { me, digest: 0, rows: Vec::new(), lives: 0, out: Vec::new() };
        own.change(config, now, wall_ms);
        own
    }

    /// Goes on with another configuration: a check that is the same in both has the light that it had.
    pub fn change(&mut self, config: &Config, now: Time, wall_ms: u64) {
        let me = self.me;
        let node = &config.nodes[me];
        let own: Arc<[_]> = node.addresses.clone().into();
        let mine = config.checks.iter().filter(|(_, c)| c.nodes.contains(me));
        let row = |(id, plan): (CheckId, &NodeCheck)| Row {
            id,
            plan: plan.clone(),
            target: Target {
                from: plan.subnet.and_then(|s| node.address_on(s)),
                to: plan.address,
                port: 0,
                name: plan.name.clone(),
                own: own.clone(),
                errors: Arc::new(Errors::new()),
            },
            check: None,
            life: 0,
            since_ms: wall_ms,
        };
        let mut before = std::mem::replace(&mut self.rows, mine.map(row).collect());
        let count = self.rows.len().max(1) as u32;
        for (n, row) in (0u32..).zip(&mut self.rows) {
            let same = |old: &Row| (old.id, &old.plan) == (row.id, &row.plan);
            match before.iter().position(same).map(|at| before.swap_remove(at)) {
                Some(old) if old.target.from == row.target.from => *row = old,
                // Spread over the interval, so that they are not made all at once.
                _ => row.begin(&mut self.lives, now, row.plan.check.every / count * n),
            }
        }
        self.digest = config.digest();
    }

    /// Ends those that an operator has switched off, and begins those switched on. A ring daemon of another configuration
    /// changes nothing.
    pub fn follow(&mut self, now: Time, wall_ms: u64, view: &View) {
        if view.config_digest != self.digest {
            return;
        }
        for row in &mut self.rows {
            let switch = view.switches.iter().find(|s| s.check == row.id);
            let off = switch.is_some_and(|s| s.off.contains(self.me));
            if off == row.check.is_none() {
                continue;
            }
            row.since_ms = wall_ms;
            if off {
                row.check = None;
            } else {
                row.begin(&mut self.lives, now, Duration::ZERO);
            }
        }
    }

    /// When [`Own::due`] is owed at the latest.
    pub fn deadline(&self) -> Time {
        let deadlines = self.rows.iter().filter_map(|row| Some(row.check.as_ref()?.deadline()));
        deadlines.min().unwrap_or(Time::NEVER)
    }

    /// The probes that are due.
    pub fn due(&mut self, now: Time, wall_ms: u64) -> Vec<Probe> {
        let mut due = Vec::new();
        for at in 0..self.rows.len() {
            if self.rows[at].check.as_ref().is_some_and(|c| c.deadline() <= now) {
                due.extend(self.step(now, wall_ms, at, Input::Tick));
            }
        }
        due
    }

    /// A probe came to its end.
    pub fn ended(&mut self, now: Time, wall_ms: u64, probe: &Probe, result: Result<(), Reason>) {
        if let Some(at) = self.rows.iter().position(|row| row.life == probe.life) {
            self.step(now, wall_ms, at, Input::Ended { number: probe.number, result });
        }
    }

    fn step(&mut self, now: Time, wall_ms: u64, at: usize, input: Input) -> Option<Probe> {
        let row = &mut self.rows[at];
        let check = row.check.as_mut()?;
        let before = check.light();
        check.step(now, input, &mut self.out);
        if check.light() != before {
            row.since_ms = wall_ms;
        }
        let mut probe = None;
        for output in self.out.drain(..) {
            if let Output::Probe { number } = output {
                let (plan, target) = (row.plan.check.clone(), row.target.clone());
                probe = Some(Probe { of: Of::Node, life: row.life, number, plan, target });
            }
        }
        probe
    }

    /// By rising number of the check.
    pub fn lights(&self) -> Vec<NodeLight> {
        let light = |row: &Row| {
            let (light, reason) = match &row.check {
                None => (Light::Yellow, Reason::Disabled),
                Some(check) if check.light() == Light::Yellow => (Light::Yellow, Reason::Unknown),
                Some(check) => (check.light(), check.reason()),
            };
            NodeLight { check: row.id, light, reason, since_ms: row.since_ms }
        };
        self.rows.iter().map(light).collect()
    }
}

impl Row {
    fn begin(&mut self, lives: &mut u64, now: Time, delay: Duration) {
        let dsc_conf::Check { every, timeout, rise, fall, .. } = self.plan.check;
        let settings = Settings { every, timeout, rise, fall };
        *lives += 1;
        self.life = *lives;
        self.check = Some(Check::new(settings, now, delay, Start::Unknown));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOML: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1" }
[[node]]
name = "n2"
addresses = { ext = "10.1.0.2" }
[[check]]
name = "other"
kind = "tcp"
port = 80
nodes = ["n2"]
[[check]]
name = "router"
kind = "ping"
address = "10.1.0.254"
fall = 1
rise = 1
[[check]]
name = "nic"
kind = "nic"
subnet = "ext"
every_ms = 600
"#;

    fn view(config: &Config, off: u64) -> View {
        serde_json::from_value(json!({
            "number": 1, "incarnation": 7, "me": 0, "state": "member",
            "key": {"epoch": {"counter": 1, "proposer": 0, "incarnation": 7}, "seq": 1},
            "members": [0], "quorum": true, "partition": "serve", "lease_end": 0,
            "lease_ms": 95, "rotation_us": 0, "nodes": [], "vips": [],
            "config_digest": config.digest(),
            "switches": [{"check": 1, "off": off, "changed_ms": 5, "by": 0}],
        }))
        .unwrap()
    }

    fn shown(own: &Own) -> Vec<(u8, Light, Reason, u64)> {
        own.lights().iter().map(|l| (l.check.0, l.light, l.reason, l.since_ms)).collect()
    }

    #[test]
    fn a_light_is_yellow_then_what_was_found_and_yellow_again_when_it_is_switched_off() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let now = Time::from_ms(1_000);
        let mut own = Own::new(&config, NodeId(0), now, 7);
        let new = (2, Light::Yellow, Reason::Unknown, 7);
        assert_eq!(shown(&own), [(1, Light::Yellow, Reason::Unknown, 7), new]);
        let due = own.due(now, 8);
        assert_eq!(due.iter().map(|p| p.target.name.as_str()).collect::<Vec<_>>(), ["router"]);
        own.ended(now, 8, &due[0], Err(Reason::TimedOut));
        assert_eq!(shown(&own)[0], (1, Light::Red, Reason::TimedOut, 8));
        // Off on another node, then here.
        own.follow(now, 9, &view(&config, 2));
        assert_eq!(shown(&own)[0], (1, Light::Red, Reason::TimedOut, 8));
        own.follow(now, 9, &view(&config, 1));
        own.follow(now, 10, &view(&config, 1));
        assert_eq!(shown(&own)[0], (1, Light::Yellow, Reason::Disabled, 9));
        own.ended(now, 10, &due[0], Ok(()));
        let later = own.due(now + Duration::from_secs(9), 10);
        assert_eq!(later.iter().map(|p| p.target.name.as_str()).collect::<Vec<_>>(), ["nic"]);
        assert_eq!(later[0].target.from, Some("10.1.0.1".parse().unwrap()));
        own.follow(now, 11, &view(&config, 0));
        assert_eq!(shown(&own)[0], (1, Light::Yellow, Reason::Unknown, 11));
        // The end of a probe of the check before is none of this one's.
        let again = own.due(now, 12);
        own.ended(now, 12, &due[0], Err(Reason::Refused));
        assert_eq!(shown(&own)[0].1, Light::Yellow);
        own.ended(now, 12, &again[0], Ok(()));
        assert_eq!(shown(&own)[0], (1, Light::Green, Reason::Answered, 12));
        // Another configuration: what is the same in both goes on, what is not begins.
        let other = TOML.replace("every_ms = 600", "every_ms = 700");
        let other = config.successor(Config::parse(&other, "new").unwrap()).unwrap();
        own.change(&other, now, 13);
        let new = (2, Light::Yellow, Reason::Unknown, 13);
        assert_eq!(shown(&own), [(1, Light::Green, Reason::Answered, 12), new]);
    }
}
