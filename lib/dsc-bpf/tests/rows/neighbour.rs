//! Neighbour discovery that comes in.

use super::*;
use crate::frames::{Nd, nd_mac};

const GROUP: Mac = [0x33, 0x33, 0xFF, 0, 1, 0];
const ALL: Mac = [0x33, 0x33, 0, 0, 0, 1];
const NS: u8 = 135;
const NA: u8 = 136;

fn ask<'a>(options: &'a [u8]) -> Nd<'a> {
    Nd {
        to: GROUP,
        from: CLIENT,
        source: "fd00:1::250",
        dest: "ff02::1:ff00:100",
        kind: NS,
        flags: 0,
        target: VIP6,
        options,
    }
}

/// Router, solicited, override.
fn answer() -> Vec<u8> {
    Nd {
        to: CLIENT,
        from: ME,
        source: VIP6,
        dest: "fd00:1::250",
        kind: NA,
        flags: 0xE0,
        target: VIP6,
        options: &nd_mac(2, ME),
    }
    .frame()
}

/// To all: router, override.
fn defence() -> Vec<u8> {
    Nd {
        to: ALL,
        from: ME,
        source: VIP6,
        dest: "ff02::1",
        kind: NA,
        flags: 0xA0,
        target: VIP6,
        options: &nd_mac(2, ME),
    }
    .frame()
}

fn announce(from: Mac) -> Vec<u8> {
    let options = nd_mac(2, from);
    let nd = Nd {
        to: ALL,
        from,
        source: VIP6,
        dest: "ff02::1",
        kind: NA,
        flags: 0x20,
        target: VIP6,
        options: &options,
    };
    nd.frame()
}

/// To this node, which asked from its own address: solicited, override.
fn reply(from: Mac) -> Vec<u8> {
    let options = nd_mac(2, from);
    let nd = Nd {
        to: ME,
        from,
        source: VIP6,
        dest: "fe80::2",
        kind: NA,
        flags: 0x60,
        target: VIP6,
        options: &options,
    };
    nd.frame()
}

pub fn rows() -> Vec<Row> {
    let source = nd_mac(1, CLIENT);
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let two = [&source[..], &nonce].concat();
    let long: Vec<u8> = nonce.repeat(9);
    let dad = |options| Nd { source: "::", ..ask(options) }.frame();
    let mut far = ask(&source).frame();
    far[21] = 64;
    let mut bad_sum = ask(&source).frame();
    bad_sum[57] ^= 1;
    let mut odd_code = ask(&source).frame();
    odd_code[55] = 1;
    // The sum is still right, so that the code is what is wrong.
    let sum = u16::from_be_bytes([odd_code[56], odd_code[57]]) - 1;
    odd_code[56..58].copy_from_slice(&sum.to_be_bytes());
    vec![
        Row::new("nd: host answers", ask(&source).frame()).send("answered_nd", answer()),
        Row::new("nd: without options", ask(&[]).frame()).send("answered_nd", answer()),
        Row::new("nd: with two options", ask(&two).frame()).send("answered_nd", answer()),
        Row::new("nd: with too many options", ask(&long).frame()).drop("silent_malformed"),
        Row::new("nd: unicast probe", Nd { to: ME, dest: VIP6, ..ask(&source) }.frame())
            .send("answered_nd", answer()),
        Row::new("nd: duplicate address detection", dad(&[])).send("answered_nd", defence()),
        Row::new("nd: duplicate address detection with nonce", dad(&nonce))
            .send("answered_nd", defence()),
        Row::new("nd: duplicate address detection, off", dad(&[])).host(OFF).drop("silent_off"),
        Row::new("nd: lease over", ask(&source).frame()).no_lease().drop("silent_lease"),
        Row::new("nd: off", ask(&source).frame()).host(OFF).drop("silent_off"),
        Row::new("nd: incoming is silent", ask(&source).frame()).host(INCOMING).drop("silent_off"),
        Row::new("nd: steer is silent", ask(&source).frame()).host(steer(2)).drop("silent_off"),
        Row::new("nd: vip of another subnet", Nd { target: "fd00:2::100", ..ask(&source) }.frame())
            .drop("silent_elsewhere"),
        Row::new("nd: other address", Nd { target: "fd00:1::1", ..ask(&source) }.frame())
            .pass("other"),
        Row::new("nd: from beyond a router", far).drop("silent_malformed"),
        Row::new("nd: wrong checksum", bad_sum).drop("silent_malformed"),
        Row::new("nd: wrong code", odd_code).drop("silent_malformed"),
        Row::new("nd: member announces", announce(NODE2)).host(OFF).drop("claim_member"),
        Row::new("nd: stranger announces", announce(STRANGER)).drop("claim_conflict"),
        Row::new(
            "nd: stranger answers for it from its own address",
            Nd {
                to: ME,
                from: STRANGER,
                source: "fe80::bb",
                dest: "fe80::2",
                kind: NA,
                flags: 0x60,
                target: VIP6,
                options: &nd_mac(2, STRANGER),
            }
            .frame(),
        )
        .host(OFF)
        .drop("claim_conflict"),
        Row::new("nd: stranger answers our question", reply(STRANGER)).drop("claim_conflict"),
        Row::new("nd: member answers our question", reply(NODE2)).drop("claim_member"),
        Row::new(
            "nd: member asks who else has it",
            Nd { from: NODE2, source: "fe80::3", ..ask(&nd_mac(1, NODE2)) }.frame(),
        )
        .host(OFF)
        .drop("silent_off"),
        Row::new(
            "nd: stranger asks as the vip",
            Nd { from: STRANGER, source: VIP6, target: "fd00:1::2", ..ask(&nd_mac(1, STRANGER)) }
                .frame(),
        )
        .drop("claim_conflict"),
        Row::new(
            "nd: other advertisement",
            Nd {
                to: ME,
                from: CLIENT,
                source: "fd00:1::250",
                dest: "fe80::2",
                kind: NA,
                flags: 0x60,
                target: "fd00:1::250",
                options: &nd_mac(2, CLIENT),
            }
            .frame(),
        )
        .pass("other"),
    ]
}
