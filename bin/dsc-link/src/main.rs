//! dsc-link: reads its arguments and the configuration, finds out which node this is, and runs.

mod control;
mod daemon;
mod links;

use clap::Parser;
use daemon::{HEIRS, Place, Start};
use dsc_conf::Config;
use dsc_sys::end::{self, End};
use dsc_sys::{listen, log, nic, single::Single};
use std::path::PathBuf;
use std::process::ExitCode;

/// Proxies the services of kind "link", and goes on with their downloads when a backend fails.
#[derive(Parser)]
#[command(name = "dsc-link", version)]
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
    /// Take the place of the one that runs: it hands its listening sockets on, finishes what it has, and ends.
    #[arg(long)]
    replace: bool,
    /// What to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    end::of("dsc-link", start(&Arguments::parse()))
}

fn start(arguments: &Arguments) -> Result<(), End> {
    log::start(&arguments.log)?;
    let Arguments { config: file, state_dir, run_dir, .. } = arguments;
    let in_force = Config::in_force(file, state_dir);
    let config = in_force.map_err(|p| End::Configuration(p.to_string()))?.config;
    let nics = nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
    let me = config.find_node(arguments.node.as_deref(), &nic::all_addresses(&nics));
    let me = me.map_err(|e| e.to_string())?;
    let inherited = if arguments.replace {
        let path = run_dir.join(HEIRS);
        listen::inherit(&path)
            .map_err(|e| format!("cannot take over at {}: {e}", path.display()))?
    } else {
        None
    };
    let begin = match inherited {
        Some((elder, sockets)) => Start::Instead(elder, sockets),
        None => Start::Alone(Single::take(run_dir, "dsc-link").map_err(|e| e.to_string())?),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start the event loop: {e}"))?;
    Ok(runtime.block_on(daemon::run(config, Place { file, state_dir, run_dir, me }, begin))?)
}
