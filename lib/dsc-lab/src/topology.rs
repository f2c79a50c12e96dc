//! Names and addresses of everything in a lab, as pure functions of a [`Plan`]. Whoever needs an address or a
//! configuration text asks here; nothing here touches the machine.

use crate::services;
pub use crate::system::{Beside, System};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most nodes of a lab: node addresses must stay below the first virtual one.
pub const NODES_MAX: usize = 64;
/// Most IPv4 virtual addresses on `ext`.
pub const VIPS_MAX: usize = 900;
/// Addresses that the client has beside its own, on `ext`: as many source addresses for its connections.
pub const CLIENT_ADDRESSES: u16 = 8;
/// Last part of the first of them.
const CLIENT_LOW: u16 = 240;
/// Prefix length of both subnets' IPv4 networks.
pub const PREFIX4: u8 = 16;

/// A subnet of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subnet {
    /// Where the clients are; eth0 of every node.
    Ext,
    /// Where the hosts behind are; eth1 of every node.
    Int,
}

impl Subnet {
    /// Its name in configurations and of its bridge.
    pub fn name(self) -> &'static str {
        match self {
            Subnet::Ext => "ext",
            Subnet::Int => "int",
        }
    }

    /// From its name.
    pub fn parse(word: &str) -> Result<Subnet, String> {
        match word {
            "ext" => Ok(Subnet::Ext),
            "int" => Ok(Subnet::Int),
            _ => Err(format!("subnet is ext or int, not {word}")),
        }
    }

    /// A node's interface on it.
    pub fn interface(self) -> &'static str {
        match self {
            Subnet::Ext => "eth0",
            Subnet::Int => "eth1",
        }
    }

    /// The number in its addresses.
    fn number(self) -> u8 {
        match self {
            Subnet::Ext => 1,
            Subnet::Int => 2,
        }
    }

    /// An IPv4 address on it.
    pub fn v4(self, low: u16) -> Ipv4Addr {
        let [high, low] = low.to_be_bytes();
        Ipv4Addr::new(10, self.number(), high, low)
    }

    /// An IPv6 address on it.
    pub fn v6(self, low: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, u16::from(self.number()), 0, 0, 0, 0, 0, low)
    }
}

/// Everything that makes one lab different from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Nodes n1, n2 ...
    pub nodes: usize,
    /// `ext` alone, or `ext` and `int`.
    pub subnets: Vec<Subnet>,
    /// IPv4 virtual addresses on `ext`.
    pub vips: usize,
    /// IPv6 virtual addresses on `ext`.
    pub vips6: usize,
    /// IPv4 virtual addresses on `int`; the first is the gateway of the hosts behind.
    pub vips_int: usize,
    /// IPv6 virtual addresses on `int`; the first is the IPv6 gateway of the hosts behind.
    pub vips6_int: usize,
    /// Hosts behind the cluster, h1, h2 ... on `int`.
    pub hosts: usize,
    /// The hosts behind serve, as backends of the services in `services.rs`.
    pub services: bool,
    /// With it, the hosts behind serve through dsc-link too; keys of `link` beside `speaks`, as TOML, each with a comma before it.
    #[serde(default)]
    pub link: Option<String>,
    /// `check` of the services, as TOML, and keys of services in the lines behind it; empty for none.
    pub check: String,
    /// Connections of the hosts behind leave as from the first virtual addresses of `ext`, and the client serves.
    pub source_nat: bool,
    /// What serves.
    pub system: System,
    /// `timing` of dsc.toml, as TOML: `"default"`, `"fast"` or a table.
    pub timing: String,
    /// `partition` of dsc.toml.
    pub partition: String,
    /// `[flows]` of dsc.toml, if there are services: its lines.
    pub flows: String,
    /// The last node is a witness.
    pub witness: bool,
    /// So many of the last nodes are machines without power that no configuration knows.
    #[serde(default)]
    pub spares: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            nodes: 3,
            subnets: vec![Subnet::Ext, Subnet::Int],
            vips: 4,
            vips6: 1,
            vips_int: 1,
            vips6_int: 0,
            hosts: 1,
            services: false,
            link: None,
            check: String::new(),
            source_nat: false,
            system: System::Dsc,
            timing: "\"default\"".into(),
            partition: "serve".into(),
            flows: String::new(),
            witness: false,
            spares: 0,
        }
    }
}

/// A virtual address of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// Itself.
    pub address: IpAddr,
    /// The subnet whose pool it is in.
    pub subnet: Subnet,
}

