//! The two changes that a fault needs at once, as single kernel messages: a link up or down, a bridge port open or
//! silent. Starting `ip` takes milliseconds that would be counted as somebody's failover.

use crate::error::{Doing, Error, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::os::fd::{AsRawFd, OwnedFd};

const RTM_SETLINK: u16 = 19;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFLA_PROTINFO: u16 = 12;
const IFLA_BRPORT_STATE: u16 = 1;
const NLA_F_NESTED: u16 = 1 << 15;
const BRIDGE_DISABLED: u8 = 0;
const BRIDGE_FORWARDING: u8 = 3;

/// A change to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Administratively up or down; the other end of the cable sees its carrier come or go.
    Up(bool),
    /// A bridge port that passes frames or silently drops them; nobody sees a carrier change.
    Forwarding(bool),
}

/// A routing socket in the network namespace of the thread that opened it.
pub struct Links {
    socket: OwnedFd,
}

impl Links {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open() -> Result<Links> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .doing(|| "open a routing socket".into())?;
        Ok(Links { socket })
    }

    /// Changes one link, by index; returns when the kernel has done it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn change(&self, index: u32, change: Change) -> Result<()> {
        let doing = || format!("change link {index} to {change:?}");
        let fd = self.socket.as_raw_fd();
        sendto(fd, &message(index, change), &NetlinkAddr::new(0, 0), MsgFlags::empty())
            .doing(doing)?;
        let mut answer = [0u8; 4096];
        let length = recv(fd, &mut answer, MsgFlags::empty()).doing(doing)?;
        if length < 20 || u16::from_ne_bytes([answer[4], answer[5]]) != NLMSG_ERROR {
            return Err(Error::new(doing(), "the kernel did not acknowledge it"));
        }
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            error => Err(Error::new(doing(), nix::errno::Errno::from_raw(-error))),
        }
    }
}

/// One RTM_SETLINK message.
fn message(index: u32, change: Change) -> Vec<u8> {
    let (family, flags, mask, state) = match change {
        Change::Up(up) => (libc::AF_UNSPEC as u8, u32::from(up), libc::IFF_UP as u32, None),
        Change::Forwarding(on) => {
            let state = if on { BRIDGE_FORWARDING } else { BRIDGE_DISABLED };
            (libc::AF_BRIDGE as u8, 0, 0, Some(state))
        }
    };
    let mut body = vec![family, 0, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(mask.to_ne_bytes());
    if let Some(state) = state {
        // A nested attribute with one byte in it, padded to four.
        body.extend(12u16.to_ne_bytes());
        body.extend((IFLA_PROTINFO | NLA_F_NESTED).to_ne_bytes());
        body.extend(5u16.to_ne_bytes());
        body.extend(IFLA_BRPORT_STATE.to_ne_bytes());
        body.extend([state, 0, 0, 0]);
    }
    let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
    message.extend(RTM_SETLINK.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}
