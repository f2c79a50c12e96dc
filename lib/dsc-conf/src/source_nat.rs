//! The entries [[source_nat]] against the subnets, the pools, the services and each other: no address inside and no VIP is in
//! two of them, no port is a service's, and every node that may get a packet of a connection can pass it on.

use crate::addresses::Row;
use crate::config::{Service, SourceNat, Vip};
use crate::draft::{Draft, InsideDraft, SourceNatDraft, SubnetDraft};
use crate::link::Link;
use crate::network::Network;
use crate::problem::{Problem, Problems};
use crate::{PORTS_LEAST, keys};
use dsc_wire::flow::{SOURCE_NETWORKS_MAX, SOURCE_VIPS_MAX};
use dsc_wire::{SubnetId, VipId};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

mod read;

pub(crate) use read::read;

/// What the entries are compared with.
struct Ground<'a> {
    draft: &'a Draft,
    rows: &'a [Row],
    vips: &'a [Vip],
    services: &'a [Service],
    vip_at: HashMap<IpAddr, VipId>,
    /// Is the list of VIPs complete? If not, an address that is not in it may be one.
    pools_whole: bool,
}

/// A network inside, its subnet, and what named it.
type Inside = (Network, SubnetId, Range<usize>);

/// What earlier entries have.
#[derive(Default)]
struct Taken {
    networks: Vec<(Network, Range<usize>)>,
    vips: HashMap<VipId, Range<usize>>,
}

/// Every entry in its order. Not complete while there are problems.
pub(crate) fn check(
    draft: &Draft,
    rows: &[Row],
    vips: &[Vip],
    services: &[Service],
    problems: &mut Problems,
) -> Vec<SourceNat> {
    let ground = Ground {
        draft,
        rows,
        vips,
        services,
        vip_at: (0..).map(VipId).zip(vips).map(|(id, v)| (v.address, id)).collect(),
        pools_whole: draft.subnets.iter().all(|s| s.pool_whole && s.networks_whole),
    };
    let mut taken = Taken::default();
    draft.source_nats.iter().map(|entry| ground.entry(entry, &mut taken, problems)).collect()
}

