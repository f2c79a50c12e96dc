//! What the configuration means for the kernel's load balancer: services, their tables, their backends. Every node of one
//! configuration computes the same. Called at the start and when the state of a backend changes.

use dsc_bpf::{Backend, Service};
use dsc_conf::{Config, Number, OnRed};
use dsc_flow::maglev::{self, Candidate};
use dsc_wire::health::{self, Finding, SHARES};
use dsc_wire::local::View;
use dsc_wire::{BackendId, BackendState, Light, Protocol, ServiceId, ServiceKind, SubnetId};
use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};

// The kernel's tables have the size of ours, and the same number says that there is no backend.
const _: () = assert!(dsc_bpf::MAGLEV_SIZE == maglev::MAGLEV_SIZE);
const _: () = assert!(dsc_bpf::MAGLEV_EMPTY == maglev::EMPTY);

/// Flows that a table without nat services or source NAT has room for.
const NO_FLOWS: u32 = 1024;

/// Does this configuration make flows?
pub fn has_flows(config: &Config) -> bool {
    let mut services = config.services.values();
    services.any(|service| service.kind == ServiceKind::Nat) || !config.source_nats.is_empty()
}

/// How many flows the kernel's table needs room for.
pub fn flows_max(config: &Config) -> u32 {
    if has_flows(config) { config.flows.max } else { NO_FLOWS }
}

/// What each backend is given: as the configuration says until an operator says otherwise. None if the view does not tell,
/// because its ring daemon is in no ring now, or because its numbers mean other backends.
pub fn given(config: &Config, view: &View) -> Option<Given> {
    if view.config_digest != config.digest() || !view.members.contains(&view.me) {
        return None;
    }
    let Given { mut states, .. } = Given::of_file(config);
    for changed in &view.backends {
        if let Some(state) = states.get_mut(changed.id.index()) {
            *state = changed.state;
        }
    }
    let backends = (0..states.len() as u16).map(BackendId);
    let health = backends.map(|id| health::finding(&view.health, id)).collect();
    Some(Given { states, health })
}

/// What each backend is given, and what is known of its health; by [`BackendId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// As the configuration or an operator says.
    pub states: Vec<BackendState>,
    /// As its checkers find.
    pub health: Vec<Finding>,
}

impl Given {
    /// Of the configuration alone: nobody has been checked.
    pub fn of_file(config: &Config) -> Given {
        let gone = BackendState::Disabled;
        let states: Vec<_> = config.backends.slots().map(|b| b.map_or(gone, |b| b.state)).collect();
        let health = vec![Finding::default(); states.len()];
        Given { states, health }
    }

    /// Does it get new flows? Enabled, and not red unless all that are enabled in its service are: then nobody knows better
    /// than to try them.
    pub fn balanced(&self, config: &Config, id: BackendId) -> bool {
        self.is_enabled(id) && (self.is_hopeless(config, id) || !self.is_red(id))
    }

    /// Its share of new flows, relative to the others of its service. All are counted in the parts of one that starts slowly,
    /// which changes nothing where none does.
    fn weight(&self, config: &Config, id: BackendId) -> u32 {
        if !self.balanced(config, id) {
            return 0;
        }
        let share = self.health[id.index()].share.unwrap_or(SHARES);
        config.backends[id].weight * u32::from(share)
    }

    /// All that the kernel is to know of it.
    pub fn gets(&self, config: &Config, id: BackendId) -> (u32, BackendState) {
        (self.weight(config, id), self.state(config, id))
    }

    /// Do its flows end because it is red? Not if there is nothing better for its clients.
    pub fn ends(&self, config: &Config, id: BackendId) -> bool {
        let on_red = config.services[config.backends[id].service].on_red;
        on_red == OnRed::Reset && self.is_red(id) && !self.is_hopeless(config, id)
    }

