//! IP networks and address ranges as values: parsing, membership, counting. No rules about the cluster.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IP network, its host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Length of the prefix, in bits.
    pub prefix: u8,
}

/// A family, as the number of bits of its addresses.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The address of `like`'s family with this number.
fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

impl Network {
    /// The network of this prefix length that `within` lies in; `None` if the prefix is longer than the family allows.
    pub fn around(within: IpAddr, prefix: u8) -> Option<Network> {
        let host_bits = bits(within).checked_sub(prefix)?;
        let mask = u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
        Some(Network { address: address(number(within) & mask, within), prefix })
    }

    /// Does `address` lie in it?
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Network::around(address, self.prefix).is_some_and(|n| n == *self)
    }

    /// Do the two share an address?
    pub fn overlaps(&self, other: &Network) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// Its last address: the broadcast address in IPv4.
    pub fn last(&self) -> IpAddr {
        let host_bits = bits(self.address) - self.prefix;
        let hosts = u128::MAX.checked_shr(128 - u32::from(host_bits)).unwrap_or(0);
        address(number(self.address) | hosts, self.address)
    }

    /// Why no machine may have `address` in this network; `None` if one may.
    pub(crate) fn reserved(&self, address: IpAddr) -> Option<&'static str> {
        if address == self.address {
            Some(match address {
                IpAddr::V4(_) => "the network's own address",
                IpAddr::V6(_) => "the network's router anycast address",
            })
        } else if address.is_ipv4() && address == self.last() {
            Some("the network's broadcast address")
        } else {
            None
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Not of the form address/prefix.
    Form,
    /// Longer than its family has bits.
    Prefix,
    /// Bits after the prefix are set; the network that was probably meant.
    HostBits(Network),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix) = text.split_once('/').ok_or(NetworkError::Form)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NetworkError::Form);
        }
        let prefix: u8 = prefix.parse().map_err(|_| NetworkError::Prefix)?;
        let network = Network::around(address, prefix).ok_or(NetworkError::Prefix)?;
        if network.address == address { Ok(network) } else { Err(NetworkError::HostBits(network)) }
    }
}

/// Addresses from the first to the last, both included, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

impl AddressRange {
    /// How many addresses; `u128::MAX` for all of IPv6.
    pub fn count(&self) -> u128 {
        (number(self.last) - number(self.first)).saturating_add(1)
    }

    /// Is it the address after the last one?
    pub(crate) fn is_followed_by(&self, next: IpAddr) -> bool {
        next.is_ipv4() == self.last.is_ipv4()
            && number(self.last).checked_add(1) == Some(number(next))
    }

    /// The addresses in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let like = self.first;
        (number(self.first)..=number(self.last)).map(move |n| address(n, like))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Why a text is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// Neither an address nor two with a `-` between them.
    Form,
    /// One end is IPv4, the other IPv6.
    Families,
    /// The first is above the last.
    Backwards,
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<AddressRange, RangeError> {
        let address = |t: &str| t.trim().parse::<IpAddr>().map_err(|_| RangeError::Form);
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeError::Families);
        }
        if first > last { Err(RangeError::Backwards) } else { Ok(AddressRange { first, last }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_know_their_addresses() {
        for (text, inside, outside, last) in [
            ("10.1.0.0/24", "10.1.0.255", "10.1.1.0", "10.1.0.255"),
            ("10.1.0.128/30", "10.1.0.131", "10.1.0.132", "10.1.0.131"),
            ("fd00:1::/64", "fd00:1::ffff", "fd00:1:0:1::", "fd00:1::ffff:ffff:ffff:ffff"),
            ("0.0.0.0/0", "255.255.255.255", "::", "255.255.255.255"),
            ("::/0", "ffff::", "1.2.3.4", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let net = network(text);
            assert!(net.contains(ip(inside)), "{text} {inside}");
            assert!(!net.contains(ip(outside)), "{text} {outside}");
            assert_eq!(net.last(), ip(last), "{text}");
            assert_eq!(net.to_string(), text);
        }
    }

    #[test]
    fn bad_networks_say_why() {
        for (text, error) in [
            ("10.1.0.0", NetworkError::Form),
            ("10.1.0/24", NetworkError::Form),
            ("10.1.0.0/+24", NetworkError::Form),
            ("10.1.0.0/", NetworkError::Form),
            ("10.1.0.0/33", NetworkError::Prefix),
            ("fd00::/129", NetworkError::Prefix),
            ("fd00::/999", NetworkError::Prefix),
            ("10.1.0.1/24", NetworkError::HostBits(network("10.1.0.0/24"))),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }

    #[test]
    fn ranges_count_and_iterate() {
        let range: AddressRange = "10.1.0.254-10.1.1.1".parse().unwrap();
        assert_eq!(range.count(), 4);
        let all: Vec<String> = range.iter().map(|a| a.to_string()).collect();
        assert_eq!(all, ["10.1.0.254", "10.1.0.255", "10.1.1.0", "10.1.1.1"]);
        let all_of_it: AddressRange = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(all_of_it.count(), u128::MAX);
        assert_eq!("10.0.0.2-10.0.0.1".parse::<AddressRange>(), Err(RangeError::Backwards));
        assert_eq!("10.0.0.2-fd00::1".parse::<AddressRange>(), Err(RangeError::Families));
        assert_eq!("10.0.0.2-3".parse::<AddressRange>(), Err(RangeError::Form));
    }
}
