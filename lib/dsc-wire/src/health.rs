//! The words of health: lights, why a probe failed, what the checkers of backends found, who checks what. Used on the token,
//! in local messages and by whoever must come to the same answer: all nodes of one view.

use crate::flow::BackendId;
use crate::ids::{BeyondAny, NodeId, below};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most members that check one backend: enough that one checker whose own cable is cut does not decide alone.
pub const CHECKERS_MAX: usize = 2;

/// What is known of the health of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// In order.
    Green,
    /// Not monitored, or nobody has a verdict yet.
    #[default]
    Yellow,
    /// Out of order.
    Red,
}

impl fmt::Display for Light {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Light::Green => "green",
            Light::Yellow => "yellow",
            Light::Red => "red",
        })
    }
}

/// Why a check has the light that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason {
    /// The last probes were answered as they should be.
    Answered,
    /// Nothing listens there.
    Refused,
    /// No answer, or not all of it, within the time limit.
    TimedOut,
    /// No way there, or its machine is not found on the subnet.
    Unreachable,
    /// The connection was ended before the answer was complete.
    Closed,
    /// HTTP: another status than those expected.
    Status {
        /// The one that came.
        status: u16,
    },
    /// The text that must appear was not in the answer.
    NoText,
    /// The text that must appear was not in as much of the answer as is read.
    TooLong,
    /// What came is no HTTP answer.
    NotHttp,
    /// The probe could not be made on this node.
    CannotRun {
        /// The system's error number.
        errno: u16,
    },
    /// It changed so often that it stays red for a while.
    Flapping,
    /// The TLS handshake failed, or the certificate is not valid for the name.
    NoTls,
    /// The certificate ends too soon.
    Expires {
        /// Whole days left; 0 if it has ended.
        days: u16,
    },
    /// The script ended with a status other than 0.
    Exit {
        /// Which.
        status: u16,
    },
    /// A signal ended the script.
    Signal {
        /// Which.
        number: u16,
    },
    /// The script printed more than is read.
    TooMuch,
    /// The interface is not up.
    Down,
    /// The interface counts errors.
    Errors {
        /// How many since the probe before.
        count: u16,
    },
    /// Another machine has an address of this node.
    Duplicate,
    /// A packet that must be stopped came through.
    Passed,
    /// A packet that must come through was stopped.
    Stopped,
    /// The script before was killed, and the kernel has not ended it yet.
    Stuck,
    /// It is switched off: [`Light::Yellow`].
    Disabled,
    /// It has no verdict yet: [`Light::Yellow`].
    Unknown,
    /// Another, of a newer build.
    Other {
        /// Its code.
        code: u8,
        /// Its number.
        detail: u16,
    },
    /// Another, of which a newer build on this node told the name only.
    #[serde(other)]
    Unnamed,
}

impl Reason {
    /// As a code and a number.
    pub fn code(self) -> (u8, u16) {
        match self {
            Reason::Answered => (0, 0),
            Reason::Refused => (1, 0),
            Reason::TimedOut => (2, 0),
            Reason::Unreachable => (3, 0),
            Reason::Closed => (4, 0),
            Reason::Status { status } => (5, status),
            Reason::NoText => (6, 0),
            Reason::TooLong => (7, 0),
            Reason::NotHttp => (8, 0),
            Reason::CannotRun { errno } => (9, errno),
            Reason::Flapping => (10, 0),
            Reason::NoTls => (11, 0),
            Reason::Expires { days } => (12, days),
            Reason::Exit { status } => (13, status),
            Reason::Signal { number } => (14, number),
            Reason::TooMuch => (15, 0),
            Reason::Down => (16, 0),
            Reason::Errors { count } => (17, count),
            Reason::Duplicate => (18, 0),
            Reason::Passed => (19, 0),
            Reason::Stopped => (20, 0),
            Reason::Disabled => (21, 0),
            Reason::Unknown => (22, 0),
            Reason::Stuck => (23, 0),
            Reason::Unnamed => (u8::MAX, 0),
            Reason::Other { code, detail } => (code, detail),
        }
    }

