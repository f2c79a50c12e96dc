//! The one error of the lab: what could not be done to what, and why. Everybody here returns it; it never
//! hides the operating system's own words.

use std::fmt;

/// Something the lab could not do. Nothing in it is expected in normal life, and the lab may be half up
/// afterwards: `down` cleans whatever is there.
#[derive(Debug, Clone)]
pub struct Error {
    doing: String,
    cause: String,
}

/// What most functions of the lab return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `doing` is an action with its object ("start dsc-fwd in n2"), `cause` why it failed.
    pub fn new(doing: impl fmt::Display, cause: impl fmt::Display) -> Error {
        Error { doing: doing.to_string(), cause: cause.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.cause)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when a system call or a file failed.
pub trait Doing<T> {
    /// Turns any error into [`Error`] with this action.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::new(doing(), cause))
    }
}
