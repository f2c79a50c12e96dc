//! What `dscctl service`, `backend` and `flows` ask: the load balancer as this node's kernel has it now.

use crate::balance::Given;
use crate::flows::Flows;
use dsc_bpf::{Datapath, Seen, Walk};
use dsc_conf::Config;
use dsc_wire::local::{
    FLOWS_LISTED_MAX, FlowFilter, FlowTotals, FwdBackend, FwdFlow, FwdFlows, FwdService,
    FwdServices,
};
use dsc_wire::{BackendId, Flow, NodeId, Protocol, ServiceId, Time};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Entries that are read from the kernel at once.
const ENTRIES: usize = 16_384;

/// What the answers are made of.
pub struct Inventory<'a> {
    /// Services and backends.
    pub config: &'a Config,
    /// States and health of the backends in force.
    pub given: &'a Given,
    /// The kernel's counters.
    pub datapath: &'a Datapath,
    /// The kernel's flows.
    pub flows: &'a Flows,
    /// Who hosts each VIP, by `VipId`, as far as the ring has said.
    pub hosts: &'a [Option<NodeId>],
}

impl Inventory<'_> {
    /// Services and backends with what they have. Flows are as of the last walk through the table, a few seconds ago.
    ///
    /// # Errors
    /// The kernel refused to read a map.
    pub fn services(&self) -> Result<FwdServices, String> {
        let mut backends = Vec::with_capacity(self.config.backends.bound());
        for (at, backend) in self.config.backends.slots().enumerate() {
            let (id, Some(backend)) = (BackendId(at as u16), backend) else {
                backends.push(FwdBackend::default());
                continue;
            };
            let count = self.datapath.backend_count(id).map_err(|e| e.to_string())?;
            backends.push(FwdBackend {
                service: backend.service,
                address: backend.address,
                weight: backend.weight,
                state: self.given.states[id.index()],
                checked: self.config.services[backend.service].check.is_some(),
                balanced: self.given.balanced(self.config, id),
                green: self.given.health[id.index()].green.clone(),
                red: self.given.health[id.index()].red.clone(),
                share: self.given.health[id.index()].share,
                flows: self.flows.of_backend(id),
                packets: count.request_packets + count.reply_packets,
                bytes: count.request_bytes + count.reply_bytes,
            });
        }
        let services = self.config.services.slots().map(|service| {
            let Some(service) = service else { return FwdService::default() };
            let of = |value: fn(&FwdBackend) -> u64| -> u64 {
                service.backends.iter().map(|id| value(&backends[id.index()])).sum()
            };
            FwdService {
                name: service.name.clone(),
                vips: service.vips.clone(),
                protocol: service.protocol,
                port: service.port,
                kind: service.kind,
                backends: service.backends.clone(),
                flows: of(|b| b.flows),
                packets: of(|b| b.packets),
                bytes: of(|b| b.bytes),
            }
        });
        Ok(FwdServices { names: self.config.names(), services: services.collect(), backends })
    }

    /// The flows that match, up to a bound.
    ///
    /// # Errors
    /// The kernel refused to read the table.
    pub fn flows(&self, now: Time, filter: &FlowFilter, limit: u32) -> Result<FwdFlows, String> {
        let most = limit.min(FLOWS_LISTED_MAX) as usize;
        let ends: HashMap<(Protocol, SocketAddr), ServiceId> =
            self.config.ends().map(|(protocol, end, id)| ((protocol, end), id)).collect();
        let service = |flow: &Flow| ends.get(&(flow.key.protocol, flow.key.vip)).copied();
        let (mut walk, mut more, mut seen) = (Walk::default(), true, Vec::new());
        let (mut now_there, mut matched) = (0, 0);
        while more {
            let met = |flow: &Flow| {
                now_there += 1;
                let matches = matches(filter, flow, service(flow));
                matched += u32::from(matches);
                matches && matched as usize <= most
            };
            more = self
                .flows
                .table()
                .ask(&mut walk, ENTRIES, met, &mut seen)
                .map_err(|e| e.to_string())?;
        }
        let flow = |seen: Seen| FwdFlow {
            flow: seen.flow,
            service: service(&seen.flow),
            age_s: Duration::from_nanos(now.0.saturating_sub(seen.at.0)).as_secs(),
            owner: self
                .config
                .vip_with_address(seen.flow.key.vip.ip())
                .and_then(|vip| *self.hosts.get(vip.index())?),
        };
        let totals = FlowTotals { now: now_there, ..self.flows.totals() };
        Ok(FwdFlows { flows: seen.into_iter().map(flow).collect(), matched, totals })
    }
}

fn matches(filter: &FlowFilter, flow: &Flow, service: Option<ServiceId>) -> bool {
    filter.service.is_none_or(|wanted| service == Some(wanted))
        && filter.client.is_none_or(|wanted| flow.key.client.ip() == wanted)
        && filter.backend.is_none_or(|wanted| flow.backend == wanted)
}
