//! What is in force on a node: the file that its daemons were started with, or what the cluster has agreed on since, which
//! dsc-ringd keeps below its state directory. All daemons and dscctl read it here.

use crate::config::Config;
use crate::join::Join;
use crate::problem::{Problem, Problems};
use dsc_wire::local::ConfigFile;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the configuration in force is kept, unless the daemons are told otherwise.
pub const STATE_DIR: &str = "/var/lib/dsc";
/// The file in it.
pub const STORED: &str = "dsc.toml";
/// Beside it, what is prepared to follow it.
pub const PREPARED: &str = "dsc.toml.next";
/// How a file begins that a daemon wrote: the words, and then its version.
const WRITTEN_BY: &str = "# Kept by dsc ";

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// What it says.
    pub config: Config,
    /// Where it was read.
    pub path: PathBuf,
    /// The file that the daemon was started with, if that says something else.
    pub file: Option<ConfigFile>,
}

impl Config {
    /// What is in force: that in `state_dir` if it is there, is of the same cluster and of a higher version than `file`; else
    /// `file`.
    ///
    /// # Errors
    /// All problems of the one that cannot be read.
    pub fn in_force(file: &Path, state_dir: &Path) -> Result<InForce, Problems> {
        let path = state_dir.join(STORED);
        let text = Config::read_text(file)?;
        if Join::parse(&text, &file.display().to_string())?.is_some() {
            let stored = Config::read(&path);
            let config = stored.map_err(|problems| not_joined(&path, problems))?;
            return Ok(InForce { config, path, file: None });
        }
        let given = Config::parse(&text, &file.display().to_string())?;
        if let Err(error) = fs::symlink_metadata(&path)
            && error.kind() == ErrorKind::NotFound
        {
            return Ok(InForce { config: given, path: file.to_owned(), file: None });
        }
        let stored = Config::read(&path).map_err(|problems| unreadable(&path, file, problems))?;
        if stored.name != given.name || stored.version <= given.version {
            return Ok(InForce { config: given, path: file.to_owned(), file: None });
        }
        // Its numbers may be others: whoever applied it did not write them.
        let file = (!stored.changes(&given).is_empty())
            .then(|| ConfigFile { path: file.display().to_string(), version: given.version });
        Ok(InForce { config: stored, path, file })
    }

    /// The configuration with this digest, which a ring daemon says to be in force: it says so before it has stored it, so what
    /// is prepared is looked at too. None if it is not there yet.
    ///
    /// # Errors
    /// As [`Config::in_force`].
    pub fn of_digest(
        file: &Path,
        state_dir: &Path,
        digest: u64,
    ) -> Result<Option<Config>, Problems> {
        let prepared = Config::read(&state_dir.join(PREPARED)).ok();
        if let Some(prepared) = prepared.filter(|c| c.digest() == digest) {
            return Ok(Some(prepared));
        }
        let InForce { config, .. } = Config::in_force(file, state_dir)?;
        Ok((config.digest() == digest).then_some(config))
    }

    /// The configuration as the file that is kept and sent: it reads back as the same one.
    pub fn document(&self) -> String {
        format!(
            "{WRITTEN_BY}{}: version {} of the configuration of cluster {}.\n\
             # Changed by dscctl config apply on any node, and by nothing else.\n\n{}",
            env!("CARGO_PKG_VERSION"),
            self.version,
            self.name,
            self.to_toml()
        )
    }
}

/// The file says only where to get the configuration.
fn not_joined(path: &Path, mut problems: Problems) -> Problems {
    let message = "this node has not joined the cluster yet".to_owned();
    let expected = format!("expected {}, which dsc-ringd gets from another node", path.display());
    problems.add_first(Problem::without_place(message, expected));
    problems
}

/// Says first which file it is, and what to do.
fn unreadable(path: &Path, file: &Path, mut problems: Problems) -> Problems {
    let shown = path.display();
    let message = format!("{shown}, the configuration in force, cannot be read");
    let problem = Problem::without_place(message, "expected what dsc-ringd wrote there");
    let help = match is_of_newer_build(problems.text()) {
        Some(_) => "install the newer build again".to_owned(),
        None => format!(
            "if another node runs, move it away, and this one gets it anew when it joins: mv {shown} {shown}.bad; \
             without any other node {} comes into force then",
            file.display()
        ),
    };
    problems.add_first(problem.help(help));
    problems
}

/// What is wrong with a text may be that this build does not know all that a newer one may say: then that comes first.
pub(crate) fn of_newer_build(text: &str, problems: &mut Problems) {
    if let Some(build) = is_of_newer_build(text) {
        let own = env!("CARGO_PKG_VERSION");
        let message = format!("it was written by dsc {build}, a newer build than this one, {own}");
        let expected = "expected what this build knows";
        let problem = Problem::without_place(message, expected);
        problems.add_first(problem.help("bring every node to the newer build first"));
    }
}

/// The version of the newer build that wrote the file, if one did.
fn is_of_newer_build(text: &str) -> Option<&str> {
    let build = text.strip_prefix(WRITTEN_BY)?.split(':').next()?;
    is_newer(build, env!("CARGO_PKG_VERSION")).then_some(build)
}

/// Is the one build's version higher than the other's? What is no version is not.
fn is_newer(build: &str, than: &str) -> bool {
    let numbers =
        |text: &str| -> Option<Vec<u64>> { text.split('.').map(|n| n.parse().ok()).collect() };
    matches!((numbers(build), numbers(than)), (Some(build), Some(than)) if build > than)
}
