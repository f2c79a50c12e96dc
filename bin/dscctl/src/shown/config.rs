//! What the commands about configurations have to tell.

use serde::Serialize;

/// Whether a configuration file is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file.
    pub file: String,
    /// Nothing wrong with it?
    pub right: bool,
    /// What is in it, if it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// What is wrong with it, if it is not.
    pub problems: Vec<ConfigProblem>,
    /// The problems drawn into the file's text, for people.
    #[serde(skip)]
    pub drawn: String,
}

/// What a right configuration file describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// What the cluster is called.
    pub cluster: String,
    /// How many nodes.
    pub nodes: usize,
    /// How many subnets.
    pub subnets: usize,
    /// How many VIPs.
    pub vips: usize,
    /// How many services.
    pub services: usize,
    /// How many backends of all services.
    pub backends: usize,
    /// Digest of what must be the same on every node, 16 hexadecimal digits.
    pub config_digest: String,
}

/// One thing wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// From 1; none if it concerns the file as a whole.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// The offending text.
    pub found: String,
    /// What is wrong.
    pub text: String,
    /// What was expected there.
    pub expected: String,
    /// What to do, where that is not plain.
    pub help: Option<String>,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// Its version.
    pub version: u64,
    /// Its digest, 16 hexadecimal digits.
    pub config_digest: String,
    /// Its text.
    pub document: String,
}

/// What became of files of the old kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// A whole `dsc.toml`; none if something is wrong.
    pub document: Option<String>,
    /// What is wrong with each file with which something is.
    pub problems: Vec<ImportedFile>,
    /// The problems drawn into the files' texts, for people.
    #[serde(skip)]
    pub drawn: String,
}

/// What is wrong with an old file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedFile {
    /// The file.
    pub file: String,
    /// All of it.
    pub problems: Vec<ConfigProblem>,
}

/// What a change of the configuration is, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The command, as on the command line.
    pub command: &'static str,
    /// The file or the node that it is about.
    pub about: String,
    /// `done`, `pending`, `refused`, `unchanged` or `shown`.
    pub result: &'static str,
    /// What happened, or what did not and why.
    pub text: String,
    /// Version of the configuration that it was compared with.
    pub base_version: u64,
    /// Version of the one that it makes.
    pub version: Option<u64>,
    /// From the request to the answer that every member's view shows it.
    pub took_ms: Option<u64>,
    /// What differs, thing by thing.
    pub changes: Vec<ConfigChange>,
    /// What is wrong with it.
    pub problems: Vec<ConfigProblem>,
    /// The problems drawn into the file's text, for people.
    #[serde(skip)]
    pub drawn: String,
}

/// A thing that comes, goes or changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigChange {
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What kind of thing.
    pub what: &'static str,
    /// Which one.
    pub name: String,
    /// What is said of it.
    pub values: Vec<ConfigValue>,
    /// A line for people.
    pub text: String,
}

/// A value of a thing that comes or changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigValue {
    /// Its key.
    pub key: String,
    /// Before.
    pub from: Option<String>,
    /// Then.
    pub to: String,
}
