//! The seal on every datagram between nodes: XChaCha20-Poly1305 under the cluster key, the packet's header in
//! the clear but authenticated. Called by the daemon that owns the sockets. It keeps no state: replays are told
//! by `dsc-rml`, which knows incarnations and counters.

use crate::cursor::{Malformed, Reader, Writer};
use crate::packet::{Body, HEADER_LEN, Header, PACKET_MAX, Packet};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Bytes that a seal adds.
pub const SEAL_LEN: usize = 16;
/// Most bytes of a sealed packet: the payload of one UDP datagram.
pub const SEALED_MAX: usize = PACKET_MAX + SEAL_LEN;
/// Bytes of a cluster key.
pub const KEY_LEN: usize = 32;

/// Names the use of the key, so that the same 32 bytes used elsewhere give another key (BLAKE3 §2.3).
const CONTEXT: &str = "DSC 2026-11 seal of datagrams between nodes, version 1";
/// As [`CONTEXT`], between the data path daemons: what one kind of daemon has sealed, no other opens.
const CONTEXT_FLOWS: &str = "DSC 2026-11 seal of shared flows between nodes, version 1";
/// As [`CONTEXT`], for [`Key::id`].
const CONTEXT_ID: &str = "DSC 2026-11 what people call a key, version 1";

