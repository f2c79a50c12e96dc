//! What ringd is asked, and what it answers. Part of the local messages, with the same rule for daemons of two builds.

use super::{Duty, Event, View};
use crate::flow::{BackendId, BackendState};
use crate::health::CheckId;
use crate::ids::{NodeId, VipId};
use serde::{Deserialize, Serialize};

/// A question to ringd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// The view, once its number differs from `after` or `wait_ms` have passed. `after` 0 answers at once.
    View {
        /// Number of the view the asker has.
        after: u64,
        /// Longest wait; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
    /// Events with a number above `after`, once there is one or `wait_ms` have passed.
    Events {
        /// Number of the last event the asker has.
        after: u64,
        /// Longest wait; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
    /// Carry out a command; answered when every member's view shows it, or when it failed (control socket only).
    Command {
        /// What.
        command: Command,
        /// Give up waiting (not the command) after so long; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
    /// The configuration in force.
    Config,
    /// Put another configuration in force on every member; answered when every member's view shows it, or when it failed
    /// (control socket only). Refused if another is in force than the one it was made from.
    Apply {
        /// Version of the configuration that it was made from.
        base_version: u64,
        /// The digest of that one.
        base_digest: u64,
        /// A whole `dsc.toml`; at most [`DOCUMENT_MAX`] bytes. Its numbers and version are not looked at: both follow from
        /// what is in force.
        document: String,
        /// Give up waiting (not the change) after so long; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
}

/// Most bytes of a configuration.
pub const DOCUMENT_MAX: usize = 1024 * 1024;

/// Longest that ringd keeps a question open.
pub const WAIT_MAX_MS: u64 = 60_000;

/// A change an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Command {
    /// Hand `vip` to `node`.
    MoveVip {
        /// The address.
        vip: VipId,
        /// Its new host.
        node: NodeId,
    },
    /// Persistence 3 with `node` as preferred host, or 1 where it is if none is named.
    Pin {
        /// The address.
        vip: VipId,
        /// Preferred host.
        node: Option<NodeId>,
    },
    /// Persistence 0.
    Unpin {
        /// The address.
        vip: VipId,
    },
    /// Set what a node may do: `Open`, `Draining` or `Closed`.
    Duty {
        /// Which node.
        node: NodeId,
        /// What it may do from now on.
        duty: Duty,
    },
    /// Say what a backend may be given, whatever the configuration says.
    Backend {
        /// Which.
        backend: BackendId,
        /// From now on.
        state: BackendState,
    },
    /// Switch a check of nodes off or on again.
    Check {
        /// Which.
        check: CheckId,
        /// On which node; on all where none is named.
        node: Option<NodeId>,
        /// Is it made from now on?
        on: bool,
    },
}

/// ringd's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::View`].
    View {
        /// The latest.
        view: Box<View>,
    },
    /// To [`Request::Events`].
    Events {
        /// In order of their numbers; the oldest may have been forgotten.
        events: Vec<Event>,
    },
    /// To [`Request::Config`].
    Config {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: u64,
        /// A whole `dsc.toml`; from a file that was never applied, that file as it is.
        document: String,
    },
    /// To [`Request::Command`] and [`Request::Apply`]: every member's view shows it.
    Done {
        /// What happened, for people.
        text: String,
    },
    /// Taken up, but not seen by every member within the time asked for (none with `wait_ms` 0): it may still happen.
    Pending {
        /// What is still missing, for people.
        text: String,
    },
    /// It was not carried out; nothing is left half done.
    Refused {
        /// Why, for people.
        reason: String,
    },
}
