//! This machine's addresses, the interfaces that carry them, and their MAC addresses. Read by every daemon at its start,
//! to learn which node it is, and now and then by the ring daemon to spread the MACs.

use dsc_wire::local::Mac;
use nix::ifaddrs::getifaddrs;
use std::io;
use std::net::IpAddr;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    /// As `ip link` calls it.
    pub name: String,
    /// Its hardware address; none on loopback and tunnels.
    pub mac: Option<Mac>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// All interfaces, in the kernel's order.
///
/// # Errors
/// The system's.
pub fn nics() -> io::Result<Vec<Nic>> {
    let mut nics: Vec<Nic> = Vec::new();
    for entry in getifaddrs()? {
        let at = match nics.iter().position(|n| n.name == entry.interface_name) {
            Some(at) => at,
            None => {
                nics.push(Nic { name: entry.interface_name, ..Nic::default() });
                nics.len() - 1
            }
        };
        let Some(address) = entry.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            nics[at].addresses.push(v4.ip().into());
        } else if let Some(v6) = address.as_sockaddr_in6() {
            nics[at].addresses.push(v6.ip().into());
        } else if let Some(link) = address.as_link_addr() {
            nics[at].mac = link.addr().filter(|mac| *mac != [0; 6]);
        }
    }
    Ok(nics)
}

/// The interface that carries `address`. An address that is also on loopback, as a VIP is, belongs to the other one.
pub fn carrying(nics: &[Nic], address: IpAddr) -> Option<&Nic> {
    let mut having = nics.iter().filter(|nic| nic.addresses.contains(&address));
    let first = having.next()?;
    if first.name == "lo" { having.next().or(Some(first)) } else { Some(first) }
}

/// Every address of this machine: by them a daemon finds its node in the configuration.
pub fn all_addresses(nics: &[Nic]) -> Vec<IpAddr> {
    nics.iter().flat_map(|nic| nic.addresses.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_its_address_and_has_no_mac() {
        let nics = nics().unwrap();
        let lo = carrying(&nics, "127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!((lo.name.as_str(), lo.mac), ("lo", None));
        assert!(all_addresses(&nics).contains(&"127.0.0.1".parse().unwrap()));
        assert_eq!(carrying(&nics, "192.0.2.77".parse().unwrap()), None);
    }

    #[test]
    fn an_address_on_loopback_too_belongs_to_the_other_interface() {
        let address = "10.1.0.100".parse().unwrap();
        let on = |name: &str| Nic { name: name.to_owned(), mac: None, addresses: vec![address] };
        assert_eq!(carrying(&[on("lo"), on("eth0")], address).unwrap().name, "eth0");
        assert_eq!(carrying(&[on("lo")], address).unwrap().name, "lo");
    }
}
