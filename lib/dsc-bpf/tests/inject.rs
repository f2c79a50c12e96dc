//! A frame that is brought in on an interface reaches a program of this machine unless a filter of that interface is in its way.
//! Needs root, iproute2 and nftables.

use crate::place;
use dsc_bpf::Inject;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

fn run(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{line}");
}

/// A datagram without a checksum from 10.1.0.250 to port 9 of 10.1.0.1.
fn datagram(word: &[u8; 4]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0x65, 0xD1, 10, 1, 0, 250, 10, 1, 0, 1]);
    frame.extend([0x10, 0x92, 0, 9, 0, 12, 0, 0]);
    frame.extend(word);
    frame
}

#[test]
fn it_is_filtered_and_received_as_if_the_cable_had_brought_it() {
    place::enter();
    run("ip link set lo up");
    run("ip link add eth0 address 02:00:00:00:00:01 type veth peer name far");
    run("ip address add 10.1.0.1/24 dev eth0");
    let nic = std::fs::read_to_string("/sys/class/net/eth0/ifindex").unwrap();
    let inject = Inject::open(nic.trim().parse().unwrap()).unwrap();
    assert!(inject.frame(&datagram(b"down")).is_err(), "the interface is down");
    run("ip link set far up");
    run("ip link set eth0 up");
    let socket = UdpSocket::bind("10.1.0.1:9").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = [0; 16];
    inject.frame(&datagram(b"free")).unwrap();
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!((&bytes[..length], from), (&b"free"[..], "10.1.0.250:4242".parse().unwrap()));
    run("nft add table ip t");
    run("nft add chain ip t in { type filter hook input priority 0 ; }");
    run("nft add rule ip t in iifname eth0 udp dport 9 counter drop");
    inject.frame(&datagram(b"kept")).unwrap();
    run("nft flush chain ip t in");
    inject.frame(&datagram(b"last")).unwrap();
    let length = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"last");
}
