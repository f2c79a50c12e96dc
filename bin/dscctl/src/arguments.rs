//! The one table of commands and options; usage, completions and the test against the manual page come from it.
//! Called by `lib.rs`. It never looks at the cluster.

use clap::{Args, Parser, Subcommand, value_parser};
use clap_complete::Shell;
use dsc_wire::local::{DOWNLOADS_LISTED_MAX, FLOWS_LISTED_MAX};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Shows and changes a DSC cluster, from any of its nodes.
#[derive(Debug, Parser)]
#[command(
    name = "dscctl",
    version,
    infer_subcommands = true,
    after_help = "Without a command: status. Exit codes: 0 done, 1 the answer is no, 2 usage, \
                  3 daemon or node unreachable, 4 refused or failed. More in dscctl(8)."
)]
pub struct Arguments {
    /// What to do; `status` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
}

/// Options that every command has.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Longest wait for an answer, or for a change to be seen by every member (0.1 to 60)
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,
    /// Do not wait until every member's view shows a change
    #[arg(long, global = true)]
    pub no_wait: bool,
    /// Directory of the daemons' sockets
    #[arg(long, global = true, value_name = "DIR", default_value = "/run/dsc")]
    pub run_dir: PathBuf,
    /// Run on another node, by the system's ssh: [ssh://][user@]NODE
    #[arg(short = 'H', long, global = true, value_name = "NODE")]
    pub host: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the cluster as this node knows it, or this node alone
    Status(StatusArguments),
    /// Show the VIPs, or one
    Vip {
        /// The VIP
        address: Option<IpAddr>,
    },
    /// Show the nodes, or one; or change what one may do, or which there are
    #[command(args_conflicts_with_subcommands = true, subcommand_value_name = "COMMAND")]
    Node {
        /// Change what a node may do, or which there are
        #[command(subcommand)]
        change: Option<NodeCommand>,
        /// The node
        name: Option<String>,
    },
    /// Show the services, and what this node forwards for them
    Service,
    /// Show the backends, and what this node forwards to them; or change what one is given
    #[command(subcommand_value_name = "COMMAND")]
    Backend {
        /// Change what a backend is given
        #[command(subcommand)]
        change: Option<BackendCommand>,
    },
    /// Show what the checks of the nodes say; or switch one off or on
    #[command(visible_alias = "checks", subcommand_value_name = "COMMAND")]
    Check {
        /// Switch a check off or on
        #[command(subcommand)]
        change: Option<CheckCommand>,
    },
    /// Show flows of this node's table
    Flows(FlowsArguments),
    /// Show the downloads that run through this node's proxy
    Link(LinkArguments),
    /// Show what happened
    Events {
        /// Go on with what happens from now on
        #[arg(long)]
        follow: bool,
        /// Only events after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        since: u64,
    },
    /// Show the cluster on a live screen, and change it by keys
    Top,
    /// Hand a VIP to a node
    MoveVip {
        /// The VIP
        vip: IpAddr,
        /// Its new host
        node: String,
    },
    /// Make a VIP stay where it is, or return to a preferred host
    Pin {
        /// The VIP
        vip: IpAddr,
        /// Its preferred host; without it the VIP stays with whoever hosts it
        node: Option<String>,
    },
    /// Let a VIP be moved to even out the load
    Unpin {
        /// The VIP
        vip: IpAddr,
    },
    /// Show what this node's data path and ring daemon have counted
    Counters,
    /// Write what this node knows for Prometheus
    Metrics(MetricsArguments),
    /// Look at configurations, and put one in force
    Config {
        /// What to do with them
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make a cluster key, or rotate it
    Keygen(KeygenArguments),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which status.
#[derive(Clone, Debug, Default, Args)]
pub struct StatusArguments {
    /// Only what this node's daemons and kernel do
    #[arg(long, conflicts_with = "global")]
    pub local: bool,
    /// The whole cluster (the default)
    #[arg(long)]
    pub global: bool,
    /// Show it again whenever it changes
    #[arg(long)]
    pub watch: bool,
}

/// Which flows.
#[derive(Clone, Debug, Default, Args)]
pub struct FlowsArguments {
    /// Only flows of this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only flows of this client
    #[arg(long, value_name = "IP")]
    pub client: Option<IpAddr>,
    /// Only flows to this backend
    #[arg(long, value_name = "IP:PORT")]
    pub backend: Option<SocketAddr>,
    /// At most so many (1 to 10000)
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = value_parser!(u32).range(1..=i64::from(FLOWS_LISTED_MAX)))]
    pub limit: u32,
    /// Say only how many there are
    #[arg(long, conflicts_with = "limit")]
    pub count: bool,
}

