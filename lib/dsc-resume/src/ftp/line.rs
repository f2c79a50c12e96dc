//! Lines of a control connection, from bytes as they come: bounded, free of Telnet's commands (RFC 854), and of bytes that
//! would make two lines of one.

/// Most bytes of a line, without its end: a command and the longest path.
pub const LINE_MAX: usize = 4096 + 16;

/// Telnet: what follows is a command.
const IAC: u8 = 255;
/// Telnet: the least byte that is a command after IAC.
const TELNET_MIN: u8 = 240;
/// Telnet: WILL, the first of the four commands that bear an option.
const WILL: u8 = 251;

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// Longer than [`LINE_MAX`].
    TooLong,
    /// It holds a NUL, a carriage return that ends nothing, or the byte 255.
    Control,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Text,
    TelnetCommand,
    TelnetOption,
}

/// Reads the lines of one direction. A bad line is skipped up to its end; the ones after it are read.
#[derive(Clone, Debug)]
pub struct Lines {
    line: Vec<u8>,
    bad: Option<BadLine>,
    next: Next,
    is_client: bool,
}

impl Lines {
    /// Of a client: Telnet's commands are taken out, bytes that have no place in a command make the line bad.
    pub fn of_client() -> Lines {
        Lines { line: Vec::new(), bad: None, next: Next::Text, is_client: true }
    }

    /// Of a server: its texts are for people, so a byte that has no place in a line becomes a question mark.
    pub fn of_server() -> Lines {
        Lines { is_client: false, ..Lines::of_client() }
    }

    /// Takes bytes up to the end of a line, or all; says how many, and the line without its end when it is complete.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<Result<Vec<u8>, BadLine>>) {
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_client && self.is_telnet(*byte) {
                continue;
            }
            if *byte == b'\n' {
                return (at + 1, Some(self.end()));
            }
            if self.line.len() == LINE_MAX + 1 {
                self.bad = Some(BadLine::TooLong);
            } else {
                self.line.push(*byte);
            }
        }
        (bytes.len(), None)
    }

    /// Has no line begun whose end is still to come?
    pub(super) fn is_between(&self) -> bool {
        self.line.is_empty()
    }

    /// Is the byte Telnet's? RFC 959 lets a client send a Synch before ABOR; its urgent byte is lost on the way, so that
    /// a data mark may begin a line with no IAC before it.
    fn is_telnet(&mut self, byte: u8) -> bool {
        match std::mem::replace(&mut self.next, Next::Text) {
            Next::TelnetOption => true,
            Next::TelnetCommand if byte == IAC => false,
            Next::TelnetCommand if byte >= TELNET_MIN => {
                if byte >= WILL {
                    self.next = Next::TelnetOption;
                }
                true
            }
            Next::TelnetCommand | Next::Text if byte == IAC => {
                self.next = Next::TelnetCommand;
                true
            }
            Next::TelnetCommand | Next::Text => self.line.is_empty() && byte >= TELNET_MIN,
        }
    }

    fn end(&mut self) -> Result<Vec<u8>, BadLine> {
        let mut line = std::mem::take(&mut self.line);
        let bad = self.bad.take();
        self.next = Next::Text;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if let Some(bad) = bad {
            return Err(bad);
        }
        if line.len() > LINE_MAX {
            return Err(BadLine::TooLong);
        }
        let control = |b: &u8| matches!(b, 0 | b'\r') || self.is_client && *b == IAC;
        if self.is_client && line.iter().any(control) {
            return Err(BadLine::Control);
        }
        for byte in line.iter_mut().filter(|b| control(b)) {
            *byte = b'?';
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut lines: Lines, mut bytes: &[u8]) -> Vec<Result<Vec<u8>, BadLine>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (count, line) = lines.take(bytes);
            bytes = &bytes[count..];
            found.extend(line);
        }
        found
    }

    #[test]
    fn rows() {
        type Row = (&'static str, &'static [u8], Vec<Result<Vec<u8>, BadLine>>);
        let ok = |text: &[u8]| Ok(text.to_vec());
        let rows: Vec<Row> = vec![
            ("a line", b"NOOP\r\n", vec![ok(b"NOOP")]),
            ("two", b"NOOP\r\nQUIT\r\n", vec![ok(b"NOOP"), ok(b"QUIT")]),
            ("no end yet", b"NOOP\r", vec![]),
            ("line feed alone", b"NOOP\n", vec![ok(b"NOOP")]),
            ("empty", b"\r\n", vec![ok(b"")]),
            ("return within", b"NO\rOP\r\n", vec![Err(BadLine::Control)]),
            ("two returns", b"NOOP\r\r\n", vec![Err(BadLine::Control)]),
            ("NUL", b"RETR a\0b\r\nNOOP\r\n", vec![Err(BadLine::Control), ok(b"NOOP")]),
            ("interrupt and data mark", b"\xff\xf4\xff\xf2ABOR\r\n", vec![ok(b"ABOR")]),
            ("the urgent byte lost", b"\xff\xf4\xf2ABOR\r\n", vec![ok(b"ABOR")]),
            ("the mark lost", b"\xff\xf4\xffABOR\r\n", vec![ok(b"ABOR")]),
            ("an option", b"\xff\xfb\x03NOOP\r\n", vec![ok(b"NOOP")]),
            ("an option that is a line feed", b"\xff\xfd\nNOOP\r\n", vec![ok(b"NOOP")]),
            ("255 as text", b"RETR \xff\xff\r\n", vec![Err(BadLine::Control)]),
            ("UTF-8", b"RETR \xf0\x9f\x98\x80\r\n", vec![ok(b"RETR \xf0\x9f\x98\x80")]),
            ("IAC before the end", b"NOOP\xff\r\nQUIT\n", vec![ok(b"NOOP"), ok(b"QUIT")]),
        ];
        for (what, bytes, wanted) in rows {
            assert_eq!(all(Lines::of_client(), bytes), wanted, "{what}");
        }
    }

    #[test]
    fn a_line_is_bounded() {
        let line = |count: usize| [vec![b'a'; count], b"\r\n".to_vec()].concat();
        let read = |count: usize| all(Lines::of_client(), &line(count));
        assert_eq!(read(LINE_MAX), [Ok(vec![b'a'; LINE_MAX])]);
        assert_eq!(read(LINE_MAX + 1), [Err(BadLine::TooLong)]);
        assert_eq!(read(LINE_MAX * 100), [Err(BadLine::TooLong)]);
        let mut lines = Lines::of_client();
        lines.take(&vec![b'a'; LINE_MAX * 100]);
        assert!(lines.line.capacity() <= 4 * LINE_MAX);
        lines.take(b"\r\n");
        assert_eq!(lines.take(b"NOOP\r\n"), (6, Some(Ok(b"NOOP".to_vec()))));
    }

    #[test]
    fn a_server_s_text_is_made_harmless() {
        let found = all(Lines::of_server(), b"257 \"a\rb\0c\xff\" is it\r\n");
        assert_eq!(found, [Ok(b"257 \"a?b?c\xff\" is it".to_vec())]);
    }
}
