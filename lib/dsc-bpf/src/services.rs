//! The kernel's table of services: which packets are for one, which backend a hash is for, where a backend is. Filled by
//! `dsc-fwd` from the configuration and the state of the backends; flows that exist are not touched by a change.

use crate::layout::{
    BACKEND_DISABLED, BACKEND_DRAINING, BACKEND_ENABLED, BackendCountEntry, BackendEntry, EndKey,
    MAGLEV_EMPTY, MAGLEV_ROOM, MAGLEV_SIZE, PORT_ANY, SERVICE_LOCAL, SERVICE_NAT, SERVICE_SOME,
    ServiceEntry, ServiceKey, Slots,
};
use crate::maps::{fill, taken};
use crate::{Error, octets};
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use dsc_wire::flow::{BACKENDS_MAX, SERVICES_MAX};
use dsc_wire::{BackendId, BackendState, Protocol, ServiceKind, SubnetId, VipId};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A service as the kernel has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its VIPs.
    pub vips: Vec<VipId>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Its port on each of them.
    pub port: u16,
    /// Rewritten, or left to a socket.
    pub kind: ServiceKind,
    /// [`MAGLEV_SIZE`] numbers of backends, or [`MAGLEV_EMPTY`] in each: which one a hash is for.
    pub slots: Vec<u16>,
}

/// A backend as the kernel has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub address: SocketAddr,
    /// Of its service.
    pub protocol: Protocol,
    /// The subnet it is on.
    pub subnet: SubnetId,
    /// What it may be given. New flows go by the slots alone; the kernel only looks whether it is disabled.
    pub state: BackendState,
}

/// What this node did for one backend since the maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCount {
    /// Flows that began here.
    pub flows: u64,
    /// Packets to it.
    pub request_packets: u64,
    /// Their bytes, with link-layer headers.
    pub request_bytes: u64,
    /// Packets from it.
    pub reply_packets: u64,
    /// Their bytes.
    pub reply_bytes: u64,
    /// Flows of which both ends were heard here: of TCP the client after its opening, of UDP the backend.
    pub opened: u64,
    /// Flows to which the first answer that came here was a reset, or an ICMP error that the backend is not reached.
    pub refused: u64,
}

/// The maps.
pub(crate) struct ServiceMaps {
    services: HashMap<MapData, ServiceKey, ServiceEntry>,
    maglev: Array<MapData, Slots>,
    backends: Array<MapData, BackendEntry>,
    ends: HashMap<MapData, EndKey, u32>,
    counts: PerCpuArray<MapData, BackendCountEntry>,
}

impl ServiceMaps {
    pub fn take(ebpf: &mut Ebpf) -> Result<ServiceMaps, Error> {
        Ok(ServiceMaps {
            services: taken(ebpf, "services")?,
            maglev: taken(ebpf, "maglev")?,
            backends: taken(ebpf, "backends")?,
            ends: taken(ebpf, "ends")?,
            counts: taken(ebpf, "backend_counts")?,
        })
    }

    /// Makes these the services. What leads to something comes after it, and goes before it: no new flow meets a backend that
    /// was disabled a moment before it left the tables.
    pub fn set(&mut self, services: &[Service], backends: &[Backend]) -> Result<(), Error> {
        debug_assert!(services.len() <= SERVICES_MAX && backends.len() <= BACKENDS_MAX);
        let mut ends = BTreeMap::new();
        let mut disabled = Vec::new();
        for (index, backend) in (0u32..).zip(backends) {
            let entry = backend_entry(backend);
            let old = self.backends.get(&index, 0).map_err(|e| fill("backends", e))?;
            if entry == (BackendEntry { state: BACKEND_DISABLED, ..old }) && entry != old {
                disabled.push((index, entry));
            } else if entry != old {
                self.backends.set(index, entry, 0).map_err(|e| fill("backends", e))?;
            }
            ends.insert(end_key(backend), index);
            ends.insert(EndKey { port: PORT_ANY, ..end_key(backend) }, index);
        }
        let mut keys = BTreeMap::new();
        for (index, service) in (0u16..).zip(services) {
            self.set_slots(index, &service.slots)?;
            let kind = match service.kind {
                ServiceKind::Nat => SERVICE_NAT,
                ServiceKind::Local | ServiceKind::Link => SERVICE_LOCAL,
            };
            let port = service.port.to_be_bytes();
            for vip in &service.vips {
                let protocol = service.protocol.number();
                let key = ServiceKey { vip: vip.0, port, protocol, ..ServiceKey::default() };
                keys.insert(key, ServiceEntry { index, kind, unused: 0 });
                if kind == SERVICE_NAT {
                    let some = ServiceEntry { index: 0, kind: SERVICE_SOME, unused: 0 };
                    keys.insert(ServiceKey { port: PORT_ANY, ..key }, some);
                }
            }
        }
        for (index, entry) in disabled {
            self.backends.set(index, entry, 0).map_err(|e| fill("backends", e))?;
        }
        crate::maps::insert("ends", &mut self.ends, &ends)?;
        crate::maps::insert("services", &mut self.services, &keys)?;
        crate::maps::retain("services", &mut self.services, &keys)?;
        crate::maps::retain("ends", &mut self.ends, &ends)
    }

    fn set_slots(&mut self, index: u16, slots: &[u16]) -> Result<(), Error> {
        let mut room = Slots([MAGLEV_EMPTY; MAGLEV_ROOM]);
        for (to, from) in room.0[..MAGLEV_SIZE].iter_mut().zip(slots) {
            *to = *from;
        }
        let index = u32::from(index);
        let old = self.maglev.get(&index, 0).map_err(|e| fill("maglev", e))?;
        if old.0 == room.0 {
            return Ok(());
        }
        self.maglev.set(index, room, 0).map_err(|e| fill("maglev", e))
    }

    pub fn count(&self, backend: BackendId) -> Result<BackendCount, Error> {
        let counts = self.counts.get(&u32::from(backend.0), 0);
        let counts = counts.map_err(|e| fill("backend_counts", e))?;
        Ok(counts.iter().fold(BackendCount::default(), |sum, count| BackendCount {
            flows: sum.flows + count.flows,
            request_packets: sum.request_packets + count.request_packets,
            request_bytes: sum.request_bytes + count.request_bytes,
            reply_packets: sum.reply_packets + count.reply_packets,
            reply_bytes: sum.reply_bytes + count.reply_bytes,
            opened: sum.opened + count.opened,
            refused: sum.refused + count.refused,
        }))
    }
}

fn backend_entry(backend: &Backend) -> BackendEntry {
    BackendEntry {
        address: octets(backend.address.ip()),
        port: backend.address.port().to_be_bytes(),
        subnet: backend.subnet.0,
        state: match backend.state {
            BackendState::Enabled => BACKEND_ENABLED,
            BackendState::Draining => BACKEND_DRAINING,
            BackendState::Disabled => BACKEND_DISABLED,
        },
    }
}

fn end_key(backend: &Backend) -> EndKey {
    EndKey {
        address: octets(backend.address.ip()),
        port: backend.address.port().to_be_bytes(),
        protocol: backend.protocol.number(),
        six: u8::from(backend.address.is_ipv6()),
    }
}
