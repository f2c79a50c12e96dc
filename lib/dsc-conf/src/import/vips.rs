//! `vip.cfg`: blocks of VIPs, each with its network (Table 2).
//!
//! ```text
//! virtual IP Pool
//! VIRTUAL_IP 131.143.36.0 {
//! 131.143.36.91,
//! 131.143.36.92
//! }
//! ```

use super::scan::{self, Token};
use crate::network::{Network, NetworkError};
use crate::problem::{Problem, Problems};
use crate::read::is_usable;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

const WORD: &str = "VIRTUAL_IP";
const TITLES: &[&str] = &["virtual ip pool", "virtual ip pools"];

/// A network and its VIPs.
pub(super) struct Block {
    pub network: Network,
    pub addresses: Vec<Spanned<IpAddr>>,
}

/// All blocks. Not complete if there are problems.
pub(super) fn read(text: &str, problems: &mut Problems) -> Vec<Block> {
    let lines = scan::lines(text).filter(|line| !scan::is_title(line, TITLES));
    let tokens: Vec<Token> = lines.flatten().collect();
    let mut reader = Reader { tokens: &tokens, next: 0, end: text.len(), problems };
    let mut blocks: Vec<(Block, Range<usize>)> = Vec::new();
    let mut seen = HashMap::new();
    while let Some(token) = reader.take() {
        if token.text != WORD {
            let message = format!("{:?} does not begin a list of VIPs", token.text);
            reader.wrong(token.at.clone(), message, "expected VIRTUAL_IP and a network");
            return Vec::new();
        }
        let Some((block, at)) = reader.block() else { return Vec::new() };
        if let Some((_, there)) = blocks.iter().find(|(b, _)| b.network.overlaps(&block.network)) {
            let message = format!("network {} has a list already", block.network);
            let problem = Problem::at(at.clone(), message, "expected one list for each network");
            reader.problems.add(problem.also(there.clone(), "the first is here"));
        }
        for address in &block.addresses {
            let own = *address.get_ref();
            if let Some(earlier) = seen.insert(own, address.span()) {
                let message = format!("VIP {own} stands twice");
                let problem = Problem::at(address.span(), message, "expected each VIP once");
                reader.problems.add(problem.also(earlier, "the first is here"));
            } else if !block.network.contains(own) {
                let message = format!("VIP {own} is not in network {}", block.network);
                let expected = format!("expected an address in {}", block.network);
                reader.wrong(address.span(), message, &expected);
            }
        }
        blocks.push((block, at));
    }
    if blocks.is_empty() && problems.is_empty() {
        let message = "there is no VIP in it".to_owned();
        problems.add(Problem::without_place(message, "expected VIRTUAL_IP 131.143.36.0 { ... }"));
    }
    blocks.into_iter().map(|(block, _)| block).collect()
}

struct Reader<'r, 't> {
    tokens: &'r [Token<'t>],
    next: usize,
    end: usize,
    problems: &'r mut Problems,
}

impl<'r, 't> Reader<'r, 't> {
    fn take(&mut self) -> Option<&'r Token<'t>> {
        let token = self.tokens.get(self.next)?;
        self.next += 1;
        Some(token)
    }

    fn wrong(&mut self, at: Range<usize>, message: String, expected: &str) {
        self.problems.add(Problem::at(at, message, expected));
    }

    /// What comes next; at the end of the file that is a problem.
    fn need(&mut self, expected: &str) -> Option<&'r Token<'t>> {
        let token = self.take();
        if token.is_none() {
            let message = "the file ends in the middle of a list".to_owned();
            self.wrong(self.end..self.end, message, expected);
        }
        token
    }

    /// What follows VIRTUAL_IP, and where its network stands.
    fn block(&mut self) -> Option<(Block, Range<usize>)> {
        let token = self.need("expected a network, such as 131.143.36.0")?;
        let network = match network(token.text) {
            Ok(network) => network,
            Err((message, expected)) => {
                self.wrong(token.at.clone(), message, &expected);
                return None;
            }
        };
        let at = token.at.clone();
        let open = self.need("expected {")?;
        if open.text != "{" {
            let message = format!("{:?} stands where the list should begin", open.text);
            self.wrong(open.at.clone(), message, "expected {");
            return None;
        }
        let mut addresses = Vec::new();
        loop {
            let token = self.need("expected an address or }")?;
            if token.text == "}" {
                return Some((Block { network, addresses }, at));
            }
            match address(token, self.problems) {
                Some(address) => addresses.push(address),
                None if token.text == "{" || token.text == WORD => return None,
                None => {}
            }
            let sign = self.need("expected , or }")?;
            match sign.text {
                "}" => return Some((Block { network, addresses }, at)),
                "," => {}
                text => {
                    let message = format!("{text:?} stands between two addresses");
                    self.wrong(sign.at.clone(), message, "expected , or }");
                    return None;
                }
            }
        }
    }
}

/// An address that a machine may have; anything else is reported.
pub(super) fn address(token: &Token, problems: &mut Problems) -> Option<Spanned<IpAddr>> {
    let problem = match token.text.parse::<IpAddr>() {
        Ok(address) if is_usable(address) => return Some(Spanned::new(token.at.clone(), address)),
        Ok(_) => {
            let message = format!("{} cannot be used in a subnet", token.text);
            let expected = "expected no loopback, multicast or unspecified address";
            Problem::at(token.at.clone(), message, expected)
        }
        Err(_) => {
            let message = format!("{:?} is not an IP address", token.text);
            Problem::at(token.at.clone(), message, "expected one such as 10.1.0.91")
        }
    };
    problems.add(problem);
    None
}

/// A network, whose prefix length is written, or follows from the one zero at the end of an IPv4 address.
fn network(text: &str) -> Result<Network, (String, String)> {
    let form = || {
        "expected an address such as 131.143.36.0, or with a prefix length 10.1.0.0/24".to_owned()
    };
    if text.contains('/') {
        return text.parse().map_err(|error| match error {
            NetworkError::HostBits(meant) => {
                (format!("{text:?} is an address inside a network"), format!("expected {meant}"))
            }
            _ => (format!("{text:?} is not a network"), form()),
        });
    }
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err((format!("{text:?} is not a network"), form()));
    };
    // 10.1.0.0 may be a network of 24 bits or of 16.
    match address {
        IpAddr::V4(a) if a.octets()[3] == 0 && a.octets()[2] != 0 => {
            Ok(Network { address, prefix: 24 })
        }
        _ => {
            let length = if address.is_ipv4() { 24 } else { 64 };
            Err((
                format!("how long the prefix of {text} is does not follow from it"),
                format!("expected it to be written, such as {text}/{length}"),
            ))
        }
    }
}
