//! The cluster key's file: readable for its owner alone, or not used at all. Read by the daemons that speak to other nodes, at
//! their start and whenever it changes, and by dscctl when it rotates the key.

use dsc_wire::seal::{Key, KeyFileError as Text, Keyring};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Most bytes of a key file: two keys of 65 bytes each, and lines that are skipped. A longer one is refused, not cut.
const TEXT_MAX: u64 = 4096;

/// Why the key could not be had.
#[derive(Debug)]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong with a key file.
#[derive(Debug)]
pub enum Cause {
    /// It cannot be read.
    System(io::Error),
    /// It is not an ordinary file.
    Kind,
    /// Others than its owner may read or write it.
    Mode(u32),
    /// It belongs to neither root nor this process's user.
    Owner(u32),
    /// It is longer than any key file.
    Length,
    /// It holds something else.
    Text(Text),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::System(e) if e.kind() == io::ErrorKind::NotFound => {
                write!(f, "no key file {path}: make one with dscctl keygen, the same for all nodes")
            }
            // Its unit leaves the daemon no right to read what is another user's, root or not.
            Cause::System(e) if e.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot read key file {path}: {e}: expected owner root, mode 0600: chown root {path}, chmod 600 {path}"
            ),
            Cause::System(e) => write!(f, "cannot read key file {path}: {e}"),
            Cause::Kind => write!(f, "key file {path} is not an ordinary file"),
            Cause::Mode(mode) => write!(
                f,
                "key file {path} is open to group or others (mode {mode:04o}): expected 0600 or stricter, chmod 600 {path}"
            ),
            Cause::Owner(uid) => {
                write!(f, "key file {path} belongs to user {uid}: expected root, chown root {path}")
            }
            Cause::Length => {
                write!(f, "key file {path} is too long: expected at most {TEXT_MAX} bytes")
            }
            Cause::Text(e) => write!(f, "key file {path}: {e}"),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// Reads the one or two keys themselves, that which seals first. The file's mode is checked on what was opened, so that
/// it cannot be exchanged in between.
///
/// # Errors
/// [`KeyFileError`]; no message shows a part of a key.
pub fn keys(path: &Path) -> Result<Vec<Key>, KeyFileError> {
    let taken = text(path).and_then(|text| Key::parse_file(&text).map_err(Cause::Text));
    taken.map_err(|cause| KeyFileError { path: path.to_owned(), cause })
}

/// The key file of a daemon that runs: read again when it changes, so that a key is rotated without a restart.
pub struct KeyFile {
    path: PathBuf,
    keys: Vec<Key>,
    /// Of the file that was read last, or refused.
    stamp: Option<Stamp>,
}

/// Another file, or another state of it, has another one.
type Stamp = [i64; 6];

impl KeyFile {
    /// Reads it.
    ///
    /// # Errors
    /// As [`keys`].
    pub fn open(path: &Path) -> Result<KeyFile, KeyFileError> {
        // Before it is read: what is written meanwhile counts as another state.
        let stamp = stamp(path);
        Ok(KeyFile { path: path.to_owned(), keys: keys(path)?, stamp })
    }

    /// What seals and opens with the keys in force, made by `make` of that which seals and that which only opens.
    pub fn keyring(&self, make: fn(&Key, Option<&Key>) -> Keyring) -> Keyring {
        // No file without a key is ever taken.
        make(&self.keys[0], self.keys.get(1))
    }

    /// What people call the keys in force, that which seals first.
    pub fn ids(&self) -> Vec<String> {
        self.keys.iter().map(Key::id).collect()
    }

