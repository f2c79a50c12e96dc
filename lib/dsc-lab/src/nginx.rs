//! The web server on every node: it listens on all addresses, so that it answers on whatever virtual address the
//! cluster brings, and its page says which node answered.

use crate::error::{Doing, Result};
use std::path::Path;

/// Path of the large file.
pub const LARGE: &str = "/large";
/// Its length: more than a slow download takes in any scenario.
pub const LARGE_BYTES: u64 = 1 << 30;

/// Configuration for one node; `root` is [`make_files`]'s directory, `own` one that is the node's own.
pub fn config(node: &str, root: &Path, own: &str) -> String {
    let root = root.display();
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {own}/nginx.pid;
error_log {own}/nginx-error.log warn;
events {{ worker_connections 8192; }}
worker_rlimit_nofile 16384;
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000;
    keepalive_timeout 300s;
    client_body_temp_path {own}/nginx-body;
    proxy_temp_path {own}/nginx-proxy;
    fastcgi_temp_path {own}/nginx-fastcgi;
    uwsgi_temp_path {own}/nginx-uwsgi;
    scgi_temp_path {own}/nginx-scgi;
    server {{
        listen 80;
        listen [::]:80;
        location = / {{ default_type text/plain; return 200 \"{node}\\n\"; }}
        location = {LARGE} {{ root {root}; }}
    }}
}}
"
    )
}

/// Makes the files that all nodes serve. The large one is a hole: it takes no room.
///
/// # Errors
/// Those of the file system.
pub fn make_files(dir: &Path) -> Result<()> {
    let path = dir.join(LARGE.trim_start_matches('/'));
    let file = std::fs::File::create(&path).doing(|| format!("make {}", path.display()))?;
    file.set_len(LARGE_BYTES).doing(|| format!("make {}", path.display()))
}
