//! A file that names no nodes, but where to get the configuration: what a new machine begins with. Read before any other
//! key is looked at; everything else in it is an error.

use crate::fields::{Fields, mistyped};
use crate::problem::{Problem, Problems};
use crate::{KEY_FILE, PORT};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::DeTable;

/// How a machine comes by the cluster's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// A node's address.
    pub address: IpAddr,
    /// Absolute path of the cluster key.
    pub key_file: PathBuf,
    /// UDP port of dsc-ringd on every node.
    pub port: u16,
    /// Which node this machine is; else the one whose addresses it has.
    pub node: Option<String>,
}

impl Join {
    /// The text as such a file. None if it is another one.
    ///
    /// # Errors
    /// All problems of it.
    pub fn parse(text: &str, name: &str) -> Result<Option<Join>, Problems> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let cluster = document.get_ref().get("cluster").and_then(|c| c.get_ref().as_table());
        if !errors.is_empty() || !cluster.is_some_and(|c| c.contains_key("join")) {
            return Ok(None);
        }
        let mut problems = Problems::none(name, Arc::from(text));
        let join = Join::read(&document, &mut problems);
        match join {
            Some(join) if problems.is_empty() => Ok(Some(join)),
            Some(_) | None => Err(problems.sorted()),
        }
    }

    fn read(document: &toml::Spanned<DeTable>, problems: &mut Problems) -> Option<Join> {
        let file = Fields::open("joining", document.span(), document.get_ref(), problems);
        let mut table = |key, title| {
            let value = file.get(key)?;
            let Some(table) = value.get_ref().as_table() else {
                problems.add(mistyped(key, value, "a table"));
                return None;
            };
            Some(Fields::open(title, value.span(), table, problems))
        };
        let cluster = table("cluster", "cluster to join")?;
        let node = table("node", "node that joins");
        let address = cluster.string("join", problems)?;
        let parsed = address.get_ref().parse();
        if parsed.is_err() {
            let message = format!("{:?} is not an address", address.get_ref());
            let expected = "expected the address of a node, such as \"10.1.0.1\"";
            problems.add(Problem::at(address.span(), message, expected));
        }
        let key_file = cluster.string("key_file", problems);
        let port = cluster.integer("port", 1, 65_534, problems);
        let node = node.and_then(|node| node.string("name", problems));
        Some(Join {
            address: parsed.ok()?,
            key_file: key_file.map_or(PathBuf::from(KEY_FILE), |f| PathBuf::from(f.get_ref())),
            port: port.map_or(PORT, |p| p as u16),
            node: node.map(|node| node.into_inner()),
        })
    }
}
