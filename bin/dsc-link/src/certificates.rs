//! The certificates of a link: read from their files, chosen by the name that a client asks for, and read again when the files
//! have changed. Files that cannot be used change nothing.

use crate::backend::lock;
use dsc_conf::Certificate;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, ServerConfig,
};
use tokio_rustls::rustls::sign::CertifiedKey;

/// Largest file that is read.
const FILE_MAX: u64 = 1 << 20;

/// What tells one state of a file from another: inode, length, time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

struct State {
    config: Option<Arc<ServerConfig>>,
    /// Of all files, when they were read last.
    stamps: Vec<Option<Stamp>>,
}

/// The files, and what they said last.
pub struct Certificates {
    files: Vec<Certificate>,
    state: Mutex<State>,
}

impl Certificates {
    /// Nothing has been read; until something is, what was in force for other files is.
    pub fn new(files: &[Certificate], before: Option<&Certificates>) -> Certificates {
        let config = before.and_then(Certificates::config);
        let state = Mutex::new(State { config, stamps: Vec::new() });
        Certificates { files: files.to_vec(), state }
    }

    /// Where they are.
    pub fn files(&self) -> &[Certificate] {
        &self.files
    }

    /// For a handshake; none if the files could never be used.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        lock(&self.state).config.clone()
    }

    /// Reads the files if one of them has changed, or anyhow if `again`. Says whether they were taken; none if they were not read.
    ///
    /// # Errors
    /// What is wrong with them, in words; what was in force still is.
    pub fn refresh(&self, again: bool) -> Option<Result<(), String>> {
        // Before reading: what changes meanwhile is read once more.
        let stamps: Vec<Option<Stamp>> =
            self.files.iter().flat_map(|c| [&c.chain, &c.key]).map(|path| stamp(path)).collect();
        let mut state = lock(&self.state);
        if state.stamps == stamps && !again {
            return None;
        }
        state.stamps = stamps;
        Some(read(&self.files).map(|config| state.config = Some(Arc::new(config))))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

fn read(files: &[Certificate]) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let keys = files.iter().map(|files| one(files, &provider).map(Arc::new));
    let keys = keys.collect::<Result<_, _>>()?;
    let failed = |e: tokio_rustls::rustls::Error| format!("cannot speak TLS: {e}");
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(failed)?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(ByName(keys)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(failed)?;
    Ok(config)
}

fn one(files: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |e: &dyn fmt::Display| format!("cannot use {path}: {e}")
    };
    let (of_chain, of_key) = (told(&files.chain), told(&files.key));
    let chain = text(&files.chain).map_err(|e| of_chain(&e))?;
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| of_chain(&e))?;
    let Some(first) = chain.first() else { return Err(of_chain(&"no certificate in it")) };
    ParsedCertificate::try_from(first).map_err(|e| of_chain(&e))?;
    let key = text(&files.key).map_err(|e| of_key(&e))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| of_key(&e))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| of_key(&e))
}

fn text(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > FILE_MAX {
        return Err(io::Error::other(format!("more than {FILE_MAX} bytes")));
    }
    std::fs::read(path)
}

/// Chooses by the names that certificates are for; the first is for all others.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|n| ServerName::try_from(n).ok());
        let is_for = |key: &&Arc<CertifiedKey>| {
            let parsed = key.cert.first().and_then(|c| ParsedCertificate::try_from(c).ok());
            parsed.zip(name.as_ref()).is_some_and(|(p, n)| verify_server_name(&p, n).is_ok())
        };
        self.0.iter().find(is_for).or_else(|| self.0.first()).cloned()
    }
}
