//! The demo's server that dies: a service that is put into force for it, and what new connections to it see then.

use crate::error::{Doing, Result};
use crate::lab::Lab;
use crate::topology::{Plan, host_machine};
use crate::{clock, cluster, program, services, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// Its port on its address.
const PORT: u16 = 8088;
/// The server of three that dies.
const VICTIM: usize = 2;
/// Longest wait until no node gives it new connections, ms.
const FOUND_MS: u64 = 5_000;
/// Connections that are opened then.
const OPENED: usize = 50;

fn server(host: usize) -> IpAddr {
    services::host_address(host, false)
}

/// The line of a host behind in the list of a service's servers.
pub fn line(host: usize) -> String {
    let address = server(host);
    format!("  {{ address = \"{address}\", port = 8080, weight = 1, state = \"enabled\" }},\n")
}

/// The service, with a check of its servers.
pub fn service(plan: &Plan) -> String {
    let (vip, servers) = (plan.vip_list()[0].address, line(0) + &line(VICTIM));
    format!(
        "\n[[service]]\nname = \"shop\"\nvips = [\"{vip}\"]\nport = {PORT}\nbackends = [\n{servers}]\n\
         check = {{ kind = \"tcp\", every_ms = 200, fall = 3 }}\n"
    )
}

/// It dies, every node finds that out, and no new connection fails any more. Returns when it died.
pub fn dies(lab: &Lab) -> Result<u64> {
    let space = lab.space(&host_machine(VICTIM).name)?;
    let at_ns = clock::now_ns();
    for process in space.processes().iter().filter(|p| p.name() == program::NGINX) {
        process.signal(Signal::SIGKILL);
    }
    wait::until("no node gives the dead server new connections", FOUND_MS, || {
        let nodes = (0..lab.plan.nodes).filter(|node| !lab.dark.contains(node));
        nodes.into_iter().all(|node| is_out(lab, node)).then_some(())
    })?;
    let to = SocketAddr::new(lab.plan.vip_list()[0].address, PORT);
    let open = || TcpStream::connect_timeout(&to, Duration::from_secs(2));
    for _ in 0..OPENED {
        lab.space("client")?.inside(|| open().doing(|| format!("open a connection to {to}")))?;
    }
    Ok(at_ns)
}

fn is_out(lab: &Lab, node: usize) -> bool {
    let said = cluster::dscctl(lab, node, &["backend", "--json"]).unwrap_or_default();
    let victim = SocketAddr::new(server(VICTIM), 8080).to_string();
    let all = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut own = all.filter(|b| b["service"] == "shop" && b["backend"] == *victim);
    own.next().is_some_and(|b| b["balanced"] == false)
}