    /// Of [`Reason::code`].
    pub fn of_code(code: u8, detail: u16) -> Reason {
        match (code, detail) {
            (0, 0) => Reason::Answered,
            (1, 0) => Reason::Refused,
            (2, 0) => Reason::TimedOut,
            (3, 0) => Reason::Unreachable,
            (4, 0) => Reason::Closed,
            (5, status) => Reason::Status { status },
            (6, 0) => Reason::NoText,
            (7, 0) => Reason::TooLong,
            (8, 0) => Reason::NotHttp,
            (9, errno) => Reason::CannotRun { errno },
            (10, 0) => Reason::Flapping,
            (11, 0) => Reason::NoTls,
            (12, days) => Reason::Expires { days },
            (13, status) => Reason::Exit { status },
            (14, number) => Reason::Signal { number },
            (15, 0) => Reason::TooMuch,
            (16, 0) => Reason::Down,
            (17, count) => Reason::Errors { count },
            (18, 0) => Reason::Duplicate,
            (19, 0) => Reason::Passed,
            (20, 0) => Reason::Stopped,
            (21, 0) => Reason::Disabled,
            (22, 0) => Reason::Unknown,
            (23, 0) => Reason::Stuck,
            (u8::MAX, 0) => Reason::Unnamed,
            _ => Reason::Other { code, detail },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Answered => "it answers",
            Reason::Refused => "connection refused",
            Reason::TimedOut => "no answer in time",
            Reason::Unreachable => "unreachable",
            Reason::Closed => "connection closed before the answer was complete",
            Reason::Status { status } => return write!(f, "HTTP status {status}"),
            Reason::NoText => "the answer lacks the text",
            Reason::TooLong => "the answer lacks the text in as much of it as is read",
            Reason::NotHttp => "no HTTP answer",
            Reason::CannotRun { errno } => {
                return write!(f, "the probe cannot run (error {errno})");
            }
            Reason::Flapping => "it changes too often",
            Reason::NoTls => "the TLS handshake failed",
            Reason::Expires { days: 0 } => "the certificate has ended",
            Reason::Expires { days: 1 } => "the certificate ends in 1 day",
            Reason::Expires { days } => {
                return write!(f, "the certificate ends in {days} days");
            }
            Reason::Exit { status } => return write!(f, "exit status {status}"),
            Reason::Signal { number } => return write!(f, "ended by signal {number}"),
            Reason::TooMuch => "it printed too much",
            Reason::Down => "the interface is not up",
            Reason::Errors { count } => return write!(f, "{count} errors on the interface"),
            Reason::Duplicate => "another machine has this node's address",
            Reason::Passed => "a packet that must be stopped came through",
            Reason::Stopped => "a packet that must come through was stopped",
            Reason::Stuck => "the one before was killed, but does not end",
            Reason::Disabled => "switched off",
            Reason::Unknown => "no verdict yet",
            Reason::Unnamed => "a reason of a newer build",
            Reason::Other { code, .. } => return write!(f, "reason {code} of a newer build"),
        })
    }
}

/// What one checker found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of which backend.
    pub backend: BackendId,
    /// Red; else green.
    pub red: bool,
    /// Why.
    pub reason: Reason,
    /// Since when, milliseconds since 1970 by the checker's clock; 0 for a green one that the token brought.
    pub since_ms: u64,
}

/// Equal parts of a backend's weight, by which it grows while it starts slowly.
pub const SHARES: u8 = 8;

/// A green backend that starts slowly: it gets a part of its weight only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Which.
    pub backend: BackendId,
    /// So many of [`SHARES`] parts: at least 1, and not all.
    pub share: u8,
}

/// Most backends that one member tells of whose new flows fail; more are of no use while these are looked at.
pub const FAILING_MAX: usize = 64;

/// What one member found: in views.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checker {
    /// Who.
    pub node: NodeId,
    /// Its green backends, rising.
    pub green: Vec<BackendId>,
    /// Its red ones, rising.
    pub red: Vec<Verdict>,
    /// Its green ones that start slowly, rising.
    #[serde(default)]
    pub growing: Vec<Growth>,
    /// Backends that take no new flow of those that its data path gives them, rising: a reason to look, no verdict.
    #[serde(default)]
    pub failing: Vec<BackendId>,
}

/// Most checks of nodes in a configuration.
pub const CHECKS_MAX: usize = 64;

/// A check of nodes: its position in the configuration's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct CheckId(pub u8);

impl CheckId {
    /// As an index into per-check arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u8> for CheckId {
    type Error = BeyondAny;

    fn try_from(number: u8) -> Result<CheckId, BeyondAny> {
        below(number.into(), CHECKS_MAX).map(|()| CheckId(number))
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check#{}", self.0)
    }
}

/// What one check of a node says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLight {
    /// Which check.
    pub check: CheckId,
    /// Yellow: no verdict yet, or switched off.
    pub light: Light,
    /// Why.
    pub reason: Reason,
    /// Since when, milliseconds since 1970 by the node's clock; 0 for a green one that the token brought.
    pub since_ms: u64,
}

/// What all checkers together say of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Red only if every checker that has a verdict says so; green if one does; yellow without any.
    pub light: Light,
    /// Who found it green.
    pub green: Vec<NodeId>,
    /// Who found it red, and why.
    pub red: Vec<(NodeId, Verdict)>,
    /// So many of [`SHARES`] parts of its weight are given to it, while it starts slowly.
    pub share: Option<u8>,
}

