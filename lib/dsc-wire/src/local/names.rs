//! What people call the things that views name by index. Part of the local messages.

use crate::flow::{BackendState, ServiceId};
use crate::ids::{NodeSet, SubnetId, SubnetSet};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What people call the things that views name by index. Where a number's thing is gone, the name is empty, and the address
/// the unspecified one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The cluster.
    pub cluster: String,
    /// Nodes, by [`NodeId`].
    pub nodes: Vec<String>,
    /// Subnets, by [`SubnetId`].
    pub subnets: Vec<String>,
    /// Addresses, by [`VipId`].
    pub vips: Vec<IpAddr>,
    /// Their subnets, by [`VipId`].
    pub vip_subnets: Vec<SubnetId>,
    /// Services, by [`ServiceId`].
    #[serde(default)]
    pub services: Vec<String>,
    /// Backends, by [`BackendId`].
    #[serde(default)]
    pub backends: Vec<BackendName>,
    /// Checks of nodes, by [`CheckId`].
    #[serde(default)]
    pub checks: Vec<CheckName>,
}

/// What tells one check of nodes from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckName {
    /// Its name.
    pub name: String,
    /// Where it is made, unless it is switched off.
    pub nodes: NodeSet,
    /// On these subnets a node that it finds red should host nothing.
    pub critical: SubnetSet,
}

/// What tells one backend from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendName {
    /// The service it serves.
    pub service: ServiceId,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is given until an operator says otherwise.
    #[serde(default)]
    pub state: BackendState,
}

impl BackendName {
    /// Is it only a number any more, whose backend is gone?
    pub fn is_gone(&self) -> bool {
        self.address.port() == 0
    }
}
