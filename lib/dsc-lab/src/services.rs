//! What clients reach through the cluster: the services of a lab whose hosts behind are backends, as `[[service]]`
//! tables and as addresses to connect to. Pure; what the hosts run is `nginx.rs`'s and `echo.rs`'s.

use crate::packet::ECHO_PORT;
use crate::topology::{CLIENT_ADDRESSES, Plan, Subnet, host_machine};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// TCP port of the web services, on virtual addresses and on backends.
pub const WEB_PORT: u16 = 8080;
/// UDP port of the echo service on virtual addresses; the backends' is [`ECHO_PORT`].
pub const UDP_PORT: u16 = 9000;
/// TCP port of the link that speaks HTTP, on virtual addresses; the backends' is [`WEB_PORT`].
pub const LINK_PORT: u16 = 8090;
/// TCP port of the link that speaks FTP, and of the FTP servers of the hosts behind.
pub const FTP_PORT: u16 = 21;
/// Number that the echo on the first host behind answers with, above every node's; the next ones follow.
pub const HOST_NUMBER: u8 = 201;

/// The `[[service]]` tables of dsc.toml: `web` and `udp` on every IPv4 address of `ext`, `web6` on every IPv6 one.
/// A family without a gateway on `int` has none: its replies would find no way back.
pub fn toml(plan: &Plan) -> String {
    let mut text = String::new();
    let mut service = |name: &str, protocol: &str, port: u16, v6: bool, backend_port: u16| {
        if plan.gateway(Subnet::Ext, v6).is_none() || plan.gateway(Subnet::Int, v6).is_none() {
            return;
        }
        let check = match plan.check.as_str() {
            "" => String::new(),
            check => format!("check = {check}\n"),
        };
        let backends: Vec<String> = (0..plan.hosts)
            .map(|h| {
                let address = host_address(h, v6);
                format!("    {{ address = \"{address}\", port = {backend_port} }},\n")
            })
            .collect();
        let _ = write!(
            text,
            "\n[[service]]\nname = \"{name}\"\nvips = \"ext\"\nprotocol = \"{protocol}\"\nport = {port}\nbackends = [\n{}]\n{check}",
            backends.concat()
        );
    };
    service("web", "tcp", WEB_PORT, false, WEB_PORT);
    service("udp", "udp", UDP_PORT, false, ECHO_PORT);
    service("web6", "tcp", WEB_PORT, true, WEB_PORT);
    if let Some(keys) = &plan.link {
        text.push_str(&link_toml(plan, "link", "http", (LINK_PORT, WEB_PORT), keys));
        text.push_str(&link_toml(plan, "files", "ftp", (FTP_PORT, FTP_PORT), keys));
    }
    text
}

/// A link on every IPv4 address of `ext`.
fn link_toml(
    plan: &Plan,
    name: &str,
    speaks: &str,
    (port, behind): (u16, u16),
    keys: &str,
) -> String {
    let backend = |host| {
        let address = host_address(host, false);
        format!("    {{ address = \"{address}\", port = {behind} }},\n")
    };
    let backends: String = (0..plan.hosts).map(backend).collect();
    let outside = plan.vip_list().into_iter().filter(|v| v.subnet == Subnet::Ext);
    let vips: Vec<String> =
        outside.filter(|v| v.address.is_ipv4()).map(|v| format!("\"{}\"", v.address)).collect();
    format!(
        "\n[[service]]\nname = \"{name}\"\nvips = [{}]\nport = {port}\nkind = \"link\"\n\
         link = {{ speaks = \"{speaks}\"{keys} }}\nbackends = [\n{backends}]\n\
         check = {{ kind = \"tcp\", every_ms = 200, fall = 3 }}\n",
        vips.join(", ")
    )
}

/// The `[[source_nat]]` tables: hosts behind leave as from the first virtual address of `ext`, in each family that has a
/// gateway on `int`.
pub fn source_toml(plan: &Plan) -> String {
    let mut text = String::new();
    for v6 in [false, true] {
        let (outside, inside) = (plan.gateway(Subnet::Ext, v6), plan.gateway(Subnet::Int, v6));
        if let (Some(vip), Some(_)) = (outside, inside) {
            let _ = write!(text, "\n[[source_nat]]\nfrom = [\"int\"]\nvips = [\"{vip}\"]\n");
        }
    }
    text
}

/// Address of the h-th host behind, from 0.
pub fn host_address(index: usize, v6: bool) -> IpAddr {
    let low = host_machine(index).low;
    if v6 { IpAddr::V6(Subnet::Int.v6(low)) } else { IpAddr::V4(Subnet::Int.v4(low)) }
}

