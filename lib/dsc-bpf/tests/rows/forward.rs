//! IP frames for VIPs, from outside and from members.

use super::*;
use crate::frames::{RST, SYN, icmp, ip4_packet, ip6_packet, tcp, udp};

/// One hop less, IPv4 checksum made again.
fn one_hop_less(frame: Vec<u8>) -> Vec<u8> {
    let mut frame = frame;
    if frame[14] >> 4 == 4 {
        frame[22] -= 1;
        frame[24..26].fill(0);
        let sum = frames::checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame[21] -= 1;
    }
    frame
}

fn to_everybody(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].fill(0xFF);
    frame
}

fn last_hop(version: u8) -> Vec<u8> {
    let mut frame = foreign_segment(NODE2, version);
    frame[if version == 4 { 22 } else { 21 }] = 1;
    frame
}

pub fn rows(ports: Ports) -> Vec<Row> {
    let mut rows = plain();
    rows.extend(of_version(4, ports.four));
    rows.extend(of_version(6, ports.six));
    rows.extend(openings(4, ports));
    rows.extend(openings(6, ports));
    rows
}

fn plain() -> Vec<Row> {
    let syn = opening(CLIENT, 4);
    vec![
        Row::new(ARRIVAL, to_vip(CLIENT, 4, 17, &udp(4444, 53))).pass("delivered"),
        Row::new(STEERED, syn.clone()).host(steer(2)).send("steered", steered(syn, NODE2)),
        Row::new(
            "forward: own address",
            frames::ethernet(
                ME,
                CLIENT,
                0x0800,
                &ip4_packet("10.1.0.250", "10.1.0.2", PLAIN, 17, &udp(1, 2)),
            ),
        )
        .host(OFF)
        .pass("other"),
        Row::new(
            "forward: through us",
            frames::ethernet(
                ME,
                CLIENT,
                0x0800,
                &ip4_packet("10.1.0.250", "192.0.2.1", PLAIN, 6, &tcp(1, 2, ACK)),
            ),
        )
        .host(OFF)
        .pass("other"),
        Row::new(
            "forward: own ip6 address",
            frames::ethernet(
                ME,
                CLIENT,
                0x86DD,
                &ip6_packet("fd00:1::250", "fd00:1::2", 64, 17, &udp(1, 2)),
            ),
        )
        .host(OFF)
        .pass("other"),
        Row::new(
            "forward: echo to an ip6 address of ours",
            frames::ethernet(
                ME,
                CLIENT,
                0x86DD,
                &ip6_packet("fd00:1::250", "fd00:1::2", 64, 58, &icmp(128, &[])),
            ),
        )
        .host(OFF)
        .pass("other"),
        Row::new("forward: to another machine, flooded", {
            let mut frame = opening(CLIENT, 4);
            frame[..6].copy_from_slice(&NODE0);
            frame
        })
        .host(steer(2))
        .pass("other"),
        Row::new("forward: not ip", frames::ethernet(ME, CLIENT, 0x88CC, &[0; 46]))
            .host(OFF)
            .pass("other"),
        Row::new("forward: to everybody is not steered", to_everybody(opening(CLIENT, 4)))
            .host(steer(2))
            .drop("dropped_off"),
    ]
}

