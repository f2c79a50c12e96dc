//! The kernel's word on interfaces: a list of all of them, and a message at once when one changes. Used by the health daemon
//! and the data path daemon. A lost message (the kernel's queue ran over) is made good by asking for the list again.

use crate::readiness;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// Most bytes of one netlink answer; the kernel sends no larger parts.
const PART_MAX: usize = 32 * 1024;
const INTERFACES: libc::c_int =
    libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
const DONE: u16 = libc::NLMSG_DONE as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DISTURBED: u16 = libc::NLM_F_DUMP_INTR as u16;
const HEADER: usize = 16;
const IFINFO: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_OPERSTATE: u16 = 16;
const OPER_UNKNOWN: u8 = 0;
const OPER_UP: u8 = 6;

/// What the kernel says about one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As `ip link` calls it.
    pub name: String,
    /// Up, with a carrier, and operational: frames can pass.
    pub carrier: bool,
    /// It no longer exists.
    pub gone: bool,
}

/// A subscription to changes of interfaces and their addresses, and perhaps of the filters on them.
pub struct Links {
    fd: AsyncFd<OwnedFd>,
    part: Box<[u8; PART_MAX]>,
    /// The kernel has not yet said all of the list that was asked for last.
    listing: bool,
    /// That list may lack something, so another one is asked for when it ends: the kernel refuses two at once.
    stale: bool,
}

impl Links {
    /// Subscribes to everything, qdiscs and filters too, and asks for the list, which the first [`Links::changed`] calls
    /// return. Must be called inside a runtime.
    ///
    /// # Errors
    /// The system's; reading links needs no privilege.
    pub fn open() -> io::Result<Links> {
        Links::subscribe(INTERFACES | libc::RTMGRP_TC)
    }

    /// The same without qdiscs and filters.
    ///
    /// # Errors
    /// As [`Links::open`].
    pub fn open_without_filters() -> io::Result<Links> {
        Links::subscribe(INTERFACES)
    }

    fn subscribe(groups: libc::c_int) -> io::Result<Links> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
        let fd = readiness::watch(fd)?;
        let mut links = Links { fd, part: Box::new([0; PART_MAX]), listing: false, stale: false };
        links.ask_all()?;
        Ok(links)
    }

    fn ask_all(&mut self) -> io::Result<()> {
        self.stale = self.listing;
        if self.listing {
            return Ok(());
        }
        let mut ask = Vec::with_capacity(HEADER + IFINFO);
        ask.extend(((HEADER + IFINFO) as u32).to_ne_bytes());
        ask.extend(libc::RTM_GETLINK.to_ne_bytes());
        ask.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
        ask.extend([0; 8]);
        ask.extend([0; IFINFO]);
        send(self.fd.as_raw_fd(), &ask, MsgFlags::empty())?;
        self.listing = true;
        Ok(())
    }

    /// The rest of the list that was asked for at the start, and what changed meanwhile. The list comes in parts.
    ///
    /// # Errors
    /// As [`Links::changed`].
    pub async fn list(&mut self) -> io::Result<Vec<Link>> {
        let mut all = Vec::new();
        while self.listing {
            all.extend(self.changed().await?);
        }
        Ok(all)
    }

    /// Waits for the kernel to say something about interfaces. An empty list: an address or a filter came or went.
    ///
    /// # Errors
    /// The system's. A queue that ran over is no error: the list is asked for again.
    pub async fn changed(&mut self) -> io::Result<Vec<Link>> {
        loop {
            let mut guard = self.fd.readable().await?;
            let received = guard.try_io(|fd| {
                Ok(recv(fd.as_raw_fd(), self.part.as_mut_slice(), MsgFlags::empty())?)
            });
            match received {
                Err(_would_block) => {}
                Ok(Ok(length)) => {
                    let part = parse(&self.part[..length]);
                    self.listing &= !part.ends;
                    self.stale |= part.disturbed;
                    if self.stale && !self.listing {
                        self.ask_all()?;
                    }
                    return part.refused.map_or(Ok(part.links), Err);
                }
                Ok(Err(e)) if e.raw_os_error() == Some(libc::ENOBUFS) => self.ask_all()?,
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Err(e),
            }
        }
    }
}

/// What one datagram of the kernel says.
#[derive(Default)]
struct Part {
    links: Vec<Link>,
    /// The list ends here.
    ends: bool,
    /// Interfaces came or went while the kernel wrote the list.
    disturbed: bool,
    /// The kernel does not give the list.
    refused: Option<io::Error>,
}

