//! Who is in the ring: joins (rules 2 and 9), removals (rule 6) and what is remembered about nodes outside. Works on
//! the token in hand.

use crate::lease::{longest_lease, us};
use crate::ring::Ring;
use dsc_wire::local::{Duty, EventKind};
use dsc_wire::token::{AbsentRecord, MemberRecord, Token};
use dsc_wire::{Incarnation, NodeId, Rejoin, Time, Timing};

/// Nodes that may wait to be let in; each asks once.
const JOINS_MAX: usize = dsc_wire::ids::NODES_MAX;

/// A node that asked to be let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Join {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub duty: Duty,
}

impl Ring {
    /// Remembers that `node` wants to be let in.
    pub(crate) fn wants_in(&mut self, node: NodeId, incarnation: Incarnation, duty: Duty) {
        self.joins.retain(|j| j.node != node);
        if self.joins.len() < JOINS_MAX {
            self.joins.push(Join { node, incarnation, duty });
        }
    }

    /// Would taking this node in change the membership?
    pub(crate) fn is_new(token: &Token, join: &Join) -> bool {
        token.member(join.node).is_none_or(|m| m.incarnation != join.incarnation)
    }

    /// Adds those who asked behind this node. A member that asks in another life has restarted: its old life ends
    /// here, under its fence, as if it had been unreachable.
    pub(crate) fn admit(&mut self, now: Time, token: &mut Token) {
        for join in std::mem::take(&mut self.joins) {
            if join.node == self.me
                || !Ring::is_new(token, &join)
                || !self.cluster.is_node(join.node)
            {
                continue;
            }
            // What an earlier life had stored, this one may not have.
            if let Some(offer) = &mut token.config.offer {
                offer.prepared.remove(join.node);
            }
            self.new_epoch(token);
            if token.has(join.node) {
                self.drop_member(now, token, join.node, now);
            }
            let at = token.members.iter().position(|m| m.node == self.me).map_or(0, |at| at + 1);
            let remembered = token.absent.iter().find(|a| a.node == join.node).map(|a| a.duty);
            token.absent.retain(|a| a.node != join.node);
            let duty = match self.cluster.nodes[join.node.index()].witness {
                true => Duty::Witness,
                false => remembered.unwrap_or(join.duty),
            };
            let record = MemberRecord::new(join.node, join.incarnation, duty);
            token.members.insert(at, record);
            self.forgive(token, join.node, join.incarnation);
            self.arrange(token);
            self.counts.joins += 1;
            self.stir(token);
            self.report(now, EventKind::Joined { peer: join.node });
        }
    }

    /// Takes `lost` off the ring and fences what it may still answer for (rule 6). `evidence` is when the delivery
    /// that failed began.
    pub(crate) fn drop_member(
        &mut self,
        now: Time,
        token: &mut Token,
        lost: NodeId,
        evidence: Time,
    ) {
        self.rebase(now, token);
        let Some(at) = token.members.iter().position(|m| m.node == lost) else { return };
        let left = |token: &Token, node: Option<NodeId>| {
            node.and_then(|n| token.member(n)).map_or(0, |m| m.left_us)
        };
        let mut fence_us = token.members[at].left_us;
        if self.suspicion.active {
            let fence = match self.suspicion.long {
                true => self.fence_max(),
                false => Timing::fence(longest_lease(token)),
            };
            fence_us = fence_us.max(us(now.until(evidence + fence)) + 1);
            self.suspicion.again();
        }
        let key = token.key;
        for i in 0..token.vips.len() {
            let v = &token.vips[i];
            let both_us = left(token, v.owner).max(left(token, v.next));
            let v = &mut token.vips[i];
            v.grant.remove(lost);
            if v.owner == Some(lost) || v.heir == Some(lost) {
                v.fence_us = v.fence_us.max(fence_us);
                v.cause.insert(lost);
                if v.heir == Some(lost) {
                    v.heir = None;
                }
                v.changed = key;
            }
            let Some(next) = v.next else { continue };
            if v.owner == Some(lost) || next == lost {
                v.fence_us = v.fence_us.max(both_us).max(fence_us);
                v.cause.insert(lost);
                v.cause.insert(next);
                v.next = None;
                v.changed = key;
            }
        }
        let mut duty = token.members.remove(at).duty;
        let manual = self.cluster.rejoin == Rejoin::Manual && lost != self.me;
        if manual && duty == Duty::Open {
            duty = Duty::Closed;
            self.report(now, EventKind::DutyChanged { peer: lost, duty });
        }
        if !matches!(duty, Duty::Open | Duty::Witness) {
            self.remember(token, lost, duty, 0);
        }
        self.stir(token);
    }

    /// Keeps what must not be forgotten about a node outside.
    pub(crate) fn remember(&self, token: &mut Token, node: NodeId, duty: Duty, steer_us: u32) {
        token.absent.retain(|a| a.node != node);
        token.absent.push(AbsentRecord { node, duty, steer_us, extra: Vec::new() });
    }

    /// Sees to it that the next passes are made at once: something changed.
    pub(crate) fn stir(&self, token: &mut Token) {
        token.hurry = token.hurry.max(3 * token.members.len() as u16 + 1);
    }

    /// Forgets absent nodes of which nothing is left to be remembered.
    pub(crate) fn tidy_absent(&self, token: &mut Token) {
        let members = token.member_set();
        token.absent.retain(|a| {
            !members.contains(a.node) && (a.steer_us > 0 || !matches!(a.duty, Duty::Witness))
        });
    }
}
