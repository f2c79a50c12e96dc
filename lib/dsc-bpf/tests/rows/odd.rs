//! IP frames for VIPs with options, extension headers, fragments or quotes of other frames.

use super::*;
use crate::frames::{Ip4, icmp, ip4_packet, ip6_packet, tcp};

fn ip4(from: Mac, ip: Ip4, protocol: u8, payload: &[u8]) -> Vec<u8> {
    frames::ethernet(ME, from, 0x0800, &ip4_packet("10.1.0.250", VIP4, ip, protocol, payload))
}

pub fn rows(ports: Ports) -> Vec<Row> {
    let options = Ip4 { options: &[7, 7, 4, 0, 0, 0, 0, 0], ..PLAIN };
    let first = Ip4 { fragment: 0x2000, ..PLAIN };
    let later = Ip4 { fragment: 0x00B9, ..PLAIN };
    let known4 = tcp(ports.four, 80, ACK);
    let known6 = tcp(ports.six, 80, ACK);
    let in_headers = |count: usize| {
        let mut payload = Vec::new();
        for i in 0..count {
            payload.extend([if i + 1 == count { 6 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        payload.extend(&known6);
        to_vip(CLIENT, 6, 60, &payload)
    };
    let fragment6 = to_vip(CLIENT, 6, 44, &[&[6, 0, 0, 1, 0, 0, 0, 9][..], &known6].concat());
    // The other end of our connection, as this node sent to it.
    let sent4 = ip4_packet(VIP4, "10.1.0.250", PLAIN, 6, &tcp(80, ports.four, ACK));
    let sent6 = ip6_packet(VIP6, "fd00:1::250", 64, 6, &tcp(80, ports.six, ACK));
    let sent_by_other = ip4_packet(VIP4, "10.1.0.250", PLAIN, 6, &tcp(80, 4444, ACK));
    let sent_elsewhere = ip4_packet("10.1.0.77", "10.1.0.250", PLAIN, 6, &tcp(80, ports.four, ACK));
    let unreachable = |quote: &[u8]| to_vip(CLIENT, 4, 1, &icmp(3, quote));
    let elsewhere6 = ip6_packet("fd00:1::77", "fd00:1::250", 64, 6, &tcp(80, ports.six, ACK));
    let not_ours = to_vip(CLIENT, 6, 58, &icmp(2, &elsewhere6));
    let long_header = [&[6, 1][..], &[1, 12], &[0; 12], &known6].concat();
    let reopened = ip4(CLIENT, PLAIN, 6, &tcp(ports.closed, 80, SYN));
    let late = ip4(CLIENT, PLAIN, 6, &tcp(ports.closed, 80, ACK));
    let too_big = to_vip(CLIENT, 6, 58, &icmp(2, &sent6));
    vec![
        Row::new("odd: ip4 options, known", ip4(CLIENT, options, 6, &known4))
            .host(steer(2))
            .pass("delivered_socket"),
        Row::new("odd: first fragment is not looked up", ip4(CLIENT, first, 6, &known4))
            .host(steer(2))
            .send("steered", steered(ip4(CLIENT, first, 6, &known4), NODE2)),
        Row::new("odd: later fragment follows the host", ip4(CLIENT, later, 6, &known4))
            .host(steer(2))
            .send("steered", steered(ip4(CLIENT, later, 6, &known4), NODE2)),
        Row::new("odd: fragment at the host with a past", ip4(CLIENT, later, 6, &known4))
            .past(&[2])
            .after(ip4(CLIENT, first, 6, &known4))
            .pass("delivered"),
        Row::new("odd: fragment from a member, not the host", ip4(NODE2, later, 6, &known4))
            .host(steer(2))
            .past(&[1, 0])
            .after(ip4(CLIENT, first, 6, &known4))
            .drop("dropped_stray"),
        Row::new("odd: ip6 extension headers, known", in_headers(6))
            .host(steer(2))
            .pass("delivered_socket"),
        Row::new("odd: too many ip6 extension headers", in_headers(7))
            .host(steer(2))
            .send("steered", steered(in_headers(7), NODE2)),
        Row::new("odd: ip6 fragment", fragment6.clone())
            .host(steer(2))
            .send("steered", steered(fragment6, NODE2)),
        Row::new("odd: icmp4 error for a connection here", unreachable(&sent4))
            .host(steer(2))
            .pass("delivered_socket"),
        Row::new("odd: icmp4 error for a connection elsewhere", unreachable(&sent_by_other))
            .past(&[2])
            .send("steered_past", steered(unreachable(&sent_by_other), NODE2)),
        Row::new("odd: icmp4 error that quotes somebody else", unreachable(&sent_elsewhere))
            .host(steer(2))
            .send("steered", steered(unreachable(&sent_elsewhere), NODE2)),
        Row::new("odd: icmp6 error for a connection here", too_big)
            .host(OFF)
            .pass("delivered_socket"),
        Row::new("odd: icmp6 error that quotes somebody else", not_ours)
            .host(OFF)
            .drop("dropped_off"),
        Row::new("odd: a long ip6 extension header, known", to_vip(CLIENT, 6, 60, &long_header))
            .host(steer(2))
            .pass("delivered_socket"),
        Row::new("odd: late segment of a closed connection", late)
            .host(steer(2))
            .pass("delivered_socket"),
        Row::new("odd: opening where a closed connection was", reopened.clone())
            .host(steer(2))
            .send("steered", steered(reopened, NODE2)),
        Row::new("odd: ip4 of a wrong version", {
            let mut frame = ip4(CLIENT, PLAIN, 6, &known4);
            frame[14] = 0x55;
            frame
        })
        .host(OFF)
        .pass("other"),
        Row::new("odd: tcp4 head cut off", ip4(CLIENT, PLAIN, 6, &known4[..8]))
            .host(OFF)
            .drop("dropped_off"),
        Row::new("odd: ip4 header of a wrong length", {
            let mut frame = ip4(CLIENT, PLAIN, 6, &known4);
            frame[14] = 0x44;
            frame
        })
        .host(OFF)
        .pass("other"),
        Row::new("odd: ip6 of a wrong version", {
            let mut frame = opening(CLIENT, 6);
            frame[14] = 0x50;
            frame
        })
        .host(OFF)
        .pass("other"),
    ]
}