/// A message that is not about a link or the list, or is cut, is left out.
fn parse(mut bytes: &[u8]) -> Part {
    let mut part = Part::default();
    while let Some(length) = u32_at(bytes, 0).map(|l| l as usize) {
        if length < HEADER || length > bytes.len() {
            break;
        }
        let message = &bytes[HEADER..length];
        let kind = u16_at(bytes, 4).unwrap_or(0);
        let flags = u16_at(bytes, 6).unwrap_or(0);
        part.disturbed |= flags & DISTURBED != 0;
        match kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => {
                part.links.extend(parse_link(message, kind == libc::RTM_DELLINK));
            }
            DONE => part.ends = true,
            ERROR => {
                let code = u32_at(message, 0).unwrap_or(0).cast_signed();
                part.refused = Some(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            _ => {}
        }
        bytes = &bytes[aligned(length).min(bytes.len())..];
    }
    part
}

fn parse_link(message: &[u8], gone: bool) -> Option<Link> {
    let flags = u32_at(message, 8)?;
    let mut attributes = message.get(IFINFO..)?;
    let mut name = None;
    let mut operational = true;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let Some(value) = attributes.get(4..length) else { break };
        match kind {
            IFLA_IFNAME => name = Some(text(value)),
            IFLA_OPERSTATE => {
                operational = matches!(value.first(), Some(&OPER_UP | &OPER_UNKNOWN));
            }
            _ => {}
        }
        attributes = &attributes[aligned(length).min(attributes.len())..];
    }
    let wanted = (libc::IFF_UP | libc::IFF_LOWER_UP) as u32;
    Some(Link { name: name?, carrier: !gone && operational && flags & wanted == wanted, gone })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: i32, name: &str, operstate: u8) -> Vec<u8> {
        let mut body = vec![0; IFINFO];
        body[8..12].copy_from_slice(&(flags as u32).to_ne_bytes());
        let mut attribute = |kind: u16, value: &[u8]| {
            body.extend(((4 + value.len()) as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(aligned(body.len()), 0);
        };
        attribute(IFLA_OPERSTATE, &[operstate]);
        attribute(IFLA_IFNAME, format!("{name}\0").as_bytes());
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn carrier_needs_up_and_lower_up_and_an_operational_state() {
        let both = libc::IFF_UP | libc::IFF_LOWER_UP;
        for (flags, operstate, carrier) in [
            (both, OPER_UP, true),
            (both, OPER_UNKNOWN, true),
            (both, 2, false),
            (libc::IFF_UP, OPER_UP, false),
            (libc::IFF_LOWER_UP, OPER_UP, false),
        ] {
            let links = parse(&message(libc::RTM_NEWLINK, flags, "eth0", operstate)).links;
            assert_eq!(links, [Link { name: "eth0".to_owned(), carrier, gone: false }]);
        }
        let links = parse(&message(libc::RTM_DELLINK, both, "eth0", OPER_UP)).links;
        assert_eq!(links, [Link { name: "eth0".to_owned(), carrier: false, gone: true }]);
    }

    #[test]
    fn several_messages_are_read_and_a_cut_one_is_not() {
        let mut bytes = message(libc::RTM_NEWLINK, 0, "a", OPER_UP);
        bytes.extend(message(libc::RTM_NEWLINK, 0, "long-name0", OPER_UP));
        assert_eq!(parse(&bytes).links.len(), 2);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).links.len() < 2);
        }
    }

    #[test]
    fn the_end_of_the_list_is_seen_and_whether_it_can_be_relied_on() {
        let mut bytes = message(libc::RTM_NEWLINK, 0, "a", OPER_UP);
        assert!(!parse(&bytes).ends);
        bytes.extend(message(DONE, 0, "", OPER_UP));
        let part = parse(&bytes);
        assert!(part.ends && !part.disturbed && part.refused.is_none());
        bytes[6..8].copy_from_slice(&DISTURBED.to_ne_bytes());
        assert!(parse(&bytes).disturbed);
        let mut bytes = message(ERROR, 0, "", OPER_UP);
        bytes[HEADER..HEADER + 4].copy_from_slice(&(-libc::ENOMEM).to_ne_bytes());
        assert_eq!(parse(&bytes).refused.unwrap().raw_os_error(), Some(libc::ENOMEM));
    }

    #[test]
    fn no_bytes_harm() {
        bolero::check!().with_iterations(20_000).with_max_len(256).for_each(|bytes: &[u8]| {
            let links = parse(bytes).links;
            assert!(links.len() <= bytes.len() / HEADER);
        });
        let good = message(libc::RTM_NEWLINK, 0, "eth0", OPER_UP);
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                assert!(parse(&bytes).links.len() <= 1);
            }
        }
    }

    #[test]
    fn the_kernel_tells_about_loopback() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for open in [Links::open, Links::open_without_filters] {
                let mut links = open().unwrap();
                // Another one while the first is under way: the kernel would refuse it.
                links.ask_all().unwrap();
                for _ in 0..2 {
                    assert!(links.list().await.unwrap().iter().any(|l| l.name == "lo"));
                    assert!(links.list().await.unwrap().is_empty());
                    links.ask_all().unwrap();
                }
            }
        });
    }
}
