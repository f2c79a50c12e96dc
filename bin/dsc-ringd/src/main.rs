//! dsc-ringd: reads its arguments, opens everything, runs.

use clap::Parser;
use dsc_bpf::LeaseMap;
use dsc_conf::Config;
use dsc_ringd::control::Control;
use dsc_ringd::daemon::{Daemon, Turn};
use dsc_ringd::doors::Doors;
use dsc_ringd::facts::NodeFacts;
use dsc_ringd::member::Member;
use dsc_sys::capability::{self, Capability};
use dsc_sys::clock::{self, Alarm};
use dsc_sys::end::{self, End};
use dsc_sys::local::Context;
use dsc_sys::nic::{self, Nic};
use dsc_sys::notify::{self, Watchdog};
use dsc_sys::paths::{Paths, Sites};
use dsc_sys::single::Single;
use dsc_sys::udp::{Arrivals, BATCH};
use dsc_sys::{keyfile, log, random, realtime};
use dsc_wire::NodeId;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Most datagrams of one path in one turn: a flood must not keep the ring from its own deadlines.
const TURN_MAX: usize = 32 * BATCH;

/// Keeps this node in the cluster's ring and decides, with the other members, who hosts each virtual address.
#[derive(Parser)]
#[command(name = "dsc-ringd", version)]
struct Arguments {
    /// The cluster's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/dsc/dsc.toml")]
    config: PathBuf,
    /// Which node this is [default: the one whose addresses this machine has].
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Where the daemons' sockets are.
    #[arg(long, value_name = "DIR", default_value = "/run/dsc")]
    run_dir: PathBuf,
    /// Where the kernel's maps are pinned.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/dsc")]
    bpf_dir: PathBuf,
    /// What to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    // Before any thread is started.
    realtime::one_arena();
    end::of("dsc-ringd", start(&Arguments::parse()))
}

fn start(arguments: &Arguments) -> Result<(), End> {
    log::start(&arguments.log)?;
    clock::is_the_kernels()?;
    capability::need(&[Capability::BPF])?;
    let config = Config::read(&arguments.config);
    let config = config.map_err(|p| End::Configuration(p.to_string()))?;
    let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let me = config.find_node(arguments.node.as_deref(), &nic::all_addresses(&nics));
    let me = me.map_err(|e| e.to_string())?;
    compare(&config, me, &nics);
    let single = Single::take(&arguments.run_dir, "dsc-ringd").map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(|e| format!("cannot start the event loop: {e}"))?;
    runtime.block_on(async {
        let daemon = open(arguments, &config, me, &nics)?;
        for degraded in realtime::become_realtime() {
            tracing::warn!("{degraded}");
        }
        let name = &config.nodes[me.index()].name;
        tracing::info!("dsc-ringd {} runs node {name}", env!("CARGO_PKG_VERSION"));
        if let Err(e) = notify::ready(&format!("node {name}")) {
            tracing::warn!("cannot reach the service manager: {e}");
        }
        daemon.run().await.map_err(|e| End::Other(format!("cannot go on: {e}")))
    })?;
    drop(single);
    Ok(())
}

/// Warns of what makes the configuration untrue on this machine.
fn compare(config: &Config, me: NodeId, nics: &[Nic]) {
    let own: Vec<_> = nics
        .iter()
        .flat_map(|n| {
            n.addresses.iter().map(|(address, prefix)| (n.name.clone(), *address, *prefix))
        })
        .collect();
    let problems = config.check_machine(me, &own);
    if !problems.is_empty() {
        // What cannot be lived with ends the start when it is met; the rest is the operator's to judge.
        problems.to_string().lines().for_each(|line| tracing::warn!("{line}"));
    }
}

/// A flag that the first signal that asks to stop sets.
fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}

/// Opens everything that can fail, outermost last: until the sockets to the peers are bound, nobody notices us.
fn open(
    arguments: &Arguments,
    config: &Config,
    me: NodeId,
    nics: &[Nic],
) -> Result<Daemon, String> {
    let keys = keyfile::read(&config.key_file).map_err(|e| e.to_string())?;
    let lease = LeaseMap::open(&arguments.bpf_dir).map_err(|e| e.to_string())?;
    let alarm = Alarm::new().map_err(|e| format!("cannot make a timer: {e}"))?;
    let stop_asked = stop_flag().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let incarnation =
        random::incarnation().map_err(|e| format!("cannot get random numbers: {e}"))?;
    let doors = Doors::open(&Context::new(), &arguments.run_dir).map_err(|e| e.to_string())?;
    let sites = Sites {
        port: config.port,
        subnets: config.subnets.iter().map(|s| s.name.as_str()).collect(),
        nodes: config.nodes.iter().map(|n| n.addresses.as_slice()).collect(),
        turn_max: TURN_MAX,
        arrivals: Arrivals::Plain,
    };
    let paths = Paths::open(&sites, me, keys, nics)?;
    let now = clock::now();
    let cluster = config.cluster();
    let stall = cluster.timing.stall;
    let facts = NodeFacts::new(cluster.nodes[me.index()].subnets, cluster.digest, now);
    Ok(Daemon {
        me,
        names: config.names(),
        member: Member::new(cluster, me, incarnation, now),
        paths,
        doors,
        lease,
        control: Control::new(),
        facts,
        stall,
        stop_asked,
        alarm,
        watchdog: Watchdog::new(now),
        turn: Turn::new(now),
    })
}
