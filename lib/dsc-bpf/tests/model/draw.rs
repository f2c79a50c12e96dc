//! Random packets of the small world in which the programs are compared with their model.

use super::{FIRST, NODES, SLICE, VIPS, address};
use crate::rows::nat::Packet as Built;
use dsc_flow::model::Model;
use dsc_wire::SubnetId;
use std::net::SocketAddr;

/// SplitMix64: numbers that look random and are the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A packet of a connection from inside: machines with one port each, few ends outside, every port and some beyond.
fn draw_inside(random: &mut Random, four: bool) -> (SocketAddr, SocketAddr, SubnetId) {
    let (servers, ends, vips): (&[&str], &[&str], &[&str]) = if four {
        (
            &["10.2.0.70", "10.2.0.72", "10.2.0.73", "10.2.0.71"],
            &["192.0.2.9", "192.0.2.9", "192.0.2.9", "10.1.0.250", "10.2.0.9", "224.0.0.1"],
            &[VIPS[0].0, VIPS[1].0],
        )
    } else {
        (
            &["fd00:2::70", "fd00:2::72", "fd00:2::73", "fd00:2::71"],
            &["2001:db8::9", "2001:db8::9", "2001:db8::9", "fd00:1::250", "fd00:2::9", "fe80::1"],
            &[VIPS[2].0, VIPS[3].0],
        )
    };
    let end = address(random.of(ends), 443);
    if random.below(2) == 0 {
        let port = 5000 + random.below(2) as u16;
        (address(random.of(servers), port), end, SubnetId(u8::from(random.below(8) != 0)))
    } else {
        let port = FIRST + random.below(usize::from(SLICE * NODES) + 1) as u16;
        (end, address(random.of(vips), port), SubnetId(0))
    }
}

/// A packet of a small world, so that flows meet again: two clients with three ports each, and every VIP and backend.
pub fn draw(random: &mut Random, model: &Model) -> (Built, bool, SubnetId) {
    let four = random.below(2) == 0;
    let port = 4000 + random.below(3) as u16;
    let client = if four { ["10.1.0.250", "10.1.0.251"] } else { ["fd00:1::250", "fd00:1::251"] };
    let client = address(random.of(&client), port);
    let (vip, _) = VIPS[random.below(2) + if four { 0 } else { 2 }];
    let vip = address(vip, if random.below(20) == 0 { 81 } else { 80 });
    let backends: Vec<SocketAddr> =
        model.backends.iter().map(|b| b.address).filter(|a| a.is_ipv4() == four).collect();
    let mut backend = random.of(&backends);
    if random.below(20) == 0 {
        backend.set_port(22);
    }
    let (source, dest) = if random.below(2) == 0 { (client, vip) } else { (backend, client) };
    let (source, dest, by) = match random.below(2) {
        0 => (source, dest, SubnetId(0)),
        _ => draw_inside(random, four),
    };
    let built = if random.below(3) == 0 {
        Built::udp(source, dest)
    } else {
        let flags =
            random.of(&[0x02, 0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x01, 0x04, 0x14, 0x29, 0]);
        Built::tcp(source, dest, flags)
    };
    let built = Built {
        ttl: random.of(&[64, 64, 64, 255, 2, 1]),
        body: random.of(&[&b""[..], b"d", b"dsc", &[0xFF; 200], &[7; 300]]),
        options: if four { random.of(&[&[][..], &[], &[1, 1, 1, 0]]) } else { &[] },
        summed: !(four && random.below(4) == 0 && built.protocol == 17),
        ..built
    };
    (built, random.below(8) == 0, by)
}
