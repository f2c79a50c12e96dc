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

/// Flows that a table without nat services or source NAT has room for.
const NO_FLOWS: u32 = 1024;

/// Does this configuration make flows?
pub fn has_flows(config: &Config) -> bool {
    let mut services = config.services.iter();
    services.any(|service| service.kind == ServiceKind::Nat) || !config.source_nats.is_empty()
}

/// How many flows the kernel's table needs room for.
pub fn flows_max(config: &Config) -> u32 {
    if has_flows(config) { config.flows.max } else { NO_FLOWS }
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

#[cfg(test)]
mod tests {
    use super::*;
    use BackendState::{Disabled, Draining, Enabled};
    use serde_json::json;

    const TOML: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1" }
[[service]]
name = "web"
vips = ["10.1.0.100"]
port = 80
backends = [
  { address = "10.1.0.201" },
  { address = "10.1.0.202", state = "disabled" },
  { address = "10.1.0.203" },
]
"#;

    fn view(config: &Config, changed: &[(u16, BackendState)]) -> View {
        let changed = changed.iter().map(|(id, state)| {
            json!({"id": id, "state": state, "changed_ms": 1_700_000_000_000u64, "by": 0})
        });
        let view = json!({
            "number": 1, "incarnation": 7, "me": 0, "state": "alone",
            "key": {"epoch": {"counter": 1, "proposer": 0, "incarnation": 7}, "seq": 1},
            "members": [0], "quorum": true, "partition": "serve", "lease_end": 0, "lease_ms": 95,
            "rotation_us": 0, "nodes": [], "vips": [], "config_digest": config.digest(),
            "backends": changed.collect::<Vec<_>>(),
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn the_file_holds_until_an_operator_says_otherwise() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let file = vec![Enabled, Disabled, Enabled];
        assert_eq!(states(&config, &view(&config, &[])), Some(file));
        let changed = [(0, Draining), (1, Enabled), (3, Disabled)];
        let wanted = vec![Draining, Enabled, Enabled];
        assert_eq!(states(&config, &view(&config, &changed)), Some(wanted), "no backend 3");
    }

    #[test]
    fn a_ring_daemon_without_a_ring_or_of_another_configuration_says_nothing() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let mut outside = view(&config, &[(0, Draining)]);
        outside.members.clear();
        assert_eq!(states(&config, &outside), None);
        let mut other = view(&config, &[(0, Draining)]);
        other.config_digest += 1;
        assert_eq!(states(&config, &other), None);
    }

    #[test]
    fn only_enabled_backends_are_in_the_table() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let chosen = |states: &[BackendState]| {
            let mut slots = rows(&config, states).0[0].slots.clone();
            slots.sort_unstable();
            slots.dedup();
            slots
        };
        assert_eq!(chosen(&[Enabled, Disabled, Enabled]), [0, 2]);
        assert_eq!(chosen(&[Draining, Enabled, Disabled]), [1]);
        assert_eq!(chosen(&[Draining, Disabled, Disabled]), [maglev::EMPTY]);
    }

    #[test]
    fn the_table_is_as_large_as_what_makes_flows_needs() {
        let max = |text: &str| flows_max(&Config::parse(text, "dsc.toml").unwrap());
        assert_eq!(max(TOML), 131_072);
        let (without, _) = TOML.split_once("[[service]]").unwrap();
        assert_eq!(max(without), 1024);
        let inside = "[[subnet]]\nname = \"int\"\nnetworks = [\"10.2.0.0/24\"]\npool = [\"10.2.0.100\"]\n\
                      [[source_nat]]\nfrom = [\"int\"]\nvips = [\"10.1.0.100\"]\n";
        let both = without.replace("10.1.0.1\" }", "10.1.0.1\", int = \"10.2.0.1\" }");
        assert_eq!(max(&(both + inside)), 131_072);
    }
}
