//! The words and signs of an old file with their places. Knows nothing of what they mean.

use std::ops::Range;

/// A word or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub text: &'t str,
    pub at: Range<usize>,
}

const SIGNS: &[char] = &['{', '}', '(', ')', ',', ';'];

/// All of them, line by line. What follows `#` or `//` is a comment.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Vec<Token<'_>>> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let tokens = tokens(line, start);
        start += line.len();
        tokens
    })
}

fn tokens(line: &str, start: usize) -> Vec<Token<'_>> {
    let comment = ["#", "//"].iter().filter_map(|sign| line.find(sign)).min();
    let line = &line[..comment.unwrap_or(line.len())];
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return out };
        let length = match SIGNS.contains(&first) {
            true => first.len_utf8(),
            false => {
                rest.find(|c: char| c.is_whitespace() || SIGNS.contains(&c)).unwrap_or(rest.len())
            }
        };
        let from = start + line.len() - rest.len();
        out.push(Token { text: &rest[..length], at: from..from + length });
        rest = &rest[length..];
    }
}

/// Is the line one of these titles, whatever its capitals?
pub(super) fn is_title(line: &[Token], titles: &[&str]) -> bool {
    let words: Vec<String> = line.iter().map(|t| t.text.to_ascii_lowercase()).collect();
    titles.contains(&words.join(" ").as_str())
}
