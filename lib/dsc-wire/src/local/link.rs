//! What dsc-link is asked, and what it answers: the downloads that run through this node's proxy, and what it has counted.
//! Things have their names here: nobody else's numbers are needed to read an answer.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Most downloads in one answer, whatever was asked for.
pub const DOWNLOADS_LISTED_MAX: u32 = 2_000;
/// Longest name of an object in an answer, in bytes; what is longer is cut.
pub const OBJECT_MAX: usize = 256;

/// A question to dsc-link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum LinkRequest {
    /// The downloads that run, and what each service has counted: [`LinkDownloads`].
    Downloads {
        /// Only those of this service.
        #[serde(default)]
        service: Option<String>,
        /// No more than so many, and no more than [`DOWNLOADS_LISTED_MAX`]; 0: only how many there are.
        limit: u32,
    },
}

/// dsc-link's answer to [`LinkRequest::Downloads`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkDownloads {
    /// Those that run, the oldest first, no more than were asked for.
    pub downloads: Vec<LinkDownload>,
    /// How many run of those that were asked for.
    pub matched: u32,
    /// Every `link` service of the configuration in force, in its order, and those that are gone from it but have connections.
    pub services: Vec<LinkService>,
}

/// A download that runs: an answer's body, or a file by FTP, of which the first byte is on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDownload {
    /// The service.
    pub service: String,
    /// The client, as it says itself where a PROXY header is expected of it.
    pub client: SocketAddr,
    /// What it asked for: path and query, or a path of FTP; at most [`OBJECT_MAX`] bytes.
    pub object: String,
    /// Bytes of it sent so far.
    pub sent: u64,
    /// All that are to be sent, if that is known.
    #[serde(default)]
    pub length: Option<u64>,
    /// The backend that sends it; none while another one is asked.
    #[serde(default)]
    pub backend: Option<SocketAddr>,
    /// Could another backend continue it, as far as is known?
    #[serde(default)]
    pub resumable: bool,
    /// How often it was continued from another backend.
    #[serde(default)]
    pub resumes: u32,
    /// Milliseconds since it began.
    pub age_ms: u64,
}

/// What dsc-link has counted for a service since it started, and what there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkService {
    /// Its name.
    pub name: String,
    /// Connections of clients now.
    pub connections: u64,
    /// Downloads that run now.
    pub running: u64,
    /// Connections of clients that were taken.
    pub accepted: u64,
    /// Connections of clients that were closed at once, because there were as many as may be.
    pub refused: u64,
    /// Requests, or files asked for by FTP.
    pub requests: u64,
    /// Bytes of bodies sent to clients.
    pub bytes: u64,
    /// Downloads that another backend continued, each as often as it was.
    pub resumes: u64,
    /// Downloads that ended early, because no backend could continue them with certainty.
    pub broken: u64,
}
