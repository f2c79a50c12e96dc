//! What the kernel is told: the lease, and how it treats frames for each VIP. Emitted as differences, and always in
//! the order that is safe: whatever ends, then the lease, then whatever begins.

use crate::Output;
use crate::ring::Ring;
use dsc_wire::local::HostState;
use dsc_wire::token::Token;
use dsc_wire::{NodeId, SubnetSet, Time, VipId};

type Entry = (HostState, Vec<NodeId>);

/// The kernel's tables as they are and as they shall be.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// VIPs that this node may answer for under its lease (rule 7). Whether it does is also a matter of carrier.
    pub stand: Vec<bool>,
    pub(crate) wanted: Vec<Entry>,
    /// As told; not known before the first time, for the tables outlive the daemon that wrote them.
    pub(crate) shown: Vec<Option<Entry>>,
    /// Has a token of this life decided the entries? Until then the tables stay as an earlier life left them: its
    /// lease runs out, what it steers it goes on steering.
    pub(crate) placed: bool,
    lease: Time,
}

impl Kernel {
    pub fn new(vips: usize) -> Kernel {
        let off = vec![(HostState::Off, Vec::new()); vips];
        Kernel {
            stand: vec![false; vips],
            wanted: off,
            shown: vec![None; vips],
            placed: false,
            lease: Time::ZERO,
        }
    }

    pub fn stands_any(&self) -> bool {
        self.stand.iter().any(|s| *s)
    }

    /// Answers for nothing from now on.
    pub fn silence(&mut self) {
        self.stand.fill(false);
        for (state, _) in &mut self.wanted {
            *state = HostState::Off;
        }
    }

    /// Answers for nothing of its own any more, but goes on steering what it handed over.
    pub fn forget_own(&mut self) {
        self.stand.fill(false);
        for (state, _) in &mut self.wanted {
            if !matches!(state, HostState::Steer(_)) {
                *state = HostState::Off;
            }
        }
    }
}

impl Ring {
    /// Decides every VIP's entry from the token in hand.
    pub(crate) fn place(&mut self, token: &Token) {
        self.shown.stale = true;
        self.kernel.placed = true;
        for (i, v) in token.vips.iter().enumerate() {
            if self.cluster.vips[i].is_hole() {
                self.kernel.wanted[i] = (HostState::Off, Vec::new());
                continue;
            }
            let (was, _) = self.kernel.wanted[i];
            let undisputed = v.heir.is_none() && v.fence_us == 0;
            let state = if self.kernel.stand[i] {
                HostState::On
            } else if v.next == Some(self.me) {
                HostState::Incoming
            } else {
                match v.owner {
                    // Handed over to me, but my lease is not proved yet: what is steered here is still taken.
                    Some(owner) if owner == self.me => match was {
                        HostState::Incoming if undisputed => HostState::Incoming,
                        _ => HostState::Off,
                    },
                    Some(owner) if v.heir.is_none() && token.has(owner) => HostState::Steer(owner),
                    Some(_) | None => HostState::Off,
                }
            };
            let past = Ring::reachable_past(token, &v.past);
            self.kernel.wanted[i] = (state, past);
        }
    }

    /// Carrier or data path changed: VIPs of a lost subnet fall silent at once, and are handed over in the next
    /// turn, which is now if the token is here.
    pub(crate) fn on_able(&mut self, now: Time, subnets: SubnetSet, out: &mut Vec<Output>) {
        if subnets == self.able {
            return;
        }
        self.able = subnets;
        self.flush(out);
        self.turn_now(now, out);
    }

    /// Other subnets than before have a peer.
    pub(crate) fn on_linked(&mut self, now: Time, subnets: SubnetSet, out: &mut Vec<Output>) {
        if subnets != self.linked {
            self.linked = subnets;
            self.turn_now(now, out);
        }
    }

    /// Tells the kernel what changed.
    pub(crate) fn flush(&mut self, out: &mut Vec<Output>) {
        if !self.kernel.placed {
            return;
        }
        let mut begins = Vec::new();
        for i in 0..self.kernel.wanted.len() {
            let (mut state, _) = self.kernel.wanted[i];
            let subnet = self.cluster.vips[i].subnet;
            if state == HostState::On && !self.able.contains(subnet) {
                state = HostState::Off;
            }
            let past = &self.kernel.wanted[i].1;
            if self.kernel.shown[i].as_ref().is_some_and(|(s, p)| *s == state && p == past) {
                continue;
            }
            let past = past.clone();
            self.kernel.shown[i] = Some((state, past.clone()));
            let host = Output::Host { vip: VipId(i as u16), state, past };
            if state == HostState::On {
                begins.push(host);
            } else {
                out.push(host);
            }
        }
        let lease = self.promises.lease_end;
        if lease != self.kernel.lease {
            self.kernel.lease = lease;
            out.push(Output::Lease { end: lease });
        }
        out.extend(begins);
    }
}
