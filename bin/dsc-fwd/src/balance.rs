//! What the configuration means for the kernel's load balancer: services, their tables, their backends. Every node of one
//! configuration computes the same. Called at the start and when the state of a backend changes.

use dsc_bpf::{Backend, Service};
use dsc_conf::Config;
use dsc_flow::maglev::{self, Candidate};
use dsc_wire::local::View;
use dsc_wire::{BackendId, BackendState, ServiceKind};

// The kernel's tables have the size of ours, and the same number says that there is no backend.
const _: () = assert!(dsc_bpf::MAGLEV_SIZE == maglev::MAGLEV_SIZE);
const _: () = assert!(dsc_bpf::MAGLEV_EMPTY == maglev::EMPTY);

/// Flows that a table without services has room for.
const NO_FLOWS: u32 = 1024;

/// How many flows the kernel's table needs room for.
pub fn flows_max(config: &Config) -> u32 {
    let nat = config.services.iter().any(|service| service.kind == ServiceKind::Nat);
    if nat { config.flows_max } else { NO_FLOWS }
}

/// What each backend is given: as the configuration says until an operator says otherwise. None if the view does not tell,
/// because its ring daemon is in no ring now, or because its numbers mean other backends.
pub fn states(config: &Config, view: &View) -> Option<Vec<BackendState>> {
    if view.config_digest != config.digest() || !view.members.contains(&view.me) {
        return None;
    }
    let mut states: Vec<BackendState> = config.backends.iter().map(|b| b.state).collect();
    for changed in &view.backends {
        if let Some(state) = states.get_mut(changed.id.index()) {
            *state = changed.state;
        }
    }
    Some(states)
}

/// The services and backends as the kernel has to know them; `states` by [`BackendId`].
pub fn rows(config: &Config, states: &[BackendState]) -> (Vec<Service>, Vec<Backend>) {
    let services = config
        .services
        .iter()
        .map(|service| {
            let candidates: Vec<Candidate> = service
                .backends
                .iter()
                .map(|id| {
                    let backend = &config.backends[id.index()];
                    let enabled = states[id.index()] == BackendState::Enabled;
                    let weight = if enabled { backend.weight } else { 0 };
                    Candidate { id: *id, address: backend.address, weight }
                })
                .collect();
            Service {
                vips: service.vips.clone(),
                protocol: service.protocol,
                port: service.port,
                kind: service.kind,
                slots: maglev::table(&candidates),
            }
        })
        .collect();
    let backends = (0u16..)
        .map(BackendId)
        .zip(&config.backends)
        .map(|(id, backend)| Backend {
            address: backend.address,
            protocol: config.services[backend.service.index()].protocol,
            subnet: backend.subnet,
            state: states[id.index()],
        })
        .collect();
    (services, backends)
}
