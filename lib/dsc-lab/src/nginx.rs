//! The web server on every node and on every host behind: it listens on all addresses, so that it answers on whatever virtual address the
//! cluster brings, and its page says which node answered.

use crate::error::{Doing, Result};
use std::path::Path;

/// Path of the large file.
pub const LARGE: &str = "/large";
/// Its length: more than a slow download takes in any scenario.
pub const LARGE_BYTES: u64 = 1 << 30;
/// A path that sends [`SLOW_BYTES`] in chunks of [`SLOW_CHUNK`] bytes, one every second: thousands at once are no load.
pub const SLOW: &str = "/slow";
/// The same with a chunk every 100 ms, for fewer downloads and finer figures.
pub const STEADY: &str = "/steady";
/// A path that sends the first [`PACED_BYTES`] of the same at [`PACED_RATE`]: a download that comes to its end in a test.
pub const PACED: &str = "/paced";
/// Its bytes.
pub const PACED_BYTES: usize = 2 << 20;
/// Bytes of it per second.
pub const PACED_RATE: usize = 192 << 10;
/// Bytes of it at once: it is silent for a sixth of a second in between.
const PACED_CHUNK: usize = 32 << 10;
/// Bytes of both: more than an hour, and seven minutes.
pub const SLOW_BYTES: usize = 4 << 20;
/// Bytes of a chunk: one packet.
pub const SLOW_CHUNK: usize = 1024;

/// Configuration for one machine; `root` is [`make_files`]'s directory, `own` one that is the machine's own.
pub fn config(name: &str, port: u16, root: &Path, own: &str) -> String {
    let fast = 10 * SLOW_CHUNK;
    // sendfile sends whole pages: four packets every four seconds.
    let chunks = format!("sendfile off; output_buffers 1 4k; sendfile_max_chunk {SLOW_CHUNK};");
    let root = root.display();
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {own}/nginx.pid;
error_log {own}/nginx-error.log warn;
events {{ worker_connections 16384; }}
worker_rlimit_nofile 20000;
http {{
    access_log off;
    sendfile on;
    open_file_cache max=16 inactive=3600s;
    keepalive_requests 1000000;
    keepalive_timeout 300s;
    client_body_temp_path {own}/nginx-body;
    proxy_temp_path {own}/nginx-proxy;
    fastcgi_temp_path {own}/nginx-fastcgi;
    uwsgi_temp_path {own}/nginx-uwsgi;
    scgi_temp_path {own}/nginx-scgi;
    server {{
        listen {port} backlog=4096;
        listen [::]:{port} backlog=4096;
        location = / {{ default_type text/plain; return 200 \"{name}\\n\"; }}
        location = {LARGE} {{ root {root}; }}
        location = {SLOW} {{ root {root}; limit_rate {SLOW_CHUNK}; {chunks} }}
        location = {PACED} {{ root {root}; limit_rate {PACED_RATE}; sendfile_max_chunk {PACED_CHUNK}; }}
        location = {STEADY} {{ alias {root}{SLOW}; limit_rate {fast}; {chunks} }}
    }}
}}
"
    )
}

/// Makes the files that all machines serve. The large one is a hole: it takes no room.
///
/// # Errors
/// Those of the file system.
pub fn make_files(dir: &Path) -> Result<()> {
    let path = dir.join(LARGE.trim_start_matches('/'));
    let file = std::fs::File::create(&path).doing(|| format!("make {}", path.display()))?;
    file.set_len(LARGE_BYTES).doing(|| format!("make {}", path.display()))?;
    let bytes = slow_bytes();
    for (name, bytes) in [(SLOW, &bytes[..]), (PACED, &bytes[..PACED_BYTES])] {
        let path = dir.join(name.trim_start_matches('/'));
        std::fs::write(&path, bytes).doing(|| format!("make {}", path.display()))?;
    }
    Ok(())
}

/// Reads what [`LARGE`] sends from the disk, which is slower than any network: a bench wants it in memory.
///
/// # Errors
/// Those of the file system.
pub fn read_large(dir: &Path) -> Result<()> {
    let path = dir.join(LARGE.trim_start_matches('/'));
    let read = || std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink());
    read().map(drop).doing(|| format!("read {}", path.display()))
}

/// What [`SLOW`] sends: no two places alike, so that bytes of another place are noticed.
pub fn slow_bytes() -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(SLOW_BYTES);
    while bytes.len() < SLOW_BYTES {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}