/// Two ends of connections to be: whose port is taken from the free ones, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Source address; none: what the kernel takes.
    pub from: Option<IpAddr>,
    /// Where to.
    pub to: SocketAddr,
}

/// Where clients find the web service: every virtual address of `ext` of one family. Each is asked from an address of
/// its own: the kernel gives out one port to several virtual addresses, and two such connections cannot both reach the
/// same backend, which sees the client's address and port.
pub fn web(plan: &Plan, v6: bool) -> Vec<Ends> {
    plan.vip_list()
        .into_iter()
        .filter(|v| v.subnet == Subnet::Ext && v.address.is_ipv6() == v6)
        .enumerate()
        .map(|(k, v)| Ends {
            from: Some(Plan::client_address(k, v6)),
            to: SocketAddr::new(v.address, WEB_PORT),
        })
        .collect()
}

/// Where clients find the link that speaks HTTP: every IPv4 address of `ext`.
pub fn link(plan: &Plan) -> Vec<Ends> {
    let at_port = |ends: Ends| Ends { to: SocketAddr::new(ends.to.ip(), LINK_PORT), ..ends };
    web(plan, false).into_iter().map(at_port).collect()
}

/// The web servers of the hosts behind by their own addresses: the nodes then only forward.
pub fn hosts(plan: &Plan, v6: bool) -> Vec<Ends> {
    (0..plan.hosts)
        .map(|h| Ends {
            from: Some(Plan::client_address(h, v6)),
            to: SocketAddr::new(host_address(h, v6), WEB_PORT),
        })
        .collect()
}

/// The web server of the client, by each of its addresses, for the first host behind: connections that start inside.
pub fn outside(v6: bool) -> Vec<Ends> {
    (0..usize::from(CLIENT_ADDRESSES))
        .map(|k| Ends {
            from: Some(host_address(0, v6)),
            to: SocketAddr::new(Plan::client_address(k, v6), WEB_PORT),
        })
        .collect()
}

/// The machine that such connections are opened on: the first host behind if it is its address that they come from.
pub fn opener(to: &[Ends]) -> String {
    let own = [false, true].map(|v6| Some(host_address(0, v6)));
    let inside = to.first().is_some_and(|ends| own.contains(&ends.from));
    if inside { host_machine(0).name } else { "client".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_needs_a_way_back() {
        let plan = Plan { hosts: 2, services: true, ..Plan::default() };
        plan.check().unwrap();
        let text = plan.dsc_toml();
        assert_eq!(text.matches("[[service]]").count(), 2, "{text}");
        assert!(text.contains("{ address = \"10.2.0.202\", port = 8080 }"), "{text}");
        let both = Plan { vips6_int: 1, ..plan.clone() };
        let text = both.dsc_toml();
        assert!(text.contains("{ address = \"fd00:2::c9\", port = 8080 }"), "{text}");
        assert!(Plan { vips_int: 0, ..plan }.check().is_err());
        assert!(!Plan::default().dsc_toml().contains("service"));
    }

    #[test]
    fn links_are_beside_the_services() {
        let link = Some(", silence_ms = 1000".to_owned());
        let plan = Plan { hosts: 2, services: true, link, ..Plan::default() };
        plan.check().unwrap();
        let text = plan.dsc_toml();
        assert_eq!(text.matches("[[service]]").count(), 4, "{text}");
        assert!(text.contains("link = { speaks = \"ftp\", silence_ms = 1000 }"), "{text}");
        assert_eq!(link_ports(&plan), [LINK_PORT; 4]);
        assert!(Plan { services: false, ..plan }.check().is_err());
    }

    fn link_ports(plan: &Plan) -> Vec<u16> {
        link(plan).iter().map(|ends| ends.to.port()).collect()
    }

    #[test]
    fn source_nat_is_for_families_with_a_gateway() {
        let plan = Plan { services: true, source_nat: true, ..Plan::default() };
        plan.check().unwrap();
        let text = plan.dsc_toml();
        assert_eq!(text.matches("[[source_nat]]").count(), 1, "{text}");
        assert!(text.contains("from = [\"int\"]\nvips = [\"10.1.0.100\"]"), "{text}");
        let both = Plan { vips6_int: 1, ..plan.clone() };
        assert!(both.dsc_toml().contains("vips = [\"fd00:1::100\"]"));
        assert!(Plan { services: false, ..plan }.check().is_err());
        assert_eq!(
            (opener(&outside(true)), opener(&web(&both, false))),
            ("h1".into(), "client".into())
        );
    }

    #[test]
    fn numbers_of_hosts_fit() {
        assert!(usize::from(HOST_NUMBER) >= crate::topology::NODES_MAX);
        assert!(HOST_NUMBER.checked_add(19).is_some(), "20 hosts at most");
    }
}
