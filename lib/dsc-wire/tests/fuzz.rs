//! Any bytes at the door: decoders neither panic nor take what they would not have made.

use bolero::check;
use dsc_wire::cursor::{Reader, Writer};
use dsc_wire::packet::{HEADER_LEN, PACKET_MAX, Packet, VERSION};
use dsc_wire::seal::{Key, Keyring, OpenError, SEALED_MAX};

const SHORT: usize = 50_000;

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut w = Writer::new(PACKET_MAX);
    packet.encode(&mut w);
    w.finish().expect("a decoded packet is within its bounds")
}

#[test]
fn a_packet_that_decodes_is_the_one_that_was_encoded() {
    check!().with_iterations(SHORT).with_max_len(PACKET_MAX + 8).for_each(|bytes: &[u8]| {
        // With the version and a plausible kind, or nothing would get past the first two bytes.
        let mut bytes = bytes.to_vec();
        if let [version, kind, from, to, path, ..] = &mut bytes[..] {
            *version = 1;
            *kind %= 9;
            *from &= 63;
            *to &= 63;
            *path &= 7;
        }
        if let Ok(packet) = Packet::decode(&bytes) {
            assert_eq!(encoded(&packet), bytes);
        }
    });
}

#[test]
fn raw_bytes_decode_or_not_without_harm() {
    check!().with_iterations(SHORT).with_max_len(2_000).for_each(|bytes: &[u8]| {
        if let Ok(packet) = Packet::decode(bytes) {
            assert_eq!(encoded(&packet), bytes);
        }
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let before = r.left();
            if r.varint().is_err() || r.counted(64).is_err() {
                break;
            }
            assert!(r.left() < before);
        }
    });
}

#[test]
fn nothing_opens_that_was_not_sealed() {
    let keys = Keyring::new(&Key::new([1; 32]), Some(&Key::new([2; 32])));
    check!().with_iterations(SHORT).with_max_len(SEALED_MAX + 8).for_each(|bytes: &[u8]| {
        assert!(keys.open(&mut bytes.to_vec()).is_err());
    });
}

#[test]
fn a_sealed_packet_that_is_changed_does_not_open() {
    let keys = Keyring::new(&Key::new([1; 32]), None);
    check!().with_iterations(SHORT / 5).with_type::<(Vec<u8>, u16, u8)>().for_each(
        |(plain, at, change)| {
            let mut bytes = vec![VERSION, 7, 1, 2, 0];
            bytes.resize(HEADER_LEN + 8, 9);
            bytes.extend(plain.iter().take(1_000));
            let packet = Packet::decode(&bytes).expect("a datagram");
            let mut sealed = Vec::new();
            keys.seal(&packet, &mut sealed).expect("within bounds");
            let at = usize::from(*at) % sealed.len();
            sealed[at] ^= change;
            match keys.open(&mut sealed) {
                Ok(opened) => assert!(*change == 0 && opened == packet),
                Err(OpenError::Forged | OpenError::Header(_)) => assert_ne!(*change, 0),
                Err(other) => panic!("{other:?}"),
            }
        },
    );
}