/// The rules themselves; the same for both versions.
fn of_version(version: u8, port: u16) -> Vec<Row> {
    let four = version == 4;
    let name = |four_name, six_name| if four { four_name } else { six_name };
    let here = |from, flags| to_vip(from, version, 6, &tcp(port, 80, flags));
    let datagram = |from| to_vip(from, version, 17, &udp(4444, 53));
    let echo = |from| {
        let (protocol, kind) = if four { (1, 8) } else { (58, 128) };
        to_vip(from, version, protocol, &icmp(kind, b"0123456789abcdef"))
    };
    let past = |frame: Vec<u8>, to| steered(one_hop_less(frame), to);
    vec![
        // From outside, this node is the host.
        Row::new(
            name("from outside: tcp4 opening, host", "from outside: tcp6 opening, host"),
            opening(CLIENT, version),
        )
        .pass("delivered"),
        Row::new(
            name(
                "from outside: tcp4 opening, host with a past",
                "from outside: tcp6 opening, host with a past",
            ),
            opening(CLIENT, version),
        )
        .past(&[2])
        .pass("delivered"),
        Row::new(
            name(
                "from outside: tcp4 unknown, host without a past",
                "from outside: tcp6 unknown, host without a past",
            ),
            foreign_segment(CLIENT, version),
        )
        .pass("delivered"),
        Row::new(
            name(
                "from outside: tcp4 unknown, host with a past",
                "from outside: tcp6 unknown, host with a past",
            ),
            foreign_segment(CLIENT, version),
        )
        .past(&[2, 0])
        .send("steered_past", steered(foreign_segment(CLIENT, version), NODE2)),
        Row::new(
            name(
                "from outside: tcp4 known, host with a past",
                "from outside: tcp6 known, host with a past",
            ),
            here(CLIENT, ACK),
        )
        .past(&[2])
        .pass("delivered"),
        Row::new(
            name(
                "from outside: rst4 unknown, host with a past",
                "from outside: rst6 unknown, host with a past",
            ),
            to_vip(CLIENT, version, 6, &tcp(4444, 80, RST)),
        )
        .past(&[0])
        .send("steered_past", steered(to_vip(CLIENT, version, 6, &tcp(4444, 80, RST)), NODE0)),
        Row::new(
            name("from outside: udp4, host with a past", "from outside: udp6, host with a past"),
            datagram(CLIENT),
        )
        .past(&[2])
        .pass("delivered"),
        Row::new(name("from outside: echo4, host", "from outside: echo6, host"), echo(CLIENT))
            .past(&[2])
            .pass("delivered"),
        Row::new(
            name(
                "from outside: tcp4 opening, lease over",
                "from outside: tcp6 opening, lease over",
            ),
            opening(CLIENT, version),
        )
        .no_lease()
        .drop("dropped_lease"),
        Row::new(
            name("from outside: tcp4 known, lease over", "from outside: tcp6 known, lease over"),
            here(CLIENT, ACK),
        )
        .no_lease()
        .drop("dropped_lease"),
        Row::new(
            name("from outside: udp4, lease over", "from outside: udp6, lease over"),
            datagram(CLIENT),
        )
        .no_lease()
        .drop("dropped_lease"),
        // From outside, this node is not the host.
        Row::new(
            name("from outside: tcp4 known, steer", "from outside: tcp6 known, steer"),
            here(CLIENT, ACK),
        )
        .host(steer(2))
        .pass("delivered_socket"),
        Row::new(
            name("from outside: tcp4 known, off", "from outside: tcp6 known, off"),
            here(CLIENT, ACK),
        )
        .host(OFF)
        .pass("delivered_socket"),
        Row::new(
            name("from outside: tcp4 known, incoming", "from outside: tcp6 known, incoming"),
            here(CLIENT, ACK),
        )
        .host(INCOMING)
        .pass("delivered_socket"),
        Row::new(
            name(
                "from outside: tcp4 known, steer, lease over",
                "from outside: tcp6 known, steer, lease over",
            ),
            here(CLIENT, ACK),
        )
        .host(steer(2))
        .no_lease()
        .send("steered", steered(here(CLIENT, ACK), NODE2)),
        Row::new(
            name("from outside: tcp4 unknown, steer", "from outside: tcp6 unknown, steer"),
            foreign_segment(CLIENT, version),
        )
        .host(steer(0))
        .send("steered", steered(foreign_segment(CLIENT, version), NODE0)),
        Row::new(name("from outside: udp4, steer", "from outside: udp6, steer"), datagram(CLIENT))
            .host(steer(2))
            .send("steered", steered(datagram(CLIENT), NODE2)),
        Row::new(name("from outside: echo4, steer", "from outside: echo6, steer"), echo(CLIENT))
            .host(steer(2))
            .send("steered", steered(echo(CLIENT), NODE2)),
        Row::new(name("from outside: udp4, off", "from outside: udp6, off"), datagram(CLIENT))
            .host(OFF)
            .drop("dropped_off"),
        Row::new(
            name("from outside: tcp4 opening, incoming", "from outside: tcp6 opening, incoming"),
            opening(CLIENT, version),
        )
        .host(INCOMING)
        .drop("dropped_off"),
        Row::new(
            name("from outside: tcp4 unknown, off", "from outside: tcp6 unknown, off"),
            foreign_segment(CLIENT, version),
        )
        .host(OFF)
        .drop("dropped_off"),
        Row::new(
            name(
                "from outside: steer to a node without mac 4",
                "from outside: steer to a node without mac 6",
            ),
            opening(CLIENT, version),
        )
        .host(steer(3))
        .drop("dropped_no_mac"),
        Row::new(
            name("from outside: steer to itself 4", "from outside: steer to itself 6"),
            opening(CLIENT, version),
        )
        .host(steer(1))
        .drop("dropped_no_mac"),
        // From a member.
        Row::new(
            name(
                "from a member: tcp4 known needs no lease",
                "from a member: tcp6 known needs no lease",
            ),
            here(NODE2, ACK),
        )
        .host(steer(2))
        .no_lease()
        .pass("delivered_steered"),
        Row::new(
            name("from a member: tcp4 opening, host", "from a member: tcp6 opening, host"),
            opening(NODE2, version),
        )
        .past(&[2])
        .pass("delivered_steered"),
        Row::new(name("from a member: udp4, host", "from a member: udp6, host"), datagram(NODE2))
            .past(&[2])
            .pass("delivered_steered"),
        Row::new(
            name("from a member: udp4, host, lease over", "from a member: udp6, host, lease over"),
            datagram(NODE2),
        )
        .no_lease()
        .drop("dropped_stray"),
        Row::new(
            name("from a member: tcp4 opening, incoming", "from a member: tcp6 opening, incoming"),
            opening(NODE2, version),
        )
        .host(INCOMING)
        .pass("delivered_steered"),
        Row::new(
            name(
                "from a member: udp4, incoming, no lease yet",
                "from a member: udp6, incoming, no lease yet",
            ),
            datagram(NODE2),
        )
        .host(INCOMING)
        .no_lease()
        .pass("delivered_steered"),
        Row::new(
            name(
                "from a member: tcp4 unknown, host without a past",
                "from a member: tcp6 unknown, host without a past",
            ),
            foreign_segment(NODE2, version),
        )
        .pass("delivered_steered"),
        Row::new(
            name(
                "from a member: tcp4 unknown, host with a past",
                "from a member: tcp6 unknown, host with a past",
            ),
            foreign_segment(NODE2, version),
        )
        .past(&[0])
        .send("steered_past", past(foreign_segment(NODE2, version), NODE0)),
        Row::new(
            name(
                "from a member: tcp4 unknown, goes down the chain",
                "from a member: tcp6 unknown, goes down the chain",
            ),
            foreign_segment(NODE2, version),
        )
        .host(steer(2))
        .past(&[1, 0])
        .send("steered_past", past(foreign_segment(NODE2, version), NODE0)),
        Row::new(
            name(
                "from a member: tcp4 unknown, end of the chain",
                "from a member: tcp6 unknown, end of the chain",
            ),
            foreign_segment(NODE2, version),
        )
        .host(steer(2))
        .past(&[0, 1])
        .pass("refused"),
        Row::new(
            name(
                "from a member: tcp4 unknown, not in the chain",
                "from a member: tcp6 unknown, not in the chain",
            ),
            foreign_segment(NODE2, version),
        )
        .host(steer(2))
        .past(&[0, 3])
        .drop("dropped_stray"),
        Row::new(
            name("from a member: tcp4 unknown, no chain", "from a member: tcp6 unknown, no chain"),
            foreign_segment(NODE2, version),
        )
        .host(OFF)
        .drop("dropped_stray"),
        Row::new(
            name("from a member: udp4, not the host", "from a member: udp6, not the host"),
            datagram(NODE2),
        )
        .host(steer(2))
        .past(&[1, 0])
        .drop("dropped_stray"),
        Row::new(
            name("from a member: tcp4 unknown, last hop", "from a member: tcp6 unknown, last hop"),
            last_hop(version),
        )
        .past(&[0])
        .drop("dropped_hops"),
    ]
}

