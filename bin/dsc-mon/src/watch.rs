//! What the health daemon knows of the node's interfaces: which carries which subnet, whether it has a carrier, how much
//! passes. Pure: readings and time are arguments.

use crate::probes::Found;
use dsc_sys::link::Link;
use dsc_sys::load::{CpuTicks, NicBytes, busy_permille};
use dsc_sys::nic::{self, Nic};
use dsc_wire::local::{Facts, NicFacts};
use dsc_wire::{SubnetId, Time};
use std::collections::HashMap;
use std::net::IpAddr;

/// Most interfaces that are remembered; machines with more name each container's.
const LINKS_MAX: usize = 4096;

/// The interfaces of one node.
pub struct Watch {
    config_digest: u64,
    addresses: Vec<Option<IpAddr>>,
    devices: Vec<Option<String>>,
    carriers: HashMap<String, bool>,
    bytes: HashMap<String, NicBytes>,
    bytes_at: Time,
    rates: HashMap<String, (u64, u64)>,
    ticks: Option<CpuTicks>,
    cpu_permille: u16,
    number: u64,
}

impl Watch {
    /// Of a node with these addresses, by subnet; the digest is of the configuration that says so.
    pub fn new(config_digest: u64, addresses: Vec<Option<IpAddr>>) -> Watch {
        Watch {
            config_digest,
            devices: vec![None; addresses.len()],
            addresses,
            carriers: HashMap::new(),
            bytes: HashMap::new(),
            bytes_at: Time::ZERO,
            rates: HashMap::new(),
            ticks: None,
            cpu_permille: 0,
            number: 0,
        }
    }

    /// The node has these addresses from now on.
    pub fn change(&mut self, config_digest: u64, addresses: Vec<Option<IpAddr>>) {
        self.config_digest = config_digest;
        for (at, address) in addresses.iter().enumerate() {
            if self.addresses.get(at) != Some(address)
                && let Some(device) = self.devices.get_mut(at)
            {
                *device = None;
            }
        }
        self.devices.resize(addresses.len(), None);
        self.addresses = addresses;
    }

    /// Finds the interface of each subnet; an address that no interface has keeps the one that last had it. Says what
    /// changed.
    pub fn locate(&mut self, nics: &[Nic]) -> Vec<String> {
        let mut changes = Vec::new();
        for (address, device) in self.addresses.iter().zip(&mut self.devices) {
            let Some(address) = address else { continue };
            let Some(found) = nic::carrying(nics, *address) else { continue };
            if device.as_ref() != Some(&found.name) {
                changes.push(format!("{address} is on {}", found.name));
                *device = Some(found.name.clone());
            }
        }
        changes
    }

    /// Takes the kernel's word on interfaces. Says which of ours changed, in words.
    pub fn links(&mut self, links: Vec<Link>) -> Vec<String> {
        let mut changes = Vec::new();
        for link in links {
            let known = self.carriers.get(&link.name).copied();
            let ours = self.devices.iter().flatten().any(|d| *d == link.name);
            if ours && known != Some(link.carrier) {
                let word = if link.carrier { "has a carrier" } else { "has no carrier" };
                changes.push(format!("{} {word}", link.name));
            }
            if link.gone {
                self.carriers.remove(&link.name);
            } else if known.is_some() || self.carriers.len() < LINKS_MAX {
                self.carriers.insert(link.name, link.carrier);
            }
        }
        changes
    }

    /// Takes a reading of all interfaces' and processors' counts.
    pub fn readings(&mut self, now: Time, nics: Vec<NicBytes>, ticks: Option<CpuTicks>) {
        let elapsed_ms = u64::try_from(now.since(self.bytes_at).as_millis()).unwrap_or(u64::MAX);
        let mut bytes = HashMap::new();
        for nic in nics {
            if !self.devices.iter().flatten().any(|d| *d == nic.name) {
                continue;
            }
            let rate = match self.bytes.get(&nic.name) {
                // An interface that was made again counts from zero.
                Some(was) if elapsed_ms > 0 => (
                    nic.rx.saturating_sub(was.rx).saturating_mul(1000) / elapsed_ms,
                    nic.tx.saturating_sub(was.tx).saturating_mul(1000) / elapsed_ms,
                ),
                _ => (0, 0),
            };
            self.rates.insert(nic.name.clone(), rate);
            bytes.insert(nic.name.clone(), nic);
        }
        self.rates.retain(|name, _| bytes.contains_key(name));
        self.bytes = bytes;
        self.bytes_at = now;
        self.cpu_permille = match (self.ticks, ticks) {
            (Some(before), Some(after)) => busy_permille(before, after),
            _ => 0,
        };
        self.ticks = ticks;
    }

