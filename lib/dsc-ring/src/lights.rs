//! What the members' own checks say of them, and the switches of these checks (rule 22). Each member writes its own record on
//! the token; who should host nothing is read from the token alone, so that all members come to the same answer.

use crate::Output;
use crate::ring::Ring;
use dsc_wire::health::{CHECKS_MAX, CheckId, Light, NodeLight, Reason};
use dsc_wire::local::{EventKind, SwitchView};
use dsc_wire::token::{CheckSwitch, LightsRecord, Token};
use dsc_wire::{NodeId, NodeSet, SubnetId, SubnetSet, Time};
use std::hash::{Hash, Hasher};

impl Ring {
    /// This node's checks have these lights now, and on these subnets it should host nothing because of critical ones.
    pub(crate) fn on_lights(
        &mut self,
        now: Time,
        found: Vec<NodeLight>,
        unfit: SubnetSet,
        out: &mut Vec<Output>,
    ) {
        let mut lights: Vec<NodeLight> = Vec::with_capacity(found.len().min(CHECKS_MAX));
        for light in found {
            if lights.last().is_none_or(|last| last.check < light.check) {
                lights.push(light);
            } else {
                self.counts.verdicts_refused += 1;
            }
        }
        let before = std::mem::replace(&mut self.lights, lights);
        let known = |check| {
            let at = before.binary_search_by_key(&check, |l: &NodeLight| l.check);
            at.map_or(Light::Yellow, |at| before[at].light)
        };
        // The first green of a check is no news, nor is a yellow that an operator or a start has made.
        let told = |l: &&NodeLight| match (known(l.check), l.light) {
            (was, Light::Red) => was != Light::Red,
            (was, Light::Green) => was == Light::Red,
            (_, Light::Yellow) => false,
        };
        let changed: Vec<NodeLight> = self.lights.iter().filter(told).copied().collect();
        for NodeLight { check, light, reason, .. } in changed {
            self.report(now, EventKind::LightChanged { check, red: light == Light::Red, reason });
        }
        let turned = SubnetId::all().filter(|s| self.unfit.contains(*s) != unfit.contains(*s));
        for subnet in turned.collect::<Vec<_>>() {
            let fit = !unfit.contains(subnet);
            self.report(now, EventKind::FitChanged { subnet, fit });
        }
        let same = self.unfit == unfit && before == self.lights;
        self.unfit = unfit;
        if !same {
            self.turn_now(now, out);
        }
    }

    /// Writes this node's record anew, forgets those of nodes that have gone; token and memory take from each other what is
    /// newer of the switches.
    pub(crate) fn share_lights(&mut self, token: &mut Token) {
        if token.switches != self.switches {
            take_newer(&mut self.switches, &token.switches);
            if take_newer(&mut token.switches, &self.switches) {
                self.stir(token);
            }
        }
        if token.lights.is_empty() && self.lights.is_empty() && self.unfit.is_empty() {
            return;
        }
        let members = token.member_set();
        token.lights.retain(|l| members.contains(l.node));
        let me = self.me;
        let lights: Vec<NodeLight> = self.lights.iter().map(carried).collect();
        let empty = lights.is_empty() && self.unfit.is_empty();
        let place = token.lights.binary_search_by_key(&me, |l| l.node);
        let shown = place.map_or((SubnetSet::EMPTY, &[][..]), |at| {
            (token.lights[at].unfit, &token.lights[at].lights[..])
        });
        if shown == (self.unfit, &lights[..]) {
            return;
        }
        self.stir(token);
        match place {
            Ok(at) if empty => drop(token.lights.remove(at)),
            Ok(at) => (token.lights[at].unfit, token.lights[at].lights) = (self.unfit, lights),
            Err(at) => {
                let record =
                    LightsRecord { node: me, unfit: self.unfit, lights, extra: Vec::new() };
                token.lights.insert(at, record);
            }
        }
    }

    /// Of these nodes those on which no critical check of the subnet is red.
    pub(crate) fn fit(token: &Token, nodes: NodeSet, subnet: SubnetId) -> NodeSet {
        let mut fit = nodes;
        for record in token.lights.iter().filter(|l| l.unfit.contains(subnet)) {
            fit.remove(record.node);
        }
        fit
    }

    /// Is the check made on the node, as far as this node knows?
    pub(crate) fn is_switched(&self, check: CheckId, node: Option<NodeId>, on: bool) -> bool {
        let at = self.switches.binary_search_by_key(&check, |s| s.check);
        let off = at.map_or(NodeSet::EMPTY, |at| self.switches[at].off);
        match node {
            Some(node) => off.contains(node) != on,
            None if on => off.is_empty(),
            None => self.everybody().iter().all(|n| off.contains(n)),
        }
    }

    /// An operator's word, in this node's turn; later than all that this node knows of the check.
    pub(crate) fn set_switch(
        &mut self,
        now: Time,
        token: &mut Token,
        check: CheckId,
        node: Option<NodeId>,
        on: bool,
    ) {
        let known = self.switches.binary_search_by_key(&check, |s| s.check);
        let (mut off, before) = known.map_or((NodeSet::EMPTY, 0), |at| {
            (self.switches[at].off, self.switches[at].changed_ms.saturating_add(1))
        });
        match (node, on) {
            (Some(node), true) => off.remove(node),
            (Some(node), false) => off.insert(node),
            (None, true) => off = NodeSet::EMPTY,
            (None, false) => off = self.everybody(),
        }
        let changed_ms = self.log.wall_ms(now).max(before);
        let switch = CheckSwitch { check, off, changed_ms, by: self.me, extra: Vec::new() };
        take_newer(&mut self.switches, &[switch]);
        self.share_lights(token);
        self.report(now, EventKind::CheckSwitched { check, peer: node, on });
    }

    fn everybody(&self) -> NodeSet {
        (0..self.cluster.nodes.len() as u8).map(NodeId).collect()
    }

    /// As the view shows them.
    pub(crate) fn switch_views(&self) -> Vec<SwitchView> {
        let view = |s: &CheckSwitch| SwitchView {
            check: s.check,
            off: s.off,
            changed_ms: s.changed_ms,
            by: s.by,
        };
        self.switches.iter().map(view).collect()
    }
}

/// A green one takes two bytes on the token.
fn carried(light: &NodeLight) -> NodeLight {
    match light.light {
        Light::Green => NodeLight { reason: Reason::Answered, since_ms: 0, ..*light },
        Light::Yellow | Light::Red => *light,
    }
}

/// Both lists rise by the check's number; true if `into` was changed.
fn take_newer(into: &mut Vec<CheckSwitch>, from: &[CheckSwitch]) -> bool {
    let mut changed = false;
    for switch in from {
        match into.binary_search_by_key(&switch.check, |s| s.check) {
            Ok(at) if switch.is_newer(&into[at]) => into[at] = switch.clone(),
            Ok(_) => continue,
            Err(at) => into.insert(at, switch.clone()),
        }
        changed = true;
    }
    changed
}

/// For the digest of what readers see.
pub(crate) fn hash_lights(token: &Token, hash: &mut impl Hasher) {
    for record in &token.lights {
        (record.node, record.unfit).hash(hash);
        for l in &record.lights {
            (l.check, l.light, l.reason, l.since_ms).hash(hash);
        }
    }
}
