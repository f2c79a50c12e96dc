//! A bounded cursor over bytes, for the codecs of messages between nodes: big-endian numbers, varints, counted
//! bytes. Called by `packet`, `token` and `message`. It never panics and never allocates more than was read.

use std::fmt;

/// Why bytes are not what they claim to be. The sender's fault; nothing changed. Does not happen between
/// healthy nodes of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a field.
    Short,
    /// Bytes are left over after the last field.
    Trailing,
    /// A length or count is above its bound.
    TooLong,
    /// A field holds a value that means nothing.
    Value,
    /// A version this build does not speak.
    Version,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Short => "ends inside a field",
            Malformed::Trailing => "has bytes after its end",
            Malformed::TooLong => "has a length above its bound",
            Malformed::Value => "has a field without meaning",
            Malformed::Version => "has an unknown version",
        })
    }
}

impl std::error::Error for Malformed {}

/// Reads fields off the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing left to read?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Asserts that everything was read: [`Malformed::Trailing`] if not.
    pub fn end(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or(Malformed::Short)?;
        self.bytes = rest;
        Ok(head)
    }

    /// Everything left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// A reader over the next `n` bytes, which this one skips.
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, Malformed> {
        self.bytes(n).map(Reader::new)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.bytes = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// 0 or 1.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value),
        }
    }

    /// One to ten bytes, seven bits each, least significant first (LEB128). Only the shortest form is legal.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Value);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if bits == 0 && shift != 0 { Err(Malformed::Value) } else { Ok(value) };
            }
        }
        Err(Malformed::Value)
    }

    /// A varint that is a length or count of at most `max`; else [`Malformed::TooLong`].
    pub fn count(&mut self, max: usize) -> Result<usize, Malformed> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(Malformed::TooLong),
        }
    }

    /// A varint length of at most `max`, then so many bytes.
    pub fn counted(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let n = self.count(max)?;
        self.bytes(n)
    }
}

/// What a new buffer has room for: nearly every message, so that it need not grow.
const ROOM: usize = 512;

/// Appends fields to a buffer. Every put succeeds; [`Writer::finish`] tells whether the bound was kept, so that
/// an encoder needs one check.
#[derive(Clone, Debug)]
pub struct Writer {
    out: Vec<u8>,
    max: usize,
    over: bool,
}

impl Writer {
    /// An empty buffer that may grow to `max` bytes.
    pub fn new(max: usize) -> Writer {
        Writer::reuse(Vec::with_capacity(max.min(ROOM)), max)
    }

    /// Like [`Writer::new`], in the memory of `buffer`, whose contents are lost.
    pub fn reuse(mut buffer: Vec<u8>, max: usize) -> Writer {
        buffer.clear();
        Writer { out: buffer, max, over: false }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Nothing written yet?
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written, or [`Malformed::TooLong`] if it went above the bound.
    pub fn finish(self) -> Result<Vec<u8>, Malformed> {
        if self.over { Err(Malformed::TooLong) } else { Ok(self.out) }
    }

    /// Raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.over || bytes.len() > self.max - self.out.len() {
            self.over = true;
            return;
        }
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// One to ten bytes; see [`Reader::varint`].
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// A varint length, then the bytes; see [`Reader::counted`].
    pub fn counted(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes(bytes);
    }

    /// A four-byte length, then what `fill` writes.
    pub fn sized_u32(&mut self, fill: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let start = self.out.len();
        fill(self);
        if !self.over {
            let len = (self.out.len() - start) as u32;
            self.out[start - 4..start].copy_from_slice(&len.to_be_bytes());
        }
    }

    /// A varint length, then what `fill` writes.
    pub fn sized(&mut self, fill: impl FnOnce(&mut Writer)) {
        let start = self.out.len();
        fill(self);
        if self.over {
            return;
        }
        let len = self.out.len() - start;
        self.varint(len as u64);
        if !self.over {
            self.out[start..].rotate_left(len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut w = Writer::new(1024);
        w.u8(1);
        w.u16(2);
        w.u32(3);
        w.u64(4);
        w.bool(true);
        w.counted(b"abc");
        w.sized_u32(|w| w.bytes(b"inner"));
        w.sized(|w| w.bytes(&[7; 200]));
        w.bytes(b"end");
        let bytes = w.finish().unwrap();
        let mut r = Reader::new(&bytes);
        assert_eq!(
            (r.u8(), r.u16(), r.u32(), r.u64(), r.bool()),
            (Ok(1), Ok(2), Ok(3), Ok(4), Ok(true))
        );
        assert_eq!(r.counted(3), Ok(&b"abc"[..]));
        let n = r.u32().unwrap() as usize;
        assert_eq!(r.sub(n).unwrap().rest(), b"inner");
        assert_eq!(r.counted(200), Ok(&[7; 200][..]));
        assert_eq!(r.clone().end(), Err(Malformed::Trailing));
        assert_eq!(r.rest(), b"end");
        assert_eq!(r.u8(), Err(Malformed::Short));
        assert_eq!(r.end(), Ok(()));
    }

    #[test]
    fn varints_have_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut w = Writer::new(10);
            w.varint(value);
            let bytes = w.finish().unwrap();
            let mut r = Reader::new(&bytes);
            assert_eq!(r.varint(), Ok(value));
            assert!(r.is_empty());
        }
        assert_eq!(Reader::new(&[0x80, 0]).varint(), Err(Malformed::Value));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(Malformed::Value));
        assert_eq!(Reader::new(&[0xff, 0xff]).varint(), Err(Malformed::Short));
        let mut over = [0x80; 10];
        over[9] = 2;
        assert_eq!(Reader::new(&over).varint(), Err(Malformed::Value));
    }

    #[test]
    fn bounds_hold() {
        let mut w = Writer::new(3);
        w.u16(1);
        w.u16(2);
        w.u8(3);
        assert_eq!(w.finish(), Err(Malformed::TooLong));
        let mut w = Writer::new(4);
        w.sized_u32(|w| w.u8(1));
        assert_eq!(w.finish(), Err(Malformed::TooLong));
        assert_eq!(Reader::new(&[5, 1, 2, 3, 4, 5]).counted(4), Err(Malformed::TooLong));
        assert_eq!(Reader::new(&[5, 1]).counted(8), Err(Malformed::Short));
        assert_eq!(Reader::new(&[2]).bool(), Err(Malformed::Value));
    }
}
