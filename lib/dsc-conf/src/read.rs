//! From the text to a draft: syntax, keys and the form of each value. Values are not compared with each
//! other here.

use crate::draft::{Draft, NodeDraft, SubnetDraft, VipDraft};
use crate::fields::{Fields, Value, mistyped, string};
use crate::network::{AddressRange, Network, NetworkError, RangeError};
use crate::problem::{Problem, Problems};
use crate::{
    KEY_FILE, NETWORKS_MAX, PORT, balance, flows, node_checks, numbers, services, source_nat,
    timing,
};
use dsc_wire::{Partition, Persistence, Rejoin};
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::DeTable;

/// Reads a text. `None` if its syntax is wrong or it has no [cluster]: then there is nothing to check.
pub(crate) fn draft(text: &str, problems: &mut Problems) -> Option<Draft> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let (message, expected) = match error.message().split_once(", expected ") {
            Some((message, expected)) => (message, format!("expected {expected}")),
            None if error.message() == "duplicate key" => {
                ("the key stands twice", "expected each key once".to_owned())
            }
            None => (error.message(), "this is not TOML".to_owned()),
        };
        let end = text.len();
        let place = error.span().unwrap_or(end..end);
        problems.add(Problem::at(place, message.to_owned(), expected));
    }
    if !errors.is_empty() {
        return None;
    }
    let file = Fields::open("", document.span(), document.get_ref(), problems);
    let subnets = file.tables("subnet", problems);
    let nodes = file.tables("node", problems);
    let vips = file.tables("vip", problems);
    let subnets = subnets.into_iter().map(|(at, t)| subnet(at, t, problems)).collect();
    let nodes = nodes.into_iter().map(|(at, t)| node(at, t, problems)).collect();
    let vips = vips.into_iter().map(|(at, t)| vip(at, t, problems)).collect();
    let services = services::read(&file, problems);
    let source_nats = source_nat::read(&file, problems);
    let checks = node_checks::read(&file, problems);
    let flows = flows::read(&file, problems);
    let balance = balance::read(&file, problems);
    let numbers = numbers::read(&file, problems);
    let value = file.get("cluster")?;
    let Some(table) = value.get_ref().as_table() else {
        problems.add(mistyped("cluster", value, "a table that begins with [cluster]"));
        return None;
    };
    let cluster = Fields::open("cluster", value.span(), table, problems);
    let name = cluster.string("name", problems);
    Some(Draft {
        name: name.filter(|n| legal_name("cluster", n, problems)),
        key_file: key_file(&cluster, problems),
        port: cluster.integer("port", 1, 65_534, problems).map_or(PORT, |p| p as u16),
        partition: partition(&cluster, value.span(), problems),
        rejoin: rejoin(&cluster, problems),
        timing: timing::read(cluster.get("timing"), value.span(), problems),
        version: cluster.integer("version", 0, i64::MAX, problems).map_or(0, i64::unsigned_abs),
        subnets,
        nodes,
        vips,
        services,
        source_nats,
        checks,
        flows,
        balance,
        numbers,
    })
}

fn key_file(cluster: &Fields, problems: &mut Problems) -> PathBuf {
    let Some(text) = cluster.string("key_file", problems) else { return PathBuf::from(KEY_FILE) };
    let path = Path::new(text.get_ref());
    if !path.is_absolute() {
        let message = format!("key_file {:?} is a relative path", text.get_ref());
        let expected = format!("expected an absolute path such as {KEY_FILE}");
        let problem = Problem::at(text.span(), message, expected);
        problems.add(problem.help("the daemons and dscctl do not run in the same directory"));
    }
    path.to_owned()
}

fn partition(cluster: &Fields, at: Range<usize>, problems: &mut Problems) -> Spanned<Partition> {
    let modes = [("serve", Partition::Serve), ("majority", Partition::Majority)];
    let mode = cluster.choice("partition", &modes, problems);
    mode.unwrap_or_else(|| Spanned::new(at, Partition::Serve))
}

