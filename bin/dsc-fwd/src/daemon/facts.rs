//! What the ring daemon is told: where this node can host, who else claims VIPs, and what is carried for each.

use super::Daemon;
use dsc_sys::clock;
use dsc_wire::local::{Facts, HostState};
use dsc_wire::{SubnetSet, Time};

impl Daemon {
    /// Reads what this node carries for the VIPs that it hosts.
    pub(super) fn look_at_rates(&mut self, now: Time) {
        let mine = self.vips.iter().filter(|(vip, ..)| self.lease.host(*vip).0 == HostState::On);
        let mine: Vec<_> = mine.copied().collect();
        if let Err(e) = self.rates.read(now, &self.config, &mine, &self.datapath) {
            tracing::warn!("{e}");
        }
    }

    /// Reads what becomes of new flows, and tells at once which backends take none.
    pub(super) fn look_at_signs(&mut self, now: Time) {
        let read = |id| self.datapath.backend_count(id).map_err(|e| e.to_string());
        match self.signs.read(now, read) {
            Ok(true) => self.tell(),
            Ok(false) => {}
            Err(e) => tracing::warn!("{e}"),
        }
    }

    /// The subnets whose interface has programs: one that is missing or at fault takes nothing from the others. None before
    /// this node knows the flows of the others: a VIP that it hosted would lose them (§B.3).
    pub(super) fn ready(&self) -> SubnetSet {
        if !self.knows_flows() {
            return SubnetSet::EMPTY;
        }
        let served = self.datapath.nics().iter().map(|nic| nic.subnet);
        served.filter(|subnet| !self.faults.contains_key(subnet)).collect()
    }

    /// All that ringd needs to know; the digest says that the kernel is ready for this configuration.
    pub(super) fn tell(&mut self) {
        if !self.informed {
            return;
        }
        self.number += 1;
        let facts = Facts::Fwd {
            number: self.number,
            config_digest: if self.trouble.is_none() { self.config.digest() } else { 0 },
            ready: self.ready(),
            conflicts: self.conflicts.list(clock::now()),
            vip_loads: Some(self.rates.loads()),
            failing: self.signs.failing().to_vec(),
        };
        if let Err(e) = self.teller.tell(&facts) {
            tracing::warn!("{e}");
        }
    }
}
