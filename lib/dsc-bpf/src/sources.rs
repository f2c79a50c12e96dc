//! The kernel's table of source NAT: whose connections leave as from which VIP, and by which ports on this node. Filled by
//! `dsc-fwd` from the configuration; flows that exist are not touched by a change.

use crate::layout::{RangeEntry, SOURCE_NONE, SourceEntry, ZONE_NODE, ZoneEntry};
use crate::maps::{fill, taken};
use crate::{Error, octets};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapError};
use aya::{Ebpf, Pod};
use dsc_wire::flow::{SOURCE_VIPS_MAX, SOURCES_MAX};
use dsc_wire::{NodeId, SubnetId, VipId};
use std::collections::HashMap;
use std::net::IpAddr;

/// A source NAT as the kernel has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As whom connections leave: at least one, all of one family and one subnet, in no other source NAT.
    pub vips: Vec<(VipId, IpAddr)>,
    /// Their subnet.
    pub subnet: SubnetId,
    /// Their lowest port that is used.
    pub first: u16,
    /// Ports of each node, in the order of nodes, from `first` on; not 0.
    pub slice: u16,
    /// How many nodes have some; all of their ports are at most 65535.
    pub nodes: u16,
    /// Nobody's connection begins here yet: which there are is not known.
    pub waits: bool,
}

/// Addresses of which something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The lowest of them.
    pub address: IpAddr,
    /// How many bits they have in common.
    pub prefix: u8,
    /// The subnet they are on.
    pub subnet: SubnetId,
    /// The source NAT that connections from them get, by its number.
    pub source: Option<u8>,
    /// Is it a node's own address? Nobody's connections to it are translated.
    pub node: bool,
}

impl Zone {
    /// Is the address one of them?
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

/// The maps.
pub(crate) struct SourceMaps {
    me: NodeId,
    zones4: LpmTrie<MapData, [u8; 4], ZoneEntry>,
    zones6: LpmTrie<MapData, [u8; 16], ZoneEntry>,
    sources: Array<MapData, SourceEntry>,
    ranges: Array<MapData, RangeEntry>,
}

impl SourceMaps {
    pub fn take(ebpf: &mut Ebpf, me: NodeId) -> Result<SourceMaps, Error> {
        Ok(SourceMaps {
            me,
            zones4: taken(ebpf, "zones4")?,
            zones6: taken(ebpf, "zones6")?,
            sources: taken(ebpf, "sources")?,
            ranges: taken(ebpf, "ranges")?,
        })
    }

