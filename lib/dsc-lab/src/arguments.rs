//! What the lab is asked for from a shell: commands and their options.

use clap::{Args, Parser, Subcommand};
use dsc_lab::bench_balance::BenchBalance;
use dsc_lab::bench_config::BenchConfig;
use dsc_lab::bench_link::BenchLink;
use dsc_lab::lab;
use dsc_lab::topology::{Subnet, System};
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "dsc-lab", version, about = "A DSC cluster in network namespaces")]
pub struct Arguments {
    /// Which lab; labs of different names live side by side.
    #[arg(long, global = true, default_value = lab::DEFAULT_NAME, value_name = "NAME")]
    pub lab: String,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Bring a lab up.
    Up(UpArguments),
    /// Show what runs, and the cluster's own status.
    Status,
    /// Run a command on a machine: a node, client, probe, h1 ..., switch.
    Exec {
        /// Which machine.
        machine: String,
        /// The command with its arguments.
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Power a node off.
    Crash { node: String },
    /// Power a node on after a crash, or start what does not run on it.
    Restart { node: String },
    /// Stop all daemons of a node (SIGSTOP).
    Freeze { node: String },
    /// Let them go on.
    Thaw { node: String },
    /// Kill one program of a node (SIGKILL).
    Kill { node: String, program: String },
    /// Cut a node off: frames vanish, carriers stay.
    Cut(CutArguments),
    /// Mend all cables.
    Heal,
    /// Take the lab down.
    Down,
    /// Replace the programs of another build by these, node by node under traffic; exit code 0 only if no client noticed.
    Upgrade {
        /// Where the other build's programs are.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Show a cluster under traffic and trouble; exit code 0 only if every promise held.
    Demo {
        /// One JSON object per step.
        #[arg(long)]
        json: bool,
    },
    /// Measure.
    #[command(subcommand)]
    Bench(BenchVerb),
    /// Answer probes (started on every node by the lab).
    #[command(hide = true)]
    Echo {
        #[arg(long)]
        number: u8,
    },
}

#[derive(Args)]
pub struct UpArguments {
    /// Nodes n1, n2 ...
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// ext, or ext,int.
    #[arg(long, default_value = "ext,int", value_delimiter = ',', value_parser = Subnet::parse)]
    pub subnets: Vec<Subnet>,
    /// IPv4 virtual addresses on ext.
    #[arg(long, default_value_t = 4)]
    pub vips: usize,
    /// IPv6 virtual addresses on ext.
    #[arg(long, default_value_t = 1)]
    pub vips6: usize,
    /// default, fast, or a TOML table.
    #[arg(long, default_value = "default")]
    pub timing: String,
    /// serve or majority.
    #[arg(long, default_value = "serve")]
    pub partition: String,
    /// Replies of the services leave where their requests come in.
    #[arg(long)]
    pub symmetric: bool,
    /// The last node is a witness.
    #[arg(long)]
    pub witness: bool,
    /// Hosts behind, h1, h2 ... on int; by default one if there is int.
    #[arg(long)]
    pub hosts: Option<usize>,
    /// The hosts behind serve: web on TCP port 8080 and an echo on UDP port 9000 of every VIP of ext.
    #[arg(long)]
    pub services: bool,
    /// The hosts behind serve through dsc-link too: HTTP on port 8090 and FTP on port 21 of every IPv4 VIP of ext.
    #[arg(long, requires = "services")]
    pub link: bool,
    /// Connections of the hosts behind leave as from the first VIP of ext, and the client serves the web too.
    #[arg(long, requires = "services")]
    pub source_nat: bool,
    /// dsc, keepalived-MS, keepalived-MS+conntrackd or keepalived-MS+haproxy.
    #[arg(long, default_value = "dsc", value_parser = System::parse)]
    pub system: System,
}

#[derive(Args)]
pub struct CutArguments {
    pub node: String,
    /// Only on this subnet.
    #[arg(value_parser = Subnet::parse)]
    pub subnet: Option<Subnet>,
    /// Pull the cable: the node sees its carrier go.
    #[arg(long, conflicts_with_all = ["peers", "from", "one_way"])]
    pub carrier: bool,
    /// Only from the other nodes; clients still reach it.
    #[arg(long)]
    pub peers: bool,
    /// Only from this node.
    #[arg(long, value_name = "NODE")]
    pub from: Option<String>,
    /// Only what the node sends (out) or receives (in); between nodes.
    #[arg(long, value_name = "WAY", value_parser = ["in", "out"])]
    pub one_way: Option<String>,
}

#[derive(Subcommand)]
pub enum BenchVerb {
    /// Crashes, freezes, cuts and moves: how long, and who answers.
    Failover {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// Runs of each event.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// Virtual addresses.
        #[arg(long, default_value_t = 4)]
        vips: usize,
        /// DSC's timings.
        #[arg(long, default_value = "default,fast", value_delimiter = ',')]
        profile: Vec<String>,
        /// Which: dsc, keepalived-MS.
        #[arg(long, value_delimiter = ',', value_parser = System::parse,
              default_value = "dsc,keepalived-10,keepalived-50,keepalived-1000")]
        system: Vec<System>,
        /// Only these events.
        #[arg(long, value_delimiter = ',')]
        event: Vec<String>,
        /// Seconds of each quiet window.
        #[arg(long, default_value_t = 60)]
        quiet_s: u64,
        /// Tell on stderr what each run saw.
        #[arg(long)]
        trace: bool,
        /// Two runs of the main events, short windows.
        #[arg(long)]
        quick: bool,
    },
    /// Live connections to the hosts behind through crashes, freezes, cuts and moves: what breaks, and how long a pause. And
    /// of DSC: how late flows are shared, what that costs, a large table, a flood.
    Flows {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// Runs of each event.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Live downloads of each run, at most 15000.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// New connections per second, in the events that end in -opening.
        #[arg(long, default_value_t = 2_000, value_name = "PER_S")]
        rate: u32,
        /// Nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// Virtual addresses on ext.
        #[arg(long, default_value_t = 4)]
        vips: usize,
        /// Hosts behind.
        #[arg(long, default_value_t = 2)]
        hosts: usize,
        /// DSC's timings.
        #[arg(long, default_value = "default", value_delimiter = ',')]
        profile: Vec<String>,
        /// Which: dsc, keepalived-MS+conntrackd, keepalived-MS+haproxy.
        #[arg(long, value_delimiter = ',', value_parser = System::parse,
              default_value = "dsc,keepalived-50+conntrackd,keepalived-50+haproxy")]
        system: Vec<System>,
        /// Flows of the table of the measurement "table".
        #[arg(long, default_value_t = 1_000_000)]
        table: u32,
        /// Frames per second of the flood in "syn-flood".
        #[arg(long, default_value_t = 20_000, value_name = "PER_S")]
        flood_rate: u64,
        /// Its length, seconds.
        #[arg(long, default_value_t = 60, value_name = "S")]
        flood_s: u64,
        /// Only these events and measurements: crash, freeze, cut, move, drain, quiet ...; rejoin and the like mean the event
        /// they undo; sharing-lag, new-flows, apart-direct, apart-symmetric, table, syn-flood.
        #[arg(long, value_delimiter = ',')]
        event: Vec<String>,
    },
    /// Unequal loads, all on one node: how evenly DSC spreads them, and how fast.
    Balance(BenchBalance),
    /// A change of the configuration: how long until it is in force on every node.
    Config(BenchConfig),
    /// The highly available link beside HAProxy and nginx as proxies: what goes through, added latency, memory, and downloads
    /// whose server dies.
    Link(BenchLink),
    /// How much goes through to the hosts behind: TCP streams, new HTTP connections, CPU, packets.
    Forward {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// Rounds; each measures every system once.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Length of each measurement.
        #[arg(long, default_value_t = 3_000)]
        window_ms: u64,
        /// Nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// Hosts behind.
        #[arg(long, default_value_t = 2)]
        hosts: usize,
        /// Which: dsc, forwarding (no NAT), nftables (DNAT), haproxy (TCP mode).
        #[arg(long, value_delimiter = ',', default_value = "dsc,forwarding,nftables,haproxy")]
        system: Vec<String>,
    },
}
