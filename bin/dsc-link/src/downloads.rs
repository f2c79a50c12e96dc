//! The responses that are on their way, for those who ask what a link is doing.

use crate::backend::lock;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Longest object that is told.
const OBJECT_MAX: usize = dsc_wire::local::OBJECT_MAX;

/// One response.
pub struct Download {
    /// The service's name.
    pub service: Arc<str>,
    /// Who gets it.
    pub client: SocketAddr,
    /// What it is.
    pub object: String,
    /// Its length, if it is known.
    pub length: Option<u64>,
    /// Can it be continued?
    pub resumable: bool,
    /// Since when.
    pub since: Instant,
    backend: Mutex<SocketAddr>,
    searching: AtomicBool,
    bytes: AtomicU64,
    resumes: AtomicU32,
}

impl Download {
    /// Is another backend being asked?
    pub fn is_searching(&self) -> bool {
        self.searching.load(Ordering::Relaxed)
    }

    /// The backend that sends it, or that sent it last.
    pub fn backend(&self) -> SocketAddr {
        *lock(&self.backend)
    }

    /// Bytes that went to the client.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// So often it went on from another backend.
    pub fn resumes(&self) -> u32 {
        self.resumes.load(Ordering::Relaxed)
    }

    /// So many bytes have gone.
    pub(crate) fn sent(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Another backend is asked.
    pub(crate) fn searches(&self) {
        self.searching.store(true, Ordering::Relaxed);
    }

    /// It goes on from there.
    pub(crate) fn resumed(&self, backend: SocketAddr) {
        *lock(&self.backend) = backend;
        self.searching.store(false, Ordering::Relaxed);
        self.resumes.fetch_add(1, Ordering::Relaxed);
    }
}

/// All that are on their way; as many as there are connections and streams, which are bounded.
#[derive(Default)]
pub struct Downloads {
    rows: Mutex<HashMap<u64, Arc<Download>>>,
    next: AtomicU64,
}

impl Downloads {
    /// Lists a response until the value is dropped.
    pub(crate) fn list(
        self: &Arc<Downloads>,
        service: &Arc<str>,
        client: SocketAddr,
        mut object: String,
        length: Option<u64>,
        resumable: bool,
        backend: SocketAddr,
    ) -> Listed {
        let cut = (0..=OBJECT_MAX).rev().find(|at| object.is_char_boundary(*at)).unwrap_or(0);
        object.truncate(cut);
        let download = Arc::new(Download {
            service: service.clone(),
            client,
            object,
            length,
            resumable,
            since: Instant::now(),
            backend: Mutex::new(backend),
            searching: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            resumes: AtomicU32::new(0),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.rows).insert(number, download.clone());
        Listed { downloads: self.clone(), number, download }
    }

    /// The oldest first.
    pub fn all(&self) -> Vec<Arc<Download>> {
        let mut rows: Vec<_> = lock(&self.rows).iter().map(|(n, d)| (*n, d.clone())).collect();
        rows.sort_unstable_by_key(|(number, _)| *number);
        rows.into_iter().map(|(_, download)| download).collect()
    }
}

/// A response that is listed.
pub(crate) struct Listed {
    downloads: Arc<Downloads>,
    number: u64,
    pub download: Arc<Download>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.downloads.rows).remove(&self.number);
    }
}
