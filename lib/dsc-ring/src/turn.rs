//! One turn of this node: it holds the token and does its part, in a fixed order, then holds or passes it on.
//! Rules 7, 8 (the owner's part), 9 and 10 are here: nobody takes or gives a VIP outside its own turn.

use crate::Output;
use crate::lease::us;
use crate::ring::{Ring, State};
use dsc_wire::ids::PAST_MAX;
use dsc_wire::local::EventKind;
use dsc_wire::token::{Token, VipRecord};
use dsc_wire::{Key, NodeId, NodeSet, Time, VipId};

/// What every VIP's step needs to know about the token.
struct Turn {
    key: Key,
    rec: Key,
    members: NodeSet,
    blocked: bool,
    quorum: bool,
}

impl Ring {
    pub(crate) fn turn(&mut self, now: Time, mut token: Box<Token>, out: &mut Vec<Output>) {
        self.rebase(now, &mut token);
        self.work_config(now, &mut token, out);
        self.admit(now, &mut token);
        self.sign_on(now, &mut token);
        self.watch_loads(now, &mut token);
        self.tend_links(&mut token, out);
        self.tidy_absent(&mut token);
        self.adapt_lease(now, &mut token);
        self.hurry_lease(now, &mut token);
        self.share_backends(&mut token);
        self.share_health(&mut token);
        self.share_lights(&mut token);
        self.work_commands(now, &mut token, out);
        self.settle_owners(&mut token);
        self.find_heirs(&mut token);
        self.heed_rivals(now, &mut token);
        let plan = self.plan_moves(now, &token);
        self.own_vips(now, &mut token, &plan);
        self.settle_duty(now, &mut token);
        self.settle_records(&mut token);
        self.load_reports(&mut token);
        self.place(&token);
        if self.leaves_now(now, &token) {
            return self.depart(now, token, out);
        }
        self.flush(out);
        let hold = self.hold_for(&token);
        if hold.is_zero() {
            self.pass(now, token, out);
        } else {
            // A further turn while holding does not begin the hold again.
            self.state = State::Hold { token, until: now.max(self.acc_at + hold) };
        }
    }

    /// An owner that is back keeps its VIP, and the heir is cancelled (rule 9): it stays named as `next`, since an
    /// older token may still let it take over.
    fn settle_owners(&self, token: &mut Token) {
        let members = token.member_set();
        for i in 0..token.vips.len() {
            let v = &mut token.vips[i];
            let Some(owner) = v.owner.filter(|o| members.contains(*o)) else { continue };
            if let Some(heir) = v.heir.take() {
                if v.next.is_none() && members.contains(heir) {
                    v.next = Some(heir);
                }
                v.changed = token.key;
            } else if v.fence_us == 0 {
                continue;
            }
            if v.cause.without(owner).is_empty() {
                let fence_us = std::mem::take(&mut v.fence_us);
                v.cause = NodeSet::EMPTY;
                if let Some(m) = token.member_mut(owner) {
                    m.left_us = m.left_us.max(fence_us);
                }
            }
        }
    }

    /// What a lost owner had, or nobody, may have been taken by a member of another ring meanwhile, in which this node was not:
    /// nobody takes it before the leases there have ended (rule 6).
    fn heed_rivals(&mut self, now: Time, token: &mut Token) {
        let members = token.member_set();
        for (i, rival) in self.rivals.iter_mut().enumerate() {
            // One that has passed a later token is of this ring again.
            let rec = token.rec(NodeId(i as u8)).epoch;
            *rival = rival.filter(|(until, epoch)| now < *until && rec <= *epoch);
        }
        let until = self.rivals.iter().flatten().map(|(until, _)| *until).max();
        let left_us = until.map_or(0, |until| us(now.until(until)));
        for v in token.vips.iter_mut().filter(|_| left_us > 0) {
            if v.owner.is_none_or(|owner| !members.contains(owner)) {
                v.fence_us = v.fence_us.max(left_us);
            }
        }
    }

    /// Everything that this node decides about its own VIPs and those it is heir of.
    fn own_vips(&mut self, now: Time, token: &mut Token, plan: &[Option<NodeId>]) {
        let turn = Turn {
            key: token.key,
            rec: token.rec(self.me),
            members: token.member_set(),
            blocked: self.blocked(now, token),
            quorum: self.quorum(token.members.len()),
        };
        let mut stirred = false;
        for (i, v) in token.vips.iter_mut().enumerate() {
            let vip = VipId(i as u16);
            if !self.cluster.is_vip(vip) {
                self.kernel.stand[i] = false;
                continue;
            }
            let before = (v.owner, v.heir, v.next, v.fence_us == 0);
            self.waive(&turn, v);
            self.stand(now, &turn, vip, v);
            self.inherit(now, &turn, vip, v);
            self.hand_over(now, &turn, vip, v, plan.get(i).copied().flatten());
            stirred |= before != (v.owner, v.heir, v.next, v.fence_us == 0);
        }
        if stirred {
            self.stir(token);
        }
    }