/// Which downloads.
#[derive(Clone, Debug, Default, Args)]
pub struct LinkArguments {
    /// Only of this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// At most so many (1 to 2000)
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = value_parser!(u32).range(1..=i64::from(DOWNLOADS_LISTED_MAX)))]
    pub limit: u32,
    /// Show only what each service has, and has counted
    #[arg(long, conflicts_with = "limit")]
    pub count: bool,
}

/// Where metrics go.
#[derive(Clone, Debug, Default, Args)]
pub struct MetricsArguments {
    /// The file, replaced whole; the standard output if none is given
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Changes of what a node may do, and of which there are.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// Hand all VIPs of a node over; it hosts none until opened
    Close {
        /// The node
        node: String,
    },
    /// Let a node host VIPs
    Open {
        /// The node
        node: String,
    },
    /// Hand the VIPs of a node over one by one, then close it
    Drain {
        /// The node
        node: String,
    },
    /// Put a node into the configuration of every node
    Add(NodeAddArguments),
    /// Take a node out of the configuration of every node
    Remove {
        /// The node
        node: String,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Changes of what a backend is given.
#[derive(Clone, Debug, Subcommand)]
pub enum BackendCommand {
    /// Give a backend new flows
    Enable(BackendArguments),
    /// Give a backend nothing: its flows are reset
    Disable(BackendArguments),
    /// Give a backend only the packets of the flows it has
    Drain(BackendArguments),
}

/// Which backend.
#[derive(Clone, Debug, Args)]
pub struct BackendArguments {
    /// The service
    pub service: String,
    /// The backend's address and port
    #[arg(value_name = "IP:PORT")]
    pub backend: SocketAddr,
}

/// Changes of what is checked.
#[derive(Clone, Debug, Subcommand)]
pub enum CheckCommand {
    /// Make a check again
    Enable(CheckArguments),
    /// Make a check no more: its light is yellow
    Disable(CheckArguments),
}

/// Which check, and where.
#[derive(Clone, Debug, Args)]
pub struct CheckArguments {
    /// The check
    pub name: String,
    /// The node; without it all nodes
    pub node: Option<String>,
}

/// What to do with configurations.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the configuration in force
    Show,
    /// Say whether a configuration file is right, and all that is wrong with it
    Check {
        /// The file
        #[arg(default_value = "/etc/dsc/dsc.toml")]
        file: PathBuf,
    },
    /// Show what a configuration file would change
    Diff {
        /// The file; - is the standard input
        #[arg(default_value = "/etc/dsc/dsc.toml")]
        file: PathBuf,
    },
    /// Put a configuration file in force on every node
    Apply {
        /// The file; - is the standard input
        file: PathBuf,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a configuration file of nodemap.cfg, vip.cfg and localmonitor.cfg
    Import {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What the cluster shall be called
        #[arg(long, value_name = "NAME", default_value = "cluster")]
        cluster: String,
    },
}

/// Which node comes.
#[derive(Clone, Debug, Args)]
pub struct NodeAddArguments {
    /// Its name
    pub name: String,
    /// Its address on each subnet that it is on
    #[arg(required = true, value_name = "SUBNET=IP", value_parser = address_on)]
    pub addresses: Vec<(String, IpAddr)>,
    /// It votes but never hosts
    #[arg(long)]
    pub witness: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which key, and what to do with it.
#[derive(Clone, Debug, Args)]
pub struct KeygenArguments {
    /// The key file; - prints a new key
    #[arg(default_value = "/etc/dsc/key")]
    pub file: PathBuf,
    /// Replace the keys in the file
    #[arg(long, group = "way")]
    pub force: bool,
    /// Rotation, first step: add a new key, which opens but does not seal yet
    #[arg(long, group = "way")]
    pub add: bool,
    /// Rotation, second step: the added key seals, the old one still opens
    #[arg(long, group = "way")]
    pub switch: bool,
    /// Rotation, last step: remove the old key
    #[arg(long, group = "way")]
    pub retire: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "expected seconds, 0.1 to 60".to_string();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if (0.1..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(wrong())
    }
}

fn address_on(text: &str) -> Result<(String, IpAddr), String> {
    let wrong = || "expected a subnet and an address, such as ext=10.1.0.4".to_string();
    let (subnet, address) = text.split_once('=').ok_or_else(wrong)?;
    Ok((subnet.to_string(), address.parse().map_err(|_| wrong())?))
}
