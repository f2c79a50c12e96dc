//! What of a response's head decides whether its body can be continued.

/// A field of a head that may stand there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// It is not there.
    #[default]
    Absent,
    /// Once, without blanks around it.
    One(&'a [u8]),
    /// More than once: nobody can say which one is meant.
    Many,
}

impl<'a> Field<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Field::Absent => Field::One(value.trim_ascii()),
            _ => Field::Many,
        };
    }

    /// Its value, if it stands there once.
    pub fn one(self) -> Option<&'a [u8]> {
        match self {
            Field::One(value) => Some(value),
            _ => None,
        }
    }
}

/// A response's head, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// `ETag`.
    pub etag: Field<'a>,
    /// `Last-Modified`.
    pub last_modified: Field<'a>,
    /// `Date`.
    pub date: Field<'a>,
    /// `Content-Length`.
    pub length: Field<'a>,
    /// `Content-Range`.
    pub range: Field<'a>,
    /// `Content-Encoding`.
    pub encoding: Field<'a>,
    /// `Content-Type`.
    pub kind: Field<'a>,
    /// `Transfer-Encoding`.
    pub transfer: Field<'a>,
}

impl<'a> Head<'a> {
    /// Of a status and all fields of a head; names may be of any case.
    pub fn read<'n>(status: u16, fields: impl Iterator<Item = (&'n str, &'a [u8])>) -> Head<'a> {
        let mut head = Head { status, ..Head::default() };
        for (name, value) in fields {
            let own: [(&str, &mut Field<'a>); 8] = [
                ("etag", &mut head.etag),
                ("last-modified", &mut head.last_modified),
                ("date", &mut head.date),
                ("content-length", &mut head.length),
                ("content-range", &mut head.range),
                ("content-encoding", &mut head.encoding),
                ("content-type", &mut head.kind),
                ("transfer-encoding", &mut head.transfer),
            ];
            if let Some((_, field)) = own.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                field.add(value);
            }
        }
        head
    }

    /// The announced length of the body; none if there is none, or if it is no number.
    pub fn content_length(&self) -> Option<u64> {
        number(self.length.one()?)
    }

    /// Is the length announced, but no number, or twice?
    pub(crate) fn length_is_odd(&self) -> bool {
        self.length != Field::Absent && self.content_length().is_none()
    }

    /// Is the body coded in another way than in chunks, or in a way that contradicts its length?
    pub(crate) fn transfer_is_odd(&self) -> bool {
        match self.transfer {
            Field::Absent => false,
            Field::One(coding) => {
                !coding.eq_ignore_ascii_case(b"chunked") || self.length != Field::Absent
            }
            Field::Many => true,
        }
    }
}

/// A number of digits alone.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, c| {
        let digit = c.is_ascii_digit().then(|| u64::from(c - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}