/// A cluster key as the key file holds it. Overwritten in memory when dropped, never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// A key of bytes that the caller drew at random.
    pub fn new(bytes: [u8; KEY_LEN]) -> Key {
        Key(bytes)
    }

    /// 64 lower-case hex digits: a line of a key file.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LEN));
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        text
    }

    /// Eight hex digits by which people tell keys apart; they tell nothing of the key itself.
    pub fn id(&self) -> String {
        let [a, b, c, d, ..] = blake3::derive_key(CONTEXT_ID, &self.0);
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }

    /// Reads the text of a key file: one or two lines of 64 hex digits, the key that seals first. Blank lines and lines
    /// that start with `#` are skipped.
    ///
    /// # Errors
    /// [`KeyFileError`], naming the line.
    pub fn parse_file(text: &str) -> Result<Vec<Key>, KeyFileError> {
        // Room for both at once: a vector that grows leaves a copy behind.
        let mut keys = Vec::with_capacity(2);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if keys.len() == 2 {
                return Err(KeyFileError::TooMany);
            }
            keys.push(Key::from_hex(line).ok_or(KeyFileError::Line { line: number + 1 })?);
        }
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(keys) }
    }

    fn from_hex(text: &str) -> Option<Key> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_LEN {
            return None;
        }
        let mut key = Key([0; KEY_LEN]);
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                *byte = *byte << 4 | char::from(*digit).to_digit(16)? as u8;
            }
        }
        Some(key)
    }

    fn cipher(&self, context: &str) -> XChaCha20Poly1305 {
        let mut derived = blake3::derive_key(context, &self.0);
        let cipher = XChaCha20Poly1305::new((&derived).into());
        derived.zeroize();
        cipher
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What is wrong with the text of a key file; line numbers start at 1. Never holds a part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileError {
    /// No key in it.
    Empty,
    /// A line that is not exactly 64 hex digits.
    Line {
        /// Which.
        line: usize,
    },
    /// More than two keys.
    TooMany,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFileError::Empty => f.write_str("holds no key: expected a line of 64 hex digits"),
            KeyFileError::Line { line } => write!(f, "line {line}: expected 64 hex digits"),
            KeyFileError::TooMany => f.write_str("holds more than two keys"),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// Why a datagram was not taken. The sender's fault or an attack; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Too short to hold a header and a seal.
    Truncated,
    /// Longer than any sealed packet.
    Oversized,
    /// The header means nothing to this build.
    Header(Malformed),
    /// No key of the ring fits: another cluster's key, a changed byte, or a forgery.
    Forged,
    /// Sealed by a key holder, but not a packet: another build.
    Body(Malformed),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Truncated => f.write_str("datagram is too short"),
            OpenError::Oversized => f.write_str("datagram is too long"),
            OpenError::Header(why) => write!(f, "datagram's header {why}"),
            OpenError::Forged => f.write_str("datagram is not sealed by this cluster's key"),
            OpenError::Body(why) => write!(f, "datagram's body {why}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// The keys in force: the first seals, both open, so that a key is changed without an outage.
pub struct Keyring {
    seals: XChaCha20Poly1305,
    opens: Option<XChaCha20Poly1305>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", 1 + usize::from(self.opens.is_some()))
    }
}

impl Keyring {
    /// `seals` seals and opens; `opens` only opens.
    pub fn new(seals: &Key, opens: Option<&Key>) -> Keyring {
        Keyring::of(CONTEXT, seals, opens)
    }

    /// As [`Keyring::new`], for what the data path daemons say to each other: a recording of one kind of datagram cannot
    /// be played to the other daemon.
    pub fn for_flows(seals: &Key, opens: Option<&Key>) -> Keyring {
        Keyring::of(CONTEXT_FLOWS, seals, opens)
    }

    fn of(context: &str, seals: &Key, opens: Option<&Key>) -> Keyring {
        Keyring { seals: seals.cipher(context), opens: opens.map(|key| key.cipher(context)) }
    }

    /// Puts the sealed packet into `buffer`, whose contents are lost and whose memory is used again.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] if the packet's body is above its bound; the buffer is empty then.
    pub fn seal(&self, packet: &Packet, buffer: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut w = Writer::reuse(std::mem::take(buffer), PACKET_MAX);
        packet.encode(&mut w);
        let mut bytes = w.finish()?;
        let (header, body) = bytes.split_at_mut(HEADER_LEN);
        let tag = self
            .seals
            .encrypt_inout_detached(&nonce(&packet.header), header, InOutBuf::from(body))
            .map_err(|_| Malformed::TooLong)?;
        bytes.extend_from_slice(&tag);
        *buffer = bytes;
        Ok(())
    }

    /// Opens a datagram in place.
    ///
    /// # Errors
    /// [`OpenError`]; the datagram is then worthless.
    pub fn open(&self, datagram: &mut [u8]) -> Result<Packet, OpenError> {
        if datagram.len() < HEADER_LEN + SEAL_LEN {
            return Err(OpenError::Truncated);
        }
        if datagram.len() > SEALED_MAX {
            return Err(OpenError::Oversized);
        }
        let (clear, rest) = datagram.split_at_mut(HEADER_LEN);
        let (body, tag) = rest.split_at_mut(rest.len() - SEAL_LEN);
        let (header, kind) = Header::decode(&mut Reader::new(clear)).map_err(OpenError::Header)?;
        let nonce = nonce(&header);
        let tag = Tag::try_from(&*tag).map_err(|_| OpenError::Truncated)?;
        // A cipher leaves the body as it was when the tag does not fit, so the next may be tried on it.
        let fits = std::iter::once(&self.seals).chain(&self.opens).any(|cipher| {
            cipher.decrypt_inout_detached(&nonce, clear, InOutBuf::from(&mut *body), &tag).is_ok()
        });
        if !fits {
            return Err(OpenError::Forged);
        }
        Ok(Packet { header, body: Body::decode(kind, body).map_err(OpenError::Body)? })
    }
}

/// Sender, incarnation, counter: never twice under one key, because an incarnation is drawn at random for each
/// life and the counter never repeats in it.
fn nonce(header: &Header) -> XNonce {
    let mut nonce = [0; 24];
    nonce[0] = header.from.0;
    nonce[8..16].copy_from_slice(&header.incarnation.0.to_be_bytes());
    nonce[16..24].copy_from_slice(&header.counter.to_be_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, NodeId, SubnetId};
    use crate::packet::FRAGMENT_MAX;

    fn key(n: u8) -> Key {
        Key::new([n; KEY_LEN])
    }

    fn packet() -> Packet {
        Packet {
            header: Header {
                from: NodeId(1),
                to: NodeId(2),
                path: SubnetId(0),
                incarnation: Incarnation(77),
                receiver: Incarnation(88),
                counter: 5,
            },
            body: Body::Datagram { number: 9, body: b"beacon".to_vec() },
        }
    }

    fn sealed(by: &Keyring) -> Vec<u8> {
        let mut buffer = Vec::new();
        by.seal(&packet(), &mut buffer).unwrap();
        buffer
    }

    #[test]
    fn what_is_sealed_opens() {
        let ring = Keyring::new(&key(1), None);
        let mut bytes = sealed(&ring);
        assert!(!bytes.windows(6).any(|w| w == b"beacon"), "the body is in the clear");
        assert_eq!(ring.open(&mut bytes), Ok(packet()));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let ring = Keyring::new(&key(1), Some(&key(2)));
        let good = sealed(&ring);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(ring.open(&mut bytes), Err(OpenError::Forged | OpenError::Header(_))),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn wrong_key_and_wrong_length_are_refused() {
        let ring = Keyring::new(&key(1), None);
        let good = sealed(&ring);
        let other = Keyring::new(&key(2), None);
        assert_eq!(other.open(&mut good.clone()), Err(OpenError::Forged));
        for n in 0..good.len() {
            let expected =
                if n < HEADER_LEN + SEAL_LEN { OpenError::Truncated } else { OpenError::Forged };
            assert_eq!(ring.open(&mut good[..n].to_vec()), Err(expected));
        }
        assert_eq!(ring.open(&mut [0; SEALED_MAX + 1]), Err(OpenError::Oversized));
        let mut too_long = packet();
        too_long.body = Body::Datagram { number: 1, body: vec![0; FRAGMENT_MAX + 100] };
        assert_eq!(ring.seal(&too_long, &mut Vec::new()), Err(Malformed::TooLong));
    }

    #[test]
    fn each_kind_of_daemon_opens_its_own_datagrams_only() {
        let (ring, flows) = (Keyring::new(&key(1), None), Keyring::for_flows(&key(1), None));
        assert_eq!(flows.open(&mut sealed(&flows)), Ok(packet()));
        assert_eq!(flows.open(&mut sealed(&ring)), Err(OpenError::Forged));
        assert_eq!(ring.open(&mut sealed(&flows)), Err(OpenError::Forged));
    }

    #[test]
    fn a_key_is_changed_in_two_steps_without_an_outage() {
        let old = Keyring::new(&key(1), None);
        let both = Keyring::new(&key(1), Some(&key(2)));
        let turned = Keyring::new(&key(2), Some(&key(1)));
        let new = Keyring::new(&key(2), None);
        for (sender, receiver) in [
            (&old, &both),
            (&both, &old),
            (&both, &turned),
            (&turned, &both),
            (&turned, &new),
            (&new, &turned),
        ] {
            assert_eq!(receiver.open(&mut sealed(sender)), Ok(packet()));
        }
        assert_eq!(old.open(&mut sealed(&new)), Err(OpenError::Forged));
    }

    #[test]
    fn the_key_file_is_one_or_two_lines() {
        let (one, two) = (key(0xab).to_hex().to_string(), key(0x10).to_hex().to_string());
        assert_eq!(one, "ab".repeat(32));
        assert_eq!(Key::parse_file(&one).unwrap(), [key(0xab)]);
        let keys = format!("# new, old\n{}\n\n{two}\n", one.to_uppercase());
        let keys = Key::parse_file(&keys).unwrap();
        assert_eq!(keys, [key(0xab), key(0x10)]);
        let ring = Keyring::new(&keys[0], keys.get(1));
        assert_eq!(ring.open(&mut sealed(&Keyring::new(&key(0xab), None))), Ok(packet()));
        assert_eq!(ring.open(&mut sealed(&Keyring::new(&key(0x10), None))), Ok(packet()));
        let error = |text: &str| Key::parse_file(text).unwrap_err();
        assert_eq!(error("\n# nothing\n"), KeyFileError::Empty);
        assert_eq!(error(&format!("{one}\n{}", &two[1..])), KeyFileError::Line { line: 2 });
        assert_eq!(error(&format!("{}g", &one[1..])), KeyFileError::Line { line: 1 });
        assert_eq!(error(&format!("{one}\n{two}\n{one}")), KeyFileError::TooMany);
        assert_eq!(format!("{:?} {:?}", key(1), ring), "Key(..) Keyring(2 keys)");
        assert_eq!(key(1).id().len(), 8);
        assert_ne!(key(1).id(), key(2).id());
        assert!(!key(1).to_hex().contains(&key(1).id()));
    }
}
