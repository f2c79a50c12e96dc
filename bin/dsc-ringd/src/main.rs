//! dsc-ringd: reads its arguments, opens everything, runs.

use clap::Parser;
use dsc_bpf::LeaseMap;
use dsc_conf::{Config, InForce, Join, Problems};
use dsc_ringd::changes::{Changes, configuration};
use dsc_ringd::control::Control;
use dsc_ringd::critical::{self, Critical};
use dsc_ringd::daemon::{Daemon, Turn};
use dsc_ringd::doors::Doors;
use dsc_ringd::facts::NodeFacts;
use dsc_ringd::join::Asker;
use dsc_ringd::member::Member;
use dsc_ringd::store::{self, Store};
use dsc_sys::capability::{self, Capability};
use dsc_sys::clock::{self, Alarm};
use dsc_sys::end::{self, End};
use dsc_sys::keyfile::KeyFile;
use dsc_sys::local::Context;
use dsc_sys::nic::{self, Nic};
use dsc_sys::notify::{self, Watchdog};
use dsc_sys::paths::Paths;
use dsc_sys::single::Single;
use dsc_sys::{log, random, realtime};
use dsc_wire::NodeId;
use dsc_wire::seal::Keyring;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long to ask whether a machine that was taken out is in again.
const COME_BACK: Duration = Duration::from_secs(3);
/// How long a start with a stored configuration waits for somebody who may know a later one.
const CATCH_UP: Duration = Duration::from_millis(500);

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
    /// Where what the cluster agreed on is kept.
    #[arg(long, value_name = "DIR", default_value = dsc_conf::STATE_DIR)]
    state_dir: PathBuf,
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
    let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let broken = |p: Problems| End::Configuration(p.to_string());
    let text = Config::read_text(&arguments.config).map_err(broken)?;
    let join = Join::parse(&text, &arguments.config.display().to_string()).map_err(broken)?;
    let name = arguments.node.clone().or(join.as_ref().and_then(|join| join.node.clone()));
    let who = |config: &Config| {
        let me = config.find_node(name.as_deref(), &nic::all_addresses(&nics));
        me.map_err(|e| e.to_string())
    };
    if let Some(join) = join.filter(|_| !arguments.state_dir.join(dsc_conf::STORED).exists()) {
        let key_file = KeyFile::open(&join.key_file).map_err(|e| e.to_string())?;
        let keys = key_file.keyring(Keyring::new);
        let asker = Asker { at: vec![join.address], port: join.port, keys: &keys };
        let there = |config: &Config| {
            let version = config.version;
            let not = |e| {
                format!(
                    "version {version} of the configuration: {e}: dscctl node add on another node puts it in"
                )
            };
            not_another(config, who(config).map_err(not)?, &nics)
        };
        asker.get(&arguments.state_dir, None, there)?;
    }
    let read = || Config::in_force(&arguments.config, &arguments.state_dir).map_err(broken);
    let mut in_force = read()?;
    if in_force.path != arguments.config && who(&in_force.config).is_err() {
        come_back(&in_force.config, &arguments.state_dir, &who)?;
        in_force = read()?;
    } else if in_force.path != arguments.config
        && catch_up(&in_force.config, &arguments.state_dir, &who)?
    {
        in_force = read()?;
    }
    let config = &in_force.config;
    let me = who(config)?;
    compare(config, me, &nics);
    let single = Single::take(&arguments.run_dir, "dsc-ringd").map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(|e| format!("cannot start the event loop: {e}"))?;
    runtime.block_on(async {
        let daemon = open(arguments, &in_force, me, &nics)?;
        for degraded in realtime::become_realtime() {
            tracing::warn!("{degraded}");
        }
        let name = &config.nodes[me].name;
        tracing::info!("dsc-ringd {} runs node {name}", env!("CARGO_PKG_VERSION"));
        if let Err(e) = notify::ready(&format!("node {name}")) {
            tracing::warn!("cannot reach the service manager: {e}");
        }
        daemon.run().await
    })?;
    drop(single);
    Ok(())
}

