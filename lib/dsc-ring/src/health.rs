//! What the members' checks of backends find (rule 19). Each member writes its own record on the token, whole, in each of its
//! turns, so that what is shown never depends on what was lost on the way. The red ones of a node that is gone stand until
//! another checker has a verdict of its own, or for [`STANDS`].

use crate::Output;
use crate::lease::us;
use crate::ring::Ring;
use dsc_wire::health::{Checker, FAILING_MAX, Growth, Reason, SHARES, Verdict};
use dsc_wire::local::EventKind;
use dsc_wire::token::{HealthRecord, Token, VERDICTS_MAX};
use dsc_wire::{BackendId, Time};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// How long a verdict of a node that is gone stands: its successors begin with it as soon as they see the new members.
const STANDS: Duration = Duration::from_secs(3);

impl Ring {
    /// This node's checks have these verdicts now, and no others.
    pub(crate) fn on_checked(&mut self, now: Time, found: Vec<Verdict>, out: &mut Vec<Output>) {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(found.len());
        for verdict in found {
            let rises = verdicts.last().is_none_or(|last| last.backend < verdict.backend);
            if rises && self.cluster.is_backend(verdict.backend) {
                verdicts.push(verdict);
            } else {
                self.counts.verdicts_refused += 1;
            }
        }
        if verdicts == self.checked {
            return;
        }
        let before = std::mem::replace(&mut self.checked, verdicts);
        let known = |backend| {
            let at = before.binary_search_by_key(&backend, |v: &Verdict| v.backend);
            at.ok().map(|at| before[at].red)
        };
        let told = |v: &&Verdict| known(v.backend).unwrap_or(false) != v.red;
        let changed: Vec<Verdict> = self.checked.iter().filter(told).copied().collect();
        for Verdict { backend, red, reason, .. } in &changed {
            let (backend, red, reason) = (*backend, *red, *reason);
            self.report(now, EventKind::BackendChecked { backend, red, reason });
        }
        if !changed.is_empty() || before.len() > self.checked.len() {
            self.turn_now(now, out);
        }
    }

    /// These backends take no new flow of those that this node gives them: who checks them shall look at once.
    pub(crate) fn on_failing(&mut self, now: Time, told: Vec<BackendId>, out: &mut Vec<Output>) {
        let mut failing: Vec<BackendId> = Vec::new();
        for backend in told {
            let rises = failing.last().is_none_or(|last| *last < backend);
            let known = backend.index() < self.cluster.backends.len();
            if rises && known && failing.len() < FAILING_MAX {
                failing.push(backend);
            } else {
                self.counts.failing_dropped += 1;
            }
        }
        if failing != self.failing {
            self.failing = failing;
            self.turn_now(now, out);
        }
    }

    /// Writes this node's record anew, and forgets what is out of date.
    pub(crate) fn share_health(&mut self, token: &mut Token) {
        if token.health.is_empty() && self.checked.is_empty() && self.failing.is_empty() {
            return;
        }
        let me = self.me;
        let place = token.health.binary_search_by_key(&me, |r| r.node);
        let others: usize =
            token.health.iter().filter(|r| r.node != me).map(|r| r.verdicts.len()).sum();
        let room = VERDICTS_MAX.saturating_sub(others).min(self.checked.len());
        self.counts.verdicts_dropped += (self.checked.len() - room) as u64;
        let verdicts: Vec<Verdict> = self.checked[..room].iter().map(carried).collect();
        let growing = growing(&self.growing, &verdicts);
        let reds =
            |list: &[Verdict]| list.iter().filter(|v| v.red).map(|v| v.backend).collect::<Vec<_>>();
        let shown = place.map_or_else(
            |_| (Vec::new(), Vec::new()),
            |at| (reds(&token.health[at].verdicts), token.health[at].failing.clone()),
        );
        if shown != (reds(&verdicts), self.failing.clone()) {
            self.stir(token);
        }
        let nothing = verdicts.is_empty() && self.failing.is_empty();
        match place {
            Ok(at) if nothing => drop(token.health.remove(at)),
            Ok(at) => {
                token.health[at].left_us = us(STANDS);
                token.health[at].verdicts = verdicts;
                token.health[at].growing = growing;
                token.health[at].failing.clone_from(&self.failing);
            }
            Err(_) if nothing => {}
            Err(at) => {
                let left_us = us(STANDS);
                let (failing, extra) = (self.failing.clone(), Vec::new());
                let record = HealthRecord { node: me, left_us, verdicts, growing, failing, extra };
                token.health.insert(at, record);
            }
        }
        forget(token);
    }

    /// As the view shows them.
    pub(crate) fn health_views(&self) -> Vec<Checker> {
        let Some(token) = self.token() else { return Vec::new() };
        let checker = |r: &HealthRecord| Checker {
            node: r.node,
            green: r.verdicts.iter().filter(|v| !v.red).map(|v| v.backend).collect(),
            red: r.verdicts.iter().filter(|v| v.red).copied().collect(),
            growing: r.growing.clone(),
            failing: r.failing.clone(),
        };
        token.health.iter().map(checker).collect()
    }
}

/// Those that start slowly among the green ones.
fn growing(said: &[Growth], verdicts: &[Verdict]) -> Vec<Growth> {
    let mut growing: Vec<Growth> = Vec::new();
    for growth in said.iter().filter(|growth| (1..SHARES).contains(&growth.share)) {
        let at = verdicts.binary_search_by_key(&growth.backend, |v| v.backend);
        let rises = growing.last().is_none_or(|last| last.backend < growth.backend);
        if rises && at.is_ok_and(|at| !verdicts[at].red) {
            growing.push(*growth);
        }
    }
    growing
}

/// A green one takes a byte on the token: nothing but its number.
fn carried(verdict: &Verdict) -> Verdict {
    match verdict.red {
        true => *verdict,
        false => Verdict { reason: Reason::Answered, since_ms: 0, ..*verdict },
    }
}

/// What nodes found that are no members any more.
fn forget(token: &mut Token) {
    let members = token.member_set();
    if token.health.iter().all(|r| members.contains(r.node)) {
        return;
    }
    let present = token.health.iter().filter(|r| members.contains(r.node));
    let known: BTreeSet<BackendId> =
        present.flat_map(|r| r.verdicts.iter().map(|v| v.backend)).collect();
    token.health.retain_mut(|r| {
        if members.contains(r.node) {
            return true;
        }
        r.verdicts.retain(|v| v.red && !known.contains(&v.backend));
        r.growing.clear();
        r.failing.clear();
        r.left_us > 0 && !r.verdicts.is_empty()
    });
}

/// For the digest of what readers see.
pub(crate) fn hash_health(token: &Token, hash: &mut impl Hasher) {
    for record in &token.health {
        let mut word = u64::from(record.node.0);
        for v in &record.verdicts {
            let (code, detail) = v.reason.code();
            let own = u64::from(v.backend.0) << 1 | u64::from(v.red);
            let why = u64::from(code) << 16 | u64::from(detail);
            for part in [own, why, v.since_ms] {
                word = (word ^ part).wrapping_mul(0x100_0000_01b3).rotate_left(23);
            }
        }
        for growth in &record.growing {
            let own = u64::from(growth.backend.0) << 8 | u64::from(growth.share);
            word = (word ^ own).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
        for backend in &record.failing {
            word = (word ^ u64::from(backend.0)).wrapping_mul(0x100_0000_01b3).rotate_left(29);
        }
        word.hash(hash);
    }
}
