//! Ranges of bytes: what a client asked for, and what an answer says that it has (RFC 9110, 14.1 to 14.4).

use crate::head::{Field, number};
use std::fmt;

/// Longest `Range` that is understood; one range needs less.
pub const RANGES_MAX: usize = 64;

/// What a client's request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of the object.
    All,
    /// From a byte on, and up to another one if that is said.
    From {
        /// The first, counted from 0.
        first: u64,
        /// The last, itself included.
        last: Option<u64>,
    },
    /// The last so many bytes.
    Suffix(u64),
    /// Something that is not continued: several ranges, another unit, nothing legal.
    Other,
}

impl Asked {
    /// Of the value of `Range`.
    pub fn read(range: Field<'_>) -> Asked {
        match range {
            Field::Absent => Asked::All,
            Field::One(text) => Asked::one(text).unwrap_or(Asked::Other),
            Field::Many => Asked::Other,
        }
    }

    fn one(text: &[u8]) -> Option<Asked> {
        let unit = text.get(..6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") || text.len() > RANGES_MAX {
            return None;
        }
        let set = text[6..].trim_ascii();
        let dash = set.iter().position(|c| *c == b'-')?;
        let (first, last) = (&set[..dash], &set[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Asked::Suffix(number(last)?)),
            (false, true) => Some(Asked::From { first: number(first)?, last: None }),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Asked::From { first, last: Some(last) })
            }
        }
    }

    /// Is `part` what this asked for, or as much of it as there is?
    pub fn fits(&self, part: &ContentRange) -> bool {
        let ends_at_the_end = part.total.is_none_or(|total| part.last == total - 1);
        match *self {
            Asked::From { first, last: None } => part.first == first && ends_at_the_end,
            Asked::From { first, last: Some(last) } => {
                part.first == first && (part.last == last || part.last < last && ends_at_the_end)
            }
            Asked::Suffix(count) => {
                let all = part.first == 0;
                let len = part.len();
                ends_at_the_end && (len == count || all && len < count)
            }
            Asked::All | Asked::Other => false,
        }
    }
}

/// Which bytes of an object a 206 has: `bytes FIRST-LAST/TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first, counted from 0.
    pub first: u64,
    /// The last, itself included; not less than `first`.
    pub last: u64,
    /// Length of the whole object, more than `last`; none if the server does not know it.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Of the value of `Content-Range`. None if it is not legal, or says that there are no such bytes.
    pub fn read(text: &[u8]) -> Option<ContentRange> {
        let unit = text.get(..6)?;
        if !unit.eq_ignore_ascii_case(b"bytes ") {
            return None;
        }
        let rest = &text[6..];
        let dash = rest.iter().position(|c| *c == b'-')?;
        let slash = rest.iter().position(|c| *c == b'/').filter(|slash| *slash > dash)?;
        let (first, last) = (number(&rest[..dash])?, number(&rest[dash + 1..slash])?);
        let total = match &rest[slash + 1..] {
            b"*" => None,
            total => Some(number(total)?),
        };
        let legal = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
        legal.then_some(ContentRange { first, last, total })
    }

    /// How many bytes they are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}
