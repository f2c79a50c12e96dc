//! From what people say to the indices that daemons use, and back. Called by every command; knows nothing but names.

use crate::failure::Failure;
use dsc_wire::local::{BackendName, FwdService, LinkService, Names, View};
use dsc_wire::{BackendId, CheckId, NodeId, ServiceId, SubnetId, VipId};
use std::net::{IpAddr, SocketAddr};

/// What a node is called; its index if the names do not tell.
pub fn node(names: &Names, id: NodeId) -> String {
    named(&names.nodes, id.index()).unwrap_or_else(|| format!("node#{}", id.0))
}

/// What a subnet is called.
pub fn subnet(names: &Names, id: SubnetId) -> String {
    named(&names.subnets, id.index()).unwrap_or_else(|| format!("subnet#{}", id.0))
}

/// Where a thing is gone, its number has an empty name.
fn named(names: &[String], index: usize) -> Option<String> {
    names.get(index).filter(|name| !name.is_empty()).cloned()
}

/// Those that there are.
fn there(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !name.is_empty()).cloned().collect()
}

/// Takes out of a view what only has a number any more.
pub fn without_gone(view: &mut View) {
    let names = &view.names;
    let is_gone = |name: Option<&String>| name.is_some_and(String::is_empty);
    view.nodes.retain(|node| !is_gone(names.nodes.get(node.id.index())));
    let gone = |vip: Option<&IpAddr>| vip.is_some_and(IpAddr::is_unspecified);
    view.vips.retain(|vip| !gone(names.vips.get(vip.id.index())));
}

/// A VIP's address.
pub fn vip(names: &Names, id: VipId) -> String {
    let address = names.vips.get(id.index()).filter(|address| !address.is_unspecified());
    address.map_or_else(|| format!("vip#{}", id.0), IpAddr::to_string)
}

/// The subnet whose pool a VIP belongs to.
pub fn vip_subnet(names: &Names, id: VipId) -> String {
    names.vip_subnets.get(id.index()).map_or_else(String::new, |s| subnet(names, *s))
}

/// What a check of nodes is called.
pub fn check(names: &Names, id: CheckId) -> String {
    let known = names.checks.get(id.index()).filter(|c| !c.name.is_empty());
    known.map_or_else(|| id.to_string(), |c| c.name.clone())
}

/// The check of nodes that the operator calls `name`, or what there is instead.
pub fn find_check(names: &Names, name: &str) -> Result<CheckId, Failure> {
    let names: Vec<String> = names.checks.iter().map(|c| c.name.clone()).collect();
    match names.iter().position(|n| n == name && !n.is_empty()) {
        Some(index) => Ok(CheckId(index as u8)),
        None if there(&names).is_empty() => {
            Err(Failure::Usage(format!("no check {name:?}: the configuration has no [[check]]")))
        }
        None => Err(Failure::Usage(format!(
            "no check {name:?}: the checks of this cluster are {}",
            list(there(&names).into_iter())
        ))),
    }
}

/// The node that the operator calls `name`, or what there is instead.
pub fn find_node(names: &Names, name: &str) -> Result<NodeId, Failure> {
    match names.nodes.iter().position(|n| n == name && !n.is_empty()) {
        Some(index) => Ok(NodeId(index as u8)),
        None => Err(Failure::Usage(format!(
            "no node {name:?}: the nodes of this cluster are {}",
            list(there(&names.nodes).into_iter())
        ))),
    }
}

/// The VIP with this address, or what there is instead.
pub fn find_vip(names: &Names, address: IpAddr) -> Result<VipId, Failure> {
    match names.vips.iter().position(|v| *v == address && !v.is_unspecified()) {
        Some(index) => Ok(VipId(index as u16)),
        None => {
            let there = names.vips.iter().filter(|v| !v.is_unspecified());
            let there: Vec<String> = there.map(IpAddr::to_string).collect();
            Err(Failure::Usage(format!(
                "no VIP {address}: the VIPs of this cluster are {}",
                list(there.into_iter())
            )))
        }
    }
}

/// The service that the operator calls `name`, or what there is instead.
pub fn find_service(services: &[FwdService], name: &str) -> Result<ServiceId, Failure> {
    match services.iter().position(|s| s.name == name && !s.name.is_empty()) {
        Some(index) => Ok(ServiceId(index as u16)),
        None => {
            let names: Vec<String> = services.iter().map(|s| s.name.clone()).collect();
            Err(no_service(name, &names))
        }
    }
}

/// What there is instead of a `link` service that the operator calls `name`.
pub fn no_link(name: &str, links: &[LinkService]) -> Failure {
    if links.is_empty() {
        return Failure::Usage(format!("no service {name:?}: no service is a link"));
    }
    let names: Vec<&str> = links.iter().map(|s| s.name.as_str()).collect();
    let names = names.join(", ");
    Failure::Usage(format!("no service {name:?}: the links of this cluster are {names}"))
}

/// What a service is called.
pub fn service(services: &[FwdService], id: ServiceId) -> String {
    services.get(id.index()).map_or_else(|| format!("service#{}", id.0), |s| s.name.clone())
}

/// The backend of the service, both as the operator calls them, or what there is instead.
pub fn find_backend(
    names: &Names,
    service: &str,
    address: SocketAddr,
) -> Result<BackendId, Failure> {
    let Some(at) = names.services.iter().position(|s| s == service && !s.is_empty()) else {
        return Err(no_service(service, &names.services));
    };
    let own = |b: &&BackendName| b.service.index() == at && !b.is_gone();
    match names.backends.iter().position(|b| own(&b) && b.address == address) {
        Some(index) => Ok(BackendId(index as u16)),
        None => {
            let there: Vec<String> =
                names.backends.iter().filter(own).map(|b| b.address.to_string()).collect();
            Err(Failure::Usage(format!(
                "no backend {address}: the backends of {service} are {}",
                list(there.into_iter())
            )))
        }
    }
}

