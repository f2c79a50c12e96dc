//! Who should host what: heirs for orphans, spread fairly and to preferred hosts; targets for the VIPs that this
//! node has to give away or that want to go home. Who is able is judged here; what moves for the load is `load.rs`'s.

use crate::Output;
use crate::ring::Ring;
use dsc_wire::ids::{NODES_MAX, SUBNETS_MAX};
use dsc_wire::local::{Duty, EventKind};
use dsc_wire::token::{MemberRecord, Token, VipRecord};
use dsc_wire::{NodeId, NodeSet, Persistence, SubnetId, Time, VipId};
use std::time::Duration;

/// Hand-overs that one owner has under way at a time; a drain of more goes on in the next turns.
const MOVES_MAX: usize = 64;
/// A VIP returns to its preferred host when that has been able for so long; doubled with each loss.
const RETURN: Duration = Duration::from_secs(2);
/// Most doublings.
const DOUBLINGS_MAX: u32 = 5;
/// A node that was able for so long has its losses forgiven.
const FORGIVE: Duration = Duration::from_secs(600);

/// How steadily a node has been able to host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steady {
    since: [Option<Time>; SUBNETS_MAX],
    losses: [u32; SUBNETS_MAX],
}

/// VIPs per node, on each subnet and over all.
struct Burden {
    on: [[u16; SUBNETS_MAX]; NODES_MAX],
    all: [u16; NODES_MAX],
}

impl Burden {
    fn of(ring: &Ring, token: &Token) -> Burden {
        let mut burden = Burden { on: [[0; SUBNETS_MAX]; NODES_MAX], all: [0; NODES_MAX] };
        for (i, v) in token.vips.iter().enumerate() {
            if ring.cluster.vips[i].is_hole() {
                continue;
            }
            if let Some(node) = v.next.or(v.heir).or(v.owner) {
                burden.add(node, ring.cluster.vips[i].subnet);
            }
        }
        burden
    }

    fn add(&mut self, node: NodeId, subnet: SubnetId) {
        self.on[node.index()][subnet.index()] += 1;
        self.all[node.index()] += 1;
    }
}

/// May the member be given VIPs?
fn willing(member: &MemberRecord) -> bool {
    member.duty == Duty::Open && !member.leaving
}

impl Ring {
    /// Brings this node's own record on the token up to date.
    pub(crate) fn sign_on(&mut self, now: Time, token: &mut Token) {
        let me = self.me;
        let Some(m) = token.member_mut(me) else { return };
        self.duty = m.duty;
        let changed = SubnetId::all().filter(|s| m.able.contains(*s) != self.able.contains(*s));
        let changed: Vec<SubnetId> = changed.collect();
        m.able = self.able;
        m.linked = self.linked;
        m.leaving = self.leaving.is_some();
        m.load = self.load.clone();
        m.macs.clone_from(&self.macs);
        if !changed.is_empty() || m.leaving {
            self.stir(token);
        }
        for subnet in changed {
            let able = self.able.contains(subnet);
            self.report(now, EventKind::AbleChanged { subnet, able });
        }
        self.watch_links(now, token);
        self.watch_returns(now, token);
    }

    /// Members whose carrier and data path on the subnet are in order, and that are not cut off there. A node without a
    /// peer is cut off only if others are not. Two members cannot tell which of them is.
    pub(crate) fn in_contact(token: &Token, subnet: SubnetId) -> NodeSet {
        let (mut able, mut linked) = (NodeSet::EMPTY, NodeSet::EMPTY);
        for m in token.members.iter().filter(|m| m.able.contains(subnet)) {
            able.insert(m.node);
            if m.linked.contains(subnet) {
                linked.insert(m.node);
            }
        }
        if able.len() <= 2 || linked.is_empty() { able } else { linked }
    }

    /// Can the member host on the subnet?
    pub(crate) fn able_on(&self, token: &Token, node: NodeId, subnet: SubnetId) -> bool {
        self.cluster.nodes[node.index()].subnets.contains(subnet)
            && Ring::in_contact(token, subnet).contains(node)
    }

    /// May and can the member take a VIP of the subnet?
    pub(crate) fn eligible(&self, token: &Token, node: NodeId, subnet: SubnetId) -> bool {
        self.all_eligible(token, subnet).contains(node)
    }