    /// All of it, for the ring daemon, with what the checks found.
    pub fn facts(&mut self, found: &Found) -> Facts {
        self.number += 1;
        let nics = (0u8..).zip(self.addresses.iter().zip(&self.devices));
        let nics = nics.filter(|(_, (address, _))| address.is_some()).map(|(i, (_, device))| {
            let device = device.as_deref().unwrap_or_default();
            let (rx, tx) = self.rates.get(device).copied().unwrap_or_default();
            NicFacts {
                subnet: SubnetId(i),
                carrier: self.carriers.get(device).copied().unwrap_or(false),
                rx_bytes_per_s: rx,
                tx_bytes_per_s: tx,
            }
        });
        let (number, cpu_permille) = (self.number, self.cpu_permille);
        Facts::Mon {
            number,
            nics: nics.collect(),
            cpu_permille,
            config_digest: Some(self.config_digest),
            health: found.health.clone(),
            growing: found.growing.clone(),
            lights: Some(found.lights.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let address = |text: &str| Some(text.parse().unwrap());
        Watch::new(1, vec![address("10.1.0.1"), None, address("10.2.0.1")])
    }

    fn nic(name: &str, address: &str) -> Nic {
        Nic { name: name.to_owned(), mac: None, addresses: vec![(address.parse().unwrap(), 24)] }
    }

    fn link(name: &str, carrier: bool, gone: bool) -> Link {
        Link { name: name.to_owned(), carrier, gone }
    }

    fn nics(watch: &mut Watch) -> Vec<(u8, bool, u64, u64)> {
        let Facts::Mon { nics, .. } = watch.facts(&Found::default()) else {
            panic!("not from mon")
        };
        nics.iter().map(|n| (n.subnet.0, n.carrier, n.rx_bytes_per_s, n.tx_bytes_per_s)).collect()
    }

    #[test]
    fn carrier_follows_the_link_of_each_subnet() {
        let mut watch = watch();
        assert_eq!(nics(&mut watch), [(0, false, 0, 0), (2, false, 0, 0)]);
        let found = watch.locate(&[nic("eth0", "10.1.0.1"), nic("eth1", "10.2.0.1")]);
        assert_eq!(found.len(), 2);
        let all =
            vec![link("lo", true, false), link("eth0", true, false), link("eth1", true, false)];
        assert_eq!(watch.links(all), ["eth0 has a carrier", "eth1 has a carrier"]);
        assert_eq!(nics(&mut watch), [(0, true, 0, 0), (2, true, 0, 0)]);
        assert_eq!(watch.links(vec![link("eth1", false, false)]), ["eth1 has no carrier"]);
        assert_eq!(nics(&mut watch)[1], (2, false, 0, 0));
        assert_eq!(watch.links(vec![link("eth1", false, false)]), [""; 0]);
        watch.links(vec![link("eth0", false, true)]);
        assert_eq!(nics(&mut watch)[0], (0, false, 0, 0));
    }

    #[test]
    fn an_address_that_moved_is_followed_and_one_that_is_gone_is_remembered() {
        let mut watch = watch();
        watch.locate(&[nic("eth0", "10.1.0.1")]);
        watch.links(vec![link("eth0", true, false), link("bond0", false, false)]);
        assert_eq!(watch.locate(&[]), [""; 0]);
        assert!(nics(&mut watch)[0].1);
        assert_eq!(watch.locate(&[nic("bond0", "10.1.0.1")]), ["10.1.0.1 is on bond0"]);
        assert!(!nics(&mut watch)[0].1);
    }

    #[test]
    fn rates_are_per_second_and_survive_a_counter_that_starts_again() {
        let mut watch = watch();
        watch.locate(&[nic("eth0", "10.1.0.1")]);
        let reading = |rx, tx| vec![NicBytes { name: "eth0".to_owned(), rx, tx, errors: 0 }];
        let ticks = |busy, total| Some(CpuTicks { busy, total });
        watch.readings(Time::from_ms(1_000), reading(1_000, 0), ticks(0, 0));
        assert_eq!(nics(&mut watch)[0], (0, false, 0, 0));
        watch.readings(Time::from_ms(1_500), reading(2_000, 50), ticks(5, 10));
        assert_eq!(nics(&mut watch)[0], (0, false, 2_000, 100));
        let Facts::Mon { cpu_permille, number, .. } = watch.facts(&Found::default()) else {
            panic!("not from mon")
        };
        assert_eq!((cpu_permille, number), (500, 3));
        watch.readings(Time::from_ms(2_500), reading(10, 50), None);
        assert_eq!(nics(&mut watch)[0], (0, false, 0, 0));
    }
}
