//! dsc-fwd: reads its arguments and the configuration, finds out which node this is, and runs or detaches.

mod addresses;
mod announce;
mod balance;
mod conflicts;
mod control;
mod daemon;
mod flows;
mod gratuitous;
mod ground;
mod held;
mod inventory;
mod pace;
mod prompts;
mod rates;
mod signs;
mod sources;
mod symmetric;

use clap::Parser;
use daemon::{Daemon, Ended, Files, Places};
use dsc_bpf::{Datapath, Hook, LeaseMap};
use dsc_conf::Config;
use dsc_sys::capability::{self, Capability};
use dsc_sys::end::{self, End};
use dsc_sys::{clock, log, nic, single::Single};
use dsc_wire::NodeId;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What it needs of root's power, beside the group of its socket.
const NEEDED: &[Capability] =
    &[Capability::BPF, Capability::PERFMON, Capability::NET_ADMIN, Capability::NET_RAW];

/// Keeps the kernel's part of DSC: programs, maps, virtual addresses, announcements.
#[derive(Parser)]
#[command(name = "dsc-fwd", version)]
struct Arguments {
    /// The cluster's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/dsc/dsc.toml")]
    config: PathBuf,
    /// Which node this is [default: the one whose addresses this machine has].
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Where dsc-ringd keeps what the cluster agreed on.
    #[arg(long, value_name = "DIR", default_value = dsc_conf::STATE_DIR)]
    state_dir: PathBuf,
    /// Where the daemons' sockets are.
    #[arg(long, value_name = "DIR", default_value = "/run/dsc")]
    run_dir: PathBuf,
    /// Where programs and maps are pinned.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/dsc")]
    bpf_dir: PathBuf,
    /// How programs are attached: tcx or clsact [default: tcx if this kernel has it].
    #[arg(long, value_name = "HOOK")]
    hook: Option<Hook>,
    /// Take packets of known flows in the drivers too (native XDP).
    #[arg(long)]
    xdp: bool,
    /// What to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
    /// Take programs, maps and virtual addresses away, and exit.
    #[arg(long)]
    detach: bool,
}

fn main() -> ExitCode {
    // Before any thread is started.
    dsc_sys::realtime::one_arena();
    end::of("dsc-fwd", start(&Arguments::parse()))
}

fn start(arguments: &Arguments) -> Result<(), End> {
    log::start(&arguments.log)?;
    clock::is_the_kernels()?;
    capability::need(NEEDED)?;
    if arguments.detach {
        let _single = Single::take(&arguments.run_dir, "dsc-fwd").map_err(|e| e.to_string())?;
        return Ok(detach(&arguments.bpf_dir)?);
    }
    let in_force = Config::in_force(&arguments.config, &arguments.state_dir);
    let mut config = in_force.map_err(|p| End::Configuration(p.to_string()))?.config;
    let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let me = config.find_node(arguments.node.as_deref(), &nic::all_addresses(&nics));
    let mut me = me.map_err(|e| e.to_string())?;
    fits_machine(&config, me, &nics)?;
    let _single = Single::take(&arguments.run_dir, "dsc-fwd").map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start the event loop: {e}"))?;
    let hook = match arguments.hook {
        Some(hook) => hook,
        None => Hook::best().map_err(|e| e.to_string())?,
    };
    let run = async {
        let (bpf_dir, run_dir) = (&arguments.bpf_dir, &arguments.run_dir);
        let Arguments { config: file, state_dir, .. } = arguments;
        loop {
            let places = Places { hook, early: arguments.xdp };
            let files = Files { config: file.clone(), state_dir: state_dir.clone() };
            let daemon = Daemon::open(config, me, files, places, bpf_dir, run_dir).await?;
            match daemon.run().await? {
                Ended::Asked => return Ok::<(), String>(()),
                Ended::Anew(new, number) => (config, me) = (*new, number),
            }
        }
    };
    Ok(runtime.block_on(run)?)
}

/// Refuses a machine on which the configuration cannot be true: a missing address, a VIP on an interface.
fn fits_machine(config: &Config, me: NodeId, nics: &[nic::Nic]) -> Result<(), String> {
    let own = nics.iter().flat_map(|nic| {
        nic.addresses.iter().map(|(address, prefix)| (nic.name.clone(), *address, *prefix))
    });
    let problems = config.check_machine(me, &own.collect::<Vec<_>>());
    if problems.is_empty() { Ok(()) } else { Err(problems.to_string()) }
}

/// A node that would go on being host without answering is worse than one that is gone, so a ring daemon that still
/// renews the lease has to be stopped first.
fn detach(bpf_dir: &Path) -> Result<(), String> {
    let lease = LeaseMap::open(bpf_dir).map_err(|e| e.to_string())?;
    if clock::now() < lease.lease() {
        return Err(
            "cannot detach: this node's lease is still renewed: stop dsc-ringd first".into()
        );
    }
    drop(lease);
    addresses::remove_ours()?;
    Datapath::remove(bpf_dir).map_err(|e| e.to_string())
}
