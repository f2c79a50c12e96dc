//! The state directory: what is in force is `dsc.toml` there, what is prepared `dsc.toml.next`. A thread of its own checks
//! documents and writes them, for a disk may take longer than the ring can wait. Called by `changes`.

use dsc_conf::Config;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Most jobs that wait; there is one offer at a time, and few operators.
const JOBS_MAX: usize = 16;

/// Something to do.
pub enum Job {
    /// Makes the successor of `base` out of what an operator gave, and stores it as prepared.
    Apply {
        /// Names it in the answer.
        id: u64,
        /// In force.
        base: Arc<Config>,
        /// The operator's file.
        text: String,
    },
    /// Checks what another node has as the successor of `base`, and stores it as prepared.
    Check {
        /// In force here.
        base: Arc<Config>,
        /// What the other node says.
        version: u64,
        /// See `version`.
        digest: u64,
        /// The document.
        document: Arc<[u8]>,
    },
    /// Stores, once more, what is prepared.
    Keep {
        /// The document.
        document: Arc<[u8]>,
    },
    /// Stores what is in force.
    Commit {
        /// The document.
        document: Arc<[u8]>,
    },
}

/// What came of a job.
pub enum Outcome {
    /// Of [`Job::Apply`]: the document to propose, or why not.
    Applied(u64, Result<Arc<Config>, String>),
    /// Of [`Job::Check`], by digest.
    Checked(u64, Result<Arc<Config>, String>),
    /// Of [`Job::Check`]: this version has other numbers than what is in force here, and is stored as if it were: a daemon that
    /// begins anew can work with it.
    Renumbered(u64),
}

/// The thread, and what it has done.
pub struct Store {
    jobs: Option<SyncSender<Job>>,
    outcomes: UnboundedReceiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the directory, which is made if it is not there.
    ///
    /// # Errors
    /// Text for people.
    pub fn open(dir: &Path) -> Result<Store, String> {
        fs::create_dir_all(dir)
            .map_err(|e| format!("cannot make the state directory {}: {e}", dir.display()))?;
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let (done, outcomes) = unbounded_channel();
        let dir = dir.to_owned();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work(&dir, &waiting, &done))
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Store { jobs: Some(jobs), outcomes, thread: Some(thread) })
    }

    /// Hands it a job; false if too many wait.
    pub fn does(&self, job: Job) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        !matches!(jobs.try_send(job), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
    }

    /// Ready with the next outcome.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.outcomes.poll_recv(cx)
    }

    /// Waits until everything is on the disk.
    pub fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that stores configurations has panicked");
        }
    }
}

fn work(dir: &Path, jobs: &Receiver<Job>, done: &UnboundedSender<Outcome>) {
    for job in jobs {
        let outcome = match job {
            Job::Apply { id, base, text } => Outcome::Applied(id, apply(dir, &base, &text)),
            Job::Check { base, version, digest, document } => {
                match check(&base, version, digest, &document) {
                    Ok(new) if !new.keeps_numbers_of(&base) => match keep(dir, &new) {
                        Ok(()) => Outcome::Renumbered(version),
                        Err(e) => Outcome::Checked(digest, Err(e)),
                    },
                    checked => Outcome::Checked(digest, checked.and_then(|new| store(dir, new))),
                }
            }
            Job::Keep { document } => {
                let path = next(dir);
                if let Err(e) = write(&path, &document) {
                    let path = path.display();
                    tracing::error!("cannot store a prepared configuration as {path}: {e}");
                }
                continue;
            }
            Job::Commit { document } => {
                let path = dir.join(dsc_conf::STORED);
                if let Err(e) = write(&path, &document) {
                    let path = path.display();
                    tracing::error!("cannot store the configuration in force as {path}: {e}");
                }
                continue;
            }
        };
        if done.send(outcome).is_err() {
            return;
        }
    }
}

fn apply(dir: &Path, base: &Config, text: &str) -> Result<Arc<Config>, String> {
    let new = Config::parse(text, "the new configuration").map_err(|p| p.to_string())?;
    let new = base.successor(new).map_err(|p| p.to_string())?;
    store(dir, new)
}

fn check(base: &Config, version: u64, digest: u64, document: &[u8]) -> Result<Config, String> {
    let text = std::str::from_utf8(document).map_err(|e| e.to_string())?;
    let mut new = Config::parse(text, "the new configuration").map_err(|p| p.to_string())?;
    if new.digest() != digest {
        return Err("this build reads it in another way than the one that made it".to_owned());
    }
    base.successor(new.clone()).map_err(|p| p.to_string())?;
    new.version = version;
    Ok(new)
}

fn store(dir: &Path, config: Config) -> Result<Arc<Config>, String> {
    let path = next(dir);
    write(&path, config.document().as_bytes())
        .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(Arc::new(config))
}

/// Stores what is in force elsewhere, before this node takes part.
///
/// # Errors
/// Text for people.
pub fn keep(dir: &Path, config: &Config) -> Result<(), String> {
    let path = dir.join(dsc_conf::STORED);
    fs::create_dir_all(dir)
        .and_then(|()| write(&path, config.document().as_bytes()))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// What is prepared.
pub fn next(dir: &Path) -> PathBuf {
    dir.join(dsc_conf::PREPARED)
}

/// Whole or not at all, whatever happens meanwhile.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
