//! The configuration between reading and checking: each value legal by itself and with its place, nothing
//! compared with anything else yet. A value that could not be read is absent and already reported.

use crate::checks::{Check, OnRed};
use crate::config::Flows;
use crate::link::Link;
use crate::network::{AddressRange, Network};
use crate::node_checks::NodeCheckDraft;
use crate::numbers::NumbersDraft;
use crate::timing::TimingDraft;
use dsc_wire::{BackendState, Balance, Partition, Persistence, Protocol, Rejoin, ServiceKind};
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

pub(crate) struct Draft {
    pub name: Option<Spanned<String>>,
    pub key_file: PathBuf,
    pub port: u16,
    pub partition: Spanned<Partition>,
    pub rejoin: Rejoin,
    pub timing: TimingDraft,
    pub version: u64,
    pub subnets: Vec<SubnetDraft>,
    pub nodes: Vec<NodeDraft>,
    pub vips: Vec<VipDraft>,
    pub services: Vec<ServiceDraft>,
    pub source_nats: Vec<SourceNatDraft>,
    pub checks: Vec<NodeCheckDraft>,
    pub flows: Flows,
    pub balance: Balance,
    pub numbers: NumbersDraft,
}

pub(crate) struct SubnetDraft {
    pub at: Range<usize>,
    pub name: Option<Spanned<String>>,
    pub networks: Vec<Spanned<Network>>,
    /// Were all its networks and pool entries legal? If not, what lies outside them is not judged.
    pub networks_whole: bool,
    pub pool: Vec<Spanned<AddressRange>>,
    pub pool_whole: bool,
}

pub(crate) struct NodeDraft {
    pub at: Range<usize>,
    pub name: Option<Spanned<String>>,
    /// Name of the subnet, address on it.
    pub addresses: Vec<(Spanned<String>, Spanned<IpAddr>)>,
    pub addresses_whole: bool,
    pub witness: Option<Spanned<bool>>,
}

pub(crate) struct VipDraft {
    pub address: Option<Spanned<IpAddr>>,
    pub preferred: Option<Spanned<String>>,
    pub persistence: Option<Spanned<Persistence>>,
}

pub(crate) struct ServiceDraft {
    pub at: Range<usize>,
    pub name: Option<Spanned<String>>,
    pub vips: VipsDraft,
    pub protocol: Option<Protocol>,
    pub port: Option<u16>,
    pub kind: Option<ServiceKind>,
    pub check: Option<Check>,
    pub on_red: Option<OnRed>,
    pub slow_start_s: Option<u32>,
    pub link: Option<Link>,
    /// Place of the key `backends`, if it is there.
    pub backends_at: Option<Range<usize>>,
    pub backends: Vec<BackendDraft>,
    /// Were all its backends tables? If not, they are not missed.
    pub backends_whole: bool,
}

/// The VIPs of a service as they are written.
pub(crate) enum VipsDraft {
    /// The pool of the subnet of this name.
    Pool(Spanned<String>),
    /// These.
    List(Vec<Spanned<IpAddr>>),
}

pub(crate) struct BackendDraft {
    pub at: Range<usize>,
    pub address: Option<Spanned<IpAddr>>,
    /// Its own, or the service's.
    pub port: Option<u16>,
    pub weight: u32,
    pub state: BackendState,
}

pub(crate) struct SourceNatDraft {
    pub at: Range<usize>,
    pub from: Vec<InsideDraft>,
    pub vips: Vec<Spanned<IpAddr>>,
    /// The default ones stand where the entry does.
    pub ports: Spanned<(u16, u16)>,
}

/// Whose connections are translated, as it is written.
pub(crate) enum InsideDraft {
    /// Those from the subnet of this name.
    Subnet(Spanned<String>),
    /// From this network.
    Network(Spanned<Network>),
}

impl ServiceDraft {
    /// For messages.
    pub fn called(&self) -> &str {
        self.name.as_ref().map_or("?", |n| n.get_ref())
    }
}

impl SubnetDraft {
    /// For messages.
    pub fn called(&self) -> &str {
        self.name.as_ref().map_or("?", |n| n.get_ref())
    }
}

impl NodeDraft {
    /// For messages.
    pub fn called(&self) -> &str {
        self.name.as_ref().map_or("?", |n| n.get_ref())
    }

    pub fn is_witness(&self) -> bool {
        self.witness.as_ref().is_some_and(|w| *w.get_ref())
    }
}
