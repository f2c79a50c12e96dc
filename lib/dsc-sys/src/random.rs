//! The kernel's random numbers: incarnations and keys.

use dsc_wire::Incarnation;
use dsc_wire::seal::{KEY_LEN, Key};
use std::io;
use zeroize::Zeroizing;

/// Fills `bytes` from the kernel's generator, waiting at early boot until it is seeded.
///
/// # Errors
/// The system's, when it forbids the call.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: `rest` is exclusively ours and its true length is given.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match n {
            n if n > 0 => filled += n as usize,
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Eight random bytes as a number.
fn number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The name of this life of a daemon: random, so that it differs from every earlier one even if the clock was set
/// back, and never zero.
///
/// # Errors
/// As [`fill`].
pub fn incarnation() -> io::Result<Incarnation> {
    loop {
        match number()? {
            0 => {}
            n => return Ok(Incarnation(n)),
        }
    }
}

/// A new cluster key.
///
/// # Errors
/// As [`fill`].
pub fn key() -> io::Result<Key> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    fill(&mut *bytes)?;
    Ok(Key::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lives_and_two_keys_differ() {
        assert_ne!(incarnation().unwrap(), incarnation().unwrap());
        assert_ne!(key().unwrap(), key().unwrap());
    }
}