    /// What the kernel is to do with the packets of its flows.
    fn state(&self, config: &Config, id: BackendId) -> BackendState {
        if self.ends(config, id) { BackendState::Disabled } else { self.states[id.index()] }
    }

    fn is_enabled(&self, id: BackendId) -> bool {
        self.states[id.index()] == BackendState::Enabled
    }

    fn is_red(&self, id: BackendId) -> bool {
        self.health[id.index()].light == Light::Red
    }

    /// Is every enabled backend of its service red?
    fn is_hopeless(&self, config: &Config, id: BackendId) -> bool {
        let service = &config.services[config.backends[id].service];
        let mut enabled = service.backends.iter().filter(|id| self.is_enabled(**id));
        enabled.all(|id| self.is_red(*id))
    }
}

/// The tables of all services as they were made last: one whose backends have the same weights is not made again.
#[derive(Default)]
pub struct Tables {
    before: Vec<Made>,
    made: Vec<Made>,
}

type Made = (Vec<Candidate>, Vec<u16>);

impl Tables {
    /// Of the service with the next number.
    fn of(&mut self, candidates: Vec<Candidate>) -> Vec<u16> {
        let same = self.before.get(self.made.len()).filter(|(before, _)| *before == candidates);
        let slots = same.map_or_else(|| maglev::table(&candidates), |(_, slots)| slots.clone());
        self.made.push((candidates, slots.clone()));
        slots
    }
}

/// Does the kernel give packets to it? What clients send to a link ends in a socket, and what its backends send is for that.
fn is_kernels(config: &Config, backend: &dsc_conf::Backend) -> bool {
    config.services[backend.service].kind == ServiceKind::Nat
}

/// The services and backends as the kernel has to know them, each at its number. A number whose service is gone has no VIP;
/// one whose backend is gone, or no matter of the kernel, has an address that nothing has, and is disabled.
pub fn rows(config: &Config, given: &Given, tables: &mut Tables) -> (Vec<Service>, Vec<Backend>) {
    tables.before = std::mem::take(&mut tables.made);
    let service = |service: Option<&dsc_conf::Service>| {
        let Some(service) = service else {
            let (vips, slots) = (Vec::new(), tables.of(Vec::new()));
            let (protocol, kind) = (Protocol::Tcp, ServiceKind::Local);
            return Service { vips, protocol, port: 0, kind, slots };
        };
        let own = service.backends.iter().map(|id| (*id, &config.backends[*id]));
        let own = own.filter(|(_, backend)| is_kernels(config, backend));
        let candidate = |(id, backend): (BackendId, &dsc_conf::Backend)| {
            let weight = given.weight(config, id);
            Candidate { id, address: backend.address, weight }
        };
        Service {
            vips: service.vips.clone(),
            protocol: service.protocol,
            port: service.port,
            kind: service.kind,
            slots: tables.of(own.map(candidate).collect()),
        }
    };
    let backend = |(at, backend): (usize, Option<&dsc_conf::Backend>)| match backend {
        Some(backend) if is_kernels(config, backend) => Backend {
            address: backend.address,
            protocol: config.services[backend.service].protocol,
            subnet: backend.subnet,
            state: given.state(config, BackendId::at(at)),
        },
        _ => Backend {
            address: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            protocol: Protocol::Tcp,
            subnet: SubnetId(0),
            state: BackendState::Disabled,
        },
    };
    let services = config.services.slots().map(service).collect();
    tables.before.clear();
    (services, config.backends.slots().enumerate().map(backend).collect())
}

