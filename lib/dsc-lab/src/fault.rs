//! What goes wrong in a lab, on purpose: power, processes, cables. Each fault returns the moment just before it was
//! done, wall clock ns, so that what followed can be measured. Nothing here waits for the cluster.

use crate::clock;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::netlink::{Change, Links};
use crate::process::Pid;
use crate::program;
use crate::topology::{Machine, Subnet, host_machine, mac_text};
use nix::sys::signal::Signal;
use std::fmt::Write as _;

/// How a cable fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Every frame vanishes in the switch; nobody's carrier changes.
    Silent,
    /// The cable is out: the node sees its carrier go.
    Carrier,
}

impl Cut {
    fn change(self) -> Change {
        match self {
            Cut::Silent => Change::Forwarding(false),
            Cut::Carrier => Change::Up(false),
        }
    }
}

/// Which way frames vanish between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// Only what the first node sends.
    Out,
    /// Only what the first node should receive.
    In,
}

/// Power off: the node's cables fall silent, then every process is killed, then its carriers go.
///
/// # Errors
/// There is no such node, or the kernel refuses.
pub fn crash(lab: &mut Lab, node: usize) -> Result<u64> {
    let space = lab.node(node)?.clone();
    let subnets = lab.plan.subnets.clone();
    let pids = space.processes();
    let at = change_ports(lab, node, &subnets, Change::Forwarding(false))?;
    pids.iter().for_each(|p| p.signal(Signal::SIGKILL));
    crate::wait::until("a crashed node is dead", 10_000, || {
        space.processes().iter().for_each(|p| p.signal(Signal::SIGKILL));
        pids.iter().for_each(Pid::reap);
        space.processes().is_empty().then_some(())
    })?;
    change_ports(lab, node, &subnets, Change::Up(false))?;
    if !lab.dark.contains(&node) {
        lab.dark.push(node);
    }
    lab.save()?;
    Ok(at)
}

/// Power on after [`crash`], or a reset: a fresh machine, and every program started. Without a crash before it,
/// only programs that are not running are started.
///
/// # Errors
/// A program cannot be started.
pub fn restart(lab: &mut Lab, node: usize) -> Result<u64> {
    if lab.dark.contains(&node) {
        lab.replace_machine(node)?;
        lab.dark.retain(|n| *n != node);
        lab.save()?;
        let at = clock::now_ns();
        program::start_node(lab, node)?;
        return Ok(at);
    }
    let at = clock::now_ns();
    for name in [program::ECHO, program::NGINX].into_iter().chain(program::daemons_of(&lab.plan)) {
        if program::find(lab, node, name).is_none() {
            program::start(lab, node, name)?;
        }
    }
    Ok(at)
}

/// Stops every daemon where it stands; its kernel goes on.
///
/// # Errors
/// There is no such node, or nothing runs on it.
pub fn freeze(lab: &Lab, node: usize) -> Result<u64> {
    signal_daemons(lab, node, Signal::SIGSTOP)
}

/// Lets them go on.
///
/// # Errors
/// As [`freeze`].
pub fn thaw(lab: &Lab, node: usize) -> Result<u64> {
    signal_daemons(lab, node, Signal::SIGCONT)
}

fn signal_daemons(lab: &Lab, node: usize, signal: Signal) -> Result<u64> {
    let pids = program::daemon_processes(lab, node)?;
    if pids.is_empty() {
        let name = lab.plan.node(node);
        return Err(Error::new(format!("send {signal} to the daemons of {name}"), "none runs"));
    }
    let at = clock::now_ns();
    pids.iter().for_each(|p| p.signal(signal));
    Ok(at)
}

/// SIGKILL to one program, its children too.
///
/// # Errors
/// It does not run.
pub fn kill(lab: &Lab, node: usize, name: &str) -> Result<u64> {
    kill_on(lab, &lab.plan.node(node), name)
}

/// The same on any machine.
///
/// # Errors
/// It does not run.
pub fn kill_on(lab: &Lab, machine: &str, name: &str) -> Result<u64> {
    let pids = processes_of(lab, machine, name)?;
    let main = program::find_on(lab, machine, name);
    let at = clock::now_ns();
    // Children first: some end in good order when their parent is gone, which is not what is asked for.
    pids.iter().rev().chain(&main).for_each(|p| p.signal(Signal::SIGKILL));
    crate::wait::until(&format!("{name} ends"), 10_000, || {
        main.iter().for_each(Pid::reap);
        pids.iter().chain(&main).all(|p| !p.alive()).then_some(())
    })?;
    Ok(at)
}

