//! What the proxies of a lab's nodes say of what runs through them, as `dscctl link` tells it.

use crate::cluster;
use crate::error::{Doing, Result};
use crate::lab::Lab;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;

/// Most downloads that are asked for at once.
const LISTED: &str = "2000";

/// A download that runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Running {
    /// Its service.
    pub service: String,
    /// The backend that sends it; none while another one is asked.
    pub backend: Option<SocketAddr>,
    /// How often it was continued from another backend.
    pub resumes: u64,
}

/// What was counted for a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Its name.
    pub name: String,
    /// Connections of clients now.
    pub connections: u64,
    /// Requests.
    pub requests: u64,
    /// How often a download was continued from another backend.
    pub resumes: u64,
    /// Downloads that no backend could continue.
    pub broken: u64,
}

/// The downloads that run through a node.
///
/// # Errors
/// Its proxy does not answer.
pub fn running(lab: &Lab, node: usize) -> Result<Vec<Running>> {
    asked(lab, node, &["link", "--limit", LISTED, "--json"])
}

/// Those of all nodes.
///
/// # Errors
/// As [`running`].
pub fn all_running(lab: &Lab) -> Result<Vec<Running>> {
    let nodes = (0..lab.plan.nodes).filter(|node| !lab.dark.contains(node));
    Ok(nodes.map(|node| running(lab, node)).collect::<Result<Vec<_>>>()?.concat())
}

/// What a node's proxy has counted, service by service.
///
/// # Errors
/// As [`running`].
pub fn counts(lab: &Lab, node: usize) -> Result<Vec<Counts>> {
    asked(lab, node, &["link", "--count", "--json"])
}

/// Continued downloads, and those that broke, of all services and nodes.
///
/// # Errors
/// As [`running`].
pub fn resumes(lab: &Lab) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    for node in (0..lab.plan.nodes).filter(|node| !lab.dark.contains(node)) {
        for counts in counts(lab, node)? {
            sums = (sums.0 + counts.resumes, sums.1 + counts.broken);
        }
    }
    Ok(sums)
}

fn asked<T: DeserializeOwned>(lab: &Lab, node: usize, words: &[&str]) -> Result<Vec<T>> {
    let said = cluster::dscctl(lab, node, words)?;
    let lines = said.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>();
    lines.doing(|| format!("read what dscctl {} prints", words.join(" ")))
}
