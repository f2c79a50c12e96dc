//! Replies of a server (RFC 959, 4.2): a code, and one line or several.

use super::line::{BadLine, Lines};

/// Most bytes of a reply, with the ends of its lines.
pub const REPLY_MAX: usize = 64 * 1024;

/// Why bytes are no reply. What follows on that connection means nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReply {
    /// It begins with no code.
    NoCode,
    /// A line, or the whole, is longer than may be.
    TooLong,
}

/// A reply, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// From 100 to 599.
    pub code: u16,
    /// As they came, the code of the first and last among them; at least one.
    lines: Vec<Vec<u8>>,
}

impl Reply {
    /// Of one line.
    pub fn new(code: u16, text: &str) -> Reply {
        Reply { code, lines: vec![format!("{code} {text}").into_bytes()] }
    }

    /// Something else is to follow: 1yz.
    pub fn is_preliminary(&self) -> bool {
        self.code / 100 == 1
    }

    /// What was asked is done: 2yz.
    pub fn is_done(&self) -> bool {
        self.code / 100 == 2
    }

    /// The text of the first line, after the code.
    pub fn text(&self) -> &[u8] {
        self.lines.first().and_then(|l| l.get(4..)).unwrap_or_default()
    }

    /// Keeps of the lines between the first and the last those that `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let last = self.lines.len().saturating_sub(1);
        let mut at = 0;
        self.lines.retain(|line| {
            at += 1;
            at == 1 || at == last + 1 || keep(line)
        });
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

/// Reads the replies of one server.
#[derive(Clone, Debug)]
pub struct Replies {
    lines: Lines,
    open: Option<Reply>,
    bytes: usize,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies { lines: Lines::of_server(), open: None, bytes: 0 }
    }
}

impl Replies {
    /// Takes bytes up to the end of a reply, or all; says how many, and the reply when it is complete.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<Result<Reply, BadReply>>) {
        let mut taken = 0;
        while taken < bytes.len() {
            let (count, line) = self.lines.take(&bytes[taken..]);
            taken += count;
            let Some(line) = line else { break };
            match self.line(line) {
                Ok(None) => {}
                Ok(Some(reply)) => return (taken, Some(Ok(reply))),
                Err(bad) => return (taken, Some(Err(bad))),
            }
        }
        (taken, None)
    }

    /// Has no reply begun whose end is still to come?
    pub fn is_between(&self) -> bool {
        self.open.is_none() && self.lines.is_between()
    }

    fn line(&mut self, line: Result<Vec<u8>, BadLine>) -> Result<Option<Reply>, BadReply> {
        let line = line.map_err(|_| BadReply::TooLong)?;
        self.bytes += line.len() + 2;
        if self.bytes > REPLY_MAX {
            return Err(BadReply::TooLong);
        }
        let head = head(&line);
        let Some(open) = &mut self.open else {
            let (code, goes_on) = head.ok_or(BadReply::NoCode)?;
            self.open = Some(Reply { code, lines: vec![line] });
            return Ok(if goes_on { None } else { self.complete() });
        };
        open.lines.push(line);
        let is_last = head == Some((open.code, false));
        Ok(if is_last { self.complete() } else { None })
    }

    fn complete(&mut self) -> Option<Reply> {
        self.bytes = 0;
        self.open.take()
    }
}

/// The code that a line begins with, and whether the reply goes on after it.
fn head(line: &[u8]) -> Option<(u16, bool)> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, d| code * 10 + u16::from(d - b'0'));
    let goes_on = match line.get(3) {
        None | Some(b' ') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    (100..600).contains(&code).then_some((code, goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<Result<Reply, BadReply>> {
        let mut replies = Replies::default();
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (count, reply) = replies.take(bytes);
            bytes = &bytes[count..];
            found.extend(reply);
        }
        found
    }

    #[test]
    fn rows() {
        let reply = |code: u16, lines: &[&str]| {
            Ok(Reply { code, lines: lines.iter().map(|l| l.as_bytes().to_vec()).collect() })
        };
        type Row = (&'static str, &'static [u8], Vec<Result<Reply, BadReply>>);
        let rows: Vec<Row> = vec![
            ("one line", b"220 ready\r\n", vec![reply(220, &["220 ready"])]),
            ("no text", b"220\r\n", vec![reply(220, &["220"])]),
            ("space alone", b"220 \r\n", vec![reply(220, &["220 "])]),
            ("incomplete", b"220-a\r\n", vec![]),
            ("several", b"220-a\r\nb\r\n220 c\r\n", vec![reply(220, &["220-a", "b", "220 c"])]),
            (
                "other codes within",
                b"123-a\r\n234 b\r\n 123 c\r\n123-d\r\n123 e\r\n",
                vec![reply(123, &["123-a", "234 b", " 123 c", "123-d", "123 e"])],
            ),
            ("two", b"150 a\r\n226 b\r\n", vec![reply(150, &["150 a"]), reply(226, &["226 b"])]),
            ("no code", b"hello\r\n", vec![Err(BadReply::NoCode)]),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n", vec![Err(BadReply::NoCode)]),
            ("no such code", b"600 a\r\n", vec![Err(BadReply::NoCode)]),
            ("code too long", b"2200 a\r\n", vec![Err(BadReply::NoCode)]),
            ("empty line", b"\r\n", vec![Err(BadReply::NoCode)]),
        ];
        for (what, bytes, wanted) in rows {
            assert_eq!(all(bytes), wanted, "{what}");
            for reply in wanted.iter().flatten() {
                assert_eq!(all(&reply.to_bytes()), [Ok(reply.clone())], "{what}: printed");
            }
        }
    }

    #[test]
    fn a_reply_that_has_begun_is_known() {
        let rows: &[(&[u8], bool)] = &[
            (b"", true),
            (b"22", false),
            (b"220 a\r", false),
            (b"220 a\r\n", true),
            (b"220-a\r\n", false),
            (b"220-a\r\n220 b\r\n", true),
        ];
        for (bytes, wanted) in rows {
            let mut replies = Replies::default();
            replies.take(bytes);
            assert_eq!(replies.is_between(), *wanted, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_reply_is_bounded() {
        let endless = b"220-a\r\n".repeat(REPLY_MAX / 7 + 1);
        assert_eq!(all(&endless), [Err(BadReply::TooLong)]);
        let many = b"220 a\r\n".repeat(REPLY_MAX / 7 + 1);
        assert!(all(&many).iter().all(Result::is_ok), "many short ones are not a long one");
        assert_eq!(all(&[b"220 ".to_vec(), vec![b'a'; 5000], b"\r\n".to_vec()].concat()).len(), 1);
    }

    #[test]
    fn lines_between_the_first_and_the_last_are_kept_as_wanted() {
        let mut reply =
            all(b"211-Features:\r\n SIZE\r\n AUTH TLS\r\n211 End\r\n").remove(0).unwrap();
        reply.retain(|line| line == b" SIZE");
        assert_eq!(reply.to_bytes(), b"211-Features:\r\n SIZE\r\n211 End\r\n");
        let mut one = Reply::new(211, "none");
        one.retain(|_| false);
        assert_eq!(one.to_bytes(), b"211 none\r\n");
        assert_eq!(one.text(), b"none");
    }
}