    /// The owner or heir decides at a renewing token whether the fence of a switch is needed (rule 8): a majority
    /// that stood by the owner proves that no other ring can have had the VIP.
    fn waive(&self, turn: &Turn, v: &mut VipRecord) {
        if !self.renewed || (v.owner != Some(self.me) && v.heir != Some(self.me)) {
            return;
        }
        let configured = self.configured;
        if 2 * v.grant.intersection(configured).len() <= configured.len() && v.waived_us > 0 {
            v.fence_us = v.fence_us.max(v.waived_us);
            v.cause = v.cause.union(v.waived_cause);
            v.changed = turn.key;
        }
        v.waived_us = 0;
        v.waived_cause = NodeSet::EMPTY;
    }

    /// May the owner answer (rule 7)?
    fn stand(&mut self, now: Time, turn: &Turn, vip: VipId, v: &mut VipRecord) {
        if v.owner != Some(self.me) || v.heir.is_some() || v.fence_us > 0 {
            self.kernel.stand[vip.index()] = false;
            return;
        }
        v.cause = NodeSet::EMPTY;
        let stands = self.kernel.stand[vip.index()];
        if stands || (self.renewed && !turn.blocked) {
            if self.renewed {
                v.grant = turn.members;
            }
            self.kernel.stand[vip.index()] = true;
            if !stands {
                self.counts.takes += 1;
                self.note_hand_over(now, vip, v);
            }
        }
    }

    /// A VIP that was another's in the token this node passed last has just been handed over.
    fn note_hand_over(&mut self, now: Time, vip: VipId, v: &VipRecord) {
        let mine =
            |t: &Token| t.vips.get(vip.index()).is_some_and(|old| old.owner == Some(self.me));
        if !self.copy.as_deref().is_some_and(mine) {
            let from = v.past.first().copied();
            self.report(now, EventKind::Took { vip, from, failover: false });
        }
    }

    /// The heir takes over (rule 7): fence over, lease proved, and everybody passed the token with it as heir.
    fn inherit(&mut self, now: Time, turn: &Turn, vip: VipId, v: &mut VipRecord) {
        let ready = v.fence_us == 0 && self.renewed && turn.rec > v.changed;
        if v.heir != Some(self.me) || v.owner == Some(self.me) || !ready {
            return;
        }
        if turn.blocked || !turn.quorum {
            return;
        }
        let from = v.owner;
        give(v, self.me);
        v.heir = None;
        v.cause = NodeSet::EMPTY;
        v.grant = turn.members;
        v.changed = turn.key;
        self.kernel.stand[vip.index()] = true;
        self.counts.takes += 1;
        self.report(now, EventKind::Took { vip, from, failover: from.is_some() });
    }

    /// Hand-over on purpose, in two of the owner's turns (rule 10): first `next` is named, and when everybody has
    /// passed the token that names it, the owner stops and the VIP is the target's, without a fence.
    fn hand_over(
        &mut self,
        now: Time,
        turn: &Turn,
        vip: VipId,
        v: &mut VipRecord,
        to: Option<NodeId>,
    ) {
        if v.owner != Some(self.me) {
            return;
        }
        let stands = self.kernel.stand[vip.index()];
        let seen_by_all = self.renewed && turn.rec > v.changed;
        let Some(to) = to else {
            if v.next.is_some() && seen_by_all {
                v.next = None;
            }
            return;
        };
        if !stands || v.fence_us > 0 || to == self.me || !turn.members.contains(to) {
            return;
        }
        if v.next != Some(to) {
            v.next = Some(to);
            v.changed = turn.key;
        } else if seen_by_all {
            self.kernel.stand[vip.index()] = false;
            give(v, to);
            v.next = None;
            v.wish = v.wish.filter(|wish| *wish != to);
            self.counts.hand_overs += 1;
            self.report_balanced(now, vip, to);
            self.report(now, EventKind::HandedOver { vip, to });
        }
    }

    /// A change that every member has passed on, with nothing pending, needs no key any more.
    fn settle_records(&self, token: &mut Token) {
        let oldest = token.members.iter().map(|m| m.rec).min().unwrap_or(Key::ZERO);
        for v in &mut token.vips {
            let at_rest = v.fence_us == 0 && v.waived_us == 0 && v.heir.is_none();
            if at_rest && v.next.is_none() && v.owner.is_some() && v.changed < oldest {
                v.changed = Key::ZERO;
            }
        }
    }
}

/// Makes `to` the owner and remembers the one before.
fn give(v: &mut VipRecord, to: NodeId) {
    if let Some(old) = v.owner.filter(|old| *old != to) {
        v.past.retain(|n| *n != old);
        v.past.insert(0, old);
    }
    v.past.retain(|n| *n != to);
    v.past.truncate(PAST_MAX);
    v.owner = Some(to);
    v.moves += 1;
}
