//! Certificates in files, as an operator has them.

use dsc_conf::Certificate;
use std::path::{Path, PathBuf};

/// A directory for them; it goes with the value.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(test: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("dsc-link-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a certificate for these names, and gives its bytes.
pub fn make(dir: &Path, file: &str, names: &[&str]) -> (Certificate, Vec<u8>) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(names).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    let files = Certificate {
        chain: dir.join(format!("{file}.pem")),
        key: dir.join(format!("{file}.key")),
    };
    std::fs::write(&files.chain, pem("CERTIFICATE", certificate.der())).expect("written");
    std::fs::write(&files.key, pem("PRIVATE KEY", &key.serialize_der())).expect("written");
    (files, certificate.der().to_vec())
}

/// Text of RFC 7468.
fn pem(label: &str, bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let all = part.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let letter = LETTERS[(all >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= part.len() { letter.into() } else { '=' });
        }
    }
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|n| &text[n..text.len().min(n + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
