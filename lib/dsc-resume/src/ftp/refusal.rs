//! Why a server does not take another's place.

use std::fmt;

/// Why a transfer does not go on, or a server cannot take another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Text has other bytes on another server.
    Ascii,
    /// Not a download of a file.
    NotAFile,
    /// A server did not tell the file's length.
    NoSize,
    /// A server did not tell when the file was changed, or told a time that no file was changed at.
    NoTime,
    /// The file has another length there.
    OtherSize,
    /// The file was changed at another time there.
    OtherTime,
    /// The last bytes sent are others there.
    OtherBytes,
    /// More bytes came than the file has.
    Longer,
    /// The server said that was all before all bytes came.
    Shorter,
    /// The session did something that cannot be done again.
    Bound,
    /// Going on is switched off.
    Off,
    /// There is no other server.
    NoServer,
    /// The user was not let in.
    Login(u16),
    /// The directory was not there.
    Directory(u16),
    /// Another command that the first server obeyed.
    Command(u16),
    /// REST.
    Restart(u16),
    /// The transfer itself.
    Transfer(u16),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Refusal::Ascii => "text has other bytes elsewhere",
            Refusal::NotAFile => "only the download of a file goes on",
            Refusal::NoSize => "no SIZE",
            Refusal::NoTime => "no MDTM",
            Refusal::OtherSize => "another SIZE",
            Refusal::OtherTime => "another MDTM",
            Refusal::OtherBytes => "other bytes",
            Refusal::Longer => "more bytes than SIZE",
            Refusal::Shorter => "fewer bytes than SIZE",
            Refusal::Bound => "the session cannot be repeated",
            Refusal::Off => "nothing goes on here",
            Refusal::NoServer => "no other server",
            Refusal::Login(code) => return write!(f, "{code} to the login"),
            Refusal::Directory(code) => return write!(f, "{code} to a directory"),
            Refusal::Command(code) => return write!(f, "{code} to a command of the session"),
            Refusal::Restart(code) => return write!(f, "{code} to REST"),
            Refusal::Transfer(code) => return write!(f, "{code} to the transfer"),
        };
        f.write_str(text)
    }
}
