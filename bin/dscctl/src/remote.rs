//! `-H NODE`: the same command on another node, by the system's ssh. Called by `lib.rs` before anything local is
//! asked. No local shell is ever involved; the remote login shell sees every argument quoted.

use crate::failure::Failure;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;
use std::time::Duration;

/// What ssh itself exits with when it could not reach the node.
const SSH_FAILED: i32 = 255;
/// What the remote shell exits with when it did not find the command, or may not run it.
const SHELL_FAILED: [i32; 2] = [126, 127];

/// Runs `dscctl` with `arguments` (those of this program, without its name) on `host`; returns its exit code.
/// `terminal` asks ssh for a terminal there, so that an interrupt reaches the command; `patience` is how long ssh may
/// take to connect.
pub fn run(
    host: &str,
    arguments: &[OsString],
    terminal: bool,
    patience: Duration,
) -> Result<u8, Failure> {
    let words = words(host, arguments, terminal, patience)?;
    let status = Command::new("ssh").args(&words).status().map_err(|error| {
        Failure::Unreachable(format!(
            "cannot run ssh to reach {host}: {error}: install openssh-client"
        ))
    })?;
    match status.code() {
        Some(code) if SHELL_FAILED.contains(&code) => Err(Failure::Unreachable(format!(
            "cannot run dscctl on {host}: is it installed there?"
        ))),
        Some(SSH_FAILED) | None => Err(Failure::Unreachable(format!(
            "cannot reach {host}: ssh failed ({status}): try `ssh {host} true`"
        ))),
        Some(code) => Ok(u8::try_from(code).unwrap_or(crate::failure::REFUSED)),
    }
}

/// The words given to ssh.
fn words(
    host: &str,
    arguments: &[OsString],
    terminal: bool,
    patience: Duration,
) -> Result<Vec<OsString>, Failure> {
    let place = host.strip_prefix("ssh://").unwrap_or(host);
    let bare = place.rsplit_once('@').map_or(place, |(_, node)| node);
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if place.starts_with('-') || bare.is_empty() || bare.starts_with('-') || host.contains(odd) {
        return Err(Failure::Usage(format!("-H {host:?}: expected [ssh://][user@]NODE")));
    }
    let mut words: Vec<OsString> = Vec::new();
    if terminal {
        words.push("-t".into());
    }
    // ssh counts whole seconds.
    let seconds = patience.as_secs() + u64::from(patience.subsec_nanos() > 0);
    words.extend(["-o".into(), format!("ConnectTimeout={seconds}").into()]);
    words.extend(["--".into(), host.into(), "dscctl".into()]);
    words.extend(without_host(arguments).iter().map(|word| quoted(word)));
    Ok(words)
}

/// The arguments without `-H` and its value. They have been parsed already, so that each form is known to be whole.
fn without_host(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            kept.push(word.clone());
            kept.extend(words.cloned());
            break;
        } else if bytes == b"-H" || bytes == b"--host" {
            words.next();
        } else if !bytes.starts_with(b"-H") && !bytes.starts_with(b"--host=") {
            kept.push(word.clone());
        }
    }
    kept
}

/// One word for any POSIX shell: bare if nothing in it could mean anything, else in single quotes.
fn quoted(word: &OsStr) -> OsString {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./:,@%+".contains(b);
    let bytes = word.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(host: &str, arguments: &[&str]) -> Result<Vec<String>, Failure> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let words = words(host, &arguments, false, Duration::from_millis(9_100))?;
        Ok(words.into_iter().map(|w| w.into_string().unwrap()).collect())
    }

    #[test]
    fn every_form_of_the_option_is_taken_out_and_nothing_else() {
        let plain =
            ["-o", "ConnectTimeout=10", "--", "n2", "dscctl", "--json", "vip", "10.1.0.100"];
        for host in [&["-H", "n2"][..], &["-Hn2"], &["--host", "n2"], &["--host=n2"]] {
            let words: Vec<&str> = [&["--json"], host, &["vip", "10.1.0.100"]].concat();
            assert_eq!(given("n2", &words).unwrap(), plain, "{host:?}");
        }
        assert_eq!(given("n2", &["--", "-H"]).unwrap()[2..], ["--", "n2", "dscctl", "--", "-H"]);
    }

    #[test]
    fn the_remote_shell_sees_words_not_commands() {
        let words = given("ops@n2", &["node", "a b;$(reboot)'`x`", "", "*"]).unwrap();
        assert_eq!(words[6..], ["'a b;$(reboot)'\\''`x`'", "''", "'*'"]);
    }

    #[test]
    fn a_host_cannot_be_an_option() {
        for host in ["", "-oProxyCommand=x", "ssh://", "ssh://-x", "a@", "a@-b", "a b", "a\nb"] {
            assert_eq!(given(host, &[]).unwrap_err().code(), 2, "{host:?}");
        }
        assert_eq!(given("ssh://ops@n2:22", &[]).unwrap()[3], "ssh://ops@n2:22");
    }
}