/// Puts the words of all checkers together. One that sees a backend answer is believed: a checker whose own cable is cut
/// finds everything red, and must not empty the tables of those who still reach it. For the same reason the largest share
/// counts: who found it green all along lets nothing of it go.
pub fn finding(checkers: &[Checker], backend: BackendId) -> Finding {
    let mut found = Finding::default();
    let mut most = 0;
    for checker in checkers {
        if checker.green.binary_search(&backend).is_ok() {
            found.green.push(checker.node);
            let growth = checker.growing.iter().find(|growth| growth.backend == backend);
            most = most.max(growth.map_or(SHARES, |growth| growth.share));
        } else if let Ok(at) = checker.red.binary_search_by_key(&backend, |v| v.backend) {
            found.red.push((checker.node, checker.red[at]));
        }
    }
    found.share = Some(most).filter(|share| (1..SHARES).contains(share));
    found.light = match (found.green.is_empty(), found.red.is_empty()) {
        (false, _) => Light::Green,
        (true, false) => Light::Red,
        (true, true) => Light::Yellow,
    };
    found
}

/// Who checks a backend: of the nodes that can, the [`CHECKERS_MAX`] that a rendezvous hash ranks first. A node that comes
/// or goes changes one place at most.
pub fn checkers(backend: BackendId, able: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut ranked: Vec<(u64, NodeId)> = able.map(|n| (rank(backend, n), n)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().take(CHECKERS_MAX).map(|(_, node)| node).collect()
}

/// A number that a node and a backend give, the same everywhere (the mixing step of splitmix64).
pub fn rank(backend: BackendId, node: NodeId) -> u64 {
    let mut z = (u64::from(backend.0) << 8 | u64::from(node.0)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_its_code() {
        for code in 0..=255 {
            for detail in [0, 1, 503, u16::MAX] {
                let reason = Reason::of_code(code, detail);
                assert_eq!(reason.code(), (code, detail), "{reason:?}");
                assert!(!reason.to_string().is_empty());
            }
        }
    }

    #[test]
    fn a_reason_of_a_newer_build_hides_no_more_than_itself() {
        let text = r#"{"check":3,"light":"red","reason":{"why":"haunted","by":7},"since_ms":5}"#;
        let light: NodeLight = serde_json::from_str(text).unwrap();
        let (check, reason) = (CheckId(3), Reason::Unnamed);
        assert_eq!(light, NodeLight { check, light: Light::Red, reason, since_ms: 5 });
        for code in 0..=255 {
            let reason = Reason::of_code(code, 0);
            let text = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
        }
    }

    #[test]
    fn a_node_that_goes_moves_only_its_own_checks_and_each_has_its_share() {
        let nodes = |n: u8| (0..n).map(NodeId);
        let mut load = [0; 16];
        for backend in (0..200).map(BackendId) {
            let before = checkers(backend, nodes(16));
            assert_eq!(before.len(), CHECKERS_MAX);
            before.iter().for_each(|n| load[n.index()] += 1);
            let gone = NodeId(5);
            let after = checkers(backend, nodes(16).filter(|n| *n != gone));
            let kept = before.iter().filter(|n| after.contains(n)).count();
            assert_eq!(kept, CHECKERS_MAX - usize::from(before.contains(&gone)));
        }
        assert!(load.iter().all(|n| (8..50).contains(n)), "{load:?}");
        assert_eq!(checkers(BackendId(1), nodes(1)), [NodeId(0)]);
        assert_eq!(checkers(BackendId(1), nodes(0)), []);
    }

    #[test]
    fn one_that_sees_it_answer_is_believed() {
        let verdict = |backend| Verdict {
            backend: BackendId(backend),
            red: true,
            reason: Reason::TimedOut,
            since_ms: 7,
        };
        let checker = |node, green: &[u16], red: &[u16]| Checker {
            node: NodeId(node),
            green: green.iter().copied().map(BackendId).collect(),
            red: red.iter().copied().map(verdict).collect(),
            growing: Vec::new(),
            failing: Vec::new(),
        };
        let said = [checker(0, &[0], &[1, 2]), checker(3, &[1, 4], &[2])];
        let light = |backend| finding(&said, BackendId(backend)).light;
        assert_eq!(
            [0, 1, 2, 3].map(light),
            [Light::Green, Light::Green, Light::Red, Light::Yellow]
        );
        assert_eq!(finding(&said, BackendId(2)).red.len(), 2);
        assert_eq!(finding(&said, BackendId(1)).red[0].0, NodeId(0));
    }

    #[test]
    fn the_largest_share_counts_of_those_who_find_it_green() {
        let checker = |green: bool, share: Option<u8>| {
            let backend = BackendId(4);
            let growing = Vec::from_iter(share.map(|share| Growth { backend, share }));
            let green = if green { vec![backend] } else { Vec::new() };
            Checker { node: NodeId(0), green, red: Vec::new(), growing, failing: Vec::new() }
        };
        let share = |said: &[Checker]| finding(said, BackendId(4)).share;
        assert_eq!(share(&[checker(true, Some(2)), checker(true, Some(5))]), Some(5));
        assert_eq!(share(&[checker(true, Some(2)), checker(true, None)]), None, "never red there");
        assert_eq!(share(&[checker(true, Some(2)), checker(false, None)]), Some(2));
        assert_eq!(share(&[checker(false, Some(2))]), None, "nobody finds it green");
        assert_eq!(share(&[]), None);
    }
}
