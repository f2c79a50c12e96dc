//! Packets survive the wire; nonsense does not pass.

use dsc_wire::cursor::{Malformed, Writer};
use dsc_wire::delivery::VERDICT_MAX;
use dsc_wire::packet::{
    Body, FRAGMENT_MAX, FRAGMENTS_MAX, HEADER_LEN, Header, PACKET_MAX, Packet, VERSION,
};
use dsc_wire::{Incarnation, NodeId, SubnetId};

fn header() -> Header {
    Header {
        from: NodeId(3),
        to: NodeId(63),
        path: SubnetId(1),
        incarnation: Incarnation(0x1122_3344_5566_7788),
        receiver: Incarnation(9),
        counter: u64::MAX,
    }
}

fn bodies() -> Vec<Body> {
    vec![
        Body::Data { message: 7, stamp: 8, index: 0, count: 1, tacit: true, fragment: vec![] },
        Body::Data {
            message: 7,
            stamp: 8,
            index: 0,
            count: 2,
            tacit: false,
            fragment: vec![5; FRAGMENT_MAX],
        },
        Body::Data {
            message: u64::MAX,
            stamp: 8,
            index: 1,
            count: 2,
            tacit: false,
            fragment: vec![5],
        },
        Body::Ack { message: 7, stamp: 8, base: 1, beyond: 5, via: SubnetId(7), verdict: None },
        Body::Ack {
            message: 7,
            stamp: 8,
            base: 2,
            beyond: 0,
            via: SubnetId(0),
            verdict: Some(vec![]),
        },
        Body::Ack {
            message: 7,
            stamp: 8,
            base: 2,
            beyond: 0,
            via: SubnetId(1),
            verdict: Some(vec![1; VERDICT_MAX]),
        },
        Body::Probe { stamp: 1 },
        Body::ProbeReply { stamp: 2 },
        Body::Hello { stamp: 3, challenge: 4 },
        Body::HelloReply { stamp: 3, challenge: 4, counter: None },
        Body::HelloReply { stamp: 3, challenge: 4, counter: Some((0, 6)) },
        Body::Datagram { number: 1, body: vec![1, 2, 3] },
    ]
}

fn encoded(body: Body) -> Vec<u8> {
    let mut w = Writer::new(PACKET_MAX);
    Packet { header: header(), body }.encode(&mut w);
    w.finish().unwrap()
}

#[test]
fn every_kind_survives_the_wire() {
    for body in bodies() {
        let bytes = encoded(body.clone());
        assert_eq!(Packet::decode(&bytes), Ok(Packet { header: header(), body }));
    }
}

#[test]
fn cut_short_is_an_error_or_another_legal_packet() {
    for body in bodies() {
        let bytes = encoded(body.clone());
        for n in 0..bytes.len() {
            if let Ok(packet) = Packet::decode(&bytes[..n]) {
                assert_ne!(packet.body, body);
                assert!(n > HEADER_LEN);
            }
        }
    }
}

#[test]
fn nonsense_is_refused() {
    let good = encoded(Body::Probe { stamp: 1 });
    let broken = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Packet::decode(&bytes).unwrap_err()
    };
    assert_eq!(broken(0, VERSION - 1), Malformed::Version);
    assert_eq!(broken(1, 99), Malformed::Value);
    assert_eq!(broken(2, 64), Malformed::Value);
    assert_eq!(broken(3, 64), Malformed::Value);
    assert_eq!(broken(4, 8), Malformed::Value);
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(Packet::decode(&trailing), Err(Malformed::Trailing));
    assert_eq!(Packet::decode(&vec![VERSION; PACKET_MAX + 1]), Err(Malformed::TooLong));
    let data = |index, count, fragment| {
        encoded(Body::Data { message: 1, stamp: 0, index, count, tacit: false, fragment })
    };
    assert_eq!(Packet::decode(&data(1, 1, vec![1])), Err(Malformed::Value));
    assert_eq!(Packet::decode(&data(0, 2, vec![1])), Err(Malformed::Value));
    assert_eq!(Packet::decode(&data(1, 2, vec![])), Err(Malformed::Value));
    assert_eq!(Packet::decode(&data(0, 60_000, vec![1; FRAGMENT_MAX])), Err(Malformed::TooLong));
    let last = FRAGMENTS_MAX as u16 - 1;
    assert_eq!(
        Packet::decode(&data(last, last + 1, vec![1; FRAGMENT_MAX])),
        Err(Malformed::TooLong)
    );
    let zero = encoded(Body::Hello { stamp: 1, challenge: 0 });
    assert_eq!(Packet::decode(&zero), Err(Malformed::Value));
}

#[test]
fn a_sealed_packet_fits_every_ipv6_link() {
    let ipv6_udp = 40 + 8;
    let seal = 16;
    assert!(PACKET_MAX + seal + ipv6_udp <= 1_280, "{PACKET_MAX}");
}
