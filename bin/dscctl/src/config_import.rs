//! `config import`: files of the old kind as a `dsc.toml`. Reads these files only; asks no daemon.

use crate::config_check;
use crate::failure::{Failure, reason};
use crate::shown::{Imported, ImportedFile};
use dsc_conf::{OldFile, OldKind, TEXT_MAX, import};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Makes one of `files` for a cluster of this name.
pub fn run(files: &[PathBuf], cluster: &str, colour: bool) -> Result<Imported, Failure> {
    let mut read = Vec::with_capacity(files.len());
    for path in files {
        let called = path.display().to_string();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = OldKind::of(&name).ok_or_else(|| {
            let known = OldKind::NAMES.map(|(name, _)| name).join(", ");
            Failure::Usage(format!("{called}: its name does not tell what it is: expected {known}"))
        })?;
        read.push((kind, text(path, &called)?, called));
    }
    let files: Vec<OldFile> =
        read.iter().map(|(kind, text, name)| OldFile { kind: *kind, name, text }).collect();
    Ok(match import(cluster, &files) {
        Ok(document) => {
            Imported { document: Some(document), problems: Vec::new(), drawn: String::new() }
        }
        Err(wrong) => Imported {
            document: None,
            problems: wrong
                .iter()
                .map(|problems| ImportedFile {
                    file: problems.file().to_owned(),
                    problems: config_check::listed(problems),
                })
                .collect(),
            drawn: wrong.iter().map(|problems| problems.render(colour)).collect(),
        },
    })
}

fn text(path: &Path, called: &str) -> Result<String, Failure> {
    let cannot = |why: String| Failure::Refused(format!("cannot read {called}: {why}"));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(TEXT_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(reason(&error)))?;
    if bytes.len() > TEXT_MAX {
        return Err(cannot(format!("it is longer than {TEXT_MAX} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|e| cannot(format!("it is no text from byte {} on", e.utf8_error().valid_up_to())))
}