impl Plan {
    /// Says what is wrong with the numbers, if anything.
    pub fn check(&self) -> Result<(), String> {
        let has_int = self.subnets.contains(&Subnet::Int);
        match () {
            () if !(1..=NODES_MAX).contains(&self.nodes) => Err(format!("1 to {NODES_MAX} nodes")),
            () if self.spares >= self.nodes => Err("fewer spares than nodes".into()),
            () if self.vips > VIPS_MAX => Err(format!("at most {VIPS_MAX} VIPs")),
            () if self.vips6 > 100 || self.vips_int > 100 || self.vips6_int > 100 => {
                Err("at most 100 IPv6 and 100 int VIPs".into())
            }
            () if self.hosts > 20 => Err("at most 20 hosts behind".into()),
            () if !has_int && self.hosts + self.vips_int + self.vips6_int > 0 => {
                Err("hosts behind and int VIPs need the subnet int".into())
            }
            () if self.vips + self.vips6 == 0 => Err("at least one VIP on ext".into()),
            () if self.services && (self.hosts == 0 || self.vips_int + self.vips6_int == 0) => {
                Err("services need a host behind, and a VIP on int as its gateway".into())
            }
            () if self.link.is_some() && (!self.services || self.system != System::Dsc) => {
                Err("links are for a lab of dsc with services".into())
            }
            () if self.source_nat && !self.services => {
                Err("source NAT is for a lab with services".into())
            }
            () if !self.services && self.system.beside() != Beside::Nothing => {
                Err(format!("{} is for services: --services", self.system.word()))
            }
            () => Ok(()),
        }
    }

    /// Virtual addresses in the order in which dsc.toml numbers them: by subnet, as in its pools.
    pub fn vip_list(&self) -> Vec<Vip> {
        let ext = (0..self.vips).map(|k| IpAddr::V4(Subnet::Ext.v4(vip_low(k))));
        let ext6 = (0..self.vips6).map(|k| IpAddr::V6(Subnet::Ext.v6(0x100 + k as u16)));
        let int = (0..self.vips_int).map(|k| IpAddr::V4(Subnet::Int.v4(vip_low(k))));
        let int6 = (0..self.vips6_int).map(|k| IpAddr::V6(Subnet::Int.v6(0x100 + k as u16)));
        ext.chain(ext6)
            .map(|address| Vip { address, subnet: Subnet::Ext })
            .chain(int.chain(int6).map(|address| Vip { address, subnet: Subnet::Int }))
            .collect()
    }

    /// Name of the i-th node, from 0.
    pub fn node(&self, index: usize) -> String {
        format!("n{}", index + 1)
    }

    /// Index of a node by its name.
    pub fn node_index(&self, name: &str) -> Result<usize, String> {
        name.strip_prefix('n')
            .and_then(|n| n.parse::<usize>().ok())
            .filter(|n| (1..=self.nodes).contains(n))
            .map(|n| n - 1)
            .ok_or_else(|| format!("{name} is no node of this lab: n1 to n{}", self.nodes))
    }

    /// Every machine of the lab but the switch, with what it is attached to.
    pub fn machines(&self) -> Vec<Machine> {
        let outside = |name: &str, low| Machine {
            name: name.into(),
            low,
            interfaces: vec![(Subnet::Ext, "eth0")],
        };
        let mut all = vec![outside("client", 250), outside("probe", 251)];
        all.extend((0..self.hosts).map(host_machine));
        all.extend((0..self.nodes).map(|n| self.node_machine(n)));
        all
    }

    /// The i-th node as a machine.
    pub fn node_machine(&self, index: usize) -> Machine {
        Machine {
            name: self.node(index),
            low: index as u16 + 1,
            interfaces: self.subnets.iter().map(|s| (*s, s.interface())).collect(),
        }
    }

    /// The first virtual address of a subnet and family: the gateway of whoever is on that side.
    pub fn gateway(&self, subnet: Subnet, v6: bool) -> Option<IpAddr> {
        let fits = |v: &Vip| v.subnet == subnet && v.address.is_ipv6() == v6;
        self.vip_list().into_iter().find(fits).map(|v| v.address)
    }

    /// The k-th source address of the client's connections.
    pub fn client_address(k: usize, v6: bool) -> IpAddr {
        let low = CLIENT_LOW + (k % usize::from(CLIENT_ADDRESSES)) as u16;
        if v6 { IpAddr::V6(Subnet::Ext.v6(low)) } else { IpAddr::V4(Subnet::Ext.v4(low)) }
    }