/// SIGSTOP to one program of any machine, its children too; its kernel goes on and takes connections for it.
///
/// # Errors
/// It does not run.
pub fn freeze_on(lab: &Lab, machine: &str, name: &str) -> Result<u64> {
    let pids = processes_of(lab, machine, name)?;
    let at = clock::now_ns();
    pids.iter().for_each(|p| p.signal(Signal::SIGSTOP));
    Ok(at)
}

fn processes_of(lab: &Lab, machine: &str, name: &str) -> Result<Vec<Pid>> {
    let all = lab.space(machine)?.processes();
    let pids: Vec<Pid> = all.into_iter().filter(|p| p.name() == name).collect();
    if pids.is_empty() {
        return Err(Error::new(format!("find {name} on {machine}"), "it does not run"));
    }
    Ok(pids)
}

/// Cuts a host behind off everybody.
///
/// # Errors
/// There is no such host, or the kernel refuses.
pub fn cut_host(lab: &Lab, host: usize, how: Cut) -> Result<u64> {
    change_ports_of(lab, &host_machine(host), &[Subnet::Int], how.change())
}

/// Cuts a node off everybody, on one subnet or on all.
///
/// # Errors
/// There is no such node, or the kernel refuses.
pub fn cut(lab: &Lab, node: usize, subnets: &[Subnet], how: Cut) -> Result<u64> {
    change_ports(lab, node, subnets, how.change())
}

/// Lets frames between a node and the others vanish; clients still reach it. With `peer`, only between the two.
///
/// # Errors
/// There is no such node, or nft refuses.
pub fn cut_peers(
    lab: &Lab,
    node: usize,
    peer: Option<usize>,
    subnets: &[Subnet],
    way: Way,
) -> Result<u64> {
    let one = lab.plan.node_machine(node);
    lab.node(node)?;
    let peers = (0..lab.plan.nodes).filter(|n| *n != node && peer.is_none_or(|p| p == *n));
    let mut rules = String::new();
    for other in peers.map(|n| lab.plan.node_machine(n)) {
        for subnet in subnets {
            let (a, b) = (one.port(*subnet), other.port(*subnet));
            if way != Way::In {
                let _ =
                    writeln!(rules, "add rule bridge lab cut iifname \"{a}\" oifname \"{b}\" drop");
            }
            if way != Way::Out {
                let _ =
                    writeln!(rules, "add rule bridge lab cut iifname \"{b}\" oifname \"{a}\" drop");
            }
        }
    }
    let at = clock::now_ns();
    lab.switch.run_with(&["nft", "-f", "-"], &rules)?;
    Ok(at)
}

/// Mends every cable of every node that has power, and of the hosts behind.
///
/// # Errors
/// The kernel refuses.
pub fn heal(lab: &Lab) -> Result<u64> {
    let at = clock::now_ns();
    lab.switch.run(&["nft", "flush", "chain", "bridge", "lab", "cut"])?;
    let nodes = (0..lab.plan.nodes).filter(|n| !lab.dark.contains(n));
    let nodes = nodes.map(|node| lab.plan.node_machine(node));
    for machine in nodes.chain((0..lab.plan.hosts).map(host_machine)) {
        let subnets: Vec<Subnet> = machine.interfaces.iter().map(|(subnet, _)| *subnet).collect();
        change_ports_of(lab, &machine, &subnets, Change::Up(true))?;
        // A port that was just connected is not ready at once, and the kernel then refuses.
        crate::wait::until("the ports of a mended machine forward", 5_000, || {
            change_ports_of(lab, &machine, &subnets, Change::Forwarding(true)).ok()
        })?;
    }
    Ok(at)
}

fn change_ports(lab: &Lab, node: usize, subnets: &[Subnet], change: Change) -> Result<u64> {
    lab.node(node)?;
    change_ports_of(lab, &lab.plan.node_machine(node), subnets, change)
}

fn change_ports_of(
    lab: &Lab,
    machine: &Machine,
    subnets: &[Subnet],
    change: Change,
) -> Result<u64> {
    let mut indices = Vec::new();
    for subnet in subnets {
        let port = machine.port(*subnet);
        let file = lab.switch.path(&format!("/sys/class/net/{port}/ifindex"));
        let index = std::fs::read_to_string(&file).ok().and_then(|t| t.trim().parse().ok());
        indices.push(index.ok_or_else(|| {
            let mac = mac_text(machine.mac(*subnet));
            Error::new(format!("find the switch port {port} ({mac})"), "it is not there")
        })?);
    }
    let links = lab.switch.inside(Links::open)?;
    let at = clock::now_ns();
    for index in indices {
        links.change(index, change)?;
    }
    Ok(at)
}
