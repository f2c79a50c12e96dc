//! The programs on nodes and hosts behind: what belongs there, how each is started, where its pid and its log are. It starts,
//! signals and lists them; what a fault does with them is `fault.rs`'s.

use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::process::Pid;
use crate::services::{HOST_NUMBER, WEB_PORT};
use crate::topology::{Beside, Plan, System, host_machine};
use crate::{keepalived, nginx, peers, vsftpd, wait};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::process::Stdio;

/// Answers the probes; part of the lab, not of what is measured.
pub const ECHO: &str = "echo";
/// The web server.
pub const NGINX: &str = "nginx";
/// The FTP server.
pub const VSFTPD: &str = "vsftpd";
/// The proxy of the link services.
pub const LINK: &str = "dsc-link";
/// Port of the web server on a node; the hosts behind have [`WEB_PORT`].
const NODE_PORT: u16 = 80;
const NGINX_CONF: &str = "/etc/dsc/nginx.conf";
const VSFTPD_CONF: &str = "/etc/dsc/vsftpd.conf";

/// The daemons of the system under test, in their order of start.
pub fn daemons(system: &System) -> &'static [&'static str] {
    match system {
        System::Dsc => &["dsc-ringd", "dsc-fwd", "dsc-mon"],
        System::Keepalived { beside: Beside::Nothing, .. } => &["keepalived"],
        // keepalived's scripts speak to conntrackd, so that is there first.
        System::Keepalived { beside: Beside::Conntrackd, .. } => &["conntrackd", "keepalived"],
        System::Keepalived { beside: Beside::Haproxy, .. } => &["haproxy", "keepalived"],
    }
}

/// The daemons of a lab's nodes: the system's, and the proxy if there are links.
pub fn daemons_of(plan: &Plan) -> Vec<&'static str> {
    let link = plan.link.as_ref().map(|_| LINK);
    daemons(&plan.system).iter().copied().chain(link).collect()
}

/// Writes a node's configuration and starts all its programs.
///
/// # Errors
/// A file cannot be written or a program cannot be started or ends at once.
pub fn start_node(lab: &Lab, node: usize) -> Result<()> {
    write_configuration(lab, node)?;
    peers::prepare(lab, node)?;
    start_all(lab, node)
}

/// Starts all programs of a node, whose files are there.
///
/// # Errors
/// As [`start_node`].
pub fn start_all(lab: &Lab, node: usize) -> Result<()> {
    for name in [ECHO, NGINX].into_iter().chain(daemons_of(&lab.plan)) {
        start(lab, node, name)?;
    }
    Ok(())
}

/// Starts the web server and the echo on a host behind, and the FTP server if there are links: it is a backend then.
///
/// # Errors
/// As [`start_node`].
pub fn start_host(lab: &Lab, host: usize) -> Result<()> {
    let name = host_machine(host).name;
    start_web(lab, &name)?;
    let number = HOST_NUMBER.saturating_add(u8::try_from(host).unwrap_or(u8::MAX));
    start_on(lab, &name, ECHO, &echo_argv(lab, number.into()))?;
    if lab.plan.link.is_some() {
        lab.space(&name)?.write(VSFTPD_CONF, &vsftpd::config(&lab.dir()), 0o600)?;
        start_on(lab, &name, VSFTPD, &[VSFTPD, VSFTPD_CONF].map(String::from))?;
    }
    Ok(())
}

/// Starts the web server on a machine that is no node.
///
/// # Errors
/// As [`start_node`].
pub fn start_web(lab: &Lab, machine: &str) -> Result<()> {
    let config = nginx::config(machine, WEB_PORT, &lab.dir(), "/run/dsc");
    lab.space(machine)?.write(NGINX_CONF, &config, 0o644)?;
    start_on(lab, machine, NGINX, &nginx_argv()).map(drop)
}

/// Starts one program on a node, by name.
///
/// # Errors
/// It is unknown, runs already, cannot be started, or ends at once.
pub fn start(lab: &Lab, node: usize, name: &str) -> Result<Pid> {
    let argv = argv(lab, node, name)?;
    start_as(lab, node, name, &argv)
}

/// Starts a program with these arguments under this name.
///
/// # Errors
/// As [`start`].
pub fn start_as(lab: &Lab, node: usize, name: &str, argv: &[String]) -> Result<Pid> {
    start_on(lab, &lab.plan.node(node), name, argv)
}

fn start_on(lab: &Lab, machine: &str, name: &str, argv: &[String]) -> Result<Pid> {
    let space = lab.space(machine)?;
    let doing = || format!("start {name} on {machine}");
    if find_on(lab, machine, name).is_some() {
        return Err(Error::new(doing(), "it runs already"));
    }
    let dir = lab.dir().join(machine);
    std::fs::create_dir_all(&dir).doing(doing)?;
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join(format!("{name}.log")))
        .doing(doing)?;
    let mut command = space.command(&argv[0])?;
    command
        .args(&argv[1..])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(log.try_clone().doing(doing)?)
        .stderr(log);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().doing(|| format!("{} ({})", doing(), argv[0]))?;
    let pid = Pid::of(child.id())?;
    pid.save(&pid_file(lab, machine, name))?;
    Ok(pid)
}

