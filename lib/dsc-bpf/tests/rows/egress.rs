//! What goes out: the OS never says that it has a VIP that is not hosted here.

use super::*;
use crate::frames::{BROADCAST, Nd, arp, nd_mac};

const NOBODY: Mac = [0; 6];

fn asks(sender: &str, target: &str) -> Vec<u8> {
    arp(BROADCAST, 1, (ME, sender), (NOBODY, target))
}

fn solicits(source: &str) -> Vec<u8> {
    Nd {
        to: [0x33, 0x33, 0xFF, 0, 2, 0x50],
        from: ME,
        source,
        dest: "ff02::1:ff00:250",
        kind: 135,
        flags: 0,
        target: "fd00:1::250",
        options: &nd_mac(1, ME),
    }
    .frame()
}

fn asks_who_has_the_vip(source: &str) -> Vec<u8> {
    Nd {
        to: [0x33, 0x33, 0xFF, 0, 1, 0],
        from: ME,
        source,
        dest: "ff02::1:ff00:100",
        kind: 135,
        flags: 0,
        target: VIP6,
        options: &nd_mac(1, ME),
    }
    .frame()
}

fn advertises() -> Vec<u8> {
    Nd {
        to: CLIENT,
        from: ME,
        source: VIP6,
        dest: "fd00:1::250",
        kind: 136,
        flags: 0x60,
        target: VIP6,
        options: &nd_mac(2, ME),
    }
    .frame()
}

pub fn rows() -> Vec<Row> {
    let reply = arp(CLIENT, 2, (ME, VIP4), (CLIENT, "10.1.0.250"));
    let free = |name, frame| Row::new(name, frame).out();
    vec![
        free("egress: own request", asks("10.1.0.2", "10.1.0.250")).host(OFF),
        free("egress: request as a vip hosted here", asks(VIP4, "10.1.0.250")),
        free("egress: request as a vip hosted elsewhere", asks(VIP4, "10.1.0.250"))
            .host(steer(2))
            .changed("egress_request_mended", asks("10.1.0.2", "10.1.0.250")),
        free("egress: request as a vip without a lease", asks(VIP4, "10.1.0.250"))
            .no_lease()
            .changed("egress_request_mended", asks("10.1.0.2", "10.1.0.250")),
        free("egress: question who else has a vip", asks("0.0.0.0", VIP4)),
        free("egress: question who else has a vip, off", asks("0.0.0.0", VIP4)).host(OFF),
        free("egress: solicitation who else has a vip", asks_who_has_the_vip("fe80::2")),
        free("egress: solicitation who else has a vip, off", asks_who_has_the_vip("fe80::2"))
            .host(OFF),
        free("egress: detection of a duplicate vip", asks_who_has_the_vip("::")),
        free("egress: announcement by the host", asks(VIP4, VIP4)),
        free("egress: announcement too late", asks(VIP4, VIP4)).host(OFF).drop("egress_claim"),
        free("egress: answer by the host", reply.clone()),
        free("egress: answer of the OS", reply.clone()).host(OFF).drop("egress_claim"),
        free("egress: answer when the lease is over", reply).no_lease().drop("egress_claim"),
        free("egress: own solicitation", solicits("fe80::2")).host(OFF),
        free("egress: solicitation as a vip hosted here", solicits(VIP6)),
        free("egress: solicitation as a vip hosted elsewhere", solicits(VIP6))
            .host(OFF)
            .changed("egress_request_mended", solicits("fe80::2")),
        free("egress: advertisement by the host", advertises()),
        free("egress: advertisement too late", advertises()).no_lease().drop("egress_claim"),
        free(
            "egress: ip from a vip",
            frames::ethernet(
                CLIENT,
                ME,
                0x0800,
                &frames::ip4_packet(VIP4, "10.1.0.250", PLAIN, 17, &frames::udp(80, 4444)),
            ),
        )
        .host(OFF),
    ]
}
