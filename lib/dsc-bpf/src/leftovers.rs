//! What is pinned and goes: maps of builds that were before this one, and everything when an operator uninstalls.

use crate::datapath::Datapath;
use crate::hook::Hooks;
use crate::{Error, LAYOUT};
use std::fs;
use std::path::Path;

impl Datapath {
    /// Takes away the maps of builds with another layout, once no program is left that uses them. Returns which they were.
    ///
    /// # Errors
    /// [`Error::Mount`]: some could not be removed.
    pub fn remove_earlier(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Mount { dir: self.dir.clone(), source };
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != LAYOUT && is_layout(&name) {
                fs::remove_dir_all(self.dir.join(&name)).map_err(failed)?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Takes everything below `dir` away: programs off the interfaces, then maps. For an operator who uninstalls;
    /// a running `dsc-ringd` would be left with maps that nobody reads.
    ///
    /// # Errors
    /// [`Error`]: something could not be removed; the programs go first.
    pub fn remove(dir: &Path) -> Result<(), Error> {
        if !dir.exists() {
            return Ok(());
        }
        Hooks::remove(dir)?;
        fs::remove_dir_all(dir).map_err(|source| Error::Mount { dir: dir.to_owned(), source })
    }
}

fn is_layout(name: &str) -> bool {
    let number = name.strip_prefix('v');
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