impl Ground<'_> {
    fn entry(
        &self,
        entry: &SourceNatDraft,
        taken: &mut Taken,
        problems: &mut Problems,
    ) -> SourceNat {
        let vips = self.as_from(entry, taken, problems);
        let first = vips.first().map(|(vip, _)| &self.vips[vip.index()]);
        let six = first.map(|vip| vip.address.is_ipv6());
        let outside = first.map(|vip| vip.subnet);
        let from = self.whose(entry, six, outside, taken, problems);
        self.ports(entry, &vips, problems);
        if let Some(outside) = outside {
            self.gateways(&from, problems);
            self.reachable(entry, outside, &from, problems);
        }
        SourceNat {
            from: from.into_iter().map(|(network, subnet, _)| (network, subnet)).collect(),
            vips: vips.into_iter().map(|(vip, _)| vip).collect(),
            ports: *entry.ports.get_ref(),
        }
    }

    /// The VIPs: all in pools, of one family, on one subnet, and in no other entry.
    fn as_from(
        &self,
        entry: &SourceNatDraft,
        taken: &mut Taken,
        problems: &mut Problems,
    ) -> Vec<(VipId, Range<usize>)> {
        let mut found: Vec<(VipId, Range<usize>)> = Vec::new();
        for address in &entry.vips {
            let own = *address.get_ref();
            let mut complain = |what: &str, expected: &str, also: Option<(Range<usize>, &str)>| {
                let problem = Problem::at(address.span(), format!("VIP {own} {what}"), expected);
                problems.add(match also {
                    Some((place, what)) => problem.also(place, what.to_owned()),
                    None => problem,
                });
            };
            let Some(id) = self.vip_at.get(&own) else {
                if self.pools_whole {
                    complain("is in no pool", "expected an address of a subnet's pool", None);
                }
                continue;
            };
            if let Some(earlier) = taken.vips.insert(*id, address.span()) {
                let expected = "expected each VIP in one [[source_nat]], once";
                complain("is in source NAT twice", expected, Some((earlier, "the first is here")));
                continue;
            }
            let vip = &self.vips[id.index()];
            if let Some((other, place)) = found.first() {
                let other = &self.vips[other.index()];
                let first = Some((place.clone(), "the first is here"));
                if other.address.is_ipv6() != vip.address.is_ipv6() {
                    let expected = "expected one family; make an entry for each";
                    complain("is of another family than the first VIP", expected, first);
                    continue;
                }
                if other.subnet != vip.subnet {
                    let expected = "expected VIPs of one subnet; make an entry for each";
                    complain("is on another subnet than the first VIP", expected, first);
                    continue;
                }
            }
            found.push((*id, address.span()));
        }
        if let Some(beyond) = entry.vips.get(SOURCE_VIPS_MAX) {
            let message = format!("{} VIPs of one source NAT are too many", entry.vips.len());
            let expected = format!("expected at most {SOURCE_VIPS_MAX}");
            problems.add(Problem::at(beyond.span(), message, expected));
        }
        found
    }

    /// The networks inside: each in a subnet that is not the VIPs', of their family, with no address in another entry.
    fn whose(
        &self,
        entry: &SourceNatDraft,
        six: Option<bool>,
        outside: Option<SubnetId>,
        taken: &mut Taken,
        problems: &mut Problems,
    ) -> Vec<Inside> {
        let mut found: Vec<Inside> = Vec::new();
        for inside in &entry.from {
            let networks = match inside {
                InsideDraft::Subnet(name) => self.of_subnet(name, six, problems),
                InsideDraft::Network(network) => self.inside(network, six, problems),
            };
            for (network, subnet, place) in networks {
                if outside == Some(subnet) {
                    let message = format!(
                        "{network} is on subnet `{}`, as the VIPs are",
                        self.called(subnet)
                    );
                    let expected = "expected a subnet inside, with VIPs of another one";
                    problems.add(Problem::at(place, message, expected));
                    break;
                }
                if let Some((other, earlier)) =
                    taken.networks.iter().find(|(other, _)| other.overlaps(&network))
                {
                    let message = format!("{network} overlaps {other} of source NAT");
                    let expected = "expected networks that share no address";
                    let problem = Problem::at(place, message, expected);
                    problems.add(problem.also(earlier.clone(), "overlaps this"));
                    break;
                }
                taken.networks.push((network, place.clone()));
                found.push((network, subnet, place));
            }
        }
        if let Some((_, _, beyond)) = found.get(SOURCE_NETWORKS_MAX) {
            let message = format!("{} networks of one source NAT are too many", found.len());
            let expected = format!("expected at most {SOURCE_NETWORKS_MAX}");
            problems.add(Problem::at(beyond.clone(), message, expected));
        }
        found
    }

    /// All networks of a subnet that are of the VIPs' family.
    fn of_subnet(
        &self,
        name: &Spanned<String>,
        six: Option<bool>,
        problems: &mut Problems,
    ) -> Vec<Inside> {
        let word = name.get_ref().as_str();
        let subnets = &self.draft.subnets;
        let Some(index) = subnets.iter().position(|s| s.name.is_some() && s.called() == word)
        else {
            if subnets.iter().all(|s| s.name.is_some()) {
                problems.add(unknown(name, subnets));
            }
            return Vec::new();
        };
        let subnet = &subnets[index];
        let fits =
            |n: &&Spanned<Network>| six.is_none_or(|six| n.get_ref().address.is_ipv6() == six);
        let found: Vec<Inside> = subnet
            .networks
            .iter()
            .filter(fits)
            .map(|n| (*n.get_ref(), SubnetId(index as u8), name.span()))
            .collect();
        if let Some(six) = six.filter(|_| found.is_empty() && subnet.networks_whole) {
            let family = version(six);
            let message =
                format!("subnet `{word}` has no {family} network, but the VIPs are {family}");
            let expected = "expected a subnet with such a network";
            problems.add(Problem::at(name.span(), message, expected));
        }
        found
    }

    /// A network inside one of a subnet.
    fn inside(
        &self,
        network: &Spanned<Network>,
        six: Option<bool>,
        problems: &mut Problems,
    ) -> Vec<Inside> {
        let own = *network.get_ref();
        if let Some(six) = six.filter(|six| own.address.is_ipv6() != *six) {
            let message = format!("{own} is {}, but the VIPs are {}", version(!six), version(six));
            let expected = "expected one family; make an entry for each";
            problems.add(Problem::at(network.span(), message, expected));
            return Vec::new();
        }
        let subnets = &self.draft.subnets;
        let around = |s: &SubnetDraft| {
            s.networks
                .iter()
                .any(|n| n.get_ref().prefix <= own.prefix && n.get_ref().contains(own.address))
        };
        let Some(index) = subnets.iter().position(around) else {
            if subnets.iter().all(|s| s.networks_whole) {
                let message = format!("{own} is inside no network of a subnet");
                let expected = "expected neighbours of the nodes, on a [[subnet]]";
                problems.add(Problem::at(network.span(), message, expected));
            }
            return Vec::new();
        };
        vec![(own, SubnetId(index as u8), network.span())]
    }

    /// Enough of them for every node, and none that a service has.
    fn ports(
        &self,
        entry: &SourceNatDraft,
        vips: &[(VipId, Range<usize>)],
        problems: &mut Problems,
    ) {
        let (first, last) = *entry.ports.get_ref();
        let nodes = self.draft.nodes.len();
        let all = usize::from(last) + 1 - usize::from(first);
        let least = usize::from(PORTS_LEAST) * nodes;
        if nodes > 0 && all < least {
            let message = format!("{all} ports are too few for {nodes} nodes");
            let expected = format!("expected at least {least}: {PORTS_LEAST} for each node");
            problems.add(Problem::at(entry.ports.span(), message, expected));
        }
        for service in self.services {
            let data = service.link.as_ref().and_then(Link::data_ports);
            let Some((low, _)) = data.filter(|(low, high)| first <= *high && *low <= last) else {
                continue;
            };
            let Some((vip, _)) = vips.iter().find(|(vip, _)| service.vips.contains(vip)) else {
                continue;
            };
            let message = format!(
                "some of ports {first}-{last} on VIP {} are for files of service `{}`",
                self.vips[vip.index()].address,
                service.name
            );
            let expected = format!("expected ports below {low}, or another VIP");
            problems.add(Problem::at(entry.ports.span(), message, expected));
        }
        for service in self.services.iter().filter(|s| (first..=last).contains(&s.port)) {
            let Some((vip, _)) = vips.iter().find(|(vip, _)| service.vips.contains(vip)) else {
                continue;
            };
            let message = format!(
                "port {} of service `{}` on VIP {} is one of ports {first}-{last}",
                service.port,
                service.name,
                self.vips[vip.index()].address
            );
            let expected = "expected ports that no service of these VIPs has";
            let problem = Problem::at(entry.ports.span(), message, expected);
            problems
                .add(problem.help("ports = \"FIRST-LAST\" says which ones; or take another VIP"));
        }
    }

    /// The machines inside need a VIP as their gateway.
    fn gateways(&self, from: &[Inside], problems: &mut Problems) {
        let mut told = BTreeSet::new();
        for (network, subnet, place) in from {
            let six = network.address.is_ipv6();
            let fits = |v: &Vip| v.subnet == *subnet && v.address.is_ipv6() == six;
            if !self.pools_whole || self.vips.iter().any(fits) || !told.insert(*subnet) {
                continue;
            }
            let message = format!(
                "subnet `{}` has no {} VIP, which its machines need as their gateway",
                self.called(*subnet),
                version(six)
            );
            let expected = "expected a subnet with such a VIP in its pool";
            problems.add(Problem::at(place.clone(), message, expected));
        }
    }

    /// Any node that may host one of these VIPs, or a gateway inside, gets packets for the other side.
    fn reachable(
        &self,
        entry: &SourceNatDraft,
        outside: SubnetId,
        from: &[Inside],
        problems: &mut Problems,
    ) {
        let nodes = &self.draft.nodes;
        if !nodes.iter().all(|n| n.addresses_whole) {
            return;
        }
        let mut subnets: BTreeSet<SubnetId> = from.iter().map(|(_, subnet, _)| *subnet).collect();
        subnets.insert(outside);
        for (node, row) in nodes.iter().zip(self.rows).filter(|(n, _)| !n.is_witness()) {
            let is_on = |s: &&SubnetId| row[s.index()].is_some();
            let (Some(on), Some(off)) =
                (subnets.iter().find(is_on), subnets.iter().find(|s| !is_on(s)))
            else {
                continue;
            };
            let message = format!(
                "node `{}` is on subnet `{}`, but not on `{}`",
                node.called(),
                self.called(*on),
                self.called(*off)
            );
            let expected = "expected nodes on all subnets of a source NAT, or on none";
            problems.add(Problem::at(entry.at.clone(), message, expected));
        }
    }

    fn called(&self, subnet: SubnetId) -> &str {
        self.draft.subnets[subnet.index()].called()
    }
}

fn version(six: bool) -> &'static str {
    if six { "IPv6" } else { "IPv4" }
}

fn unknown(name: &Spanned<String>, subnets: &[SubnetDraft]) -> Problem {
    let word = name.get_ref().as_str();
    let message = format!("`{}` is no subnet", word.escape_debug());
    let expected = "expected the name of a [[subnet]], or a network such as \"10.2.0.0/24\"";
    let problem = Problem::at(name.span(), message, expected);
    match (keys::nearest(word, subnets.iter().map(SubnetDraft::called)), word.parse::<IpAddr>()) {
        (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
        (None, Ok(IpAddr::V4(one))) => {
            problem.help(format!("one machine is a network too: \"{one}/32\""))
        }
        (None, Ok(IpAddr::V6(one))) => {
            problem.help(format!("one machine is a network too: \"{one}/128\""))
        }
        (None, Err(_)) => problem,
    }
}
