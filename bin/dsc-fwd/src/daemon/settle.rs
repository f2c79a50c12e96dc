//! Brings interfaces, the programs on them and the addresses in order: at the start, when something changes, and every second
//! while something is wrong.

use super::Daemon;
use crate::gratuitous::Voice;
use crate::ground;
use dsc_bpf::Nic;
use dsc_sys::{clock, nic};
use std::collections::BTreeMap;
use std::net::IpAddr;

impl Daemon {
    /// Interfaces, programs on them, addresses: all as they should be. What becomes wrong or right again is logged once.
    pub(super) fn settle(&mut self) {
        let (ready, faults) = (self.ready(), self.faults.clone());
        let settled = self.programs().and_then(|watched| self.addresses(watched));
        let settled = settled.and_then(|()| self.set_states());
        for (subnet, why) in self.faults.iter().filter(|(s, why)| faults.get(s) != Some(*why)) {
            tracing::error!("subnet {} is not served: {why}", self.subnet(*subnet));
        }
        for subnet in faults.keys().filter(|s| self.ready().contains(**s)) {
            tracing::info!("subnet {} is served again", self.subnet(*subnet));
        }
        self.troubled(settled);
        if self.ready() != ready {
            self.tell();
        }
    }

    /// Programs and voices on the interfaces; true if these are the same interfaces as before. One that is at fault takes
    /// nothing from the others.
    pub(super) fn programs(&mut self) -> Result<bool, String> {
        let (nics, missing) = ground::nics(&self.config, self.me)?;
        if missing != self.missing {
            for subnet in missing.iter().filter(|s| !self.missing.contains(s)) {
                tracing::warn!("no interface carries subnet {}", self.subnet(*subnet));
            }
            self.missing = missing;
        }
        let watched = nics == self.datapath.nics();
        if !watched {
            self.datapath.set_nics(&nics).map_err(|e| e.to_string())?;
            self.macs.extend(nics.iter().map(|nic| ((self.me, nic.subnet), nic.mac)));
            if let (Some(sharing), Ok(nics)) = (&mut self.sharing, nic::nics()) {
                sharing.follow(&nics);
            }
            if self.datapath.faults().is_empty() {
                for layout in self.datapath.remove_earlier().map_err(|e| e.to_string())? {
                    tracing::info!(
                        "replaced the programs of another build, and removed its maps ({layout})"
                    );
                }
            }
        } else if self.datapath.mend().map_err(|e| e.to_string())? {
            tracing::warn!("put back programs that were taken off their interfaces");
        }
        let nics = self.datapath.nics().to_vec();
        self.voices.retain(|voice| nics.contains(voice.nic()));
        self.faults.clear();
        for nic in &nics {
            if let Err(why) = self.serve(nic) {
                self.faults.insert(nic.subnet, why);
            }
        }
        self.say_slow();
        if !watched || self.trouble.is_some() {
            self.set_macs()?;
        }
        Ok(watched)
    }

    /// Says once where packets are not taken in the driver although that is wanted.
    fn say_slow(&mut self) {
        let mut slow = BTreeMap::new();
        for nic in self.datapath.nics() {
            if let Some((_, why)) = self.datapath.slow().iter().find(|(of, _)| *of == nic.index) {
                slow.insert(nic.subnet, format!("{}: {why}", nic.name));
            }
        }
        for (_, why) in slow.iter().filter(|(subnet, why)| self.slow.get(subnet) != Some(why)) {
            tracing::warn!("packets are taken in the stack, not in the driver of {why}");
        }
        self.slow = slow;
    }

    /// Without programs nothing can be announced on `nic`, and without a voice nothing would be.
    fn serve(&mut self, nic: &Nic) -> Result<(), String> {
        let fault = self.datapath.faults().iter().find(|(index, _)| *index == nic.index);
        if let Some((_, fault)) = fault {
            return Err(fault.to_string());
        }
        if self.voices.iter().any(|voice| voice.nic() == nic) {
            return Ok(());
        }
        let voice = Voice::open(nic.clone()).map_err(|e| {
            format!("cannot send frames on {}: {e}: is CAP_NET_RAW there?", nic.name)
        })?;
        self.voices.push(voice);
        self.announcer.again(clock::now());
        let subnet = self.subnet(nic.subnet);
        tracing::info!("subnet {subnet} is on {}, programs attached", nic.name);
        Ok(())
    }

    /// The addresses. Those of an interface that was not `watched` until now were not taken away.
    pub(super) fn addresses(&mut self, watched: bool) -> Result<(), String> {
        self.keeper.want(&self.vips, self.datapath.nics());
        let added = self.keeper.mend()?;
        if watched && !added.is_empty() {
            let added: Vec<String> = added.iter().map(IpAddr::to_string).collect();
            tracing::warn!("put back addresses that were taken away: {}", added.join(" "));
        }
        Ok(())
    }
}
