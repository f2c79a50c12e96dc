//! Addresses of this machine's interfaces: listing, adding, removing, over netlink and one at a time. Used by the data
//! path daemon to keep the VIPs on loopback. Each address it adds carries DSC's mark, by which a later daemon tells its
//! own from an operator's.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

/// Most bytes of one part of an answer; the kernel sends no larger ones.
const PART_MAX: usize = 32 * 1024;
/// Most parts of one answer: 1024 VIPs take two.
const PARTS_MAX: usize = 256;
const HEADER: usize = 16;
const IFADDR: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;
const FOREVER: u32 = u32::MAX;
/// In the field where the kernel notes which routing program an address comes from.
const MARK: u8 = 0xDC;

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The interface's index.
    pub nic: u32,
    /// The address.
    pub ip: IpAddr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// Added by DSC.
    pub ours: bool,
}

/// The index of the interface with this name, if there is one now.
pub fn index_of(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// The kernel's table of addresses.
pub struct Addresses {
    socket: OwnedFd,
    sequence: u32,
}

impl Addresses {
    /// Opens the table.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> io::Result<Addresses> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Addresses { socket, sequence: 0 })
    }

    /// All addresses of all interfaces.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&mut self) -> io::Result<Vec<Address>> {
        let mut found = Vec::new();
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        self.ask(libc::RTM_GETADDR, flags, &[0; IFADDR], |message| {
            found.extend(parse(message));
        })?;
        Ok(found)
    }

    /// Adds one host address to the interface with index `nic`, marked as ours. It is at once usable; an IPv6 address is
    /// never chosen as a source. A multicast address joins its group for as long as it stays. There already: nothing
    /// changes.
    ///
    /// # Errors
    /// The system's: `CAP_NET_ADMIN` is missing, or there is no such interface.
    pub fn add(&mut self, nic: u32, ip: IpAddr) -> io::Result<()> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        match self.ask(libc::RTM_NEWADDR, flags, &host_address(nic, ip), |_| {}) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Takes one host address away. Not there: nothing changes.
    ///
    /// # Errors
    /// The system's: `CAP_NET_ADMIN` is missing.
    pub fn remove(&mut self, nic: u32, ip: IpAddr) -> io::Result<()> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        match self.ask(libc::RTM_DELADDR, flags, &host_address(nic, ip), |_| {}) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => {
                Ok(())
            }
            other => other,
        }
    }

    /// Sends one request and reads until the kernel has said that it is done.
    fn ask(
        &mut self,
        kind: u16,
        flags: i32,
        body: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.sequence += 1;
        let mut request = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend((flags as u16).to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]);
        request.extend(body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut part = vec![0; PART_MAX];
        for _ in 0..PARTS_MAX {
            let length = recv(self.socket.as_raw_fd(), &mut part, MsgFlags::empty())?;
            if let Some(end) = take(&part[..length], self.sequence, &mut each) {
                return end;
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Takes what a part has for the request with this number; what became of it, if the part says so.
fn take(mut part: &[u8], number: u32, each: &mut impl FnMut(&[u8])) -> Option<io::Result<()>> {
    while let Some((kind, sequence, message, next)) = split(part) {
        part = next;
        if sequence != number {
            continue;
        }
        match i32::from(kind) {
            // A list that broke off ends like a whole one, but for its status.
            libc::NLMSG_DONE | libc::NLMSG_ERROR => return Some(outcome(message)),
            _ => each(message),
        }
    }
    None
}

fn outcome(message: &[u8]) -> io::Result<()> {
    match message.get(..4).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The first message's kind, sequence number and body, and what follows it.
fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let sequence = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
    let message = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, sequence, message, next))
}

fn parse(message: &[u8]) -> Option<Address> {
    let nic = u32::from_ne_bytes(message.get(4..8)?.try_into().ok()?);
    let prefix = *message.get(1)?;
    let (mut ip, mut local, mut ours) = (None, None, false);
    let mut attributes = message.get(IFADDR..)?;
    while let Some(length) = attributes.get(..2) {
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        match kind {
            IFA_ADDRESS => ip = address(value),
            IFA_LOCAL => local = address(value),
            IFA_PROTO => ours = value == [MARK],
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // On a point-to-point interface the first is the other end's.
    Some(Address { nic, ip: local.or(ip)?, prefix, ours })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|six| Ipv6Addr::from(six).into())
}

fn host_address(nic: u32, ip: IpAddr) -> Vec<u8> {
    let (family, prefix, bytes, flags) = match ip {
        IpAddr::V4(ip) => (libc::AF_INET, 32, ip.octets().to_vec(), 0),
        IpAddr::V6(ip) if ip.is_multicast() => {
            let flags = IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
            (libc::AF_INET6, 128, ip.octets().to_vec(), flags)
        }
        IpAddr::V6(ip) => (libc::AF_INET6, 128, ip.octets().to_vec(), IFA_F_NODAD),
    };
    let mut message = vec![family as u8, prefix, 0, 0];
    message.extend(nic.to_ne_bytes());
    let mut attribute = |kind: u16, value: &[u8]| {
        message.extend(((4 + value.len()) as u16).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    attribute(IFA_LOCAL, &bytes);
    attribute(IFA_ADDRESS, &bytes);
    attribute(IFA_PROTO, &[MARK]);
    if ip.is_ipv6() {
        attribute(IFA_FLAGS, &flags.to_ne_bytes());
        // Preferred for no time: deprecated from the start, so that nothing but an answer is sent from it.
        let lifetimes = [0u32, FOREVER, 0, 0].map(u32::to_ne_bytes).concat();
        attribute(IFA_CACHEINFO, &lifetimes);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_and_is_not_ours() {
        let found = Addresses::open().unwrap().list().unwrap();
        let home = found.iter().find(|a| a.ip == IpAddr::from([127, 0, 0, 1])).unwrap();
        assert_eq!((home.prefix, home.ours), (8, false));
    }

    #[test]
    fn what_is_sent_reads_back_as_ours() {
        for ip in ["10.1.0.100", "fd00::1", "ff02::1:ff00:1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let read = parse(&host_address(7, ip)).unwrap();
            assert_eq!((read.nic, read.ip, read.ours), (7, ip, true));
        }
    }

    #[test]
    fn a_list_that_broke_off_is_an_error() {
        let end = |number: u32, status: i32| {
            let kind = (libc::NLMSG_DONE as u32).to_ne_bytes();
            let head = [20u32.to_ne_bytes(), kind, number.to_ne_bytes(), [0; 4]].concat();
            take(&[head, status.to_ne_bytes().to_vec()].concat(), 7, &mut |_| {})
        };
        assert!(end(6, 0).is_none());
        assert!(end(7, 0).unwrap().is_ok());
        let broken = end(7, -libc::EMSGSIZE).unwrap().unwrap_err();
        assert_eq!(broken.raw_os_error(), Some(libc::EMSGSIZE));
    }

    #[test]
    fn a_cut_message_is_not_read() {
        let whole = host_address(7, IpAddr::from([10, 1, 0, 100]));
        for cut in 0..IFADDR + 8 {
            assert_eq!(parse(&whole[..cut]), None, "cut to {cut}");
        }
        assert!(split(&[0; 15]).is_none());
        assert!(split(&[255; 64]).is_none());
    }
}