/// Is the node of this name a machine that has none of the addresses here? Then the name is in use.
fn not_another(config: &Config, me: NodeId, nics: &[Nic]) -> Result<(), String> {
    let (node, own) = (&config.nodes[me], nic::all_addresses(nics));
    let addresses: Vec<IpAddr> = node.addresses.iter().flatten().copied().collect();
    if addresses.iter().any(|a| own.contains(a)) {
        return Ok(());
    }
    let (name, version) = (&node.name, config.version);
    let at = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    Err(format!(
        "version {version} of the configuration: {name} is at {at}, and this machine has no such address: is the name in use by another one?"
    ))
}

/// This machine was taken out of the configuration that it has stored; it may have been put in again.
fn come_back(
    config: &Config,
    state_dir: &Path,
    who: &impl Fn(&Config) -> Result<NodeId, String>,
) -> Result<(), End> {
    let key_file = KeyFile::open(&config.key_file).map_err(|e| e.to_string())?;
    let keys = key_file.keyring(Keyring::new);
    let at = config.nodes.values().flat_map(|n| n.addresses.iter().flatten().copied()).collect();
    let asker = Asker { at, port: config.port, keys: &keys };
    let there = |config: &Config| {
        let version = config.version;
        who(config).map(|_| ()).map_err(|e| format!("version {version} of the configuration: {e}"))
    };
    asker.get(state_dir, Some(COME_BACK), there).map_err(End::Configuration)
}

/// Asks who is there for a later configuration than the one that is stored: a machine that was taken out and put in again while
/// it was away has another number now, and must not take part under the old one. Is there one, and is it stored now?
fn catch_up(
    config: &Config,
    state_dir: &Path,
    who: &impl Fn(&Config) -> Result<NodeId, String>,
) -> Result<bool, End> {
    let key_file = KeyFile::open(&config.key_file).map_err(|e| e.to_string())?;
    let keys = key_file.keyring(Keyring::new);
    let at = config.nodes.values().flat_map(|n| n.addresses.iter().flatten().copied()).collect();
    let asker = Asker { at, port: config.port, keys: &keys };
    let later =
        |new: &Config| new.name == config.name && new.version > config.version && who(new).is_ok();
    match asker.ask(Some(Instant::now() + CATCH_UP)) {
        Ok(Some(new)) if later(&new) => {
            store::keep(state_dir, &new)?;
            return Ok(true);
        }
        Ok(_) => {}
        Err(e) => tracing::warn!("{e}"),
    }
    Ok(false)
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
    in_force: &InForce,
    me: NodeId,
    nics: &[Nic],
) -> Result<Daemon, String> {
    let InForce { config, file, .. } = in_force;
    let store = Store::open(&arguments.state_dir)?;
    let key_file = KeyFile::open(&config.key_file).map_err(|e| e.to_string())?;
    let lease = LeaseMap::open(&arguments.bpf_dir).map_err(|e| e.to_string())?;
    let alarm = Alarm::new().map_err(|e| format!("cannot make a timer: {e}"))?;
    let stop_asked = stop_flag().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let incarnation =
        random::incarnation().map_err(|e| format!("cannot get random numbers: {e}"))?;
    let doors = Doors::open(&Context::new(), &arguments.run_dir).map_err(|e| e.to_string())?;
    let mut paths =
        Paths::open(&dsc_ringd::sites(config), me, key_file.keyring(Keyring::new), nics)?;
    paths.want_strays();
    let now = clock::now();
    let cluster = config.cluster();
    let stall = cluster.timing.stall;
    let subnets = cluster.nodes[me.index()].subnets;
    let facts =
        NodeFacts::new(subnets, cluster.digest, Critical::new(critical::plans(config, me)), now);
    let mut daemon = Daemon {
        me,
        names: config.names(),
        member: Member::new(configuration(config), me, incarnation, now),
        changes: Changes::new(config.clone(), file.clone(), store),
        paths,
        key_file,
        doors,
        lease,
        control: Control::new(),
        facts,
        stall,
        stop_asked,
        alarm,
        watchdog: Watchdog::new(now),
        turn: Turn::new(now),
    };
    daemon.recall(&store::next(&arguments.state_dir), now);
    Ok(daemon)
}
