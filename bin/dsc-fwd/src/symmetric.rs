//! Symmetric routing of the replies that had to wait for their flow (§B.7): the rule of the programs (`bpf/symmetric.h`) once
//! more, by the same table of hosts. It decides about no other packet.

use crate::gratuitous::Voice;
use dsc_bpf::LeaseMap;
use dsc_wire::local::{HostState, Mac};
use dsc_wire::{NodeId, SubnetId, VipId};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

/// Where the hosts of VIPs are.
pub struct Hosts<'a> {
    /// The VIPs by their numbers.
    pub vips: &'a [(VipId, IpAddr, SubnetId)],
    /// Who hosts them.
    pub lease: &'a LeaseMap,
    /// Where the nodes are.
    pub macs: &'a BTreeMap<(NodeId, SubnetId), Mac>,
    /// The ways out.
    pub voices: &'a mut [Voice],
}

impl Hosts<'_> {
    /// Hands a reply of a flow of `vip`, which came by the interface `nic`, to the member that hosts the VIP. None if this node
    /// has to send it: it is the host, or none that can be reached is known.
    pub fn hand(&mut self, vip: IpAddr, nic: u32, packet: &[u8]) -> Option<io::Result<()>> {
        let (vip, ..) = self.vips.iter().find(|(_, address, _)| *address == vip)?;
        let HostState::Steer(host) = self.lease.host(*vip).0 else { return None };
        let voice = self.voices.iter_mut().find(|voice| voice.nic().index == nic)?;
        let mac = self.macs.get(&(host, voice.nic().subnet))?;
        Some(voice.hand(*mac, packet))
    }
}
