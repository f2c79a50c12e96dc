//! What the configuration means for source NAT in the kernel: whose connections leave as from which VIP and ports, and which
//! addresses are whose. Every node of one configuration computes the same. Called at the start, and when all flows are known.

use dsc_bpf::{Source, Zone};
use dsc_conf::Config;
use dsc_wire::SubnetId;
use std::net::IpAddr;

/// The source NATs; they begin no flows while it is not `known` which there are.
pub fn sources(config: &Config, known: bool) -> Vec<Source> {
    let nodes = config.nodes.bound();
    let of = |vip: &dsc_wire::VipId| &config.vips[*vip];
    let sources = config.source_nats.iter().map(|source| Source {
        vips: source.vips.iter().map(|vip| (*vip, of(vip).address)).collect(),
        subnet: source.vips.first().map_or(SubnetId(0), |vip| of(vip).subnet),
        first: source.ports.0,
        slice: source.slice(nodes),
        nodes: nodes as u16,
        waits: !known,
    });
    sources.collect()
}

/// All that is known of addresses: an entry for the same addresses takes the place of one before it.
pub fn zones(config: &Config) -> Vec<Zone> {
    let zone = |address: IpAddr, prefix: u8, subnet: SubnetId| Zone {
        address,
        prefix,
        subnet,
        source: None,
        node: false,
    };
    let subnets = config.subnets.iter();
    let mut zones: Vec<Zone> = subnets
        .flat_map(|(id, s)| s.networks.iter().map(move |n| zone(n.address, n.prefix, id)))
        .collect();
    for (number, source) in (0u8..).zip(&config.source_nats) {
        zones.extend(source.from.iter().map(|(network, subnet)| Zone {
            source: Some(number),
            ..zone(network.address, network.prefix, *subnet)
        }));
    }
    for node in config.nodes.values() {
        let own = (0u8..).map(SubnetId).zip(&node.addresses);
        zones.extend(own.filter_map(|(subnet, address)| {
            let address = (*address)?;
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            Some(Zone { node: true, ..zone(address, prefix, subnet) })
        }));
    }
    zones
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100-10.1.0.101"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24", "fd00:2::/64"]
pool = ["10.2.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[node]]
name = "n2"
addresses = { ext = "10.1.0.2", int = "10.2.0.2" }
[[source_nat]]
from = ["int"]
vips = ["10.1.0.101"]
ports = "40000-40200"
"#;

    #[test]
    fn nodes_and_other_subnets_are_known_but_not_translated() {
        let config = Config::parse(TOML, "dsc.toml").unwrap_or_else(|p| panic!("{p}"));
        let (sources, zones) = (sources(&config, true), zones(&config));
        let [source] = &sources[..] else { panic!("{sources:?}") };
        assert_eq!((source.first, source.slice, source.nodes), (40_000, 100, 2));
        assert_eq!(source.subnet, SubnetId(0));
        assert!(!source.waits && super::sources(&config, false)[0].waits);
        let vip: IpAddr = "10.1.0.101".parse().unwrap();
        assert_eq!(source.vips, [(dsc_wire::VipId(1), vip)]);
        // The longest prefix counts, and of one prefix the last entry.
        let of = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            let zone = zones.iter().filter(|z| z.contains(address)).max_by_key(|z| z.prefix);
            zone.map(|zone| (zone.subnet.0, zone.source, zone.node))
        };
        assert_eq!(of("10.2.0.201"), Some((1, Some(0), false)));
        assert_eq!(of("10.2.0.2"), Some((1, None, true)));
        assert_eq!(of("fd00:2::201"), Some((1, None, false)));
        assert_eq!(of("10.1.0.250"), Some((0, None, false)));
        assert_eq!(of("10.1.0.1"), Some((0, None, true)));
        assert_eq!(of("192.0.2.9"), None);
    }
}
