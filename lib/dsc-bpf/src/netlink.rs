//! Netlink: one request, and what the kernel answers. What is in the messages is the callers' matter.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};

/// Most bytes of one part of an answer; the kernel sends no larger ones.
const PART_MAX: usize = 32 * 1024;
/// Most parts of one answer: thousands of filters take a dozen.
const PARTS_MAX: usize = 1024;
const HEADER: usize = 16;
/// In an attribute's kind: it holds others.
pub(crate) const NESTED: u16 = 1 << 15;

/// A connection with one part of the kernel.
pub(crate) struct Netlink {
    socket: File,
    sequence: u32,
}

impl Netlink {
    /// With the part that `protocol` names, as NETLINK_ROUTE.
    pub(crate) fn open(protocol: i32) -> io::Result<Netlink> {
        // SAFETY: a call without pointers.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just returned this descriptor to us and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Netlink { socket: socket.into(), sequence: 0 })
    }

    /// Sends one request and reads until the kernel has said that it is done.
    pub(crate) fn ask(
        &mut self,
        kind: u16,
        flags: i32,
        body: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.sequence += 1;
        let mut request = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend(((flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]);
        request.extend(body);
        self.socket.write_all(&request)?;
        let mut part = vec![0; PART_MAX];
        for _ in 0..PARTS_MAX {
            let length = self.socket.read(&mut part)?;
            if let Some(end) = take(&part[..length], self.sequence, &mut each) {
                return end;
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

pub(crate) fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(((4 + value.len()) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
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
    match u32_at(message, 0).map(|code| code as i32) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The first message's kind, sequence number and body, and what follows it.
fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let message = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16_at(bytes, 4)?, u32_at(bytes, 8)?, message, next))
}

/// The attributes in `bytes`, up to one that is cut.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let found = (u16_at(bytes, 2)? & !NESTED, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(found)
    })
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_cut_message_is_harmless() {
        assert!(split(&[0; 15]).is_none() && split(&[255; 64]).is_none());
        assert_eq!(attributes(&[0; 8]).count(), 0);
    }
}
