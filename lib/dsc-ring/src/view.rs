//! What readers see: the whole cluster as this member knows it, and when that changed in something they care about.

use crate::lease::span;
use crate::ring::{Ring, State};
use dsc_wire::ids::SUBNETS_MAX;
use dsc_wire::local::{Counter, Duty, Load, NodeView, RingState, View, VipView};
use dsc_wire::{Cluster, NodeId, NodeSet, SubnetId, Time, VipId};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Counts since start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub removals: u64,
    pub insisted: u64,
    pub regenerations: u64,
    pub notices: u64,
    pub takes: u64,
    pub hand_overs: u64,
    pub balanced: u64,
    pub joins: u64,
    pub merges: u64,
    pub lapses: u64,
    pub stalls: u64,
    pub stale: u64,
    pub relayed: u64,
    pub refused_relays: u64,
    pub differs: u64,
    pub strangers: u64,
    pub verdicts_refused: u64,
    pub verdicts_dropped: u64,
    pub failing_dropped: u64,
}

/// What the last published view showed of the things that a change is published for: not key, load or time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shown {
    number: u64,
    state: Option<RingState>,
    lease_ms: u64,
    digest: u64,
    /// The token's turn came round since.
    pub stale: bool,
}

impl Ring {
    /// What readers call it.
    pub(crate) fn ring_state(&self) -> RingState {
        match &self.state {
            State::Quiet { .. } => RingState::Quiet,
            State::Hold { token, .. } | State::Pass { token, .. } if token.members.len() == 1 => {
                RingState::Alone
            }
            State::Hold { .. } | State::Pass { .. } => RingState::Member,
            State::Wait if self.copy.is_none() || self.gave_up() => RingState::Joining,
            State::Wait if self.fresh(self.suspicion.last_run) => RingState::Member,
            State::Wait => RingState::Starving,
            State::Gone => RingState::Joining,
        }
    }

    /// The whole cluster as this member knows it, without names and counters.
    pub fn view(&self, now: Time) -> View {
        let members = self.shown_members();
        View {
            number: self.shown.number.max(1),
            incarnation: self.incarnation,
            me: self.me,
            state: self.ring_state(),
            key: self.acc,
            quorum: !members.is_empty() && self.quorum(members.len()),
            nodes: self.node_views(&members),
            members,
            partition: self.cluster.partition,
            lease_end: self.promises.lease_end,
            lease_ms: self.lease_ms(),
            rotation_us: self.rotation_us(),
            vips: self.vip_views(now),
            config_digest: self.cluster.digest,
            config_version: self.cluster.version,
            config_file: None,
            backends: self.backend_views(),
            health: self.health_views(),
            switches: self.switch_views(),
            names: Default::default(),
            counters: Vec::new(),
            heard: Default::default(),
            paths_down: Vec::new(),
            keys: Vec::new(),
        }
    }

    fn node_views(&self, members: &[NodeId]) -> Vec<NodeView> {
        let token = self.token();
        let contact: [NodeSet; SUBNETS_MAX] = std::array::from_fn(|s| {
            token.map_or(NodeSet::EMPTY, |t| Ring::in_contact(t, SubnetId(s as u8)))
        });
        let members: NodeSet = members.iter().copied().collect();
        let view = |node: NodeId| {
            let record = token.and_then(|t| t.member(node)).filter(|_| members.contains(node));
            let absent = token.and_then(|t| t.absent.iter().find(|a| a.node == node));
            let lights = token.and_then(|t| t.lights.iter().find(|l| l.node == node));
            let lights = lights.filter(|_| members.contains(node));
            let witness = self.cluster.nodes[node.index()].witness;
            let duty = match (record, absent) {
                (Some(record), _) => record.duty,
                (None, Some(absent)) => absent.duty,
                (None, None) if witness => Duty::Witness,
                (None, None) if node == self.me => self.duty,
                (None, None) => Duty::Open,
            };
            let subnets = self.cluster.nodes[node.index()].subnets.iter();
            let able = subnets.filter(|s| record.is_some() && contact[s.index()].contains(node));
            NodeView {
                id: node,
                member: members.contains(node),
                duty,
                able: able.collect(),
                macs: record.map(|r| r.macs.clone()).unwrap_or_default(),
                load: record.map_or_else(Load::default, |r| r.load.clone()),
                lights: lights.map(|l| l.lights.clone()).unwrap_or_default(),
                unfit: lights.map(|l| l.unfit).unwrap_or_default(),
            }
        };
        (0..self.cluster.nodes.len() as u8).map(NodeId).map(view).collect()
    }

