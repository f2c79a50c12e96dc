//! dsc-mon: reads its arguments and the configuration, finds out which node this is, and runs.

mod daemon;
mod watch;

use clap::Parser;
use dsc_conf::Config;
use dsc_sys::end::{self, End};
use dsc_sys::{log, nic, single::Single};
use std::path::PathBuf;
use std::process::ExitCode;

/// Watches this node's network interfaces and load, and tells dsc-ringd.
#[derive(Parser)]
#[command(name = "dsc-mon", version)]
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
    let config = Config::read(&arguments.config);
    let config = config.map_err(|p| End::Configuration(p.to_string()))?;
    let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let me = config.find_node(arguments.node.as_deref(), &nic::all_addresses(&nics));
    let me = me.map_err(|e| e.to_string())?;
    let _single = Single::take(&arguments.run_dir, "dsc-mon").map_err(|e| e.to_string())?;
    let addresses = config.nodes[me.index()].addresses.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start the event loop: {e}"))?;
    Ok(runtime.block_on(daemon::run(addresses, &arguments.run_dir))?)
}
