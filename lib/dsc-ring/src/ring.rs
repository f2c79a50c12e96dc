//! One node's ring.

use crate::{Input, Output};
use dsc_wire::local::{RingState, View};
use dsc_wire::{Cluster, Incarnation, Key, NodeId, Time};

/// One node's part in the ring.
#[derive(Clone, Debug)]
pub struct Ring {
    cluster: Cluster,
    me: NodeId,
    incarnation: Incarnation,
}

impl Ring {
    /// Starts node `me` in a new life.
    pub fn new(cluster: Cluster, me: NodeId, incarnation: Incarnation, _now: Time) -> Ring {
        Ring { cluster, me, incarnation }
    }

    /// Takes one input; what is to be done is appended to `out`.
    pub fn step(&mut self, _now: Time, _input: Input, _out: &mut Vec<Output>) {}

    /// When [`Input::Tick`] is owed at the latest.
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }

    /// The whole cluster as this member knows it.
    pub fn view(&self, _now: Time) -> View {
        View {
            number: 1,
            incarnation: self.incarnation,
            me: self.me,
            state: RingState::Quiet,
            key: Key::ZERO,
            members: Vec::new(),
            quorum: false,
            partition: self.cluster.partition,
            lease_end: Time::ZERO,
            lease_ms: 0,
            rotation_us: 0,
            nodes: Vec::new(),
            vips: Vec::new(),
            config_digest: self.cluster.digest,
            names: Default::default(),
            counters: Vec::new(),
            heard: Default::default(),
        }
    }
}