    fn vip_views(&self, now: Time) -> Vec<VipView> {
        let Some(token) = self.token() else { return before_assignment(&self.cluster) };
        let elapsed = match self.holding() {
            true => now.since(self.base),
            false => now.since(self.copy_at),
        };
        let view = |(i, v): (usize, &dsc_wire::token::VipRecord)| VipView {
            id: VipId(i as u16),
            host: v.owner.filter(|_| self.cluster.is_vip(VipId(i as u16))),
            heir: v.heir,
            next: v.next,
            fence_ms: span(v.fence_us).saturating_sub(elapsed).as_millis() as u64,
            preferred: v.preferred,
            persistence: v.persistence,
            past: Ring::reachable_past(token, &v.past),
            moves: v.moves,
            bytes_per_s: u64::from(v.kb_per_s) * 1000,
        };
        token.vips.iter().enumerate().map(view).collect()
    }

    /// What the ring has counted since its start.
    pub fn counters(&self) -> Vec<Counter> {
        let c = &self.counts;
        let counters = [
            ("removals", c.removals),
            ("passes_insisted", c.insisted),
            ("regenerations", c.regenerations),
            ("notices", c.notices),
            ("takes", c.takes),
            ("hand_overs", c.hand_overs),
            ("balanced", c.balanced),
            ("joins", c.joins),
            ("merges", c.merges),
            ("lapses", c.lapses),
            ("stalls", c.stalls),
            ("stale_tokens", c.stale),
            ("relayed_tokens", c.relayed),
            ("refused_relays", c.refused_relays),
            ("other_configurations", c.differs),
            ("unknown_nodes", c.strangers),
            ("verdicts_refused", c.verdicts_refused),
            ("verdicts_dropped", c.verdicts_dropped),
            ("failing_dropped", c.failing_dropped),
            ("events_dropped", self.log.dropped),
        ];
        counters.map(|(name, count)| Counter { name: name.to_owned(), count }).to_vec()
    }

    /// Did something change that readers care about? Asked once per step.
    pub(crate) fn changed(&mut self) -> bool {
        let state = Some(self.ring_state());
        if state == self.shown.state && !self.shown.stale {
            return false;
        }
        let (lease_ms, digest) = (self.lease_ms(), self.view_digest());
        let Shown { number, .. } = self.shown;
        let shown = Shown { number, state, lease_ms, digest, stale: false };
        self.shown.stale = false;
        if shown == self.shown {
            return false;
        }
        self.shown = Shown { number: number + 1, ..shown };
        true
    }

    /// A digest of members, VIPs, lights and states of backends as the view shows them; equal digests are taken for equal views. It is made at every
    /// turn, and the hash is paid by the piece, so small fields go in together.
    fn view_digest(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        let outside = self.gave_up() || matches!(self.state, State::Gone);
        (outside, self.duty as u8).hash(&mut hash);
        for b in &self.backends {
            (b.backend, b.state, b.changed_ms, b.by).hash(&mut hash);
        }
        for s in &self.switches {
            (s.check, s.off, s.changed_ms, s.by).hash(&mut hash);
        }
        let Some(token) = self.token() else { return hash.finish() };
        for m in &token.members {
            u32::from_le_bytes([m.node.0, m.duty as u8, m.able.0, m.linked.0]).hash(&mut hash);
            m.macs.hash(&mut hash);
        }
        for a in &token.absent {
            (a.node, a.duty as u8, a.steer_us > 0).hash(&mut hash);
        }
        crate::health::hash_health(token, &mut hash);
        crate::lights::hash_lights(token, &mut hash);
        for v in &token.vips {
            let [owner, heir, next, preferred] =
                [v.owner, v.heir, v.next, v.preferred].map(|n| n.map_or(u8::MAX, |n| n.0));
            let past = v.past.len() as u8;
            let word = [owner, heir, next, preferred, v.persistence.into(), past, 0, 0];
            (u64::from_le_bytes(word), v.moves).hash(&mut hash);
            v.past.iter().for_each(|n| n.0.hash(&mut hash));
        }
        hash.finish()
    }
}

fn before_assignment(cluster: &Cluster) -> Vec<VipView> {
    let view = |(i, plan): (usize, &dsc_wire::VipPlan)| VipView {
        id: VipId(i as u16),
        host: None,
        heir: None,
        next: None,
        fence_ms: 0,
        preferred: plan.preferred,
        persistence: plan.persistence,
        past: Vec::new(),
        moves: 0,
        bytes_per_s: 0,
    };
    cluster.vips.iter().enumerate().map(view).collect()
}
