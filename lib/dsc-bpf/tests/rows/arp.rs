//! ARP that comes in.

use super::*;
use crate::frames::{BROADCAST, arp};

const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const NOBODY: Mac = [0; 6];

fn ask(target: &str) -> Vec<u8> {
    arp(BROADCAST, REQUEST, (CLIENT, "10.1.0.250"), (NOBODY, target))
}

fn answer(to: Mac, address: &str) -> Vec<u8> {
    arp(to, REPLY, (ME, VIP4), (to, address))
}

pub fn rows() -> Vec<Row> {
    let mut odd_hardware = ask(VIP4);
    odd_hardware[15] = 6;
    let mut group_sender = ask(VIP4);
    group_sender[22] |= 1;
    let mut tagged = ask(VIP4);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x0A]);
    vec![
        Row::new("arp: host answers", ask(VIP4)).send("answered_arp", answer(CLIENT, "10.1.0.250")),
        Row::new(
            "arp: unicast probe is answered",
            arp(ME, REQUEST, (CLIENT, "10.1.0.250"), (ME, VIP4)),
        )
        .send("answered_arp", answer(CLIENT, "10.1.0.250")),
        Row::new(
            "arp: address probe (RFC 5227) is answered",
            arp(BROADCAST, REQUEST, (CLIENT, "0.0.0.0"), (NOBODY, VIP4)),
        )
        .send("answered_arp", answer(CLIENT, "0.0.0.0")),
        Row::new("arp: lease over", ask(VIP4)).no_lease().drop("silent_lease"),
        Row::new("arp: off", ask(VIP4)).host(OFF).drop("silent_off"),
        Row::new("arp: incoming is silent", ask(VIP4)).host(INCOMING).drop("silent_off"),
        Row::new("arp: steer is silent", ask(VIP4)).host(steer(2)).drop("silent_off"),
        Row::new("arp: vip of another subnet", ask("10.2.0.100")).drop("silent_elsewhere"),
        Row::new("arp: own address is the OS's", ask("10.1.0.2")).pass("other"),
        Row::new("arp: other address", ask("10.1.0.77")).pass("other"),
        Row::new(
            "arp: request to another machine",
            arp(NODE2, REQUEST, (CLIENT, "10.1.0.250"), (NODE2, VIP4)),
        )
        .pass("other"),
        Row::new("arp: not ethernet", odd_hardware).pass("other"),
        Row::new("arp: group address as sender", group_sender).drop("silent_malformed"),
        Row::new("arp: vlan is its own interface's", tagged).pass("other"),
        Row::new("arp: reply to us", arp(ME, REPLY, (CLIENT, "10.1.0.250"), (ME, "10.1.0.2")))
            .pass("other"),
        Row::new(
            "arp: reply to a question asked as the vip",
            arp(ME, REPLY, (CLIENT, "10.1.0.250"), (ME, VIP4)),
        )
        .pass("other"),
        Row::new("arp: member announces", arp(BROADCAST, REQUEST, (NODE2, VIP4), (NOBODY, VIP4)))
            .host(OFF)
            .drop("claim_member"),
        Row::new(
            "arp: own announcement comes back",
            arp(BROADCAST, REQUEST, (ME, VIP4), (NOBODY, VIP4)),
        )
        .drop("claim_member"),
        Row::new(
            "arp: stranger announces",
            arp(BROADCAST, REQUEST, (STRANGER, VIP4), (NOBODY, VIP4)),
        )
        .drop("claim_conflict"),
        Row::new("arp: stranger answers", arp(ME, REPLY, (STRANGER, VIP4), (ME, "10.1.0.2")))
            .host(OFF)
            .drop("claim_conflict"),
        Row::new(
            "arp: stranger answers our question without a sender",
            arp(ME, REPLY, (STRANGER, VIP4), (ME, "0.0.0.0")),
        )
        .drop("claim_conflict"),
        Row::new(
            "arp: member answers our question without a sender",
            arp(ME, REPLY, (NODE2, VIP4), (ME, "0.0.0.0")),
        )
        .drop("claim_member"),
        Row::new(
            "arp: member asks who else has it",
            arp(BROADCAST, REQUEST, (NODE2, "0.0.0.0"), (NOBODY, VIP4)),
        )
        .host(OFF)
        .drop("silent_off"),
        Row::new(
            "arp: stranger asks as the vip",
            arp(BROADCAST, REQUEST, (STRANGER, VIP4), (NOBODY, "10.1.0.2")),
        )
        .drop("claim_conflict"),
    ]
}
