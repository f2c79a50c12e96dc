//! What the node's other daemons say, turned into what the ring wants to know: where this node can host, and its load.
//! The loop hands it every message and one turn now and then. Pure: time is an argument.

use crate::critical::{Critical, Plan};
use dsc_wire::health::{Growth, NodeLight, Verdict};
use dsc_wire::local::{Conflict, Facts, Heard, Load, VipLoad};
use dsc_wire::{BackendId, SubnetId, SubnetSet, Time};
use std::time::Duration;

/// A daemon that has not spoken for this long, three of its usual intervals, is silent.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Most conflicts that are kept; one machine seldom claims more than one address.
pub const CONFLICTS_MAX: usize = 64;

/// Configurations that were in force before and are remembered.
const BEFORE_MAX: usize = 8;

/// The facts of one node.
pub struct NodeFacts {
    mine: SubnetSet,
    config_digest: u64,
    /// Digests of configurations that were in force before, the latest last: a data path that was filled for one of them goes
    /// on with what stays, until its daemon has read the next.
    before: Vec<u64>,
    silence_judged: Time,
    /// None until the health daemon has spoken, or is taken to be absent.
    carrier: Option<SubnetSet>,
    /// Where the data path daemon has an interface with programs, as it said last.
    ready: SubnetSet,
    load: Load,
    /// What the data path daemon counted last; none while it is silent or does not count.
    vip_loads: Option<Vec<VipLoad>>,
    health: Vec<Verdict>,
    growing: Vec<Growth>,
    failing: Vec<BackendId>,
    lights: Vec<NodeLight>,
    critical: Critical,
    heard: Heard,
    told: Told,
}

/// What the ring was last told, so that it is told changes only.
#[derive(Default)]
struct Told {
    able: SubnetSet,
    load: Load,
    vip_loads: Option<Vec<VipLoad>>,
    health: Vec<Verdict>,
    growing: Vec<Growth>,
    failing: Vec<BackendId>,
    lights: Vec<NodeLight>,
    unfit: SubnetSet,
}

/// What is new for the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Where this node can host now.
    Able(SubnetSet),
    /// Its load.
    Load(Load),
    /// What it carries for its VIPs.
    VipLoads(Option<Vec<VipLoad>>),
    /// What its checks of backends found, all of it.
    Checked(Vec<Verdict>),
    /// Which of those start slowly.
    Growing(Vec<Growth>),
    /// Backends whose new flows fail here.
    Failing(Vec<BackendId>),
    /// What its own checks say of it, all of it, and where it should host nothing because of critical ones.
    Lights(Vec<NodeLight>, SubnetSet),
    /// A machine outside the cluster claims a VIP, as was not known before.
    Conflict(Conflict),
}

impl NodeFacts {
    /// Of a node on the subnets `mine`, whose ring daemon works with the configuration of this digest.
    pub fn new(mine: SubnetSet, config_digest: u64, critical: Critical, now: Time) -> NodeFacts {
        NodeFacts {
            mine,
            config_digest,
            before: Vec::new(),
            silence_judged: now,
            carrier: None,
            ready: SubnetSet::EMPTY,
            load: Load::default(),
            vip_loads: None,
            health: Vec::new(),
            growing: Vec::new(),
            failing: Vec::new(),
            lights: Vec::new(),
            critical,
            heard: Heard::default(),
            told: Told::default(),
        }
    }

    /// Another configuration is in force.
    pub fn change(
        &mut self,
        now: Time,
        mine: SubnetSet,
        config_digest: u64,
        plans: impl Iterator<Item = Plan>,
        news: &mut Vec<News>,
    ) {
        let before = std::mem::replace(&mut self.config_digest, config_digest);
        if self.before.len() == BEFORE_MAX {
            self.before.remove(0);
        }
        self.before.push(before);
        self.mine = mine;
        self.critical.change(plans);
        self.tell(now, news);
    }

    /// Is it of a configuration whose numbers mean what they mean now?
    fn known(&self, digest: u64) -> bool {
        digest == self.config_digest || self.before.contains(&digest)
    }

