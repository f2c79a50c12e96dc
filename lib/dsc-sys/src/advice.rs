//! What an operator can do about the system's reasons for not making or opening a file. Part of the messages of those
//! who do.

use std::io::{Error, ErrorKind};

/// As the end of a message: what to look at.
pub(crate) fn about_file(reason: &Error) -> &'static str {
    match reason.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there (df, df -i)",
        ErrorKind::ReadOnlyFilesystem => "make it writable, or name another directory",
        ErrorKind::NotADirectory => "a part of the path is no directory",
        _ => "is the directory writable, and are you root?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_taken_for_a_missing_right() {
        let of = |code| about_file(&Error::from_raw_os_error(code));
        assert!(of(libc::ENOSPC).contains("room") && of(libc::EDQUOT).contains("room"));
        assert!(of(libc::EROFS).contains("writable"));
        assert!(of(libc::EACCES).contains("root"));
    }
}
