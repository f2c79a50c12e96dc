//! The services and their backends against the pools, the nodes and each other: no end twice, every backend a
//! neighbour that all possible hosts of the service can reach.

use crate::addresses::Row;
use crate::checks::OnRed;
use crate::config::{Backend, Service, Vip};
use crate::draft::{BackendDraft, Draft, ServiceDraft, SubnetDraft, VipsDraft};
use crate::keys;
use crate::print;
use crate::problem::{Problem, Problems};
use dsc_wire::flow::SERVICE_ENDS_MAX;
use dsc_wire::{BackendId, Protocol, ServiceId, ServiceKind, SubnetId, VipId};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

pub(crate) mod link;
pub(crate) mod probe;
mod read;

pub(crate) use read::read;

/// As it is written in a file.
pub(crate) fn on_red(on_red: OnRed) -> &'static str {
    let word = read::ON_RED.iter().find(|(_, value)| *value == on_red);
    word.map_or("", |(word, _)| word)
}

/// What the services are compared with.
struct Ground<'a> {
    draft: &'a Draft,
    rows: &'a [Row],
    vips: &'a [Vip],
    vip_at: HashMap<IpAddr, VipId>,
    node_at: HashMap<IpAddr, usize>,
    /// Is the list of VIPs complete? If not, an address that is not in it may be one.
    pools_whole: bool,
}

/// Every service and every backend in their order. Not complete while there are problems.
pub(crate) fn check(
    draft: &Draft,
    rows: &[Row],
    vips: &[Vip],
    problems: &mut Problems,
) -> (Vec<Service>, Vec<Backend>) {
    let addresses = |row: &Row| row.iter().flatten().map(|(a, _)| *a).collect::<Vec<_>>();
    let ground = Ground {
        draft,
        rows,
        vips,
        vip_at: (0..).map(VipId).zip(vips).map(|(id, v)| (v.address, id)).collect(),
        node_at: (0..)
            .zip(rows)
            .flat_map(|(n, r)| addresses(r).into_iter().map(move |a| (a, n)))
            .collect(),
        pools_whole: draft.subnets.iter().all(|s| s.pool_whole && s.networks_whole),
    };
    let mut ends: HashMap<(VipId, Protocol, u16), (&str, Range<usize>)> = HashMap::new();
    let mut services = Vec::new();
    let mut backends = Vec::new();
    for (service, id) in draft.services.iter().zip((0..).map(ServiceId)) {
        let own = ground.backends(service, id, problems);
        let vips = ground.vips(service, problems);
        let few = ends.len() <= SERVICE_ENDS_MAX;
        disjoint(service, &vips, &mut ends, problems);
        if few && ends.len() > SERVICE_ENDS_MAX {
            let message = format!("with service `{}` there are too many ends", service.called());
            let expected = format!(
                "expected at most {SERVICE_ENDS_MAX} VIPs and ports of all services together"
            );
            problems.add(Problem::at(service.at.clone(), message, expected));
        }
        ground.reachable(service, &own, &vips, problems);
        let (Some(name), Some(protocol), Some(port), Some(kind)) =
            (&service.name, service.protocol, service.port, service.kind)
        else {
            continue;
        };
        services.push(Service {
            name: name.get_ref().clone(),
            vips: vips.into_iter().map(|(vip, _)| vip).collect(),
            protocol,
            port,
            kind,
            backends: (backends.len()..backends.len() + own.len())
                .map(|n| BackendId(n as u16))
                .collect(),
            check: service.check.clone(),
            on_red: service.on_red.unwrap_or(OnRed::of(protocol)),
            slow_start: Duration::from_secs(u64::from(service.slow_start_s.unwrap_or(0))),
            link: service.link.clone(),
        });
        backends.extend(own);
    }
    link::data_ports(&draft.services, &services, ground.vips, problems);
    (services, backends)
}

/// No end (VIP, protocol, port) may belong to two services; one problem for each pair of them.
fn disjoint<'a>(
    service: &'a ServiceDraft,
    vips: &[(VipId, Range<usize>)],
    ends: &mut HashMap<(VipId, Protocol, u16), (&'a str, Range<usize>)>,
    problems: &mut Problems,
) {
    let (Some(protocol), Some(port)) = (service.protocol, service.port) else { return };
    let mut told = BTreeSet::new();
    for (vip, place) in vips {
        let Some((other, earlier)) = ends.get(&(*vip, protocol, port)) else {
            ends.insert((*vip, protocol, port), (service.called(), place.clone()));
            continue;
        };
        if told.insert(other.to_owned()) {
            let message = format!(
                "services `{other}` and `{}` both have {protocol} port {port} of a VIP",
                service.called()
            );
            let expected = "expected another VIP, port or protocol";
            let problem = Problem::at(place.clone(), message, expected);
            problems.add(problem.also(earlier.clone(), format!("`{other}` has it here")));
        }
    }
}