fn rejoin(cluster: &Fields, problems: &mut Problems) -> Rejoin {
    let ways = [("auto", Rejoin::Auto), ("manual", Rejoin::Manual)];
    cluster.choice("rejoin", &ways, problems).map_or(Rejoin::Auto, Spanned::into_inner)
}

fn subnet(at: Range<usize>, table: &DeTable, problems: &mut Problems) -> SubnetDraft {
    let fields = Fields::open("subnet", at.clone(), table, problems);
    let name = fields.string("name", problems).filter(|n| legal_name("subnet", n, problems));
    let (networks, mut networks_whole) = fields.strings("networks", problems);
    let (pool, mut pool_whole) = fields.strings("pool", problems);
    if networks.is_empty() && networks_whole {
        if let Some(value) = fields.get("networks") {
            let message = "the subnet has no networks".to_owned();
            let expected = "expected at least one, such as \"10.1.0.0/24\"";
            problems.add(Problem::at(value.span(), message, expected));
        }
        networks_whole = false;
    }
    let wanted = networks.len();
    if let Some(beyond) = networks.get(NETWORKS_MAX) {
        let message = format!("{wanted} networks of one subnet are too many");
        let expected = format!("expected at most {NETWORKS_MAX}");
        problems.add(Problem::at(beyond.span(), message, expected));
    }
    let networks: Vec<_> = networks
        .into_iter()
        .take(NETWORKS_MAX)
        .filter_map(|text| network(&text, problems))
        .collect();
    networks_whole &= networks.len() == wanted;
    let wanted = pool.len();
    let pool: Vec<_> = pool.into_iter().filter_map(|text| range(&text, problems)).collect();
    pool_whole &= pool.len() == wanted;
    SubnetDraft { at, name, networks, networks_whole, pool, pool_whole }
}

fn network(text: &Spanned<String>, problems: &mut Problems) -> Option<Spanned<Network>> {
    let written = text.get_ref();
    let form =
        "expected an address and a prefix length, such as \"10.1.0.0/24\" or \"fd00:1::/64\"";
    let problem = match written.parse::<Network>() {
        Ok(network) if is_usable(network.address) => {
            let (low, high) = if network.address.is_ipv4() { (8, 30) } else { (16, 126) };
            if (low..=high).contains(&network.prefix) {
                return Some(Spanned::new(text.span(), network));
            }
            let message =
                format!("prefix length {} of {written:?} leaves no subnet", network.prefix);
            Problem::at(text.span(), message, format!("expected a length from {low} to {high}"))
        }
        Ok(_) => not_usable(text),
        Err(NetworkError::Form) => {
            Problem::at(text.span(), format!("{written:?} is not a network"), form)
        }
        Err(NetworkError::Prefix) => {
            Problem::at(text.span(), format!("the prefix of {written:?} is too long"), form)
        }
        Err(NetworkError::HostBits(meant)) => {
            let message = format!("{written:?} is an address inside a network, not a network");
            Problem::at(text.span(), message, format!("expected \"{meant}\""))
        }
    };
    problems.add(problem);
    None
}

fn range(text: &Spanned<String>, problems: &mut Problems) -> Option<Spanned<AddressRange>> {
    let written = text.get_ref();
    let problem = match written.parse::<AddressRange>() {
        Ok(range) if is_usable(range.first) && is_usable(range.last) => {
            return Some(Spanned::new(text.span(), range));
        }
        Ok(_) => not_usable(text),
        Err(RangeError::Form) => Problem::at(
            text.span(),
            format!("{written:?} is neither an address nor a range"),
            "expected \"10.1.0.100\" or \"10.1.0.100-10.1.0.103\"",
        ),
        Err(RangeError::Families) => Problem::at(
            text.span(),
            format!("range {written:?} begins in one family and ends in the other"),
            "expected two IPv4 or two IPv6 addresses",
        ),
        Err(RangeError::Backwards) => Problem::at(
            text.span(),
            format!("range {written:?} runs backwards"),
            "expected the lower address first",
        ),
    };
    problems.add(problem);
    None
}