/// What opens a connection, at hosts with a past: a program that listens on the VIP itself at an earlier one, as that for the next
/// file of an FTP session, is found where nobody waits for it here. At port 80 somebody listens on the VIP.
fn openings(version: u8, ports: Ports) -> Vec<Row> {
    let name = |what: &str| -> &'static str { format!("tcp{version} opening, {what}").leak() };
    let to = |from, port| to_vip(from, version, 6, &tcp(4444, port, SYN));
    let on = |port, node| steered(one_hop_less(to(NODE2, port)), node);
    let (unknown, everywhere) = (81, ports.everywhere);
    vec![
        Row::new(name("host without a past, nobody listens"), to(CLIENT, unknown))
            .pass("delivered"),
        Row::new(name("host with a past, nobody listens"), to(CLIENT, unknown))
            .past(&[2, 0])
            .send("steered_past", steered(to(CLIENT, unknown), NODE2)),
        Row::new(name("host with a past, somebody listens everywhere"), to(CLIENT, everywhere))
            .past(&[2])
            .pass("delivered"),
        Row::new(name("host with a past, nobody listens, lease over"), to(CLIENT, unknown))
            .past(&[2])
            .no_lease()
            .drop("dropped_lease"),
        Row::new(name("from a member, host with a past, nobody listens"), to(NODE2, unknown))
            .past(&[0])
            .send("steered_past", on(unknown, NODE0)),
        Row::new(
            name("from a member, host with a past, listens everywhere"),
            to(NODE2, everywhere),
        )
        .past(&[0])
        .pass("delivered_steered"),
        Row::new(name("from a member, in the chain, listens on the VIP"), to(NODE2, 80))
            .host(steer(2))
            .past(&[1, 0])
            .no_lease()
            .pass("delivered_steered"),
        Row::new(name("from a member, in the chain, listens everywhere"), to(NODE2, everywhere))
            .host(steer(2))
            .past(&[1, 0])
            .send("steered_past", on(everywhere, NODE0)),
        Row::new(name("from a member, in the chain, nobody listens"), to(NODE2, unknown))
            .host(steer(2))
            .past(&[1, 0])
            .send("steered_past", on(unknown, NODE0)),
        Row::new(name("from a member, end of the chain, nobody listens"), to(NODE2, unknown))
            .host(steer(2))
            .past(&[0, 1])
            .pass("refused"),
        Row::new(name("from a member, not in the chain, listens on the VIP"), to(NODE2, 80))
            .host(steer(2))
            .past(&[0, 3])
            .drop("dropped_stray"),
        Row::new(name("from a member, no chain, listens on the VIP"), to(NODE2, 80))
            .host(OFF)
            .drop("dropped_stray"),
    ]
}
