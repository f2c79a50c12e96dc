//! The packet of a filter check: a SYN, a datagram or an echo that carries a mark. Every checksum is right, as a filter may look.

use super::Plan;
use dsc_conf::FilterProtocol;
use dsc_sys::sighting::Mark;
use dsc_wire::local::Mac;
use std::net::IpAddr;

/// Lowest port that it is from; all above are used.
const PORT_LEAST: u16 = 32_768;
const HOPS: u8 = 64;
const SYN: u8 = 2;
const RST: u8 = 4;
/// What a SYN says of the longest segment: that of Ethernet.
const MSS: [u8; 4] = [2, 4, 0x05, 0xB4];
/// Another machine's MAC address, of those that nobody assigns.
const FAR: Mac = [2, 0, 0, 0, 0, 1];

pub struct Packet {
    from: IpAddr,
    to: IpAddr,
    protocol: FilterProtocol,
    ports: [u16; 2],
    words: [u32; 2],
}

impl Packet {
    /// From a port of chance, so that no connection tracking knows it, with a mark of chance.
    pub fn new(plan: &Plan, to: IpAddr, chance: [u32; 3]) -> Packet {
        let port = PORT_LEAST | chance[2] as u16;
        let (ports, words) = ([port, plan.port], [chance[0], chance[1]]);
        Packet { from: plan.from, to, protocol: plan.protocol, ports, words }
    }

    /// Its protocol, as IP calls it.
    pub fn number(&self) -> u8 {
        match self.protocol {
            FilterProtocol::Tcp => 6,
            FilterProtocol::Udp => 17,
            FilterProtocol::Icmp if self.to.is_ipv4() => 1,
            FilterProtocol::Icmp => 58,
        }
    }

    /// By what it is known.
    pub fn mark(&self) -> Mark {
        match self.protocol {
            FilterProtocol::Tcp => Mark::Syn(self.words[0]),
            FilterProtocol::Udp | FilterProtocol::Icmp => Mark::Data(self.words),
        }
    }

    /// The frame that brings it to the interface with this MAC address.
    pub fn frame(&self, to: Mac) -> Vec<u8> {
        let data = self.words.map(u32::to_be_bytes).concat();
        let payload = match self.protocol {
            FilterProtocol::Tcp => self.segment(self.words[0], SYN),
            FilterProtocol::Udp => {
                let length = (8 + data.len() as u16).to_be_bytes();
                self.summed([&self.port_bytes()[..], &length, &[0, 0], &data].concat(), 6)
            }
            FilterProtocol::Icmp => {
                let kind = if self.to.is_ipv4() { 8 } else { 128 };
                let head = [kind, 0, 0, 0];
                self.summed([&head[..], &self.port_bytes(), &data].concat(), 2)
            }
        };
        self.wrapped(payload, to)
    }

    /// The frame that ends what it has begun, if anything.
    pub fn end(&self, to: Mac) -> Option<Vec<u8>> {
        let next = self.words[0].wrapping_add(1);
        (self.protocol == FilterProtocol::Tcp).then(|| self.wrapped(self.segment(next, RST), to))
    }

    fn segment(&self, sequence: u32, flags: u8) -> Vec<u8> {
        let options = if flags == SYN { &MSS[..] } else { &[] };
        let words = ((20 + options.len()) / 4) as u8;
        let mut segment = self.port_bytes().to_vec();
        segment.extend(sequence.to_be_bytes());
        segment.extend([0, 0, 0, 0, words << 4, flags, 0x40, 0, 0, 0, 0, 0]);
        segment.extend(options);
        self.summed(segment, 16)
    }

    /// Where it is from and for; an echo has its number and its place in a row there.
    fn port_bytes(&self) -> [u8; 4] {
        let [[a, b], [c, d]] = self.ports.map(u16::to_be_bytes);
        [a, b, c, d]
    }

    /// With its checksum at `at`.
    fn summed(&self, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
        let mut covered = Vec::new();
        if self.number() != 1 {
            covered.extend(octets(self.from));
            covered.extend(octets(self.to));
            covered.extend([0, self.number()]);
            covered.extend((payload.len() as u16).to_be_bytes());
        }
        covered.extend(&payload);
        // A datagram without a checksum says 0.
        let sum = match checksum(&covered) {
            0 if self.protocol == FilterProtocol::Udp => u16::MAX,
            sum => sum,
        };
        payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        payload
    }

    fn wrapped(&self, payload: Vec<u8>, to: Mac) -> Vec<u8> {
        let mut frame = [to, FAR].concat();
        if self.to.is_ipv4() {
            let length = (20 + payload.len() as u16).to_be_bytes();
            let mut head =
                vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, HOPS, self.number(), 0, 0];
            head.extend(octets(self.from));
            head.extend(octets(self.to));
            let sum = checksum(&head);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend([8, 0]);
            frame.extend(head);
        } else {
            let length = (payload.len() as u16).to_be_bytes();
            frame.extend([0x86, 0xDD]);
            frame.extend([0x60, 0, 0, 0, length[0], length[1], self.number(), HOPS]);
            frame.extend(octets(self.from));
            frame.extend(octets(self.to));
        }
        frame.extend(payload);
        frame
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !((folded & 0xFFFF) as u16 + (folded >> 16) as u16)
}