    /// Makes these the source NATs. What leads to something comes after it, and goes before it.
    pub fn set(&mut self, sources: &[Source], zones: &[Zone]) -> Result<(), Error> {
        debug_assert!(sources.len() <= SOURCES_MAX);
        let (mut four, mut six) = (HashMap::new(), HashMap::new());
        for zone in zones {
            let (entry, bits) = (zone_entry(zone), u32::from(zone.prefix));
            match zone.address {
                IpAddr::V4(a) => four.insert((bits, a.octets()), entry),
                IpAddr::V6(a) => six.insert((bits, a.octets()), entry),
            };
        }
        retain("zones4", &mut self.zones4, &four)?;
        retain("zones6", &mut self.zones6, &six)?;
        let mut ranges = vec![RangeEntry::default(); self.ranges.len() as usize];
        for source in sources {
            let entry = range_entry(source);
            for (vip, _) in &source.vips {
                if let Some(place) = ranges.get_mut(vip.index()) {
                    *place = entry;
                }
            }
        }
        for (index, entry) in (0u32..).zip(&ranges) {
            if self.ranges.get(&index, 0).map_err(|e| fill("ranges", e))? != *entry {
                self.ranges.set(index, entry, 0).map_err(|e| fill("ranges", e))?;
            }
        }
        for index in 0..SOURCES_MAX {
            let source = sources.get(index);
            let entry = source.map_or_else(SourceEntry::default, |s| source_entry(s, self.me));
            self.sources.set(index as u32, entry, 0).map_err(|e| fill("sources", e))?;
        }
        insert("zones4", &mut self.zones4, &four)?;
        insert("zones6", &mut self.zones6, &six)
    }
}

fn zone_entry(zone: &Zone) -> ZoneEntry {
    ZoneEntry {
        subnet: zone.subnet.0,
        source: zone.source.unwrap_or(SOURCE_NONE),
        flags: if zone.node { ZONE_NODE } else { 0 },
        unused: 0,
    }
}

fn range_entry(source: &Source) -> RangeEntry {
    let ports = u32::from(source.slice) * u32::from(source.nodes);
    let last = (u32::from(source.first) + ports).saturating_sub(1);
    debug_assert!(last <= u32::from(u16::MAX));
    RangeEntry { first: source.first, last: last as u16, slice: source.slice, unused: 0 }
}

fn source_entry(source: &Source, me: NodeId) -> SourceEntry {
    debug_assert!(source.vips.len() <= SOURCE_VIPS_MAX);
    let (subnet, waits) = (source.subnet.0, u8::from(source.waits));
    let mut entry = SourceEntry { subnet, waits, ..SourceEntry::default() };
    let places = entry.addresses.iter_mut().zip(&mut entry.indices);
    for ((place, index), (vip, address)) in places.zip(&source.vips) {
        *place = octets(*address);
        *index = vip.0;
        entry.vips += 1;
    }
    if me.index() < usize::from(source.nodes) {
        entry.first = source.first + source.slice * u16::from(me.0);
        entry.ports = source.slice;
    }
    entry
}

fn insert<K: Pod + Eq + std::hash::Hash>(
    name: &'static str,
    map: &mut LpmTrie<MapData, K, ZoneEntry>,
    entries: &HashMap<(u32, K), ZoneEntry>,
) -> Result<(), Error> {
    for ((bits, address), entry) in entries {
        map.insert(&Key::new(*bits, *address), entry, 0).map_err(|e| fill(name, e))?;
    }
    Ok(())
}

/// Takes everything but `entries` out of `map`.
fn retain<K: Pod + Eq + std::hash::Hash>(
    name: &'static str,
    map: &mut LpmTrie<MapData, K, ZoneEntry>,
    entries: &HashMap<(u32, K), ZoneEntry>,
) -> Result<(), Error> {
    let keys: Result<Vec<Key<K>>, MapError> = map.keys().collect();
    for key in keys.map_err(|e| fill(name, e))? {
        if !entries.contains_key(&(key.prefix_len(), key.data())) {
            map.remove(&key).map_err(|e| fill(name, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn a_zone_has_the_addresses_of_its_prefix() {
        let zone = |address: &str, prefix| Zone {
            address: address.parse().unwrap(),
            prefix,
            subnet: SubnetId(0),
            source: None,
            node: false,
        };
        let v4 = |text: &str| IpAddr::from(text.parse::<Ipv4Addr>().unwrap());
        let v6 = |text: &str| IpAddr::from(text.parse::<Ipv6Addr>().unwrap());
        assert!(zone("10.2.0.0", 24).contains(v4("10.2.0.255")));
        assert!(!zone("10.2.0.0", 24).contains(v4("10.2.1.0")));
        assert!(!zone("10.2.0.0", 24).contains(v6("::ffff:10.2.0.1")));
        assert!(zone("10.2.0.1", 32).contains(v4("10.2.0.1")));
        assert!(zone("fd00:2::", 64).contains(v6("fd00:2::ffff")));
        assert!(!zone("fd00:2::", 64).contains(v6("fd00:2:0:1::")));
    }

    #[test]
    fn every_node_has_ports_of_its_own() {
        let vips = vec![(VipId(0), "10.1.0.100".parse().unwrap())];
        let (subnet, waits) = (SubnetId(0), false);
        let source = Source { vips, subnet, first: 65_236, slice: 100, nodes: 3, waits };
        let range = range_entry(&source);
        assert_eq!((range.first, range.last, range.slice), (65_236, 65_535, 100));
        let own: Vec<(u16, u16)> = (0..4)
            .map(|node| source_entry(&source, NodeId(node)))
            .map(|entry| (entry.first, entry.ports))
            .collect();
        assert_eq!(own, [(65_236, 100), (65_336, 100), (65_436, 100), (0, 0)]);
    }
}
