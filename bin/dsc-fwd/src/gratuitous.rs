//! The frames that announce a VIP and those that ask who else has it, built and sent. Whether this node may announce it is
//! the kernel's decision once more: at egress a claim without a lease is dropped. A question claims nothing. Packets of others
//! are handed on by the same sockets.

use crate::addresses::group;
use dsc_bpf::Nic;
use dsc_sys::frames::FrameSender;
use dsc_wire::local::Mac;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BROADCAST: Mac = [0xFF; 6];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Announces on one interface.
pub struct Voice {
    nic: Nic,
    sender: FrameSender,
    /// Frames that the interface did not take.
    pub unsent: u64,
}

impl Voice {
    /// On `nic`.
    ///
    /// # Errors
    /// The system's: `CAP_NET_RAW` is missing, or the interface went away.
    pub fn open(nic: Nic) -> io::Result<Voice> {
        Ok(Voice { sender: FrameSender::open(nic.index)?, nic, unsent: 0 })
    }

    /// The interface.
    pub fn nic(&self) -> &Nic {
        &self.nic
    }

    /// Announces `address`; `step` counts within a burst.
    pub fn announce(&mut self, address: IpAddr, step: usize) {
        let frame = match address {
            // RFC 5227 wants requests; some machines learn from replies alone, so they take turns.
            IpAddr::V4(a) if step.is_multiple_of(2) => arp(self.nic.mac, a, a, REQUEST),
            IpAddr::V4(a) => arp(self.nic.mac, a, a, REPLY),
            IpAddr::V6(a) => advertisement(self.nic.mac, a, self.nic.router),
        };
        self.send(&frame);
    }

    /// Asks who has `address`: members are silent, and whoever answers is a conflict. Only this node learns from it, so that
    /// nobody's traffic goes astray: the IPv4 question has no sender (RFC 5227 2.1.1), and its answer goes to our MAC address.
    /// The IPv6 one has the interface's own sender, because one without, as in duplicate address detection, is answered to
    /// all nodes and overrides what they believe (RFC 4861 7.2.4). An interface without an IPv6 address cannot ask.
    pub fn ask(&mut self, address: IpAddr) {
        let question = match address {
            IpAddr::V4(a) => Some(arp(self.nic.mac, Ipv4Addr::UNSPECIFIED, a, REQUEST)),
            IpAddr::V6(a) => self.nic.address6.map(|own| solicitation(self.nic.mac, own, a)),
        };
        if let Some(frame) = question {
            self.send(&frame);
        }
    }

    /// Hands an IP packet that came here to another member.
    ///
    /// # Errors
    /// The interface does not take it.
    pub fn hand(&mut self, to: Mac, packet: &[u8]) -> io::Result<()> {
        let six = packet.first().is_some_and(|first| first >> 4 == 6);
        let kind = if six { [0x86, 0xDD] } else { [0x08, 0x00] };
        self.sender.send(&[&to[..], &self.nic.mac, &kind, packet].concat())
    }

    fn send(&mut self, frame: &[u8]) {
        if self.sender.send(frame).is_err() {
            self.unsent += 1;
        }
    }
}

/// An ARP frame to everybody; gratuitous if both addresses are the same.
fn arp(mac: Mac, sender: Ipv4Addr, address: Ipv4Addr, operation: u16) -> Vec<u8> {
    let target = if operation == REPLY { BROADCAST } else { [0; 6] };
    [
        &BROADCAST[..],
        &mac,
        &[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4],
        &operation.to_be_bytes(),
        &mac,
        &sender.octets(),
        &target,
        &address.octets(),
    ]
    .concat()
}

/// An unsolicited neighbour advertisement to all nodes (RFC 4861 7.2.6).
fn advertisement(mac: Mac, address: Ipv6Addr, router: bool) -> Vec<u8> {
    let all = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
    let flags = if router { 0xA0 } else { 0x20 };
    let message =
        [&[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0][..], &address.octets(), &[2, 1], &mac].concat();
    discovery(mac, address, all, message)
}

/// A neighbour solicitation for `address` to those who listen for it (RFC 4861 4.3).
fn solicitation(mac: Mac, own: Ipv6Addr, address: Ipv6Addr) -> Vec<u8> {
    let message =
        [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &address.octets(), &[1, 1], &mac].concat();
    discovery(mac, own, group(address), message)
}

/// A frame with a message of neighbour discovery, whose checksum is still zero, to a group.
fn discovery(mac: Mac, source: Ipv6Addr, group: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let length = message.len() as u16;
    let pseudo = [&[0, 0][..], &length.to_be_bytes(), &[0, 0, 0, 58]].concat();
    let sum = checksum([&source.octets()[..], &group.octets(), &pseudo, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    [
        &[0x33, 0x33][..],
        &group.octets()[12..],
        &mac,
        &[0x86, 0xDD, 0x60, 0, 0, 0],
        &length.to_be_bytes(),
        &[58, 255],
        &source.octets(),
        &group.octets(),
        &message,
    ]
    .concat()
}

/// The Internet checksum over parts of even length.
fn checksum<const N: usize>(parts: [&[u8]; N]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let once = (sum & 0xFFFF) + (sum >> 16);
    !((once & 0xFFFF) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const VIP4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);

    #[test]
    fn arp_claims_the_address_for_the_interface() {
        let request = arp(MAC, VIP4, VIP4, REQUEST);
        assert_eq!(
            request,
            [
                0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
                2, 0, 0, 0, 0, 1, 10, 1, 0, 100, 0, 0, 0, 0, 0, 0, 10, 1, 0, 100
            ]
        );
        let reply = arp(MAC, VIP4, VIP4, REPLY);
        assert_eq!((reply[21], &reply[32..38]), (2, &[0xFF; 6][..]));
    }

    #[test]
    fn an_arp_question_has_no_sender_that_anybody_could_learn() {
        let question = arp(MAC, Ipv4Addr::UNSPECIFIED, VIP4, REQUEST);
        assert_eq!(
            question[20..],
            [0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 1, 0, 100]
        );
    }

    #[test]
    fn the_solicitation_goes_to_the_group_and_has_a_right_checksum() {
        let own: Ipv6Addr = "fe80::1".parse().unwrap();
        let vip: Ipv6Addr = "fd00:1::100".parse().unwrap();
        let frame = solicitation(MAC, own, vip);
        assert_eq!(frame[..12], [0x33, 0x33, 0xFF, 0, 1, 0, 2, 0, 0, 0, 0, 1]);
        assert_eq!((&frame[22..38], frame[54]), (&own.octets()[..], 135));
        assert_eq!(
            (&frame[62..78], &frame[78..]),
            (&vip.octets()[..], &[1, 1, 2, 0, 0, 0, 0, 1][..])
        );
        let pseudo = [0, 0, 0, 32, 0, 0, 0, 58];
        assert_eq!(checksum([&frame[22..54], &pseudo, &frame[54..]]), 0);
    }

    #[test]
    fn the_advertisement_has_a_right_checksum() {
        let frame = advertisement(MAC, "fd00:1::100".parse().unwrap(), true);
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!((frame[21], frame[54], frame[58]), (255, 136, 0xA0));
        let pseudo = [0, 0, 0, 32, 0, 0, 0, 58];
        // Over a message with its checksum the sum is all ones, so what is left is zero.
        assert_eq!(checksum([&frame[22..54], &pseudo, &frame[54..]]), 0);
    }
}
