//! This machine's addresses, the interfaces that carry them, and their MAC addresses. Read by every daemon at its start,
//! to learn which node it is, and now and then by the ring daemon to spread the MACs.

use dsc_wire::local::Mac;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::io;
use std::net::IpAddr;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    /// As `ip link` calls it.
    pub name: String,
    /// Its hardware address; none on loopback and tunnels.
    pub mac: Option<Mac>,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
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
        if let Some(ip) = ip_of(&address) {
            let mask = entry.netmask.as_ref().and_then(ip_of);
            nics[at].addresses.push((ip, mask.map_or(0, prefix)));
        } else if let Some(link) = address.as_link_addr() {
            nics[at].mac = link.addr().filter(|mac| *mac != [0; 6]);
        }
    }
    Ok(nics)
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
}

fn prefix(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    ones as u8
}

/// The interface that carries `address`. An address that is also on loopback, as a VIP is, belongs to the other one.
pub fn carrying(nics: &[Nic], address: IpAddr) -> Option<&Nic> {
    let mut having = nics.iter().filter(|nic| nic.addresses.iter().any(|(a, _)| *a == address));
    let first = having.next()?;
    if first.name == "lo" { having.next().or(Some(first)) } else { Some(first) }
}

/// The kernel's number of an interface; another one of the same name has another. None if there is none.
pub fn number(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// Every address of this machine: by them a daemon finds its node in the configuration.
pub fn all_addresses(nics: &[Nic]) -> Vec<IpAddr> {
    nics.iter().flat_map(|nic| nic.addresses.iter().map(|(a, _)| *a)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_by_its_address_and_has_no_mac() {
        let nics = nics().unwrap();
        let lo = carrying(&nics, "127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!((lo.name.as_str(), lo.mac), ("lo", None));
        assert!(lo.addresses.contains(&("127.0.0.1".parse().unwrap(), 8)));
        assert!(all_addresses(&nics).contains(&"127.0.0.1".parse().unwrap()));
        assert_eq!((number("lo"), number("no such nic")), (Some(1), None));
        assert_eq!(carrying(&nics, "192.0.2.77".parse().unwrap()), None);
    }

    #[test]
    fn an_address_on_loopback_too_belongs_to_the_other_interface() {
        let address = "10.1.0.100".parse().unwrap();
        let on =
            |name: &str| Nic { name: name.to_owned(), mac: None, addresses: vec![(address, 24)] };
        assert_eq!(carrying(&[on("lo"), on("eth0")], address).unwrap().name, "eth0");
        assert_eq!(carrying(&[on("lo")], address).unwrap().name, "lo");
    }
}
