//! The order of tokens. A node accepts only a token whose key is greater than any it has seen (rule 1).

use crate::ids::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

/// One formation of the ring. The proposer's incarnation is part of it: a restarted node may count to the
/// same number again, and the two must not be taken for one (rule 1 of the ring).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Grows with each re-formation.
    pub counter: u32,
    /// Who formed it.
    pub proposer: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
}

/// A token's place in the total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The formation.
    pub epoch: Epoch,
    /// Passes so far; goes on across epochs (§A.4's sequence number).
    pub seq: u64,
}

impl Key {
    /// Before every real token.
    pub const ZERO: Key = Key {
        epoch: Epoch { counter: 0, proposer: NodeId(0), incarnation: Incarnation(0) },
        seq: 0,
    };
}
