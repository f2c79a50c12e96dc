//! Rule 21: what changes in a node and in a token when another configuration comes into force. Numbers stay, so leases,
//! promises, fences and hosts stay; what is new starts as it would have started, what is gone is forgotten.

use crate::Output;
use crate::hosts::Kernel;
use crate::lease::{Promises, us};
use crate::ring::{Ring, State};
use dsc_wire::local::{Duty, HostState};
use dsc_wire::token::{Token, VipRecord};
use dsc_wire::{Cluster, NodeId, Time, VipId, VipPlan};

impl Ring {
    /// Puts the configuration that is prepared into force here. A node that is not in it falls silent and is gone.
    pub(crate) fn switch(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some((new, _)) = self.changes.prepared.take() else { return };
        if !new.is_node(self.me) {
            out.push(Output::Removed { digest: new.digest });
            return self.gone(now, out);
        }
        let old = std::mem::replace(&mut self.cluster, *new);
        let before = std::mem::replace(&mut self.configured, self.cluster.node_set());
        out.push(Output::Configured { version: self.cluster.version, digest: self.cluster.digest });
        let mine = (self.cluster.version, self.cluster.digest);
        self.changes.newer = self.changes.newer.filter(|newer| *newer > mine);
        self.changes.lease_max = self.changes.lease_max.max(self.cluster.timing.lease_max);
        if before.0 & !self.configured.0 != 0 {
            self.changes.gone_until = now + self.fence_max();
        }
        self.resize(out);
        self.upgrade_own(&old);
        self.forget_holes(now, &old, out);
        self.changes.previous = Some(Box::new(old));
        self.shown.stale = true;
    }

    /// Every list by node or VIP gets its new length.
    fn resize(&mut self, out: &mut Vec<Output>) {
        let (nodes, vips) = (self.cluster.nodes.len(), self.cluster.vips.len());
        self.kernel.resize(&self.cluster, out);
        self.promises.resize(nodes, vips);
        self.last_heard.resize(nodes, None);
        self.differs.resize(nodes, None);
        self.rivals.resize(nodes, None);
        self.returns.resize(nodes, Default::default());
        self.log.resize(nodes);
        self.loads.resize(self.cluster.balance, nodes, vips);
    }

    /// The tokens that this node keeps.
    fn upgrade_own(&mut self, old: &Cluster) {
        let mut copy = self.copy.take();
        let mut tacit = self.tacit.take();
        let mut state = std::mem::replace(&mut self.state, State::Wait);
        let in_hand = match &mut state {
            State::Hold { token, .. } | State::Pass { token, .. } => Some(token),
            State::Quiet { .. } | State::Wait | State::Gone => None,
        };
        let kept = [copy.as_mut(), tacit.as_mut().map(|t| &mut t.token), in_hand];
        for token in kept.into_iter().flatten() {
            self.upgrade(old, token);
        }
        (self.copy, self.tacit, self.state) = (copy, tacit, state);
    }

    fn forget_holes(&mut self, now: Time, old: &Cluster, out: &mut Vec<Output>) {
        let configured = self.configured;
        self.joins.retain(|j| configured.contains(j.node));
        let cluster = &self.cluster;
        self.backends.retain(|b| cluster.is_backend(b.backend));
        self.checked.retain(|v| cluster.is_backend(v.backend));
        self.refuse_nonsense(out);
        let witness = |c: &Cluster| c.nodes.get(self.me.index()).is_some_and(|n| n.witness);
        match (witness(old), witness(&self.cluster)) {
            (false, true) => self.duty = Duty::Witness,
            (true, false) => self.duty = Duty::Open,
            (true, true) | (false, false) => {}
        }
        if old.timing.rotation != self.cluster.timing.rotation {
            self.rotation = self.cluster.timing.rotation;
            self.hold = self.cluster.timing.rotation / 2;
            self.next_beacon = self.next_beacon.min(now + self.cluster.timing.beacon);
        }
    }

