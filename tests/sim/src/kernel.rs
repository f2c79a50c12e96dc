//! One node's kernel as far as it decides who answers: the lease and one state per VIP (the maps of dsc-bpf).
//! Written by the node's ring daemon through its effects; read by the audits. It outlives the daemon.

use dsc_wire::local::HostState;
use dsc_wire::{NodeId, Time, VipId};

/// The two maps.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// End of the lease, by the node's clock.
    pub lease: Time,
    hosts: Vec<HostState>,
    past: Vec<Vec<NodeId>>,
}

impl Kernel {
    /// After power on: nothing is answered.
    pub fn new(vips: usize) -> Kernel {
        Kernel {
            lease: Time::ZERO,
            hosts: vec![HostState::Off; vips],
            past: vec![Vec::new(); vips],
        }
    }

    /// How frames for `vip` are treated while the lease lasts.
    pub fn host(&self, vip: VipId) -> HostState {
        self.hosts[vip.index()]
    }

    /// Who hosted it before.
    pub fn past(&self, vip: VipId) -> &[NodeId] {
        &self.past[vip.index()]
    }

    /// Stores a VIP's entry.
    pub fn set(&mut self, vip: VipId, state: HostState, past: Vec<NodeId>) {
        self.hosts[vip.index()] = state;
        self.past[vip.index()] = past;
    }

    /// Does it answer for `vip` at local time `now`? Seldom does the time matter.
    pub fn answers(&self, vip: VipId, now: impl FnOnce() -> Time) -> bool {
        self.hosts[vip.index()] == HostState::On && now() < self.lease
    }

    /// VIPs it answers for while the lease lasts.
    pub fn on(&self) -> impl Iterator<Item = VipId> {
        self.hosts
            .iter()
            .enumerate()
            .filter(|(_, s)| **s == HostState::On)
            .map(|(v, _)| VipId(v as u16))
    }
}