/// What a backend is called: a server of two services is two backends.
pub fn backend(names: &Names, id: BackendId) -> String {
    let known = names.backends.get(id.index()).filter(|b| !b.is_gone());
    let Some(BackendName { service, address, .. }) = known else {
        return format!("backend#{}", id.0);
    };
    let service = names.services.get(service.index());
    format!("{address} of {}", service.map_or("?", String::as_str))
}

fn no_service(name: &str, known: &[String]) -> Failure {
    let there = list(there(known).into_iter());
    Failure::Usage(format!("no service {name:?}: the services of this cluster are {there}"))
}

const LISTED_MAX: usize = 16;

/// `a, b, c`, cut short with a count after [`LISTED_MAX`]; `none` for nothing.
pub fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    let all = items.len();
    if all == 0 {
        return "none".into();
    }
    let shown: Vec<String> = items.take(LISTED_MAX).collect();
    let rest = all - shown.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A daemon's sentence with `node#1`, `vip#2`, `subnet#0`, `backend#3` and `check#4` replaced by what people call them.
pub fn spell(names: &Names, text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('#') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = after.split_at(digits);
        let word =
            ["node", "vip", "subnet", "backend", "check"].into_iter().find(|w| before.ends_with(w));
        let name = word.and_then(|word| match word {
            "node" => number.parse().ok().map(|n| node(names, NodeId(n))),
            "vip" => number.parse().ok().map(|n| vip(names, VipId(n))),
            "check" => number.parse().ok().map(|n| check(names, CheckId(n))),
            "backend" => number.parse().ok().map(|n| backend(names, BackendId(n))),
            _ => number.parse().ok().map(|n| subnet(names, SubnetId(n))),
        });
        match (word, name) {
            (Some(word), Some(name)) => {
                spelled += &before[..before.len() - word.len()];
                spelled += &name;
            }
            _ => {
                spelled += before;
                spelled.push('#');
                spelled += number;
            }
        }
        rest = tail;
    }
    spelled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::local::CheckName;
    use dsc_wire::{BackendState, NodeSet, SubnetSet};

    fn names() -> Names {
        Names {
            cluster: "shop".into(),
            nodes: vec!["n1".into(), "n2".into()],
            subnets: vec!["ext".into()],
            vips: vec!["10.1.0.100".parse().unwrap()],
            vip_subnets: vec![SubnetId(0)],
            services: vec!["web".into(), "ssh".into(), "six".into()],
            backends: [(0, "10.2.0.201:8080"), (0, "10.2.0.202:8080"), (2, "[fd00:2::201]:8080")]
                .map(|(service, address)| BackendName {
                    service: ServiceId(service),
                    address: address.parse().unwrap(),
                    state: BackendState::Enabled,
                })
                .into(),
            checks: vec![CheckName {
                name: "uplink".into(),
                nodes: NodeSet(3),
                critical: SubnetSet(1),
            }],
        }
    }

    #[test]
    fn ids_in_sentences_become_names() {
        let said = "node#1 cannot take vip#0 on subnet#0: node#1 is closed (#7, vip#x, node#9)";
        assert_eq!(
            spell(&names(), said),
            "n2 cannot take 10.1.0.100 on ext: n2 is closed (#7, vip#x, node#9)"
        );
        let said = "check#0 is switched off on node#1, check#1 is not";
        assert_eq!(spell(&names(), said), "uplink is switched off on n2, check#1 is not");
        let said = "backend#2 is draining, there is no backend#3";
        let spelled = "[fd00:2::201]:8080 of six is draining, there is no backend#3";
        assert_eq!(spell(&names(), said), spelled);
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_there_is() {
        let failure = find_node(&names(), "n3").unwrap_err();
        assert_eq!(failure.to_string(), "no node \"n3\": the nodes of this cluster are n1, n2");
        assert_eq!(failure.code(), 2);
    }

    #[test]
    fn a_backend_is_found_by_its_service_and_its_address() {
        let find = |service, address: &str| {
            let found = find_backend(&names(), service, address.parse().unwrap());
            found.map_err(|failure| (failure.code(), failure.to_string()))
        };
        assert_eq!(find("web", "10.2.0.202:8080"), Ok(BackendId(1)));
        assert_eq!(find("six", "[fd00:2::201]:8080"), Ok(BackendId(2)));
        for (service, address, expected) in [
            (
                "ftp",
                "10.2.0.201:8080",
                "no service \"ftp\": the services of this cluster are web, ssh, six",
            ),
            (
                "web",
                "10.2.0.201:80",
                "no backend 10.2.0.201:80: the backends of web are 10.2.0.201:8080, 10.2.0.202:8080",
            ),
            (
                "six",
                "10.2.0.201:8080",
                "no backend 10.2.0.201:8080: the backends of six are [fd00:2::201]:8080",
            ),
            ("ssh", "10.2.0.201:8080", "no backend 10.2.0.201:8080: the backends of ssh are none"),
        ] {
            assert_eq!(find(service, address), Err((2, expected.to_owned())));
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let cut = list((0..20).map(|n| n.to_string()));
        assert!(cut.ends_with("15 and 4 more"), "{cut}");
    }
}