    /// A token of the configuration `old` becomes one of the configuration in force.
    pub(crate) fn upgrade(&self, old: &Cluster, token: &mut Token) {
        if token.digest != old.digest || token.digest == self.cluster.digest {
            return;
        }
        let new = &self.cluster;
        token.digest = new.digest;
        token.config.version = new.version;
        token.vips.truncate(new.vips.len());
        for (i, plan) in new.vips.iter().enumerate() {
            if i == token.vips.len() {
                token.vips.push(VipRecord::new(new, VipId(i as u16)));
            }
            let v = &mut token.vips[i];
            let was = old.vips.get(i).copied().unwrap_or(VipPlan::HOLE);
            if was != *plan {
                (v.persistence, v.preferred) = (plan.persistence, plan.preferred);
            }
            if was.is_hole() && !plan.is_hole() {
                // Its address may have had another number until just now, and who was lost may still answer for it there.
                (v.fence_us, v.cause) = (us(self.fence_max()).max(v.fence_us), self.configured);
            }
            if plan.is_hole() {
                // Owner and fence stay: whoever has the number next must wait for who may still answer.
                (v.heir, v.next, v.wish, v.kb_per_s) = (None, None, None, 0);
            }
            let there = |n: &NodeId| new.is_node(*n);
            v.owner = v.owner.filter(|owner| owner.index() < new.nodes.len());
            v.heir = v.heir.filter(there);
            v.next = v.next.filter(there);
            v.wish = v.wish.filter(there);
            v.preferred = v.preferred.filter(there);
            v.past.retain(there);
        }
        token.absent.retain(|a| new.is_node(a.node));
        token.links.retain(|l| new.is_node(l.from) && new.is_node(l.to));
        token.reports.retain(|r| r.node.index() < new.nodes.len());
        token.backends.retain(|b| new.is_backend(b.backend));
        for record in &mut token.health {
            record.verdicts.retain(|v| new.is_backend(v.backend));
        }
        token.health.retain(|h| new.is_node(h.node));
        for m in &mut token.members {
            let witness = |c: &Cluster| c.nodes.get(m.node.index()).is_some_and(|n| n.witness);
            match (witness(old), witness(new)) {
                (false, true) => m.duty = Duty::Witness,
                (true, false) => m.duty = Duty::Open,
                (true, true) | (false, false) => {}
            }
        }
    }

    /// A token of the configuration before, or of the one that is prepared here: this node goes along, or takes the token
    /// along.
    pub(crate) fn recognize(&mut self, now: Time, token: &mut Token, out: &mut Vec<Output>) {
        let is = |c: Option<&Cluster>| c.is_some_and(|c| !Ring::is_foreign(c, token));
        if token.digest == self.cluster.digest {
            return;
        }
        let ahead = self.changes.is_ahead(token.config.version, token.digest);
        // A later one may have the contents of the one before.
        let behind = (token.config.version, token.digest) < self.mark();
        if ahead && is(self.changes.prepared.as_ref().map(|(c, _)| &**c)) {
            self.switch(now, out);
        } else if behind && is(self.changes.previous.as_deref()) {
            let Some(old) = self.changes.previous.take() else { return };
            self.upgrade(&old, token);
            self.changes.previous = Some(old);
        }
    }
}

impl Promises {
    /// Keeps what was promised about nodes and VIPs that stay.
    fn resize(&mut self, nodes: usize, vips: usize) {
        let told = |i: usize| {
            let (vip, node) = (i / nodes, i % nodes);
            let known = node < self.nodes && vip * self.nodes + node < self.told.len();
            if known { self.told[vip * self.nodes + node] } else { Time::ZERO }
        };
        self.told = (0..nodes * vips).map(told).collect();
        self.nodes = nodes;
        if let Some(owners) = &mut self.owners {
            owners.resize(vips, None);
        }
    }
}

impl Kernel {
    /// What is no VIP any more falls silent at once, while its number still means it.
    fn resize(&mut self, cluster: &Cluster, out: &mut Vec<Output>) {
        for i in 0..self.shown.len() {
            let vip = VipId(i as u16);
            if cluster.is_vip(vip) {
                continue;
            }
            self.stand[i] = false;
            self.wanted[i] = (HostState::Off, Vec::new());
            let silent = self.shown[i].as_ref() == Some(&self.wanted[i]);
            if self.placed && !silent {
                self.shown[i] = Some(self.wanted[i].clone());
                out.push(Output::Host { vip, state: HostState::Off, past: Vec::new() });
            }
        }
        let vips = cluster.vips.len();
        self.stand.resize(vips, false);
        self.wanted.resize(vips, (HostState::Off, Vec::new()));
        self.shown.resize(vips, None);
    }
}
