//! Small identifiers that every room shares. They are indices into the configuration, which is the same
//! on every node (its digest is compared before a node may join), so they are never negotiated.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Most nodes a configuration may name; [`NodeSet`] is one machine word.
pub const NODES_MAX: usize = 64;
/// Most subnets; [`SubnetSet`] is one byte.
pub const SUBNETS_MAX: usize = 8;
/// Most virtual addresses over all pools; the kernel maps have this size.
pub const VIPS_MAX: usize = 1024;
/// Most past hosts of a VIP that are remembered, most recent first.
pub const PAST_MAX: usize = 4;

/// A node: its position in the configuration's list of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct NodeId(pub u8);

/// A subnet: its position in the configuration's list of subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct SubnetId(pub u8);

/// A virtual address: its position in the list of all pools' addresses, in the configuration's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct VipId(pub u16);

/// One start of one node's ring daemon; random, never zero. Tells two lives of a node apart.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// A number beyond any configuration, from another process or node; it must not get as far as a set or an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondAny {
    number: u16,
    max: usize,
}

impl fmt::Display for BeyondAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is beyond any configuration: numbers end at {}", self.number, self.max - 1)
    }
}

impl std::error::Error for BeyondAny {}

pub(crate) fn below(number: u16, max: usize) -> Result<(), BeyondAny> {
    if usize::from(number) < max { Ok(()) } else { Err(BeyondAny { number, max }) }
}

impl TryFrom<u8> for NodeId {
    type Error = BeyondAny;

    fn try_from(number: u8) -> Result<NodeId, BeyondAny> {
        below(number.into(), NODES_MAX).map(|()| NodeId(number))
    }
}

impl TryFrom<u8> for SubnetId {
    type Error = BeyondAny;

    fn try_from(number: u8) -> Result<SubnetId, BeyondAny> {
        below(number.into(), SUBNETS_MAX).map(|()| SubnetId(number))
    }
}

impl TryFrom<u16> for VipId {
    type Error = BeyondAny;

    fn try_from(number: u16) -> Result<VipId, BeyondAny> {
        below(number, VIPS_MAX).map(|()| VipId(number))
    }
}

impl NodeId {
    /// As an index into per-node arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl SubnetId {
    /// No node is on it, and never will be: what has no subnet has this one. It is in no [`SubnetSet`] and indexes nothing.
    pub const NOWHERE: SubnetId = SubnetId(SUBNETS_MAX as u8);

    /// Every number a subnet may have.
    pub fn all() -> impl Iterator<Item = SubnetId> {
        (0..SUBNETS_MAX as u8).map(SubnetId)
    }

    /// As an index into per-subnet arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl VipId {
    /// As an index into per-VIP arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for VipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vip#{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node#{}", self.0)
    }
}

/// Places of the bits that are set, lowest first.
fn set_bits(mut bits: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros() as u8;
        (bits != 0).then(|| {
            bits &= bits - 1;
            place
        })
    })
}

/// A set of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct NodeSet(pub u64);

impl NodeSet {
    /// No node.
    pub const EMPTY: NodeSet = NodeSet(0);

    /// Is `node` in the set?
    pub fn contains(self, node: NodeId) -> bool {
        self.0 >> node.0 & 1 == 1
    }

    /// Puts `node` in.
    pub fn insert(&mut self, node: NodeId) {
        self.0 |= 1 << node.0;
    }

    /// Takes `node` out.
    pub fn remove(&mut self, node: NodeId) {
        self.0 &= !(1 << node.0);
    }

    /// The set without `node`.
    pub fn without(mut self, node: NodeId) -> NodeSet {
        self.remove(node);
        self
    }

    /// How many nodes.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// No node in it?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Nodes in either set.
    pub fn union(self, other: NodeSet) -> NodeSet {
        NodeSet(self.0 | other.0)
    }

    /// Nodes in both sets.
    pub fn intersection(self, other: NodeSet) -> NodeSet {
        NodeSet(self.0 & other.0)
    }

    /// The nodes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        set_bits(self.0).map(NodeId)
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> NodeSet {
        let mut set = NodeSet::EMPTY;
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

/// A set of subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SubnetSet(pub u8);

impl SubnetSet {
    /// No subnet.
    pub const EMPTY: SubnetSet = SubnetSet(0);

    /// Is `subnet` in the set?
    pub fn contains(self, subnet: SubnetId) -> bool {
        u16::from(self.0) >> subnet.0 & 1 == 1
    }

    /// Puts `subnet` in.
    pub fn insert(&mut self, subnet: SubnetId) {
        self.0 |= 1 << subnet.0;
    }

    /// Takes `subnet` out.
    pub fn remove(&mut self, subnet: SubnetId) {
        self.0 &= !(1 << subnet.0);
    }

    /// No subnet in it?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The subnets in ascending order.
    pub fn iter(self) -> impl Iterator<Item = SubnetId> {
        set_bits(self.0.into()).map(SubnetId)
    }
}

impl FromIterator<SubnetId> for SubnetSet {
    fn from_iter<I: IntoIterator<Item = SubnetId>>(subnets: I) -> SubnetSet {
        let mut set = SubnetSet::EMPTY;
        for subnet in subnets {
            set.insert(subnet);
        }
        set
    }
}
