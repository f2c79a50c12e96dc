//! The probes' bytes: the payload that an echo answers, whole frames to one node's MAC address, and the questions
//! "who has this address". Pure; `probe.rs` sends them, `echo.rs` answers.

use crate::topology::{Machine, Subnet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// UDP port of the echo on every node.
pub const ECHO_PORT: u16 = 7007;
/// First bytes of every payload of ours.
const MAGIC: u32 = 0x4453_4350;
/// Bytes of a question.
pub const QUESTION_BYTES: usize = 16;
/// Bytes of an answer.
pub const ANSWER_BYTES: usize = QUESTION_BYTES + 9;

/// How a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// By an ordinary socket, to whoever ARP says.
    Plain,
    /// As a frame to one node's MAC address.
    Raw,
    /// "Who has": answered by ARP or neighbour discovery.
    WhoHas,
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// How it was sent.
    pub kind: Kind,
    /// Number of the virtual address.
    pub vip: u16,
    /// Number of the tick in which it was sent.
    pub tick: u32,
}

/// What an echo says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub question: Question,
    /// Number of the node that answers.
    pub node: u8,
    /// When its kernel took the question, wall clock ns: a late process does not blur it.
    pub accepted_ns: u64,
}

impl Question {
    /// As bytes.
    pub fn encode(&self) -> [u8; QUESTION_BYTES] {
        let mut bytes = [0; QUESTION_BYTES];
        bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[4] = match self.kind {
            Kind::Plain => 0,
            Kind::Raw => 1,
            Kind::WhoHas => 2,
        };
        bytes[6..8].copy_from_slice(&self.vip.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.tick.to_be_bytes());
        bytes
    }

    /// From bytes; none if they are not ours.
    pub fn decode(bytes: &[u8]) -> Option<Question> {
        let bytes: &[u8; QUESTION_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != MAGIC.to_be_bytes() {
            return None;
        }
        let kind = match bytes[4] {
            0 => Kind::Plain,
            1 => Kind::Raw,
            2 => Kind::WhoHas,
            _ => return None,
        };
        Some(Question {
            kind,
            vip: u16::from_be_bytes([bytes[6], bytes[7]]),
            tick: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
        })
    }
}

impl Answer {
    /// As bytes.
    pub fn encode(&self) -> [u8; ANSWER_BYTES] {
        let mut bytes = [0; ANSWER_BYTES];
        bytes[..QUESTION_BYTES].copy_from_slice(&self.question.encode());
        bytes[QUESTION_BYTES] = self.node;
        bytes[QUESTION_BYTES + 1..].copy_from_slice(&self.accepted_ns.to_be_bytes());
        bytes
    }

    /// From bytes; none if they are not ours.
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let bytes: &[u8; ANSWER_BYTES] = bytes.first_chunk()?;
        let question = Question::decode(bytes)?;
        let accepted_ns = u64::from_be_bytes(*bytes.last_chunk()?);
        Some(Answer { question, node: bytes[QUESTION_BYTES], accepted_ns })
    }
}

