//! Rules 4 and 8: what a node adds to a token on accepting it. From its own lineage: how much of the spans has
//! passed by its own clock. From another: what it had promised to others and the token does not know.

use crate::lease::{less, us};
use crate::ring::Ring;
use dsc_wire::token::Token;
use dsc_wire::{Key, NodeId, NodeSet, Time, VipId};

/// The smaller of two bounds of the same span, if both are still running.
fn bound(span_us: &mut u32, own_us: u32, elapsed: std::time::Duration) {
    if *span_us > 0 && own_us > 0 {
        *span_us = (*span_us).min(less(own_us, elapsed));
    }
}

impl Ring {
    /// Bounds the token's spans by this node's own copy less the time since it passed it (rule 4).
    pub(crate) fn bound_spans(&self, now: Time, token: &mut Token) {
        let Some(copy) = self.copy.as_deref().filter(|c| c.switch == token.switch) else { return };
        let elapsed = now.since(self.copy_at);
        for m in token.members.iter_mut().filter(|m| m.node != self.me) {
            if let Some(own) = copy.member(m.node).filter(|own| own.rec == m.rec) {
                m.left_us = m.left_us.min(less(own.left_us, elapsed));
            }
        }
        for (v, own) in token.vips.iter_mut().zip(&copy.vips) {
            if v.changed == own.changed {
                bound(&mut v.fence_us, own.fence_us, elapsed);
                bound(&mut v.waived_us, own.waived_us, elapsed);
            }
        }
    }

    /// Adds this node's promises to a token of another lineage (rule 8).
    pub(crate) fn switch_lineage(&self, now: Time, token: &mut Token) {
        for v in &mut token.vips {
            v.grant.remove(self.me);
        }
        let Some(owners) = &self.promises.owners else { return };
        token.switch = token.key;
        let members = token.member_set();
        let promised_us = us(now.until(self.promises.end));
        for m in token.members.iter_mut().filter(|m| m.node != self.me) {
            m.left_us = m.left_us.max(promised_us);
        }
        for (i, v) in token.vips.iter_mut().enumerate() {
            let vip = VipId(i as u16);
            // A lost owner has no heir as long as nobody is able.
            let lost = v.owner.is_some_and(|owner| !members.contains(owner));
            let disputed = v.heir.is_some() || lost;
            let mut told = NodeSet::EMPTY;
            let mut rest_us = 0;
            for node in (0..self.cluster.nodes.len() as u8).map(NodeId) {
                let end = self.promises.told(vip, node);
                let undisputed = v.owner == Some(node) && !disputed;
                if node != self.me && end > now && !undisputed {
                    told.insert(node);
                    rest_us = rest_us.max(us(now.until(end)) + 1);
                }
            }
            if told.is_empty() {
                continue;
            }
            let pending = disputed || v.fence_us > 0;
            // I had given it away and get it back from a lineage that does not know so.
            let given = v.owner == Some(self.me) && owners.get(i) != Some(&Some(self.me));
            if pending || given {
                v.fence_us = v.fence_us.max(rest_us);
                v.cause = v.cause.union(told);
            } else if self.majority_mode() {
                v.waived_us = v.waived_us.max(rest_us);
                v.waived_cause = v.waived_cause.union(told);
            }
        }
    }

    /// Is the token one that this node's last pass is part of?
    pub(crate) fn same_lineage(&self, token: &Token) -> bool {
        self.promises.last_pass != Key::ZERO && token.rec(self.me) == self.promises.last_pass
    }
}