/// The ends of TCP backends whose flows end because they are red.
pub fn ending(config: &Config, given: &Given) -> BTreeSet<SocketAddr> {
    let tcp = |service: ServiceId| config.services[service].protocol == Protocol::Tcp;
    let backends = config.backends.iter();
    let ends = backends.filter(|(id, b)| tcp(b.service) && given.ends(config, *id));
    ends.map(|(_, backend)| backend.address).collect()
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
        let states = |view: &View| given(&config, view).map(|given| given.states);
        assert_eq!(states(&view(&config, &[])), Some(file));
        let changed = [(0, Draining), (1, Enabled), (3, Disabled)];
        let wanted = vec![Draining, Enabled, Enabled];
        assert_eq!(states(&view(&config, &changed)), Some(wanted), "no backend 3");
    }

    #[test]
    fn a_ring_daemon_without_a_ring_or_of_another_configuration_says_nothing() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let mut outside = view(&config, &[(0, Draining)]);
        outside.members.clear();
        assert_eq!(given(&config, &outside), None);
        let mut other = view(&config, &[(0, Draining)]);
        other.config_digest += 1;
        assert_eq!(given(&config, &other), None);
    }

    fn slots(config: &Config, given: &Given) -> Vec<u16> {
        rows(config, given, &mut Tables::default()).0[0].slots.clone()
    }

    fn chosen(config: &Config, given: &Given) -> Vec<u16> {
        let mut slots = slots(config, given);
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    #[test]
    fn only_enabled_backends_are_in_the_table() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let chosen = |states: &[BackendState]| {
            chosen(&config, &Given { states: states.to_vec(), ..Given::of_file(&config) })
        };
        assert_eq!(chosen(&[Enabled, Disabled, Enabled]), [0, 2]);
        assert_eq!(chosen(&[Draining, Enabled, Disabled]), [1]);
        assert_eq!(chosen(&[Draining, Disabled, Disabled]), [maglev::EMPTY]);
    }

    /// A view in which one checker finds these red, the other these green.
    fn checked(config: &Config, red: &[u16], green: &[u16]) -> View {
        let red = red.iter().map(
            |b| json!({"backend": b, "red": true, "reason": {"why": "refused"}, "since_ms": 1}),
        );
        let mut view = serde_json::to_value(view(config, &[])).unwrap();
        view["health"] = json!([
            {"node": 0, "green": [], "red": red.collect::<Vec<_>>()},
            {"node": 1, "green": green, "red": []},
        ]);
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn a_red_backend_is_not_in_the_table_unless_all_enabled_ones_are_red() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let with = |red: &[u16], green: &[u16]| {
            chosen(&config, &given(&config, &checked(&config, red, green)).unwrap())
        };
        // The file disables 1.
        assert_eq!(with(&[], &[]), [0, 2]);
        assert_eq!(with(&[0], &[]), [2]);
        assert_eq!(with(&[0], &[0, 2]), [0, 2], "the other checker sees it answer");
        assert_eq!(with(&[1], &[]), [0, 2]);
        assert_eq!(with(&[0, 2], &[]), [0, 2], "all are red");
        assert_eq!(with(&[0, 1, 2], &[]), [0, 2]);
    }

    #[test]
    fn flows_of_a_red_backend_end_only_if_the_file_says_so_and_another_is_better() {
        let check = "check = { kind = \"tcp\", port = 9 }\n";
        let states = |more: &str, changed: &[(u16, BackendState)], red: &[u16], green: &[u16]| {
            let config = Config::parse(&format!("{TOML}{check}{more}"), "dsc.toml").unwrap();
            let mut view = checked(&config, red, green);
            view.backends = self::view(&config, changed).backends;
            let given = given(&config, &view).unwrap();
            let states = rows(&config, &given, &mut Tables::default())
                .1
                .iter()
                .map(|b| b.state)
                .collect::<Vec<_>>();
            (states, ending(&config, &given).len())
        };
        let (reset, udp) = ("on_red = \"reset\"", "protocol = \"udp\"");
        let (kept, ended) = (vec![Enabled, Disabled, Enabled], vec![Disabled, Disabled, Enabled]);
        assert_eq!(states("", &[], &[0], &[]), (kept.clone(), 0), "connections are kept");
        assert_eq!(states(udp, &[], &[0], &[]), (ended.clone(), 0), "datagrams begin anew");
        assert_eq!(states(&format!("{udp}\non_red = \"keep\""), &[], &[0], &[]).0, kept);
        assert_eq!(states(reset, &[], &[0], &[]), (ended.clone(), 1));
        assert_eq!(states(reset, &[], &[0], &[0]).0, kept, "one checker errs");
        assert_eq!(states(reset, &[], &[0, 2], &[]), (kept, 0), "no better one");
        let drained = [(0, Draining)];
        assert_eq!(states(reset, &drained, &[0], &[]).0, ended);
        assert_eq!(states(reset, &drained, &[0, 2], &[]).0, [Draining, Disabled, Enabled]);
        assert_eq!(states(reset, &drained, &[], &[]).0, [Draining, Disabled, Enabled]);
    }

    #[test]
    fn a_backend_that_starts_slowly_gets_its_slots_part_by_part_and_few_others_change_theirs() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let with = |share: Option<u8>| {
            let growing = Vec::from_iter(share.map(|share| json!({"backend": 0, "share": share})));
            let mut view = serde_json::to_value(view(&config, &[(1, Enabled)])).unwrap();
            view["health"] = json!([{"node": 0, "green": [0], "red": [], "growing": growing}]);
            let view = serde_json::from_value(view).unwrap();
            slots(&config, &given(&config, &view).unwrap())
        };
        let has = |slots: &[u16]| slots.iter().filter(|slot| **slot == 0).count();
        let size = maglev::MAGLEV_SIZE;
        let mut before = Vec::new();
        for share in 1..=SHARES {
            let slots = with(Some(share).filter(|share| *share < SHARES));
            let wanted = size * usize::from(share) / usize::from(share + 2 * SHARES);
            assert!(has(&slots).abs_diff(wanted) < size / 100, "{share}: {} {wanted}", has(&slots));
            let moved = slots.iter().zip(&before).filter(|(now, was)| now != was && **now != 0);
            let moved = moved.count();
            assert!(share == 1 || moved < size / 20, "{share}: {moved} of others moved");
            before = slots;
        }
        let whole = Given { states: vec![Enabled; 3], ..Given::of_file(&config) };
        assert_eq!(before, slots(&config, &whole), "as if nothing had been");
    }

    #[test]
    fn tables_of_services_that_nothing_happened_to_are_not_made_again() {
        let config = Config::parse(TOML, "dsc.toml").unwrap();
        let mut tables = Tables::default();
        let file = Given::of_file(&config);
        let first = rows(&config, &file, &mut tables);
        // What is kept is given out, whatever it is.
        tables.made[0].1[0] = 77;
        assert_eq!(rows(&config, &file, &mut tables).0[0].slots[0], 77);
        let other = Given { states: vec![Enabled; 3], ..file.clone() };
        assert_ne!(rows(&config, &other, &mut tables).0, first.0);
        assert_eq!(rows(&config, &file, &mut tables), first);
    }

    #[test]
    fn backends_of_a_link_are_no_matter_of_the_kernel() {
        let link = "kind = \"link\"\nlink = { speaks = \"http\" }\n\
                    check = { kind = \"tcp\" }\nbackends";
        let config = Config::parse(&TOML.replace("backends", link), "dsc.toml").unwrap();
        let given = given(&config, &checked(&config, &[0], &[2])).unwrap();
        let (services, backends) = rows(&config, &given, &mut Tables::default());
        assert_eq!((services[0].port, services[0].kind), (80, ServiceKind::Link));
        assert!(services[0].slots.iter().all(|slot| *slot == maglev::EMPTY));
        assert!(backends.iter().all(|b| b.state == Disabled && b.address.port() == 0));
        assert!(ending(&config, &given).is_empty() && !has_flows(&config));
        assert!(!given.balanced(&config, BackendId(0)), "whoever asks is told what is known");
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