    /// All members that may and can take a VIP of the subnet. Critical checks decide among those that can, not whether the
    /// VIPs are served: if they are red on all of them, they count on none (rule 22).
    pub(crate) fn all_eligible(&self, token: &Token, subnet: SubnetId) -> NodeSet {
        let fit = self.all_fit(token, subnet);
        if fit.is_empty() { self.all_able(token, subnet) } else { fit }
    }

    /// Those of them on which no critical check is red.
    pub(crate) fn all_fit(&self, token: &Token, subnet: SubnetId) -> NodeSet {
        Ring::fit(token, self.all_able(token, subnet), subnet)
    }

    fn all_able(&self, token: &Token, subnet: SubnetId) -> NodeSet {
        let willing = token.members.iter().filter(|m| willing(m)).map(|m| m.node);
        let here = willing.filter(|n| self.cluster.nodes[n.index()].subnets.contains(subnet));
        here.collect::<NodeSet>().intersection(Ring::in_contact(token, subnet))
    }

    /// Notes since when this node has had no peer on a subnet where others have.
    fn watch_links(&mut self, now: Time, token: &Token) {
        for subnet in SubnetId::all() {
            let contact = Ring::in_contact(token, subnet);
            let cut = self.able.contains(subnet) && !contact.contains(self.me);
            let since = &mut self.unlinked_since[subnet.index()];
            if cut && since.is_none() {
                self.unlinked_due.get_or_insert(now + self.cluster.timing.rotation);
            }
            *since = if cut { since.or(Some(now)) } else { None };
        }
        if self.unlinked_since.iter().all(Option::is_none) {
            self.unlinked_due = None;
        }
    }

    /// Others had a rotation's time to notice that they have no peer there either.
    pub(crate) fn tick_unlinked(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.unlinked_due.is_some_and(|due| now >= due) {
            self.unlinked_due = None;
            self.turn_now(now, out);
        }
    }

    /// Notes since when each node has been able to take its VIPs back. Two rings that part or merge may hand a member
    /// back and forth for some turns: who was able for less than a lease was not back, and is not lost once more.
    fn watch_returns(&mut self, now: Time, token: &Token) {
        let fleeting = self.cluster.timing.lease_max;
        for subnet in SubnetId::all() {
            let all_eligible = self.all_eligible(token, subnet);
            let i = subnet.index();
            for (node, steady) in self.returns.iter_mut().enumerate() {
                let eligible = all_eligible.contains(NodeId(node as u8));
                match (eligible, steady.since[i]) {
                    (true, None) => steady.since[i] = Some(now),
                    (false, Some(since)) => {
                        let forgiven = now.since(since) >= FORGIVE;
                        let losses = if forgiven { 0 } else { steady.losses[i] };
                        let lost = u32::from(now.since(since) >= fleeting);
                        steady.losses[i] = (losses + lost).min(DOUBLINGS_MAX);
                        steady.since[i] = None;
                    }
                    (true, Some(_)) | (false, None) => {}
                }
            }
        }
    }

    fn steady(&self, now: Time, node: NodeId, subnet: SubnetId) -> bool {
        let (i, steady) = (subnet.index(), &self.returns[node.index()]);
        steady.since[i].is_some_and(|since| now.since(since) >= RETURN * (1 << steady.losses[i]))
    }

    /// The best member for a VIP: wished for, preferred, else the one with the fewest on the subnet, over all, and
    /// the least traffic; ties go round the ring so that equals share.
    fn choose(&self, token: &Token, vip: VipId, burden: &Burden) -> Option<NodeId> {
        let subnet = self.cluster.vips[vip.index()].subnet;
        let v = &token.vips[vip.index()];
        let eligible = self.all_eligible(token, subnet);
        let able = |n: &NodeId| eligible.contains(*n);
        if let Some(named) = v.wish.filter(able).or(v.preferred.filter(able)) {
            return Some(named);
        }
        let n = token.members.len();
        let ring = (0..n).map(|i| &token.members[(i + vip.index()) % n]);
        let best = ring.filter(|m| able(&m.node)).min_by_key(|m| {
            let i = m.node.index();
            let traffic: u64 = m.load.bytes_per_s.iter().fold(0, |sum, b| sum.saturating_add(*b));
            (burden.on[i][subnet.index()], burden.all[i], traffic)
        });
        best.map(|m| m.node)
    }