    /// Looks at the file; true if other keys are in force from now on. A file that cannot be used changes nothing, and neither
    /// does one that has none of the keys in force: no other node could open what is sealed with it. Why is said once.
    pub fn look(&mut self) -> bool {
        let stamp = stamp(&self.path);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        let (path, before) = (self.path.display().to_string(), self.ids());
        match keys(&self.path) {
            Err(e) => tracing::warn!("{e}; the keys in force stay: {}", before.join(" ")),
            Ok(keys) if keys == self.keys => {}
            Ok(keys) if !keys.iter().any(|key| self.keys.contains(key)) => tracing::warn!(
                "key file {path} has none of the keys in force ({}), which stay: dscctl keygen --add rotates a key, a restart takes any",
                before.join(" ")
            ),
            Ok(keys) => {
                self.keys = keys;
                tracing::info!(
                    "key file {path} has changed: {} now, the first one seals",
                    self.ids().join(" ")
                );
                return true;
            }
        }
        false
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    let (inode, mode) = (meta.ino() as i64, i64::from(meta.mode()) << 32 | i64::from(meta.uid()));
    let (changed, nanos) = (meta.ctime(), meta.ctime_nsec());
    Some([meta.dev() as i64, inode, mode, meta.size() as i64, changed, nanos])
}

fn text(path: &Path) -> Result<Zeroizing<String>, Cause> {
    // A FIFO in its place must not keep the daemon waiting.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(Cause::System)?;
    let meta = file.metadata().map_err(Cause::System)?;
    if !meta.is_file() {
        return Err(Cause::Kind);
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Cause::Mode(mode));
    }
    let me = nix::unistd::geteuid().as_raw();
    if meta.uid() != 0 && meta.uid() != me {
        return Err(Cause::Owner(meta.uid()));
    }
    let mut text = Zeroizing::new(String::with_capacity(TEXT_MAX as usize + 1));
    file.take(TEXT_MAX + 1).read_to_string(&mut text).map_err(Cause::System)?;
    if text.len() as u64 > TEXT_MAX {
        return Err(Cause::Length);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    struct KeyFile(PathBuf);

    impl KeyFile {
        fn new(name: &str, text: &str, mode: u32) -> KeyFile {
            let path = std::env::temp_dir().join(format!("dsc-key-{name}-{}", std::process::id()));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            KeyFile(path)
        }

        fn error(&self) -> String {
            keys(&self.0).unwrap_err().to_string()
        }
    }

    impl Drop for KeyFile {
        fn drop(&mut self) {
            fs::remove_file(&self.0).unwrap();
        }
    }

    #[test]
    fn only_a_private_file_with_keys_is_taken() {
        let line = "ab".repeat(32) + "\n";
        let good = KeyFile::new("good", &line, 0o600);
        keys(&good.0).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            let open = KeyFile::new("open", &line, mode);
            assert!(open.error().contains("0600"), "{}", open.error());
        }
        let short = KeyFile::new("short", "abcd\n", 0o600);
        assert!(short.error().contains("line 1") && !short.error().contains("abcd"));
        let long = KeyFile::new("long", &(line.clone() + &"#\n".repeat(2048)), 0o600);
        assert!(long.error().contains("too long"), "{}", long.error());
        let absent = keys(Path::new("/nonexistent/key")).unwrap_err().to_string();
        assert!(absent.contains("dscctl keygen"), "{absent}");
        let directory = keys(Path::new("/")).unwrap_err();
        assert!(matches!(directory.cause, Cause::Kind), "{directory}");
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_bad_one_changes_nothing() {
        let [one, two, three] = ["ab", "cd", "ef"].map(|byte| byte.repeat(32) + "\n");
        let file = KeyFile::new("again", &one, 0o600);
        let mut open = super::KeyFile::open(&file.0).unwrap();
        assert!(!open.look(), "it is the same");
        let mut write = |text: &str| {
            fs::write(&file.0, text).unwrap();
            let changed = open.look();
            assert!(!open.look(), "it is the same again");
            (changed, open.ids())
        };
        let id = |line: &str| Key::parse_file(line).unwrap()[0].id();
        assert_eq!(write(&format!("{one}{two}")), (true, vec![id(&one), id(&two)]));
        assert!(!write(&format!("# the same keys\n{one}{two}")).0);
        assert_eq!(write(&format!("{two}{one}")), (true, vec![id(&two), id(&one)]));
        for bad in [&one[..40], "", &three] {
            assert_eq!(write(bad), (false, vec![id(&two), id(&one)]), "{bad}");
        }
        assert_eq!(write(&two), (true, vec![id(&two)]));
        let away = file.0.with_extension("away");
        fs::rename(&file.0, &away).unwrap();
        assert!(!open.look() && open.ids() == [id(&two)], "it is not there");
        fs::write(&away, format!("{two}{one}")).unwrap();
        fs::rename(&away, &file.0).unwrap();
        assert!(open.look() && open.ids() == [id(&two), id(&one)], "it is there again");
    }

    #[test]
    fn who_may_not_read_it_is_told_whose_it_has_to_be() {
        let cause = Cause::System(io::Error::from_raw_os_error(libc::EACCES));
        let error = KeyFileError { path: "/etc/dsc/key".into(), cause }.to_string();
        assert!(error.contains("chown root /etc/dsc/key, chmod 600 /etc/dsc/key"), "{error}");
    }

    #[test]
    fn a_file_of_another_user_is_not_taken() {
        let file = KeyFile::new("owner", &"ab".repeat(32), 0o600);
        if nix::unistd::geteuid().is_root() {
            chown(&file.0, Some(65_534), None).unwrap();
            assert!(file.error().contains("65534"), "{}", file.error());
        }
    }
}
