//! Reads the project's own files for the tests beside it: which crates there are, what they need, what stands
//! in the sources. It changes nothing and knows no rule; the rules are the tests.

pub mod manual;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The project's top folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project folder")
}

/// A file of the project.
pub struct Source {
    /// Path below the top folder, with `/`.
    pub path: String,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: String,
}

impl Source {
    /// Ends its name in `.ending`?
    pub fn is(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == ending)
    }

    /// Shell, to be run or to be sourced?
    pub fn is_shell(&self) -> bool {
        self.is_script() || self.text.starts_with("# shellcheck shell=")
    }

    /// A shell script to be run, by its first line?
    pub fn is_script(&self) -> bool {
        self.text.lines().next().is_some_and(|l| l.starts_with("#!") && l.ends_with("sh"))
    }
}

/// Every file of the project but `.git` and the build folder, in order of their paths.
pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, below: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if below.is_empty() && (name == ".git" || name == "target") {
            continue;
        }
        let path = format!("{below}{name}");
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found);
        } else if let Ok(bytes) = fs::read(entry.path()) {
            // An editor's file may vanish between the two calls; what is gone breaks no rule.
            found.push(Source { path, text: String::from_utf8_lossy(&bytes).into_owned() });
        }
    }
}

/// A crate of the workspace.
pub struct Crate {
    /// Folder below the top one: `lib/dsc-ring`.
    pub folder: String,
    /// Name of the package.
    pub name: String,
    /// Its manifest.
    pub manifest: toml::Table,
}

impl Crate {
    /// Names in one of its tables of dependencies, target-specific ones included.
    pub fn needs(&self, table: &str) -> Vec<String> {
        let mut names: Vec<String> = keys(self.manifest.get(table));
        if let Some(targets) = self.manifest.get("target").and_then(|t| t.as_table()) {
            for target in targets.values() {
                names.extend(keys(target.get(table)));
            }
        }
        names
    }
}

fn keys(value: Option<&toml::Value>) -> Vec<String> {
    value.and_then(|v| v.as_table()).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

/// The crates of `lib`, `bin` and `tests`, by the names of their packages.
pub fn crates() -> BTreeMap<String, Crate> {
    let mut found = BTreeMap::new();
    for source in sources().into_iter().filter(|s| s.path.ends_with("/Cargo.toml")) {
        let folder = source.path.trim_end_matches("/Cargo.toml").to_owned();
        let manifest: toml::Table =
            source.text.parse().unwrap_or_else(|e| panic!("{}: {e}", source.path));
        let name = manifest["package"]["name"].as_str().expect("a name").to_owned();
        found.insert(name.clone(), Crate { folder, name, manifest });
    }
    found
}

/// The words of an identifier: `fooBar_baz` has three.
pub fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in identifier.chars() {
        if c == '_' || c == '-' || c == '.' || (c.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_ascii_digit();
    }
    words.retain(|w| !w.is_empty());
    words
}
