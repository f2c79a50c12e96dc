//! dsc-mon: reads its arguments and the configuration, finds out which node this is, and runs.

mod checks;
mod daemon;
mod growth;
mod own;
mod probe;
mod probes;
mod watch;

use clap::Parser;
use daemon::Place;
use dsc_conf::Config;
use dsc_sys::end::{self, End};
use dsc_sys::{log, nic, script, single::Single};
use std::path::PathBuf;
use std::process::ExitCode;

/// Watches this node and its share of the backends, and tells dsc-ringd.
#[derive(Parser)]
#[command(name = "dsc-mon", version)]
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
    /// What to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    // Before any thread is started.
    dsc_sys::realtime::one_arena();
    end::of("dsc-mon", start(&Arguments::parse()))
}

fn start(arguments: &Arguments) -> Result<(), End> {
    log::start(&arguments.log)?;
    let Arguments { config: file, state_dir, .. } = arguments;
    let in_force = Config::in_force(file, state_dir);
    let config = in_force.map_err(|p| End::Configuration(p.to_string()))?.config;
    let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let me = config.find_node(arguments.node.as_deref(), &nic::all_addresses(&nics));
    let me = me.map_err(|e| e.to_string())?;
    let _single = Single::take(&arguments.run_dir, "dsc-mon").map_err(|e| e.to_string())?;
    script::adopt_orphans().map_err(|e| format!("cannot adopt what scripts leave behind: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start the event loop: {e}"))?;
    Ok(runtime.block_on(daemon::run(config, Place { file, state_dir, me }, &arguments.run_dir))?)
}
