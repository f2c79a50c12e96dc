//! What is near the node: a machine that answers an echo, a neighbour, the node's own interface.

use super::reason;
use dsc_sys::load::LoadReader;
use dsc_sys::nic::{self, Nic};
use dsc_sys::{echo, link::Links};
use dsc_wire::Reason;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long another machine has to say that it has our address.
const CLAIM: Duration = Duration::from_millis(100);

/// Errors counted on an interface by the probe before; [`Errors::NEW`] before the first.
pub struct Errors(AtomicU64);

impl Errors {
    const NEW: u64 = u64::MAX;

    /// Before the first probe.
    pub fn new() -> Errors {
        Errors(AtomicU64::new(Errors::NEW))
    }
}

/// Must answer ARP or neighbour discovery on one of the node's subnets.
pub async fn neighbour(own: &[Option<IpAddr>], to: IpAddr) -> Result<(), Reason> {
    let nics = nic::nics().map_err(reason)?;
    let found = near(&nics, to).ok_or(Reason::Unreachable)?;
    let (number, mac) = numbers(found)?;
    let here = |a: &&IpAddr| found.addresses.iter().any(|(b, _)| *a == b);
    let from = own.iter().flatten().filter(here).find(|a| a.is_ipv4() == to.is_ipv4());
    let from = from.copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    echo::neighbour(number, mac, from, to).await.map(drop).map_err(reason)
}

/// The interface that has `own` must be up, count few errors, and be alone with the address.
pub async fn interface(own: IpAddr, most: u16, before: &Errors) -> Result<(), Reason> {
    let nics = nic::nics().map_err(reason)?;
    let found = nic::carrying(&nics, own).ok_or(Reason::Down)?;
    let mut links = Links::open_without_filters().map_err(reason)?;
    let up = links.list().await.map_err(reason)?;
    if !up.iter().any(|l| l.name == found.name && l.carrier && !l.gone) {
        return Err(Reason::Down);
    }
    let counts = LoadReader::open().and_then(|mut reader| reader.nics()).map_err(reason)?;
    let errors = counts.iter().find(|c| c.name == found.name).map_or(0, |c| c.errors);
    let was = before.0.swap(errors, Ordering::Relaxed);
    // An interface that was made again counts from zero.
    let new = if was == Errors::NEW { 0 } else { errors.saturating_sub(was) };
    if new > u64::from(most) {
        return Err(Reason::Errors { count: u16::try_from(new).unwrap_or(u16::MAX) });
    }
    let (number, mac) = numbers(found)?;
    if own.is_ipv6() {
        // The kernel asks for its own before it uses one.
        return Ok(());
    }
    let nobody = Ipv4Addr::UNSPECIFIED.into();
    match tokio::time::timeout(CLAIM, echo::neighbour(number, mac, nobody, own)).await {
        Ok(Ok(_)) => Err(Reason::Duplicate),
        Ok(Err(error)) => Err(reason(error)),
        Err(_nobody) => Ok(()),
    }
}

/// The interface on whose network an address is.
pub fn near(nics: &[Nic], address: IpAddr) -> Option<&Nic> {
    nics.iter().find(|nic| nic.addresses.iter().any(|(a, prefix)| within(*a, *prefix, address)))
}

/// The kernel's number of an interface, and its MAC address.
pub fn numbers(nic: &Nic) -> Result<(u32, dsc_wire::local::Mac), Reason> {
    let gone = || reason(io::Error::from_raw_os_error(libc::ENODEV));
    Ok((nic::number(&nic.name).ok_or_else(gone)?, nic.mac.ok_or_else(gone)?))
}

fn within(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(a) => (u128::from(a.to_bits()) << 96, 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    };
    let ((one, width), (other, other_width)) = (bits(network), bits(address));
    let shift = 128 - u32::from(prefix.min(width));
    width == other_width && (shift == 128 || (one ^ other) >> shift == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_in_the_network_of_an_address() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(within(ip("10.1.0.1"), 24, ip("10.1.0.254")));
        assert!(!within(ip("10.1.0.1"), 24, ip("10.1.1.254")));
        assert!(within(ip("10.1.0.1"), 0, ip("192.0.2.1")));
        assert!(within(ip("fd00:1::1"), 64, ip("fd00:1::ffff")));
        assert!(!within(ip("fd00:1::1"), 64, ip("fd00:2::1")));
        assert!(!within(ip("10.1.0.1"), 0, ip("fd00::1")));
    }
}
