//! From the tables [[source_nat]] to drafts: keys and the form of each value. Values are not compared with each other here.

use crate::PORTS;
use crate::draft::{InsideDraft, SourceNatDraft};
use crate::fields::{Fields, mistyped};
use crate::network::{Network, NetworkError};
use crate::problem::{Problem, Problems};
use crate::read::{ip, is_usable, not_usable};
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

/// What is expected of a list of VIPs.
const VIPS: &str = "an array of VIPs, such as [\"10.1.0.100\"]";

/// The entries in their order.
pub(crate) fn read(file: &Fields, problems: &mut Problems) -> Vec<SourceNatDraft> {
    let tables = file.tables("source_nat", problems);
    tables.into_iter().map(|(at, table)| entry(at, table, problems)).collect()
}

fn entry(at: Range<usize>, table: &DeTable, problems: &mut Problems) -> SourceNatDraft {
    let fields = Fields::open("source_nat", at.clone(), table, problems);
    let (words, whole) = fields.strings("from", problems);
    if let Some(value) = fields.get("from").filter(|_| words.is_empty() && whole) {
        let message = "the source NAT is for nobody".to_owned();
        let expected = "expected subnets or networks, such as [\"int\"] or [\"10.2.0.0/24\"]";
        problems.add(Problem::at(value.span(), message, expected));
    }
    let ports = fields.string("ports", problems).and_then(|text| ports(&text, problems));
    SourceNatDraft {
        from: words.into_iter().filter_map(|word| inside(word, problems)).collect(),
        vips: vips(&fields, problems),
        ports: ports.unwrap_or_else(|| Spanned::new(at.clone(), PORTS)),
        at,
    }
}

fn vips(fields: &Fields, problems: &mut Problems) -> Vec<Spanned<IpAddr>> {
    let Some(value) = fields.get("vips") else { return Vec::new() };
    let Some(array) = value.get_ref().as_array() else {
        problems.add(mistyped("vips", value, VIPS));
        return Vec::new();
    };
    if array.is_empty() {
        let message = "the source NAT has no VIPs".to_owned();
        problems.add(Problem::at(value.span(), message, format!("expected {VIPS}")));
    }
    array.iter().filter_map(|v| ip("vips", v, problems)).collect()
}

/// A word with a slash is a network, any other the name of a subnet.
fn inside(word: Spanned<String>, problems: &mut Problems) -> Option<InsideDraft> {
    let written = word.get_ref();
    if !written.contains('/') {
        return Some(InsideDraft::Subnet(word));
    }
    let form =
        "expected an address and a prefix length, such as \"10.2.0.0/24\" or \"fd00:2::/64\"";
    let problem = match written.parse::<Network>() {
        Ok(network) if is_usable(network.address) => {
            return Some(InsideDraft::Network(Spanned::new(word.span(), network)));
        }
        Ok(_) => not_usable(&word),
        Err(NetworkError::Form) => {
            Problem::at(word.span(), format!("{written:?} is not a network"), form)
        }
        Err(NetworkError::Prefix) => {
            Problem::at(word.span(), format!("the prefix of {written:?} is too long"), form)
        }
        Err(NetworkError::HostBits(meant)) => {
            let message = format!("{written:?} is an address inside a network, not a network");
            Problem::at(word.span(), message, format!("expected \"{meant}\""))
        }
    };
    problems.add(problem);
    None
}

fn ports(text: &Spanned<String>, problems: &mut Problems) -> Option<Spanned<(u16, u16)>> {
    let written = text.get_ref();
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let range = written.split_once('-').and_then(|(a, b)| Some((number(a)?, number(b)?)));
    let problem = match range {
        Some((first, last)) if first <= last => {
            return Some(Spanned::new(text.span(), (first, last)));
        }
        Some(_) => Problem::at(
            text.span(),
            format!("ports {written:?} run backwards"),
            "expected the lower port first",
        ),
        None => Problem::at(
            text.span(),
            format!("{written:?} are no ports"),
            format!("expected two from 1 to 65535, such as \"{}-{}\"", PORTS.0, PORTS.1),
        ),
    };
    problems.add(problem);
    None
}
