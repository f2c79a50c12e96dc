//! Packets that do not fit where they should leave, or have no hop left: their sender is told, where it may be. Subnet 0 has
//! another MTU than subnet 1, and either a smaller one than frames that come in.

use super::errors::Message;
use super::nat::{HOST, MAPPED, Packet, backend, client, flow, vip};
use super::*;
use crate::frames::{Ip4, checksum, icmp_message, ip4_packet, ip6_packet, with_checksum};
use dsc_wire::Protocol;
use std::net::IpAddr;

pub const OUTSIDE: u16 = 1450;
pub const INSIDE: u16 = 1400;

/// Bodies are cut from it: no two words are alike.
pub static BODY: [u8; 4000] = {
    let mut body = [0; 4000];
    let mut i = 0;
    while i < body.len() {
        body[i] = (i * 7 + i / 256) as u8;
        i += 1;
    }
    body
};

/// The error about a packet.
pub struct Told {
    pub packet: Packet,
    /// Whose frame it came in.
    pub from: Mac,
    pub by: IpAddr,
    /// 0: its hops are used up.
    pub mtu: u16,
}

impl Told {
    /// With a quote of so many bytes.
    pub fn frame(&self, bytes: usize) -> Vec<u8> {
        let quote = &self.packet.frame(ME, self.from)[14..14 + bytes];
        self.about(quote, quote)
    }

    /// The checksum is that of `sent`, which is what becomes of the quote.
    fn about(&self, quote: &[u8], sent: &[u8]) -> Vec<u8> {
        let [high, low] = self.mtu.to_be_bytes();
        let dest = self.packet.source.ip();
        let kind = match (self.packet.version, self.mtu) {
            (4, 0) => (11, 0),
            (4, _) => (3, 4),
            (_, 0) => (3, 0),
            _ => (2, 0),
        };
        let mut message = icmp_message(self.by, dest, kind, [0, 0, high, low], sent);
        message[8..].copy_from_slice(quote);
        let (by, dest) = (self.by.to_string(), dest.to_string());
        if self.packet.version == 4 {
            let packet = ip4_packet(&by, &dest, Ip4 { id: 0, ..PLAIN }, 1, &message);
            frames::ethernet(ME, self.from, 0x0800, &packet)
        } else {
            frames::ethernet(ME, self.from, 0x86DD, &ip6_packet(&by, &dest, 64, 58, &message))
        }
    }
}

/// The packet with as long a body as makes it `bytes` long.
fn of_length(packet: Packet, bytes: u16) -> Packet {
    let head =
        if packet.version == 4 { 20 } else { 40 } + if packet.protocol == 6 { 20 } else { 8 };
    Packet { body: &BODY[..usize::from(bytes) - head], ..packet }
}

