//! What tells two states of one object apart to the byte (RFC 9110, 8.8): only a strong validator does.

use crate::date::http_date;
use crate::head::{Field, Head};

/// A `Last-Modified` is strong if the response is so much later at least: an object may change twice in a second, and the two
/// clocks of a server that asks another may differ (RFC 9110, 8.8.2.2).
pub const STRONG_AFTER_S: u64 = 60;

/// Longest entity tag that is remembered.
const TAG_MAX: usize = 512;

/// A strong validator, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    /// An entity tag, with its quotes.
    Tag(Vec<u8>),
    /// A date of modification; there was no entity tag.
    Modified(Vec<u8>),
}

/// Why a response has no strong validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Neither `ETag` nor `Last-Modified`.
    Absent,
    /// One of them is there twice or is not legal.
    Odd,
    /// `ETag: W/"..."`. It says that the server may send other bytes, so the date does not count either.
    Weak,
    /// `Last-Modified` is too close to `Date`.
    Young,
}

impl Validator {
    /// The strong validator of a response.
    ///
    /// # Errors
    /// Why it has none.
    pub fn of(head: &Head<'_>) -> Result<Validator, Weakness> {
        match head.etag {
            Field::One(tag) => return Validator::tag(tag),
            Field::Many => return Err(Weakness::Odd),
            Field::Absent => {}
        }
        let modified = match head.last_modified {
            Field::One(modified) => modified,
            Field::Many => return Err(Weakness::Odd),
            Field::Absent => return Err(Weakness::Absent),
        };
        let seconds = http_date(modified).ok_or(Weakness::Odd)?;
        let date = head.date.one().and_then(http_date).ok_or(Weakness::Young)?;
        match date.checked_sub(seconds) {
            Some(later) if later >= STRONG_AFTER_S => Ok(Validator::Modified(modified.to_vec())),
            _ => Err(Weakness::Young),
        }
    }

    fn tag(tag: &[u8]) -> Result<Validator, Weakness> {
        let (weak, opaque) = match tag.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, tag),
        };
        let inside = opaque.strip_prefix(b"\"").and_then(|o| o.strip_suffix(b"\""));
        let letter = |c: &u8| *c == 0x21 || (0x23..=0x7e).contains(c) || *c >= 0x80;
        match inside {
            Some(inside) if inside.iter().all(letter) && tag.len() <= TAG_MAX => {
                if weak {
                    Err(Weakness::Weak)
                } else {
                    Ok(Validator::Tag(tag.to_vec()))
                }
            }
            _ => Err(Weakness::Odd),
        }
    }

    /// Does a response have this very validator? One with an entity tag is another's if there was none.
    pub fn is_of(&self, head: &Head<'_>) -> bool {
        match self {
            Validator::Tag(tag) => head.etag == Field::One(tag),
            Validator::Modified(modified) => {
                head.etag == Field::Absent && head.last_modified == Field::One(modified)
            }
        }
    }

    /// The value of `If-Range`.
    pub fn text(&self) -> &[u8] {
        match self {
            Validator::Tag(text) | Validator::Modified(text) => text,
        }
    }
}
