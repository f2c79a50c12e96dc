//! The configuration in force on this node, and those that are prepared: checks and stores what operators and other nodes
//! want, and says what has become of it. Called by the loop.

use crate::documents::Configuration;
use crate::store::{Job, Store};
use dsc_conf::Config;
use dsc_wire::local::{ConfigFile, Reply};
use std::sync::Arc;

pub use crate::store::Outcome;

/// Prepared ones that are remembered; as many as the member remembers.
const PREPARED_MAX: usize = 3;

/// See the file's head.
pub struct Changes {
    /// In force.
    pub config: Arc<Config>,
    /// The file that the daemon was started with, if it says something else.
    pub file: Option<ConfigFile>,
    /// The state directory.
    pub store: Store,
    prepared: Vec<Arc<Config>>,
    /// Digest of what the disk has as prepared.
    next: u64,
    /// The disk is busy with what an operator wants.
    applying: bool,
}

impl Changes {
    /// Begins with the configuration in force.
    pub fn new(config: Config, file: Option<ConfigFile>, store: Store) -> Changes {
        Changes {
            config: Arc::new(config),
            file,
            store,
            prepared: Vec::new(),
            next: 0,
            applying: false,
        }
    }

    /// The configuration in force, to people.
    pub fn reply(&self) -> Reply {
        Reply::Config {
            version: self.config.version,
            digest: self.config.digest(),
            document: self.config.document(),
        }
    }

    /// An operator wants another; why not, if not.
    pub fn apply(&mut self, id: u64, base: (u64, u64), text: String) -> Result<(), String> {
        let (version, digest) = (self.config.version, self.config.digest());
        if base != (version, digest) {
            return Err(format!(
                "it was made from version {}, but version {version} is in force now: look at it, and make the change anew",
                base.0
            ));
        }
        if self.applying {
            return Err(dsc_ring::BUSY.to_owned());
        }
        let job = Job::Apply { id, base: self.config.clone(), text };
        self.applying = self.store.does(job);
        if self.applying { Ok(()) } else { Err(FULL.to_owned()) }
    }

    /// What an operator wants is stored as prepared, or why not.
    pub fn applied(
        &mut self,
        result: Result<Arc<Config>, String>,
        pinned: Option<u64>,
    ) -> Result<Configuration, String> {
        self.applying = false;
        result.map(|config| self.prepared(config, pinned))
    }

    /// Another node has one that this node needs.
    pub fn check(&self, version: u64, digest: u64, document: Arc<[u8]>) -> Result<(), String> {
        let base = self.config.clone();
        let job = Job::Check { base, version, digest, document };
        if self.store.does(job) { Ok(()) } else { Err(FULL.to_owned()) }
    }

    /// One is stored as prepared. The oldest one is forgotten if they are too many, but not `pinned`.
    pub fn prepared(&mut self, config: Arc<Config>, pinned: Option<u64>) -> Configuration {
        let configuration = configuration(&config);
        self.next = configuration.cluster.digest;
        if self.prepared.len() == PREPARED_MAX {
            let oldest = self.prepared.iter().position(|c| Some(c.digest()) != pinned);
            self.prepared.remove(oldest.unwrap_or(0));
        }
        self.prepared.push(config);
        configuration
    }

    /// This one may come into force: it is what the disk must have as prepared, and not one that was refused since.
    pub fn keep(&mut self, pending: &Configuration) {
        let digest = pending.cluster.digest;
        if self.next != digest {
            self.next = digest;
            if !self.store.does(Job::Keep { document: pending.document.clone() }) {
                tracing::error!("cannot store a prepared configuration: {FULL}");
            }
        }
    }

    /// This one is in force from now on, and is stored as such. False if it is in force already, with another version.
    pub fn switch(&mut self, version: u64, digest: u64) -> bool {
        let place = self.prepared.iter().position(|c| c.digest() == digest);
        let other = self.config.digest() != digest;
        if let Some(at) = place.filter(|_| other) {
            self.config = self.prepared.swap_remove(at);
        }
        if self.config.version != version {
            let mut config = Config::clone(&self.config);
            config.version = version;
            self.config = Arc::new(config);
        }
        self.prepared.retain(|c| c.version > version);
        self.file = None;
        self.commit(self.config.document().into_bytes().into());
        other
    }

    /// Stores what is in force.
    pub fn commit(&self, document: Arc<[u8]>) {
        if !self.store.does(Job::Commit { document }) {
            tracing::error!("cannot store the configuration in force: {FULL}");
        }
    }
}

/// For the member.
pub fn configuration(config: &Config) -> Configuration {
    Configuration { cluster: config.cluster(), document: config.document().into_bytes().into() }
}

const FULL: &str = "the disk is too slow for so many changes: try again";