    /// Takes one message.
    pub fn hear(&mut self, now: Time, facts: Facts, news: &mut Vec<News>) {
        match facts {
            Facts::Mon { nics, cpu_permille, config_digest, health, growing, lights, .. } => {
                // The numbers of another configuration mean other backends and checks.
                if config_digest.is_none_or(|digest| self.known(digest)) {
                    if let Some(health) = health {
                        (self.health, self.growing) = (health, growing);
                    }
                    self.lights = lights.unwrap_or_else(|| std::mem::take(&mut self.lights));
                    self.critical.hear(now, &self.lights);
                } else {
                    (self.health, self.growing) = (Vec::new(), Vec::new());
                }
                self.heard.mon_config_digest = config_digest;
                self.heard.mon = Some(now);
                let here = |s: SubnetId| self.mine.contains(s);
                let up = nics.iter().filter(|n| n.carrier && here(n.subnet)).map(|n| n.subnet);
                self.carrier = Some(up.collect());
                let mut bytes_per_s = Vec::new();
                for nic in nics.iter().filter(|n| here(n.subnet)) {
                    let at = nic.subnet.index();
                    bytes_per_s.resize(bytes_per_s.len().max(at + 1), 0);
                    bytes_per_s[at] = nic.rx_bytes_per_s.saturating_add(nic.tx_bytes_per_s);
                }
                self.load = Load { cpu_permille: cpu_permille.min(1000), bytes_per_s };
            }
            Facts::Fwd { config_digest, ready, mut conflicts, vip_loads, mut failing, .. } => {
                // The numbers of another configuration mean other VIPs, and other backends.
                let ours = self.known(config_digest);
                self.vip_loads = vip_loads.filter(|_| ours);
                failing.retain(|_| ours);
                self.failing = failing;
                self.ready = ready;
                self.heard.fwd = Some(now);
                self.heard.fwd_config_digest = Some(config_digest);
                conflicts.truncate(CONFLICTS_MAX);
                for conflict in &conflicts {
                    if !self.heard.conflicts.contains(conflict) {
                        news.push(News::Conflict(conflict.clone()));
                    }
                }
                self.heard.conflicts = conflicts;
            }
        }
        self.tell(now, news);
    }

    /// Judges silence; owed about every second.
    pub fn turn(&mut self, now: Time, news: &mut Vec<News>) {
        let silent = |spoke: Option<Time>| now >= spoke.unwrap_or(self.silence_judged) + SILENCE;
        let (mon_silent, fwd_silent) = (silent(self.heard.mon), silent(self.heard.fwd));
        if fwd_silent {
            self.vip_loads = None;
            self.failing = Vec::new();
        }
        if mon_silent {
            self.mon_is_silent();
        }
        self.tell(now, news);
    }

    fn mon_is_silent(&mut self) {
        // The last carrier stands, and one that was never seen is taken for granted: a node is not taken out because its
        // watcher is missing. A dead link is noticed without it, by the peers' silence on it.
        self.carrier.get_or_insert(self.mine);
        self.load = Load::default();
        // Nobody looks at the backends from here any more.
        (self.health, self.growing) = (Vec::new(), Vec::new());
        self.lights = Vec::new();
    }

    /// For the view.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    fn tell(&mut self, now: Time, news: &mut Vec<News>) {
        // A data path that was made ready goes on without its daemon, so its silence takes nothing away.
        let filled = self.heard.fwd_config_digest.is_some_and(|digest| self.known(digest));
        let able = match self.carrier {
            Some(carrier) if filled => carrier.iter().filter(|s| self.ready.contains(*s)).collect(),
            _ => SubnetSet::EMPTY,
        };
        if able != self.told.able {
            self.told.able = able;
            news.push(News::Able(able));
        }
        if self.load != self.told.load {
            self.told.load = self.load.clone();
            news.push(News::Load(self.load.clone()));
        }
        if self.vip_loads != self.told.vip_loads {
            self.told.vip_loads.clone_from(&self.vip_loads);
            news.push(News::VipLoads(self.vip_loads.clone()));
        }
        // Before the verdict: a backend that is green at once, and starts slowly a moment later, would get all its weight.
        if self.growing != self.told.growing {
            self.told.growing = self.growing.clone();
            news.push(News::Growing(self.growing.clone()));
        }
        if self.health != self.told.health {
            self.told.health = self.health.clone();
            news.push(News::Checked(self.health.clone()));
        }
        if self.failing != self.told.failing {
            self.told.failing = self.failing.clone();
            news.push(News::Failing(self.failing.clone()));
        }
        let unfit = self.critical.unfit(now);
        if (&self.lights, unfit) != (&self.told.lights, self.told.unfit) {
            self.told.lights.clone_from(&self.lights);
            self.told.unfit = unfit;
            news.push(News::Lights(self.lights.clone(), unfit));
        }
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