/// A UDP frame from `from` on `ext` to `to`, sent to the MAC address `mac`.
pub fn frame(from: &Machine, port: u16, mac: [u8; 6], to: IpAddr, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::with_capacity(8 + payload.len());
    udp.extend(port.to_be_bytes());
    udp.extend(ECHO_PORT.to_be_bytes());
    udp.extend((8 + payload.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut frame = mac.to_vec();
    frame.extend(from.mac(Subnet::Ext));
    match to {
        IpAddr::V4(to) => {
            frame.extend([0x08, 0x00]);
            let mut header = vec![0x45, 0];
            header.extend((20 + udp.len() as u16).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, libc::IPPROTO_UDP as u8, 0, 0]);
            header.extend(Subnet::Ext.v4(from.low).octets());
            header.extend(to.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(header);
        }
        IpAddr::V6(to) => {
            let source = Subnet::Ext.v6(from.low).octets();
            let pseudo = pseudo_header(source, to.octets(), libc::IPPROTO_UDP as u8, udp.len());
            let sum = checksum(&[&pseudo, &udp]);
            udp[6..8].copy_from_slice(&sum.to_be_bytes());
            ip6_header(&mut frame, libc::IPPROTO_UDP as u8, 64, udp.len(), source, to.octets());
        }
    }
    frame.extend(udp);
    frame
}

/// "Who has `address`?", to everybody.
pub fn who_has(from: &Machine, address: IpAddr) -> Vec<u8> {
    let source_mac = from.mac(Subnet::Ext);
    match address {
        IpAddr::V4(address) => {
            let mut frame = vec![0xff; 6];
            frame.extend(source_mac);
            frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
            frame.extend(source_mac);
            frame.extend(Subnet::Ext.v4(from.low).octets());
            frame.extend([0; 6]);
            frame.extend(address.octets());
            frame
        }
        IpAddr::V6(address) => {
            let target = address.octets();
            let source = Subnet::Ext.v6(from.low).octets();
            let mut group = [0; 16];
            group[..13].copy_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
            group[13..].copy_from_slice(&target[13..]);
            let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
            icmp.extend(target);
            icmp.extend([1, 1]);
            icmp.extend(source_mac);
            let pseudo = pseudo_header(source, group, libc::IPPROTO_ICMPV6 as u8, icmp.len());
            let sum = checksum(&[&pseudo, &icmp]);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            let mut frame = vec![0x33, 0x33, 0xff, target[13], target[14], target[15]];
            frame.extend(source_mac);
            // Neighbour discovery is only believed with hop limit 255 (RFC 4861, 7.1).
            ip6_header(&mut frame, libc::IPPROTO_ICMPV6 as u8, 255, icmp.len(), source, group);
            frame.extend(icmp);
            frame
        }
    }
}

/// If a frame is an answer to "who has": the address, and the MAC address that has it.
pub fn who_has_answer(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let mac = |at: usize| frame.get(at..at + 6)?.try_into().ok();
    match frame.get(12..14)? {
        [0x08, 0x06] if frame.get(20..22)? == [0, 2] => {
            let octets: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
            Some((IpAddr::V4(Ipv4Addr::from(octets)), mac(22)?))
        }
        // A neighbour advertisement that was asked for.
        [0x86, 0xdd] if frame.get(20) == Some(&58) && frame.get(54) == Some(&136) => {
            let solicited = frame.get(58)? & 0x40 != 0;
            let octets: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
            solicited.then_some(())?;
            Some((IpAddr::V6(Ipv6Addr::from(octets)), mac(6)?))
        }
        _ => None,
    }
}

fn ip6_header(
    frame: &mut Vec<u8>,
    next: u8,
    hops: u8,
    length: usize,
    from: [u8; 16],
    to: [u8; 16],
) {
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((length as u16).to_be_bytes());
    frame.extend([next, hops]);
    frame.extend(from);
    frame.extend(to);
}

fn pseudo_header(from: [u8; 16], to: [u8; 16], next: u8, length: usize) -> Vec<u8> {
    let mut header = from.to_vec();
    header.extend(to);
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, next]);
    header
}

/// The Internet checksum (RFC 1071) over parts; all but the last have even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Plan;

    #[test]
    fn payloads_come_back_and_garbage_does_not() {
        let question = Question { kind: Kind::Raw, vip: 300, tick: 70_000 };
        assert_eq!(Question::decode(&question.encode()), Some(question));
        let answer = Answer { question, node: 9, accepted_ns: 1 << 60 };
        assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        assert_eq!(Answer::decode(&question.encode()), None);
        assert_eq!(Question::decode(&[0; QUESTION_BYTES]), None);
    }

    #[test]
    fn checksums_add_up_to_all_ones() {
        let probe = &Plan::default().machines()[1];
        let to6: IpAddr = "fd00:1::100".parse().unwrap();
        let v6 = frame(probe, 99, [2; 6], to6, &[1, 2, 3]);
        let pseudo = pseudo_header(
            v6[22..38].try_into().unwrap(),
            v6[38..54].try_into().unwrap(),
            17,
            v6.len() - 54,
        );
        assert_eq!(checksum(&[&pseudo, &v6[54..]]), 0xffff, "the sum with its checksum is zero");
        let v4 = frame(probe, 99, [2; 6], "10.1.0.100".parse().unwrap(), &[1, 2, 3]);
        assert_eq!(checksum(&[&v4[14..34]]), 0xffff);
    }

    #[test]
    fn questions_are_not_mistaken_for_answers() {
        let probe = &Plan::default().machines()[1];
        for address in ["10.1.0.100", "fd00:1::100"] {
            let mut frame = who_has(probe, address.parse().unwrap());
            assert_eq!(who_has_answer(&frame), None);
            if frame[13] == 6 {
                frame[21] = 2;
                let answer = who_has_answer(&frame).unwrap();
                assert_eq!(answer, ("10.1.0.251".parse().unwrap(), probe.mac(Subnet::Ext)));
            }
            for end in 0..frame.len() {
                who_has_answer(&frame[..end]);
            }
        }
    }
}