    /// Has every node that could host on the subnet reported for duty?
    fn complete(&self, token: &Token, subnet: SubnetId) -> bool {
        let nodes = (0..self.cluster.nodes.len() as u8).map(NodeId);
        let mut hosts = nodes.filter(|n| {
            let plan = self.cluster.nodes[n.index()];
            plan.subnets.contains(subnet) && !plan.witness
        });
        hosts.all(|n| self.able_on(token, n, subnet))
    }

    /// Gives every orphan an heir, if somebody is able.
    pub(crate) fn find_heirs(&mut self, token: &mut Token) {
        let members = token.member_set();
        let lost = |v: &VipRecord| v.owner.is_none_or(|o| !members.contains(o));
        let orphan = |v: &VipRecord| lost(v) && v.heir.is_none();
        let vips = || token.vips.iter().zip(&self.cluster.vips);
        if !vips().any(|(v, plan)| orphan(v) && !plan.is_hole()) {
            return;
        }
        let mut burden = Burden::of(self, token);
        let (mut found, mut waits) = (false, false);
        for i in 0..token.vips.len() {
            let (vip, subnet) = (VipId(i as u16), self.cluster.vips[i].subnet);
            if self.cluster.vips[i].is_hole() {
                continue;
            }
            let v = &token.vips[i];
            let early = v.owner.is_none() && token.founding_us > 0;
            if !orphan(v) || (early && !self.complete(token, subnet)) {
                waits |= orphan(v);
                continue;
            }
            let Some(heir) = self.choose(token, vip, &burden) else { continue };
            burden.add(heir, subnet);
            let key = token.key;
            let v = &mut token.vips[i];
            v.heir = Some(heir);
            v.changed = key;
            found = true;
        }
        if found {
            self.stir(token);
        }
        if !waits {
            token.founding_us = 0;
        }
    }

    /// Must this node give up its VIPs of the subnet?
    fn gives_up(&self, now: Time, token: &Token, subnet: SubnetId) -> bool {
        let cut = self.unlinked_since[subnet.index()]
            .is_some_and(|since| now.since(since) >= self.cluster.timing.rotation);
        let willing = self.duty == Duty::Open && self.leaving.is_none();
        let able = token.member(self.me).is_some_and(|m| m.able.contains(subnet));
        let fit = Ring::fit(token, token.member_set(), subnet).contains(self.me);
        !willing || cut || !able || (!fit && !self.all_fit(token, subnet).is_empty())
    }

    /// Where each of this node's VIPs should go; none if it stays.
    pub(crate) fn plan_moves(&mut self, now: Time, token: &Token) -> Vec<Option<NodeId>> {
        let mut plan = vec![None; token.vips.len()];
        if token.members.len() == 1 {
            return plan;
        }
        let balanced = self.balanced(now, token);
        let mine = |v: &VipRecord| v.owner == Some(self.me) && v.heir.is_none();
        let mut burden = None;
        let mut under_way = 0;
        let vips = token.vips.iter().enumerate();
        let vips = vips.filter(|(i, v)| mine(v) && !self.cluster.vips[*i].is_hole());
        for (i, v) in vips {
            let (vip, subnet) = (VipId(i as u16), self.cluster.vips[i].subnet);
            let able = |n: &NodeId| *n != self.me && self.eligible(token, *n, subnet);
            let home = v.preferred.filter(|n| {
                v.persistence == Persistence::Preferred
                    && self.steady(now, *n, subnet)
                    && self.all_fit(token, subnet).contains(*n)
            });
            let named = v.wish.filter(able).or(home.filter(able));
            plan[i] = if named.is_some() {
                named
            } else if self.gives_up(now, token, subnet) {
                let burden = burden.get_or_insert_with(|| Burden::of(self, token));
                let chosen = v.next.filter(able).or_else(|| self.choose(token, vip, burden));
                chosen.filter(able).inspect(|to| burden.add(*to, subnet))
            } else {
                balanced.filter(|m| m.vip == vip).map(|m| m.to)
            };
            if plan[i].is_some() {
                under_way += 1;
            }
            if under_way >= MOVES_MAX {
                break;
            }
        }
        plan
    }
}
