//! What backends serve, and how: an object with its validator, framed in one way or another.

use super::backend::Request;

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Vec<u8>,
    /// The fields that stay the same, such as `ETag`; each with its line end.
    pub fields: String,
    /// In chunks of so many bytes, or with its length.
    pub chunk: Option<usize>,
}

/// Bytes that are nowhere the same for long: two of them are taken from the counter of the place.
pub fn bytes(len: usize, salt: u64) -> Vec<u8> {
    let mut state = salt ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

impl Object {
    /// With a strong entity tag.
    pub fn new(len: usize) -> Object {
        let fields = "ETag: \"one\"\r\nContent-Type: application/x-test\r\n".to_owned();
        Object { bytes: bytes(len, 1), fields, chunk: None }
    }

    pub fn chunked(mut self, chunk: usize) -> Object {
        self.chunk = Some(chunk);
        self
    }

    /// With something else in the fields.
    pub fn with(mut self, from: &str, to: &str) -> Object {
        assert!(self.fields.contains(from), "{from}");
        self.fields = self.fields.replace(from, to);
        self
    }

    /// The bytes of an honest answer: head and body.
    pub fn serve(&self, request: &Request) -> Vec<u8> {
        self.part(request.field("range"), request.method() == "HEAD")
    }

    /// As if that had been asked for.
    pub fn part(&self, range: Option<&str>, head_only: bool) -> Vec<u8> {
        let total = self.bytes.len();
        let Some((first, end)) = range.map(|r| resolve(r, total)) else {
            return self.answer("200 OK", "", &self.bytes, head_only);
        };
        if first >= end {
            let field = format!("Content-Range: bytes */{total}\r\n");
            return self.answer("416 Range Not Satisfiable", &field, b"", head_only);
        }
        let field = format!("Content-Range: bytes {first}-{}/{total}\r\n", end - 1);
        self.answer("206 Partial Content", &field, &self.bytes[first..end], head_only)
    }

    /// Any answer with this object's fields and framing.
    pub fn answer(&self, status: &str, more: &str, body: &[u8], head_only: bool) -> Vec<u8> {
        let framing = match self.chunk {
            Some(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
            None => format!("Content-Length: {}\r\n", body.len()),
        };
        let fields = &self.fields;
        let mut wire = format!("HTTP/1.1 {status}\r\n{fields}{more}{framing}\r\n").into_bytes();
        if head_only {
            return wire;
        }
        match self.chunk {
            None => wire.extend_from_slice(body),
            Some(size) => {
                for chunk in body.chunks(size) {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
            }
        }
        wire
    }
}

/// First byte and end of a range.
pub fn resolve(range: &str, total: usize) -> (usize, usize) {
    let set = range.strip_prefix("bytes=").expect("bytes");
    let (first, last) = set.split_once('-').expect("a dash");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    match (first, last) {
        ("", n) => (total.saturating_sub(number(n)), total),
        (a, "") => (number(a), total),
        (a, b) => (number(a), total.min(number(b) + 1)),
    }
}

/// Where a head ends.
pub fn head_len(wire: &[u8]) -> usize {
    wire.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4
}