fn argv(lab: &Lab, node: usize, name: &str) -> Result<Vec<String>> {
    let own = |program: &str| lab.bin_dir.join(program).display().to_string();
    let words: Vec<String> = match (name, &lab.plan.system) {
        (ECHO, _) => echo_argv(lab, node),
        (NGINX, _) => nginx_argv(),
        ("keepalived", System::Keepalived { .. }) => [
            "keepalived",
            "--dont-fork",
            "--log-console",
            "--vrrp",
            "--use-file=/etc/dsc/keepalived.conf",
            "--pid=/run/dsc/keepalived.pid",
            "--vrrp_pid=/run/dsc/vrrp.pid",
        ]
        .map(String::from)
        .into(),
        ("conntrackd", System::Keepalived { beside: Beside::Conntrackd, .. }) => {
            ["conntrackd", "-C", peers::CONNTRACKD_CONF].map(String::from).into()
        }
        ("haproxy", System::Keepalived { beside: Beside::Haproxy, .. }) => {
            ["haproxy", "-db", "-f", peers::HAPROXY_CONF].map(String::from).into()
        }
        (daemon, System::Dsc) if daemons_of(&lab.plan).contains(&daemon) => vec![own(daemon)],
        _ => {
            return Err(Error::new(
                format!("start {name}"),
                format!("programs: {ECHO} {NGINX} {}", daemons_of(&lab.plan).join(" ")),
            ));
        }
    };
    Ok(words)
}

fn echo_argv(lab: &Lab, number: usize) -> Vec<String> {
    let own = lab.bin_dir.join("dsc-lab").display().to_string();
    vec![own, "echo".into(), "--number".into(), number.to_string()]
}

fn nginx_argv() -> Vec<String> {
    ["nginx", "-e", "stderr", "-c", NGINX_CONF].map(String::from).into()
}

/// Where a program's output goes.
pub fn log_file(lab: &Lab, node: usize, name: &str) -> PathBuf {
    lab.dir().join(lab.plan.node(node)).join(format!("{name}.log"))
}

fn pid_file(lab: &Lab, machine: &str, name: &str) -> PathBuf {
    lab.dir().join(machine).join(format!("{name}.pid"))
}

/// The process of a program on a node, if it runs.
pub fn find(lab: &Lab, node: usize, name: &str) -> Option<Pid> {
    find_on(lab, &lab.plan.node(node), name)
}

/// The process of a program on any machine, if it runs.
pub fn find_on(lab: &Lab, machine: &str, name: &str) -> Option<Pid> {
    Pid::load(&pid_file(lab, machine, name)).filter(Pid::alive)
}

/// Every process of the system under test on a node, children too.
pub fn daemon_processes(lab: &Lab, node: usize) -> Result<Vec<Pid>> {
    let names = daemons_of(&lab.plan);
    let all = lab.node(node)?.processes();
    Ok(all.into_iter().filter(|p| names.contains(&&*p.name())).collect())
}

/// Sends a signal to one program and, with SIGKILL, waits until it is gone.
///
/// # Errors
/// It does not run, or does not go.
pub fn signal(lab: &Lab, node: usize, name: &str, signal: Signal) -> Result<()> {
    let pid = find(lab, node, name).ok_or_else(|| {
        Error::new(format!("signal {name} on {}", lab.plan.node(node)), "it does not run")
    })?;
    pid.signal(signal);
    if signal == Signal::SIGKILL { gone(&pid, name) } else { Ok(()) }
}

/// Asks one program to end and waits until it has.
///
/// # Errors
/// It does not run, or does not end in 10 s.
pub fn stop(lab: &Lab, node: usize, name: &str) -> Result<()> {
    let pid = find(lab, node, name);
    signal(lab, node, name, Signal::SIGTERM)?;
    pid.map_or(Ok(()), |pid| gone(&pid, name))
}

fn gone(pid: &Pid, name: &str) -> Result<()> {
    wait::until(&format!("{name} ends"), 10_000, || {
        pid.reap();
        (!pid.alive()).then_some(())
    })
}

/// Writes everything that a node's programs read.
///
/// # Errors
/// Those of the file system.
pub fn write_configuration(lab: &Lab, node: usize) -> Result<()> {
    let space = lab.node(node)?;
    let web = nginx::config(&space.name, NODE_PORT, &lab.dir(), "/run/dsc");
    space.write(NGINX_CONF, &web, 0o644)?;
    match lab.plan.system {
        System::Dsc => {
            space.write("/etc/dsc/dsc.toml", &lab.plan.dsc_toml(), 0o644)?;
            // Only this lab's namespaces ever hear this key.
            space.write("/etc/dsc/key", &format!("{}\n", "5a".repeat(32)), 0o600)
        }
        System::Keepalived { advert_ms, .. } => {
            peers::write_configuration(lab, node)?;
            let text = keepalived::config(&lab.plan, node, advert_ms, &[]);
            space.write("/etc/dsc/keepalived.conf", &text, 0o644)
        }
    }
}