    /// dsc.toml, the same for every node.
    pub fn dsc_toml(&self) -> String {
        let mut text = format!(
            "[cluster]\nname = \"lab\"\nkey_file = \"/etc/dsc/key\"\nport = 7946\npartition = \"{}\"\ntiming = {}\n",
            self.partition, self.timing
        );
        for subnet in &self.subnets {
            let n = subnet.number();
            let pool: Vec<String> = pool_ranges(&self.vip_list(), *subnet);
            let _ = write!(
                text,
                "\n[[subnet]]\nname = \"{}\"\nnetworks = [\"10.{n}.0.0/{PREFIX4}\", \"fd00:{n}::/64\"]\npool = [{}]\n",
                subnet.name(),
                pool.join(", ")
            );
        }
        for node in 0..self.nodes.saturating_sub(self.spares) {
            let machine = self.node_machine(node);
            let addresses: Vec<String> = machine
                .interfaces
                .iter()
                .map(|(s, _)| format!("{} = \"{}\"", s.name(), s.v4(machine.low)))
                .collect();
            let witness = self.witness && node + 1 == self.nodes;
            let _ = write!(
                text,
                "\n[[node]]\nname = \"{}\"\naddresses = {{ {} }}\nwitness = {witness}\n",
                machine.name,
                addresses.join(", ")
            );
        }
        if self.services {
            text.push_str(&services::toml(self));
            let _ = write!(text, "\n[flows]\n{}\n", self.flows);
        }
        if self.source_nat {
            text.push_str(&services::source_toml(self));
        }
        text
    }
}

/// The h-th host behind as a machine, from 0.
pub fn host_machine(index: usize) -> Machine {
    Machine {
        name: format!("h{}", index + 1),
        low: 201 + index as u16,
        interfaces: vec![(Subnet::Int, "eth0")],
    }
}

/// Last bytes of the k-th virtual address: .100 to .199, then whole networks behind.
fn vip_low(k: usize) -> u16 {
    let k = k as u16;
    if k < 100 { 100 + k } else { (1 + (k - 100) / 200) * 256 + 1 + (k - 100) % 200 }
}

/// The pool of one subnet as quoted TOML strings, neighbours joined to ranges.
fn pool_ranges(vips: &[Vip], subnet: Subnet) -> Vec<String> {
    let mut ranges: Vec<(IpAddr, IpAddr)> = Vec::new();
    for vip in vips.iter().filter(|v| v.subnet == subnet) {
        match (ranges.last_mut(), vip.address) {
            (Some((_, IpAddr::V4(last))), IpAddr::V4(next))
                if u32::from(*last) + 1 == u32::from(next) =>
            {
                *last = next;
            }
            _ => ranges.push((vip.address, vip.address)),
        }
    }
    ranges
        .into_iter()
        .map(|(a, b)| if a == b { format!("\"{a}\"") } else { format!("\"{a}-{b}\"") })
        .collect()
}

/// A machine of the lab: a node, the client, the probe or a host behind.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its host name.
    pub name: String,
    /// Last part of its addresses, the same on each subnet.
    pub low: u16,
    /// Where its interfaces are attached.
    pub interfaces: Vec<(Subnet, &'static str)>,
}

impl Machine {
    /// The switch's end of its cable.
    pub fn port(&self, subnet: Subnet) -> String {
        format!("{}-{}", self.name, subnet.name())
    }

    /// MAC address of its interface.
    pub fn mac(&self, subnet: Subnet) -> [u8; 6] {
        let [high, low] = self.low.to_be_bytes();
        [0x02, 0xd5, 0xc0, subnet.number(), high, low]
    }
}

/// A MAC address as text.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_vips_are_distinct_and_away_from_the_machines() {
        let plan = Plan { nodes: 64, vips: 900, ..Plan::default() };
        plan.check().unwrap();
        let vips = plan.vip_list();
        let mut all: Vec<IpAddr> = vips.iter().map(|v| v.address).collect();
        for k in 0..usize::from(CLIENT_ADDRESSES) {
            all.extend([false, true].map(|v6| Plan::client_address(k, v6)));
        }
        for machine in plan.machines() {
            for (subnet, _) in &machine.interfaces {
                all.push(IpAddr::V4(subnet.v4(machine.low)));
                all.push(IpAddr::V6(subnet.v6(machine.low)));
            }
        }
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn the_pool_is_written_as_ranges_that_hold_every_vip() {
        let plan = Plan { vips: 256, vips6: 1, ..Plan::default() };
        let ranges = pool_ranges(&plan.vip_list(), Subnet::Ext);
        assert_eq!(
            ranges,
            ["\"10.1.0.100-10.1.0.199\"", "\"10.1.1.1-10.1.1.156\"", "\"fd00:1::100\""]
        );
    }
}