fn of_version(version: u8) -> Vec<Row> {
    let (head, quoted) = if version == 4 { (20, 512) } else { (40, 1232) };
    let (c, v, b) = (client(version, 4444), vip(version, MAPPED), backend(version, MAPPED));
    // Its own IPv6 address is link-local.
    let own = if version == 4 { "10.1.0.2".parse().unwrap() } else { v.ip() };
    let mut rows = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let number = protocol.number();
        let name = |text: &str| -> &'static str {
            format!("mtu{version}: {text}, protocol {number}").leak()
        };
        let there = [flow(protocol, c, v, b)];
        let packet = |source, dest, bytes| {
            let packet = match protocol {
                Protocol::Tcp => Packet::tcp(source, dest, ACK),
                Protocol::Udp => Packet::udp(source, dest),
            };
            of_length(packet, bytes)
        };
        let request = |bytes| packet(c, v, bytes);
        let reply = |bytes| packet(b, c, bytes);
        let row = |text: &str, packet: Packet, from| {
            Row::new(name(text), packet.frame(ME, from)).flows(&there)
        };
        let told = |packet: Packet| Told { packet, from: CLIENT, by: v.ip(), mtu: INSIDE };
        let told_inside = |packet: Packet| Told { packet, from: HOST, by: own, mtu: OUTSIDE };
        rows.push(
            row("request that fits", request(INSIDE), CLIENT)
                .send("nat_request", request(INSIDE).on(c, b).frame(ME, CLIENT)),
        );
        for bytes in [INSIDE + 1, INSIDE + 2, 1500, 3000] {
            let packet = request(bytes);
            rows.push(
                row("request", packet, CLIENT).send("nat_too_big", told(packet).frame(quoted)),
            );
        }
        rows.push(
            row("reply that fits", reply(OUTSIDE), HOST)
                .send("nat_reply", reply(OUTSIDE).on(v, c).frame(ME, HOST)),
        );
        for bytes in [OUTSIDE + 1, 1500] {
            let packet = reply(bytes);
            rows.push(
                row("reply", packet, HOST)
                    .host(OFF)
                    .send("nat_too_big", told_inside(packet).frame(quoted)),
            );
        }
        let packet = request(1500);
        rows.push(
            Row::new(name("new flow"), packet.frame(ME, CLIENT))
                .send("nat_too_big", told(packet).frame(quoted)),
        );
        for bytes in [head + 24, head + 25, head + 27, quoted, quoted + 3, 1500] {
            let last = |packet| Packet { ttl: 1, ..packet };
            let quoted = bytes.min(quoted) & !3;
            let (request, reply) = (last(request(bytes as u16)), last(reply(bytes as u16)));
            rows.push(
                row("request, last hop", request, CLIENT)
                    .send("nat_time_exceeded", Told { mtu: 0, ..told(request) }.frame(quoted)),
            );
            rows.push(
                row("reply, last hop", reply, HOST)
                    .host(OFF)
                    .send("nat_time_exceeded", Told { mtu: 0, ..told_inside(reply) }.frame(quoted)),
            );
            rows.push(
                Row::new(name("new flow, last hop"), request.frame(ME, CLIENT))
                    .send("nat_time_exceeded", Told { mtu: 0, ..told(request) }.frame(quoted)),
            );
            let mut group = request.frame(ME, CLIENT);
            group[..6].fill(0xFF);
            let name = name("last hop, in a frame to everybody");
            rows.push(Row::new(name, group).flows(&there).drop("nat_hops"));
        }
        let mut group = packet.frame(ME, CLIENT);
        group[..6].fill(0xFF);
        rows.push(
            Row::new(name("in a frame to everybody"), group).flows(&there).drop("nat_too_big_lost"),
        );
        // What a sender on the same machine leaves to its interface.
        let place = 14 + head + if number == 6 { 16 } else { 6 };
        let mut frame = packet.frame(ME, CLIENT);
        let mut pseudo = vec![0; frame.len() - 14 - head];
        with_checksum(&mut pseudo, 0, c.ip(), v.ip(), number);
        let sum = u16::from_be_bytes([pseudo[0], pseudo[1]]);
        frame[place..place + 2].copy_from_slice(&(!sum).to_be_bytes());
        let quote = frame[14..14 + quoted].to_vec();
        let mut sent = quote.clone();
        let fill = checksum(&[&sent[head..]]);
        sent[place - 14..place - 12].copy_from_slice(&fill.to_be_bytes());
        rows.push(
            Row::new(name("its checksum is still to be made"), frame)
                .flows(&there)
                .send("nat_too_big", told(packet).about(&quote, &sent)),
        );
    }
    let there = [flow(Protocol::Udp, c, v, b)];
    let sent = &of_length(Packet::udp(v, c), 1480).frame(ME, ME)[14..];
    let kind = if version == 4 { (3, 4) } else { (2, 0) };
    let error = Message { source: c.ip(), dest: v.ip(), kind, quoted: sent, ttl: 64 };
    let name = if version == 4 { "mtu4: error" } else { "mtu6: error" };
    rows.push(Row::new(name, error.frame(CLIENT)).flows(&there).drop("nat_too_big_lost"));
    if version == 4 {
        let packet = of_length(Packet::udp(c, v), 1500);
        let mut frame = packet.frame(ME, CLIENT);
        frame[20] = 0;
        frame[24..26].fill(0);
        let sum = checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        let quote = frame[14..14 + quoted].to_vec();
        let told = Told { packet, from: CLIENT, by: v.ip(), mtu: INSIDE };
        rows.push(
            Row::new("mtu4: may be fragmented", frame)
                .flows(&there)
                .send("nat_too_big", told.about(&quote, &quote)),
        );
    }
    rows
}

pub fn rows() -> Vec<Row> {
    [of_version(4), of_version(6)].concat()
}
