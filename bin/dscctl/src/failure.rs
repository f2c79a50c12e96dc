//! Why a command did not do what was asked, and the exit code that says so. Every room returns it; `lib.rs` prints it.

use std::fmt;

/// Everything went as asked.
pub const DONE: u8 = 0;
/// The question was answered, and the answer is no.
pub const NO: u8 = 1;
/// The command line makes no sense, or names what does not exist.
pub const USAGE: u8 = 2;
/// A daemon or a node could not be reached.
pub const UNREACHABLE: u8 = 3;
/// It was refused, or it failed.
pub const REFUSED: u8 = 4;

/// A command that ended without its result: nothing was changed, unless the text says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The operator named something that does not exist.
    Usage(String),
    /// Nobody answered.
    Unreachable(String),
    /// No right to, refused, or failed.
    Refused(String),
    /// Whoever read our output has gone: not an error.
    Closed,
}

impl Failure {
    /// The exit code for it.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Unreachable(_) => UNREACHABLE,
            Failure::Refused(_) => REFUSED,
            Failure::Closed => DONE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Unreachable(text) | Failure::Refused(text) => {
                f.write_str(text)
            }
            Failure::Closed => f.write_str("the output was closed"),
        }
    }
}

impl std::error::Error for Failure {}

/// The system's reason without its number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let bare = text.split(" (os error").next().unwrap_or_default();
    let mut letters = bare.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
