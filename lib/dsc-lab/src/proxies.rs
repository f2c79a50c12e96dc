//! The proxies that the link is compared with: HAProxy in HTTP mode and nginx, on the same node as dsc-link, to the same hosts
//! behind. Their configurations, as close to the link's as they have words for it.

use crate::error::Result;
use crate::lab::Lab;
use crate::program;
use crate::services::{WEB_PORT, host_address};
use crate::topology::Plan;

/// Ports on the virtual addresses.
pub const HAPROXY_PORT: u16 = 8091;
/// As [`HAPROXY_PORT`].
pub const NGINX_PORT: u16 = 8092;
const HAPROXY_CONF: &str = "/etc/dsc/proxy-haproxy.cfg";
const NGINX_CONF: &str = "/etc/dsc/proxy-nginx.conf";
/// Connections of clients that HAProxy takes.
const CLIENTS_MAX: usize = 20_000;

/// The services by which both are reached, as dsc-link is: their connections end on the node.
pub fn toml(plan: &Plan) -> String {
    let vip = plan.vip_list()[0].address;
    let service = |name: &str, port: u16| {
        format!(
            "\n[[service]]\nname = \"{name}\"\nvips = [\"{vip}\"]\nport = {port}\nkind = \"local\"\n"
        )
    };
    service("haproxy", HAPROXY_PORT) + &service("nginx", NGINX_PORT)
}

/// Starts both on a node.
///
/// # Errors
/// One cannot be started.
pub fn start(lab: &Lab, node: usize) -> Result<()> {
    let space = lab.node(node)?;
    space.write(HAPROXY_CONF, &haproxy(&lab.plan), 0o644)?;
    space.write(NGINX_CONF, &nginx(&lab.plan), 0o644)?;
    let argv = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    program::start_as(lab, node, "haproxy", &argv(&["haproxy", "-db", "-f", HAPROXY_CONF]))?;
    let words = ["nginx", "-e", "stderr", "-c", NGINX_CONF];
    program::start_as(lab, node, "proxy-nginx", &argv(&words)).map(drop)
}

fn haproxy(plan: &Plan) -> String {
    let servers: String = (0..plan.hosts)
        .map(|h| {
            let address = host_address(h, false);
            format!("    server h{} {address}:{WEB_PORT} check inter 200 fall 3\n", h + 1)
        })
        .collect();
    // Without splicing, large bodies are three times slower here.
    // As many files as a process may open here are fewer than it wants for so many connections, and enough for idle ones.
    format!(
        "global
    maxconn {CLIENTS_MAX}
    no strict-limits
defaults
    mode http
    option forwardfor
    option redispatch
    option splice-response
    timeout connect 1s
    timeout client 10m
    timeout server 3s
    timeout http-keep-alive 10m
frontend link
    bind 0.0.0.0:{HAPROXY_PORT} backlog 4096
    default_backend hosts
backend hosts
    balance roundrobin
{servers}"
    )
}

fn nginx(plan: &Plan) -> String {
    let servers: String = (0..plan.hosts)
        .map(|h| format!("        server {}:{WEB_PORT};\n", host_address(h, false)))
        .collect();
    format!(
        "daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile {CLIENTS_MAX};
pid /run/dsc/proxy-nginx.pid;
error_log /run/dsc/proxy-nginx-error.log crit;
events {{ worker_connections {CLIENTS_MAX}; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    keepalive_timeout 600s;
    client_body_temp_path /run/dsc/proxy-body;
    proxy_temp_path /run/dsc/proxy-proxy;
    fastcgi_temp_path /run/dsc/proxy-fastcgi;
    uwsgi_temp_path /run/dsc/proxy-uwsgi;
    scgi_temp_path /run/dsc/proxy-scgi;
    upstream hosts {{
{servers}        keepalive 256;
        keepalive_requests 1000000;
    }}
    server {{
        listen {NGINX_PORT} backlog=4096 reuseport;
        location / {{
            proxy_pass http://hosts;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_max_temp_file_size 0;
            proxy_connect_timeout 1s;
            proxy_read_timeout 3s;
        }}
    }}
}}
"
    )
}
