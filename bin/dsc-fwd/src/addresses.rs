//! The VIPs as addresses of loopback, and their solicited-node groups on the interfaces, put there at the start and put back
//! when another program takes them away. They stay when the daemon ends. Who answers for them is not decided here.

use dsc_bpf::Nic;
use dsc_sys::address::Addresses;
use dsc_wire::{SubnetId, VipId};
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};

/// The kernel gives loopback this index in every network namespace.
const LOOPBACK: u32 = 1;
/// Makes the OS answer ARP only for addresses of the interface that asks: VIPs are on loopback, so never for them, not even
/// on an interface that has no programs.
const ARP_IGNORE: &str = "/proc/sys/net/ipv4/conf/all/arp_ignore";

/// Keeps the wanted addresses where they belong.
pub struct Keeper {
    table: Addresses,
    wanted: BTreeSet<(u32, IpAddr)>,
}

impl Keeper {
    /// Nothing is wanted yet.
    ///
    /// # Errors
    /// The table of addresses cannot be opened, or ARP for VIPs cannot be kept from the OS.
    pub fn open() -> Result<Keeper, String> {
        keep_arp_from_os()?;
        let table = Addresses::open().map_err(|e| format!("cannot open address table: {e}"))?;
        Ok(Keeper { table, wanted: BTreeSet::new() })
    }

    /// From now on `vips` belong on this machine, which has `nics`.
    pub fn want(&mut self, vips: &[(VipId, IpAddr, SubnetId)], nics: &[Nic]) {
        let groups = vips.iter().flat_map(|(_, address, subnet)| {
            let group = match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some(group(*address).into()),
            };
            let nics = nics.iter().filter(move |nic| nic.subnet == *subnet);
            nics.filter_map(move |nic| Some((nic.index, group?)))
        });
        self.wanted = vips.iter().map(|(_, a, _)| (LOOPBACK, *a)).chain(groups).collect();
    }

    /// Adds what is missing and takes away what DSC put there for an earlier configuration. Says what it added.
    ///
    /// # Errors
    /// The first address that could not be added or removed; the others are done.
    pub fn mend(&mut self) -> Result<Vec<IpAddr>, String> {
        let there = self.table.list().map_err(|e| format!("cannot list addresses: {e}"))?;
        let mut failure = None;
        let mut added = Vec::new();
        for (nic, ip) in &self.wanted {
            if there.iter().any(|a| (a.nic, a.ip) == (*nic, *ip)) {
                continue;
            }
            match self.table.add(*nic, *ip) {
                Ok(()) => added.push(*ip),
                Err(e) => {
                    failure.get_or_insert(format!(
                        "cannot add address {ip} to interface {nic}: {e}: is CAP_NET_ADMIN there, and IPv6 on?"
                    ));
                }
            }
        }
        let stale =
            |a: &&dsc_sys::address::Address| a.ours && !self.wanted.contains(&(a.nic, a.ip));
        for old in there.iter().filter(stale) {
            if let Err(e) = self.table.remove(old.nic, old.ip) {
                failure.get_or_insert(format!("cannot remove address {}: {e}", old.ip));
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(added),
        }
    }
}

/// Takes away every address that DSC put on this machine.
///
/// # Errors
/// What could not be removed.
pub fn remove_ours() -> Result<(), String> {
    let mut table = Addresses::open().map_err(|e| format!("cannot open address table: {e}"))?;
    let there = table.list().map_err(|e| format!("cannot list addresses: {e}"))?;
    for old in there.iter().filter(|a| a.ours) {
        let removed = table.remove(old.nic, old.ip);
        removed.map_err(|e| {
            format!("cannot remove address {} from interface {}: {e}", old.ip, old.nic)
        })?;
    }
    Ok(())
}

/// The group that neighbours ask (RFC 4291 2.7.1); interfaces and switches let only joined groups through.
pub fn group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 1, 0xFF00 | u16::from(a), low)
}

fn keep_arp_from_os() -> Result<(), String> {
    let failed =
        |e| format!("cannot set {ARP_IGNORE} to 1: {e}: is it writable, with CAP_NET_ADMIN?");
    let now = fs::read_to_string(ARP_IGNORE).map_err(failed)?;
    // Another value is at least as strict.
    if now.trim() == "0" { fs::write(ARP_IGNORE, "1").map_err(failed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_group_holds_the_last_three_bytes() {
        let group = |text: &str| super::group(text.parse().unwrap());
        assert_eq!(group("fd00:1::100").to_string(), "ff02::1:ff00:100");
        assert_eq!(group("fe80::2aa:ff:fe28:9c5a").to_string(), "ff02::1:ff28:9c5a");
    }
}
