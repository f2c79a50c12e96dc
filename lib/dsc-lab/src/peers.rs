//! What carries connections to the hosts behind where keepalived moves the addresses, for comparison: nftables DNAT
//! with conntrackd, or HAProxy in TCP mode. Their configurations, close to the examples that come with them.

use crate::error::Result;
use crate::lab::Lab;
use crate::packet::ECHO_PORT;
use crate::services::{UDP_PORT, WEB_PORT, host_address};
use crate::topology::{Beside, Plan, Subnet};
use std::fmt::Write as _;

/// Where a node's conntrackd reads.
pub const CONNTRACKD_CONF: &str = "/etc/dsc/conntrackd.conf";
/// Where a node's HAProxy reads.
pub const HAPROXY_CONF: &str = "/etc/dsc/haproxy.cfg";
/// What keepalived runs when a node's state changes.
pub const NOTIFY_SCRIPT: &str = "/etc/dsc/primary-backup.sh";
/// Connections that a node's tables and proxies take.
const CONNECTIONS_MAX: usize = 131_072;
/// Connections that HAProxy takes: each needs two of the files that a process may open here.
const PROXIED_MAX: usize = 9_000;

/// Writes what a node's programs beside keepalived read.
///
/// # Errors
/// Those of the file system.
pub fn write_configuration(lab: &Lab, node: usize) -> Result<()> {
    let space = lab.node(node)?;
    match lab.plan.system.beside() {
        Beside::Nothing => Ok(()),
        Beside::Conntrackd => {
            space.write(NOTIFY_SCRIPT, &notify_script(), 0o755)?;
            space.write(CONNTRACKD_CONF, &conntrackd(&lab.plan, node), 0o644)
        }
        Beside::Haproxy => space.write(HAPROXY_CONF, &haproxy(&lab.plan), 0o644),
    }
}

/// Brings a node's kernel into the state that the programs beside keepalived expect.
///
/// # Errors
/// The kernel refuses.
pub fn prepare(lab: &Lab, node: usize) -> Result<()> {
    if lab.plan.system.beside() != Beside::Conntrackd {
        return Ok(());
    }
    let space = lab.node(node)?;
    space.run_with(&["nft", "-f", "-"], &nat(&lab.plan))?;
    space.sysctl(&[
        // A connection that comes from another node has windows that this kernel has not seen grow.
        ("net/netfilter/nf_conntrack_tcp_be_liberal", "1"),
        // Between the takeover and the commit, packets of a connection that the kernel does not know yet must not begin
        // another one.
        ("net/netfilter/nf_conntrack_tcp_loose", "0"),
    ])
}

/// Destination NAT of the web service and the echo to the hosts behind, in turn; as in any stateful rule set, what belongs to no
/// connection is dropped. Answered with a reset or sent on as it is, it would break a connection that arrives a moment later.
fn nat(plan: &Plan) -> String {
    let hosts: Vec<String> =
        (0..plan.hosts).map(|h| format!("{h} : {}", host_address(h, false))).collect();
    let echoes: Vec<String> = (0..plan.hosts)
        .map(|h| format!("{h} : {} . {ECHO_PORT}", host_address(h, false)))
        .collect();
    let vips: Vec<String> = plan
        .vip_list()
        .iter()
        .filter(|v| v.subnet == Subnet::Ext && v.address.is_ipv4())
        .map(|v| v.address.to_string())
        .collect();
    let vips = vips.join(", ");
    format!(
        "table ip web {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {{ {vips} }} tcp dport {WEB_PORT} dnat to numgen inc mod {} map {{ {} }}
        ip daddr {{ {vips} }} udp dport {UDP_PORT} dnat ip addr . port to numgen inc mod {} map {{ {} }}
    }}
    chain valid {{
        type filter hook prerouting priority mangle;
        meta l4proto tcp ct state invalid drop
    }}
}}
",
        plan.hosts,
        hosts.join(", "),
        plan.hosts,
        echoes.join(", ")
    )
}

/// The example of conntrackd's FTFW mode, with this lab's addresses.
fn conntrackd(plan: &Plan, node: usize) -> String {
    let machine = plan.node_machine(node);
    let (interface, own) = (Subnet::Int.interface(), Subnet::Int.v4(machine.low));
    let mut ignored = String::from("            IPv4_address 127.0.0.1\n");
    for (subnet, _) in &machine.interfaces {
        let _ = writeln!(ignored, "            IPv4_address {}", subnet.v4(machine.low));
    }
    for vip in plan.vip_list().iter().filter(|v| v.address.is_ipv4()) {
        let _ = writeln!(ignored, "            IPv4_address {}", vip.address);
    }
    format!(
        "Sync {{
    Mode FTFW {{
    }}
    Multicast {{
        IPv4_address 225.0.0.50
        Group 3780
        IPv4_interface {own}
        Interface {interface}
        SndSocketBuffer 1249280
        RcvSocketBuffer 1249280
        Checksum on
    }}
}}
General {{
    HashSize 32768
    HashLimit {CONNECTIONS_MAX}
    LogFile off
    LockFile /run/dsc/conntrack.lock
    UNIX {{
        Path /run/dsc/conntrackd.ctl
    }}
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608
    Filter From Userspace {{
        Protocol Accept {{
            TCP
        }}
        Address Ignore {{
{ignored}        }}
    }}
}}
"
    )
}

/// The steps of the script `primary-backup.sh` that comes with conntrackd.
fn notify_script() -> String {
    let ask = format!("conntrackd -C {CONNTRACKD_CONF}");
    format!(
        "#!/bin/sh
# The steps of conntrackd's own example for keepalived.
case \"$1\" in
primary)
    {ask} -c # commit what came from the others into the kernel
    {ask} -f # flush both caches
    {ask} -R # fill the internal one from the kernel
    {ask} -B # send all of it to the others
    ;;
backup)
    {ask} -t # shorten the timers of what is left in the kernel
    {ask} -n # ask the others for theirs
    ;;
fault)
    {ask} -t
    ;;
esac
"
    )
}

/// HAProxy in TCP mode on whatever address the node has.
fn haproxy(plan: &Plan) -> String {
    let servers: String = (0..plan.hosts)
        .map(|h| format!("    server h{} {}:{WEB_PORT}\n", h + 1, host_address(h, false)))
        .collect();
    format!(
        "global
    maxconn {PROXIED_MAX}
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
frontend web
    bind 0.0.0.0:{WEB_PORT} backlog 4096
    default_backend hosts
backend hosts
    balance roundrobin
{servers}"
    )
}