impl Ground<'_> {
    /// The VIPs of a service, each with the place of what named it.
    fn vips(&self, service: &ServiceDraft, problems: &mut Problems) -> Vec<(VipId, Range<usize>)> {
        match &service.vips {
            VipsDraft::Pool(name) => self.pool(service, name, problems),
            VipsDraft::List(addresses) => self.listed(service, addresses, problems),
        }
    }

    /// All VIPs of a subnet's pool that are of the backends' family.
    fn pool(
        &self,
        service: &ServiceDraft,
        name: &Spanned<String>,
        problems: &mut Problems,
    ) -> Vec<(VipId, Range<usize>)> {
        let word = name.get_ref().as_str();
        let subnets = &self.draft.subnets;
        let Some(index) = subnets.iter().position(|s| s.name.is_some() && s.called() == word)
        else {
            if subnets.iter().all(|s| s.name.is_some()) {
                problems.add(unknown_pool(service, name, subnets));
            }
            return Vec::new();
        };
        let family = family(service);
        let found: Vec<_> = (0..)
            .map(VipId)
            .zip(self.vips)
            .filter(|(_, v)| v.subnet.index() == index)
            .filter(|(_, v)| family.is_none_or(|six| v.address.is_ipv6() == six))
            .map(|(id, _)| (id, name.span()))
            .collect();
        if found.is_empty() && self.pools_whole {
            let message = match family {
                Some(six) => format!(
                    "the pool of subnet `{word}` has no {} VIP, but the backends of service `{}` are {0}",
                    version(six),
                    service.called()
                ),
                None => format!("the pool of subnet `{word}` has no VIP"),
            };
            problems.add(Problem::at(name.span(), message, "expected a subnet with such VIPs"));
        }
        found
    }

    /// The VIPs of a list.
    fn listed(
        &self,
        service: &ServiceDraft,
        addresses: &[Spanned<IpAddr>],
        problems: &mut Problems,
    ) -> Vec<(VipId, Range<usize>)> {
        let mut found: Vec<(VipId, Range<usize>)> = Vec::new();
        let mut seen: HashMap<VipId, Range<usize>> = HashMap::new();
        let who = service.called();
        for address in addresses {
            let own = *address.get_ref();
            let Some(vip) = self.vip_at.get(&own) else {
                if self.pools_whole {
                    let message = format!("VIP {own} of service `{who}` is in no pool");
                    let expected = "expected an address of a subnet's pool";
                    problems.add(Problem::at(address.span(), message, expected));
                }
                continue;
            };
            if let Some(earlier) = seen.insert(*vip, address.span()) {
                let message = format!("service `{who}` has VIP {own} twice");
                let problem = Problem::at(address.span(), message, "expected each VIP once");
                problems.add(problem.also(earlier, "the first is here"));
                continue;
            }
            if let Some(six) = family(service).filter(|six| own.is_ipv6() != *six) {
                let message = format!(
                    "VIP {own} of service `{who}` is {}, but its first backend is {}",
                    version(!six),
                    version(six)
                );
                let problem =
                    Problem::at(address.span(), message, "expected one family in a nat service");
                problems.add(problem.help("make a service for each family"));
            }
            found.push((*vip, address.span()));
        }
        found
    }

    /// The backends of a service, as far as they are legal.
    fn backends(
        &self,
        service: &ServiceDraft,
        id: ServiceId,
        problems: &mut Problems,
    ) -> Vec<Backend> {
        let who = service.called();
        match (&service.backends_at, service.kind) {
            (Some(place), Some(ServiceKind::Local)) => {
                let message = format!("service `{who}` is local, but has backends");
                let expected = "expected no backends, or kind = \"nat\" or \"link\"";
                problems.add(Problem::at(place.clone(), message, expected));
                return Vec::new();
            }
            (place, Some(kind @ (ServiceKind::Nat | ServiceKind::Link)))
                if service.backends.is_empty() && service.backends_whole =>
            {
                let message =
                    format!("service `{who}` is {}, but has no backends", print::kind(kind));
                let expected = "expected at least one backend, or kind = \"local\"";
                let place = place.as_ref().unwrap_or(&service.at);
                problems.add(Problem::at(place.clone(), message, expected));
            }
            _ => {}
        }
        let mut seen: HashMap<SocketAddr, Range<usize>> = HashMap::new();
        let mut found = Vec::new();
        for draft in &service.backends {
            let Some(address) = &draft.address else { continue };
            let own = *address.get_ref();
            if let Some(six) = family(service).filter(|six| own.is_ipv6() != *six) {
                let message = format!(
                    "backend {own} of service `{who}` is {}, but the first one is {}",
                    version(!six),
                    version(six)
                );
                let problem =
                    Problem::at(address.span(), message, "expected one family in a nat service");
                problems.add(problem.help("make a service for each family"));
                continue;
            }
            let Some(subnet) = self.neighbour(who, address, problems) else { continue };
            let Some(port) = draft.port else { continue };
            let end = SocketAddr::new(own, port);
            if let Some(earlier) = seen.insert(end, address.span()) {
                let message = format!("service `{who}` has backend {end} twice");
                let problem = Problem::at(address.span(), message, "expected each backend once");
                problems.add(problem.also(earlier, "the first is here"));
                continue;
            }
            let BackendDraft { weight, state, .. } = *draft;
            found.push(Backend { service: id, address: end, subnet, weight, state });
        }
        found
    }

    /// The subnet that a backend is on. Its address is a machine's, and that machine is no node.
    fn neighbour(
        &self,
        who: &str,
        address: &Spanned<IpAddr>,
        problems: &mut Problems,
    ) -> Option<SubnetId> {
        let own = *address.get_ref();
        let mut complain = |what: String, expected: &str| {
            let message = format!("backend {own} of service `{who}` {what}");
            problems.add(Problem::at(address.span(), message, expected));
        };
        let subnets = &self.draft.subnets;
        let on = subnets.iter().enumerate().find_map(|(index, subnet)| {
            let network = subnet.networks.iter().find(|n| n.get_ref().contains(own))?;
            Some((SubnetId(index as u8), network.get_ref()))
        });
        let Some((subnet, network)) = on else {
            if subnets.iter().all(|s| s.networks_whole) {
                complain("is on no subnet".to_owned(), "expected a neighbour on a [[subnet]]");
            }
            return None;
        };
        if self.vip_at.contains_key(&own) {
            complain("is a VIP".to_owned(), "expected an address of a server");
        } else if let Some(node) = self.node_at.get(&own) {
            let node = self.draft.nodes[*node].called();
            complain(format!("is node `{node}`"), "expected an address of a server");
        } else if let Some(what) = network.reserved(own) {
            complain(format!("is {what}"), &format!("expected a machine's address in {network}"));
        } else {
            return Some(subnet);
        }
        None
    }

    /// Whatever node hosts a VIP of the service must be a neighbour of its backends.
    fn reachable(
        &self,
        service: &ServiceDraft,
        backends: &[Backend],
        vips: &[(VipId, Range<usize>)],
        problems: &mut Problems,
    ) {
        let nodes = &self.draft.nodes;
        if !nodes.iter().all(|n| n.addresses_whole) {
            return;
        }
        let of_vips: BTreeSet<SubnetId> =
            vips.iter().map(|(vip, _)| self.vips[vip.index()].subnet).collect();
        let mut of_backends: Vec<(SubnetId, IpAddr)> = Vec::new();
        for backend in backends {
            if of_backends.iter().all(|(subnet, _)| *subnet != backend.subnet) {
                of_backends.push((backend.subnet, backend.address.ip()));
            }
        }
        for (node, row) in nodes.iter().zip(self.rows).filter(|(n, _)| !n.is_witness()) {
            let Some(hosts) = of_vips.iter().find(|s| row[s.index()].is_some()) else { continue };
            for (subnet, address) in &of_backends {
                if row[subnet.index()].is_some() {
                    continue;
                }
                let called = |s: SubnetId| self.draft.subnets[s.index()].called();
                let at = service.backends.iter().filter_map(|b| b.address.as_ref());
                let at = at.clone().find(|a| a.get_ref() == address).map(|a| a.span());
                let message = format!(
                    "backend {address} of service `{}` is out of reach for node `{}`, \
                     which may host VIPs of subnet `{}`",
                    service.called(),
                    node.called(),
                    called(*hosts)
                );
                let expected = format!("expected a backend on a subnet of `{}`", node.called());
                let problem = Problem::at(at.unwrap_or(service.at.clone()), message, expected);
                problems.add(problem.help(format!(
                    "a node that hosts a VIP of the service needs an address on subnet `{}`",
                    called(*subnet)
                )));
            }
        }
    }
}

/// Whether the backends of a nat service are IPv6, if it has any.
fn family(service: &ServiceDraft) -> Option<bool> {
    let mut addresses = service.backends.iter().filter_map(|b| b.address.as_ref());
    let first = addresses.next().map(|a| a.get_ref().is_ipv6());
    first.filter(|_| service.kind == Some(ServiceKind::Nat))
}

fn version(six: bool) -> &'static str {
    if six { "IPv6" } else { "IPv4" }
}

fn unknown_pool(
    service: &ServiceDraft,
    name: &Spanned<String>,
    subnets: &[SubnetDraft],
) -> Problem {
    let word = name.get_ref().as_str();
    let message = format!(
        "vips of service `{}` is `{}`, which is no subnet",
        service.called(),
        word.escape_debug()
    );
    let expected = "expected the name of a [[subnet]], or a list of VIPs";
    let problem = Problem::at(name.span(), message, expected);
    match keys::nearest(word, subnets.iter().map(SubnetDraft::called)) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if word.parse::<IpAddr>().is_ok() => {
            problem.help(format!("one VIP is a list too: vips = [\"{word}\"]"))
        }
        None => problem,
    }
}
