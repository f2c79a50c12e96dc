//! What `link` has to tell.

use dsc_wire::local::LinkService;
use serde::Serialize;

/// Some downloads of this node's proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloads {
    /// The oldest first.
    pub rows: Vec<DownloadRow>,
    /// How many there are, of which the rows may be a part.
    pub matched: u32,
}

/// One download that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DownloadRow {
    /// The service.
    pub service: String,
    /// The client's end.
    pub client: String,
    /// What it asked for.
    pub object: String,
    /// Bytes sent so far.
    pub sent: u64,
    /// Bytes of all of it, if known.
    pub length: Option<u64>,
    /// The backend that sends it; none while another one is asked.
    pub backend: Option<String>,
    /// Could another backend continue it, as far as is known?
    pub resumable: bool,
    /// How often another one did.
    pub resumes: u32,
    /// Milliseconds since it began.
    pub age_ms: u64,
}

/// What this node's proxy has and has counted for one service.
pub type LinkRow = LinkService;
