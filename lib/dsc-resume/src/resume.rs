//! One response that may be continued: how the rest is asked for, and which answer is the rest.

use crate::OVERLAP_MAX;
use crate::head::{Field, Head};
use crate::range::{Asked, ContentRange};
use crate::validator::{Validator, Weakness};
use std::fmt;

/// Longest value of `Content-Encoding` or `Content-Type` that is remembered.
const VALUE_MAX: usize = 512;

/// A response whose rest another backend can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumable {
    validator: Validator,
    /// Place in the object of the body's first byte.
    first: u64,
    /// Place behind the body's last byte; none if only the body's end tells.
    end: Option<u64>,
    /// Length of the object.
    total: Option<u64>,
    encoding: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
}

/// Why a response cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Only GET asks for an object that can be asked for again in parts.
    Method,
    /// Neither 200, nor 206 to a request for one range.
    Status,
    /// A 206 that has not what was asked for, or several ranges.
    Range,
    /// Length or coding of the transfer contradict themselves.
    Framing,
    /// A field is longer than what is remembered, or there twice.
    Field,
    /// No strong validator.
    Validator(Weakness),
}

/// How the rest is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// First byte, in the object.
    pub from: u64,
    /// So many of the first bytes were sent already; they are compared.
    pub overlap: u32,
    /// The value of `Range`.
    pub range: String,
    /// The value of `If-Range`.
    pub if_range: Vec<u8>,
}

/// What an exact answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continue {
    /// The answer's body, the overlap included, has so many bytes.
    pub length: u64,
}

/// Why an answer is not the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not 206.
    Status(u16),
    /// Another validator, or none.
    Validator,
    /// No `Content-Range`, or other bytes than those asked for.
    Range,
    /// The object has another length there.
    Total,
    /// Another `Content-Encoding`.
    Encoding,
    /// Another `Content-Type`.
    Kind,
    /// Length or coding of the transfer contradict the range or themselves.
    Framing,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Status(status) => write!(f, "status {status}"),
            Refusal::Validator => f.write_str("another validator"),
            Refusal::Range => f.write_str("another range"),
            Refusal::Total => f.write_str("another length"),
            Refusal::Encoding => f.write_str("another Content-Encoding"),
            Refusal::Kind => f.write_str("another Content-Type"),
            Refusal::Framing => f.write_str("contradictory framing"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Method => "not a GET",
            Unfit::Status => "neither 200 nor 206",
            Unfit::Range => "not the range that was asked for",
            Unfit::Framing => "contradictory framing",
            Unfit::Field => "a field is too long or there twice",
            Unfit::Validator(Weakness::Absent) => "no validator",
            Unfit::Validator(Weakness::Odd) => "a validator that is not legal",
            Unfit::Validator(Weakness::Weak) => "a weak ETag",
            Unfit::Validator(Weakness::Young) => "Last-Modified is too young",
        })
    }
}

impl Resumable {
    /// Of the answer to a request.
    ///
    /// # Errors
    /// Why its body cannot be continued.
    pub fn of(is_get: bool, asked: Asked, head: &Head<'_>) -> Result<Resumable, Unfit> {
        if !is_get {
            return Err(Unfit::Method);
        }
        if head.length_is_odd() || head.transfer_is_odd() {
            return Err(Unfit::Framing);
        }
        let length = head.content_length();
        let (first, end, total) = match head.status {
            200 => (0, length, length),
            206 => {
                let part = head.range.one().and_then(ContentRange::read).ok_or(Unfit::Range)?;
                if !asked.fits(&part) {
                    return Err(Unfit::Range);
                }
                if length.is_some_and(|length| length != part.len()) {
                    return Err(Unfit::Framing);
                }
                (part.first, Some(part.last + 1), part.total)
            }
            _ => return Err(Unfit::Status),
        };
        let validator = Validator::of(head).map_err(Unfit::Validator)?;
        let encoding = remembered(head.encoding)?;
        let kind = remembered(head.kind)?;
        Ok(Resumable { validator, first, end, total, encoding, kind })
    }

    /// The body has so many bytes; none if only its end tells.
    pub fn length(&self) -> Option<u64> {
        self.end.map(|end| end - self.first)
    }

    /// Where the byte after the first `sent` of the body is in the object.
    pub fn place(&self, sent: u64) -> u64 {
        self.first.saturating_add(sent)
    }

    /// So many of the last bytes are needed for [`Resumable::rest`]: where the length is not known, one must be fetched again,
    /// for an answer cannot say "exactly here is the end".
    pub fn overlap(&self, verify: u32) -> u32 {
        verify.min(OVERLAP_MAX).max(u32::from(self.end.is_none()))
    }

    /// Asks for what follows the first `sent` bytes. None if nothing does, or if it is beyond all numbers.
    pub fn rest(&self, sent: u64, verify: u32) -> Option<Rest> {
        let place = self.first.checked_add(sent)?;
        if self.end.is_some_and(|end| place >= end) {
            return None;
        }
        let overlap = u64::from(self.overlap(verify)).min(sent) as u32;
        let from = place - u64::from(overlap);
        let range = match self.end {
            Some(end) => format!("bytes={from}-{}", end - 1),
            None => format!("bytes={from}-"),
        };
        Some(Rest { from, overlap, range, if_range: self.validator.text().to_vec() })
    }

    /// Is this the answer to [`Resumable::rest`]? If it is, the end is known from here on.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub fn judge(&mut self, rest: &Rest, head: &Head<'_>) -> Result<Continue, Refusal> {
        if head.status != 206 {
            return Err(Refusal::Status(head.status));
        }
        if !self.validator.is_of(head) {
            return Err(Refusal::Validator);
        }
        let part = head.range.one().and_then(ContentRange::read).ok_or(Refusal::Range)?;
        let end = match (self.end, part.total) {
            (Some(end), _) => end,
            (None, Some(total)) => total,
            (None, None) => return Err(Refusal::Total),
        };
        if self.total.is_some() && part.total != self.total {
            return Err(Refusal::Total);
        }
        if part.first != rest.from || part.last + 1 != end {
            return Err(Refusal::Range);
        }
        if part.len() < u64::from(rest.overlap) {
            return Err(Refusal::Range);
        }
        if head.length_is_odd() || head.transfer_is_odd() {
            return Err(Refusal::Framing);
        }
        if head.content_length().is_some_and(|length| length != part.len()) {
            return Err(Refusal::Framing);
        }
        if !same_coding(self.encoding.as_deref(), head.encoding) {
            return Err(Refusal::Encoding);
        }
        // An answer to If-Range need not repeat it (RFC 9110, 15.3.7).
        let same_kind = match head.kind {
            Field::Absent => true,
            Field::One(kind) => self.kind.as_deref() == Some(kind),
            Field::Many => false,
        };
        if !same_kind {
            return Err(Refusal::Kind);
        }
        self.end = Some(end);
        self.total = self.total.or(part.total);
        Ok(Continue { length: part.len() })
    }
}

fn remembered(field: Field<'_>) -> Result<Option<Vec<u8>>, Unfit> {
    match field {
        Field::Absent => Ok(None),
        Field::One(value) if value.len() <= VALUE_MAX => Ok(Some(value.to_vec())),
        _ => Err(Unfit::Field),
    }
}

fn same_coding(before: Option<&[u8]>, now: Field<'_>) -> bool {
    match (before, now) {
        (None, Field::Absent) => true,
        (Some(before), Field::One(now)) => before.eq_ignore_ascii_case(now),
        _ => false,
    }
}
