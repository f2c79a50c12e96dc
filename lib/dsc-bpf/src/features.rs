//! What a driver can do for programs in it: the `netdev` family of generic netlink, Linux 6.3 and newer. A frame that is sent
//! by a driver without the means is lost without a word, so nothing is sent where the kernel does not say that it works.

use crate::netlink::{Netlink, attribute, attributes, u16_at, u32_at};
use std::io;

/// `struct genlmsghdr`.
const HEAD: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_NDO_XMIT`: it sends what programs of other drivers give it.
const SENDS: u32 = 4;

/// Does the driver of `nic` send frames that a program in another driver has redirected to it?
///
/// # Errors
/// The kernel does not say: it is too old, or the interface is gone.
pub(crate) fn sends(nic: u32) -> io::Result<bool> {
    let mut netlink = Netlink::open(libc::NETLINK_GENERIC)?;
    let mut request = head(CTRL_CMD_GETFAMILY);
    attribute(&mut request, CTRL_ATTR_FAMILY_NAME, b"netdev\0");
    let mut family = None;
    netlink.ask(libc::GENL_ID_CTRL as u16, 0, &request, |message| {
        let found = value(message, CTRL_ATTR_FAMILY_ID);
        family = found.and_then(|id| u16_at(id, 0)).or(family);
    })?;
    let family = family.ok_or(io::ErrorKind::NotFound)?;
    let mut request = head(NETDEV_CMD_DEV_GET);
    attribute(&mut request, NETDEV_A_DEV_IFINDEX, &nic.to_ne_bytes());
    let mut features = 0;
    netlink.ask(family, 0, &request, |message| {
        // 64 bits, of which the kernel has given names to the lowest.
        let low = if cfg!(target_endian = "little") { 0 } else { 4 };
        let found = value(message, NETDEV_A_DEV_XDP_FEATURES);
        features = found.and_then(|bits| u32_at(bits, low)).unwrap_or(features);
    })?;
    Ok(features & SENDS != 0)
}

fn head(command: u8) -> Vec<u8> {
    vec![command, 1, 0, 0]
}

fn value(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let body = message.get(HEAD..)?;
    attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}
