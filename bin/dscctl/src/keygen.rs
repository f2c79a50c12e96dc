//! `keygen`: makes the cluster key and rotates it. The file has one or two lines of 64 hexadecimal digits: the first
//! key seals, both open. It is read as the ring daemon reads it, and replaced whole, by a rename, so that a daemon never
//! reads half of it. Asks no daemon.

use crate::arguments::KeygenArguments;
use crate::failure::{Failure, reason};
use crate::shown::KeyWritten;
use dsc_sys::{keyfile, random};
use dsc_wire::seal::Key;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// Does what the arguments say; says what to do next.
pub fn run(arguments: &KeygenArguments) -> Result<KeyWritten, Failure> {
    let file = &arguments.file;
    if file.as_os_str() == "-" {
        if arguments.force || arguments.add || arguments.switch || arguments.retire {
            return Err(Failure::Usage("- prints a new key: it takes no other option".into()));
        }
        let key = new_key()?.to_hex().to_string();
        return Ok(KeyWritten { file: None, text: key.clone(), key: Some(key), keys: 1 });
    }
    let (keys, text) = if arguments.add {
        let old = one(file, "add a key to", "--retire the old one first")?;
        let text = "added a second key, which opens but does not seal yet; copy the file to every \
                    node, and go on with keygen --switch when status --local shows both keys on each";
        (vec![old, new_key()?], text)
    } else if arguments.switch {
        let [old, new] = two(file, "switch the keys of", "keygen --add comes first")?;
        let text = "the added key seals now, the old one still opens; copy the file to every node, \
                    and go on with keygen --retire when status --local shows so on each";
        (vec![new, old], text)
    } else if arguments.retire {
        let [new, _] = two(file, "retire a key of", "there is no other key in it")?;
        let text = "removed the old key; copy the file to every node";
        (vec![new], text)
    } else {
        (vec![new_key()?], "wrote a new key; copy the file to every node")
    };
    let replace = arguments.force || arguments.add || arguments.switch || arguments.retire;
    write(file, &keys, replace)?;
    Ok(KeyWritten {
        file: Some(file.display().to_string()),
        key: None,
        keys: keys.len(),
        text: format!("{}: {text}", file.display()),
    })
}

fn new_key() -> Result<Key, Failure> {
    random::key()
        .map_err(|error| Failure::Refused(format!("cannot make a key: {}", reason(&error))))
}

fn one(file: &Path, action: &str, advice: &str) -> Result<Key, Failure> {
    match <[Key; 1]>::try_from(read(file, action)?) {
        Ok([key]) => Ok(key),
        Err(_) => Err(cannot(action, file, &format!("it has two already: {advice}"))),
    }
}

fn two(file: &Path, action: &str, advice: &str) -> Result<[Key; 2], Failure> {
    <[Key; 2]>::try_from(read(file, action)?)
        .map_err(|_| cannot(action, file, &format!("it has one key only: {advice}")))
}

/// The one or two keys of a file. No line of it is ever printed.
fn read(file: &Path, action: &str) -> Result<Vec<Key>, Failure> {
    keyfile::keys(file).map_err(|error| cannot(action, file, &error.to_string()))
}

fn cannot(action: &str, file: &Path, why: &str) -> Failure {
    Failure::Refused(format!("cannot {action} {}: {why}", file.display()))
}

/// Writes the file under another name, mode 0600, and gives it its own once it is on the disk. Without `replace` the
/// name must be free, which a link decides and no look beforehand could.
fn write(file: &Path, keys: &[Key], replace: bool) -> Result<(), Failure> {
    let fresh = beside(file);
    let owner = fs::metadata(file).ok().map(|old| (old.uid(), old.gid()));
    let written = write_new(&fresh, keys, owner).and_then(|()| {
        if replace {
            fs::rename(&fresh, file)
        } else {
            fs::hard_link(&fresh, file).and_then(|()| fs::remove_file(&fresh))
        }
    });
    written.map_err(|error| {
        let left = fs::remove_file(&fresh);
        debug_assert!(left.is_ok() || !fresh.exists());
        match error.kind() {
            io::ErrorKind::AlreadyExists => cannot(
                "write",
                file,
                "it exists: --force replaces it, --add rotates the key without an outage",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                cannot("write", file, &format!("{}: make room there", reason(&error)))
            }
            _ => cannot("write", file, &reason(&error)),
        }
    })
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".new-{}", std::process::id()));
    file.with_file_name(name)
}

fn write_new(path: &Path, keys: &[Key], owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A daemon that could read the old file must be able to read the new one.
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    for key in keys {
        writeln!(file, "{}", *key.to_hex())?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let dir = std::env::temp_dir().join(format!("dscctl-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Dir(dir)
        }

        fn keygen(&self, way: &str) -> Result<Vec<Key>, Failure> {
            let file = self.0.join("key");
            run(&KeygenArguments {
                file: file.clone(),
                force: way == "force",
                add: way == "add",
                switch: way == "switch",
                retire: way == "retire",
            })?;
            assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
            assert_eq!(fs::read_dir(&self.0).unwrap().count(), 1, "nothing else is left there");
            read(&file, "read")
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_key_is_made_once_and_replaced_only_by_force() {
        let dir = Dir::new("made");
        let first = dir.keygen("").unwrap();
        let refused = dir.keygen("").unwrap_err();
        assert_eq!(refused.code(), 4);
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(read(&dir.0.join("key"), "read").unwrap(), first);
        assert_ne!(dir.keygen("force").unwrap(), first);
    }

    #[test]
    fn a_rotation_always_opens_what_the_step_before_seals() {
        let dir = Dir::new("rotation");
        assert_eq!(dir.keygen("add").unwrap_err().code(), 4, "there is no key yet");
        let start = dir.keygen("").unwrap();
        assert!(dir.keygen("switch").is_err() && dir.keygen("retire").is_err());
        let added = dir.keygen("add").unwrap();
        assert_eq!((added.len(), &added[0]), (2, &start[0]));
        assert!(dir.keygen("add").is_err(), "a third key");
        let switched = dir.keygen("switch").unwrap();
        assert_eq!(switched, [added[1].clone(), added[0].clone()]);
        assert_eq!(dir.keygen("retire").unwrap(), [added[1].clone()]);
    }

    #[test]
    fn what_is_no_key_file_is_not_touched() {
        let dir = Dir::new("wrong");
        let file = dir.0.join("key");
        let key = "5e".repeat(32) + "\n";
        let wrong = [
            ("", 0o600),
            ("secret\n", 0o600),
            (&key[..63], 0o600),
            (&key.repeat(3), 0o600),
            // The ring daemon would not take it either.
            (&key, 0o644),
        ];
        for (text, mode) in wrong {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            let refused = run(&KeygenArguments {
                file: file.clone(),
                force: false,
                add: true,
                switch: false,
                retire: false,
            })
            .unwrap_err();
            assert!(refused.to_string().starts_with("cannot add a key to "), "{refused}");
            assert!(!refused.to_string().contains("5e5e"), "{refused}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}