fn node(at: Range<usize>, table: &DeTable, problems: &mut Problems) -> NodeDraft {
    let fields = Fields::open("node", at.clone(), table, problems);
    let name = fields.string("name", problems).filter(|n| legal_name("node", n, problems));
    let witness = fields.boolean("witness", problems);
    let mut addresses = Vec::new();
    let mut whole = false;
    if let Some(value) = fields.get("addresses") {
        let expected = "a table of one address per subnet, such as { ext = \"10.1.0.1\" }";
        match value.get_ref().as_table() {
            None => problems.add(mistyped("addresses", value, expected)),
            Some(table) => {
                for (subnet, value) in table.iter() {
                    if let Some(address) = ip(subnet.get_ref(), value, problems) {
                        let subnet = Spanned::new(subnet.span(), subnet.get_ref().to_string());
                        addresses.push((subnet, address));
                    }
                }
                whole = addresses.len() == table.len();
                if table.is_empty() {
                    let message = "the node has no address on any subnet".to_owned();
                    problems.add(Problem::at(
                        value.span(),
                        message,
                        format!("expected {expected}"),
                    ));
                    whole = false;
                }
            }
        }
    }
    NodeDraft { at, name, addresses, addresses_whole: whole, witness }
}

fn vip(at: Range<usize>, table: &DeTable, problems: &mut Problems) -> VipDraft {
    let fields = Fields::open("vip", at, table, problems);
    let persistence = fields.get("persistence").and_then(|value| {
        let number = fields.integer("persistence", 0, 3, problems)?;
        match Persistence::try_from(number as u8) {
            Ok(persistence) => Some(Spanned::new(value.span(), persistence)),
            Err(message) => {
                let expected = "expected 0 (free), 1 (current host) or 3 (preferred host)";
                problems.add(Problem::at(value.span(), message, expected));
                None
            }
        }
    });
    VipDraft {
        address: fields.get("address").and_then(|value| ip("address", value, problems)),
        preferred: fields.string("preferred", problems),
        persistence,
    }
}

/// A usable address; anything else is reported.
pub(crate) fn ip(key: &str, value: &Value, problems: &mut Problems) -> Option<Spanned<IpAddr>> {
    let Some(text) = string(value) else {
        problems.add(mistyped(key, value, "an address, such as \"10.1.0.1\" or \"fd00:1::1\""));
        return None;
    };
    match text.get_ref().parse::<IpAddr>() {
        Ok(address) if is_usable(address) => Some(Spanned::new(text.span(), address)),
        Ok(_) => {
            problems.add(not_usable(&text));
            None
        }
        Err(_) => {
            let message = format!("{:?} is not an IP address", text.get_ref());
            let expected = "expected one such as \"10.1.0.1\" or \"fd00:1::1\", without a prefix";
            problems.add(Problem::at(text.span(), message, expected));
            None
        }
    }
}

/// May a machine have this address, and does it say all that is needed to reach it? IPv6 link-local
/// addresses would need an interface too.
pub(crate) fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.octets()[0] != 0 && !a.is_loopback() && a.octets()[0] < 224,
        IpAddr::V6(a) => {
            !a.is_unspecified()
                && !a.is_loopback()
                && !a.is_multicast()
                && !a.is_unicast_link_local()
                && a.to_ipv4_mapped().is_none()
        }
    }
}

pub(crate) fn not_usable(text: &Spanned<String>) -> Problem {
    Problem::at(
        text.span(),
        format!("{:?} cannot be used in a subnet", text.get_ref()),
        "expected no loopback, multicast, unspecified, mapped or IPv6 link-local address",
    )
}

/// Names are words on command lines, in logs and in file names.
pub(crate) fn legal_name(of: &str, name: &Spanned<String>, problems: &mut Problems) -> bool {
    let text = name.get_ref();
    let legal = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !legal {
        let message = format!("{text:?} is not a name for a {of}");
        let expected =
            "expected 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit";
        problems.add(Problem::at(name.span(), message, expected));
    }
    legal
}
