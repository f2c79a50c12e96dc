//! `dsc-lab`: the lab from a shell. It reads arguments and calls the library; `scripts/lab`, `scripts/demo` and
//! `scripts/bench` are wrappers that build first.

use clap::{Args, Parser, Subcommand};
use dsc_lab::bench::Bench;
use dsc_lab::bench_flows::BenchFlows;
use dsc_lab::bench_forward::BenchForward;
use dsc_lab::error::{Doing, Error, Result};
use dsc_lab::fault::{self, Cut, Way};
use dsc_lab::lab::{self, Lab};
use dsc_lab::topology::{Plan, Subnet, System};
use dsc_lab::{cluster, demo, echo, program};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "dsc-lab", version, about = "A DSC cluster in network namespaces")]
struct Arguments {
    /// Which lab; labs of different names live side by side.
    #[arg(long, global = true, default_value = lab::DEFAULT_NAME, value_name = "NAME")]
    lab: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
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
struct UpArguments {
    /// Nodes n1, n2 ...
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// ext, or ext,int.
    #[arg(long, default_value = "ext,int", value_delimiter = ',', value_parser = Subnet::parse)]
    subnets: Vec<Subnet>,
    /// IPv4 virtual addresses on ext.
    #[arg(long, default_value_t = 4)]
    vips: usize,
    /// IPv6 virtual addresses on ext.
    #[arg(long, default_value_t = 1)]
    vips6: usize,
    /// default, fast, or a TOML table.
    #[arg(long, default_value = "default")]
    timing: String,
    /// serve or majority.
    #[arg(long, default_value = "serve")]
    partition: String,
    /// Replies of the services leave where their requests come in.
    #[arg(long)]
    symmetric: bool,
    /// The last node is a witness.
    #[arg(long)]
    witness: bool,
    /// Hosts behind, h1, h2 ... on int; by default one if there is int.
    #[arg(long)]
    hosts: Option<usize>,
    /// The hosts behind serve: web on TCP port 8080 and an echo on UDP port 9000 of every VIP of ext.
    #[arg(long)]
    services: bool,
    /// Connections of the hosts behind leave as from the first VIP of ext, and the client serves the web too.
    #[arg(long, requires = "services")]
    source_nat: bool,
    /// dsc, keepalived-MS, keepalived-MS+conntrackd or keepalived-MS+haproxy.
    #[arg(long, default_value = "dsc", value_parser = System::parse)]
    system: System,
}

#[derive(Args)]
struct CutArguments {
    node: String,
    /// Only on this subnet.
    #[arg(value_parser = Subnet::parse)]
    subnet: Option<Subnet>,
    /// Pull the cable: the node sees its carrier go.
    #[arg(long, conflicts_with_all = ["peers", "from", "one_way"])]
    carrier: bool,
    /// Only from the other nodes; clients still reach it.
    #[arg(long)]
    peers: bool,
    /// Only from this node.
    #[arg(long, value_name = "NODE")]
    from: Option<String>,
    /// Only what the node sends (out) or receives (in); between nodes.
    #[arg(long, value_name = "WAY", value_parser = ["in", "out"])]
    one_way: Option<String>,
}

#[derive(Subcommand)]
enum BenchVerb {
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
        /// they undo; sharing-lag, new-flows, table, syn-flood.
        #[arg(long, value_delimiter = ',')]
        event: Vec<String>,
    },
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

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dsc-lab: {error}");
            ExitCode::from(4)
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let name = &arguments.lab;
    match arguments.verb {
        Verb::Up(up) => {
            let lab = Lab::up(name, plan_of(up))?;
            println!("lab {name} is up: {} nodes; logs in {}", lab.plan.nodes, lab.dir().display());
        }
        Verb::Status => return status(&Lab::open(name)?),
        Verb::Exec { machine, command } => return exec(&Lab::open(name)?, &machine, &command),
        Verb::Crash { node } => on_node(name, &node, fault::crash)?,
        Verb::Restart { node } => on_node(name, &node, fault::restart)?,
        Verb::Freeze { node } => on_node(name, &node, |lab, n| fault::freeze(lab, n))?,
        Verb::Thaw { node } => on_node(name, &node, |lab, n| fault::thaw(lab, n))?,
        Verb::Kill { node, program } => {
            on_node(name, &node, |lab, n| fault::kill(lab, n, &program))?;
        }
        Verb::Cut(cut) => {
            let node = cut.node.clone();
            on_node(name, &node, |lab, n| do_cut(lab, n, &cut))?;
        }
        Verb::Heal => {
            fault::heal(&Lab::open(name)?)?;
        }
        Verb::Down => lab::down(name)?,
        Verb::Bench(BenchVerb::Failover {
            json,
            runs,
            nodes,
            vips,
            profile,
            system,
            event,
            quiet_s,
            trace,
            quick,
        }) => {
            let mut bench = Bench {
                json,
                runs,
                nodes,
                vips,
                systems: profiles(system, &profile),
                events: event,
                quiet_s,
                trace,
            };
            if quick {
                bench.runs = 2;
                bench.quiet_s = quiet_s.min(10);
                if bench.events.is_empty() {
                    bench.events = ["crash", "freeze", "move", "quiet"].map(String::from).into();
                }
            }
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Bench(BenchVerb::Flows {
            json,
            runs,
            connections,
            rate,
            nodes,
            vips,
            hosts,
            profile,
            system,
            table,
            flood_rate,
            flood_s,
            event,
        }) => {
            let systems = profiles(system, &profile);
            let bench = BenchFlows {
                json,
                runs,
                connections,
                per_s: rate,
                table,
                flood_per_s: flood_rate,
                flood_s,
                nodes,
                vips,
                hosts,
                systems,
                events: event,
            };
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Bench(BenchVerb::Forward { json, runs, window_ms, nodes, hosts, system }) => {
            let bench = BenchForward { json, runs, window_ms, nodes, hosts, systems: system };
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Demo { json } => {
            let held = demo::run(&format!("{name}-demo"), json)?;
            return Ok(ExitCode::from(u8::from(!held)));
        }
        Verb::Echo { number } => echo::run(number)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Systems with their profiles: DSC once for each timing.
fn profiles(systems: Vec<System>, timings: &[String]) -> Vec<(System, String)> {
    let of = |system| match system {
        System::Dsc => timings.iter().map(|t| (System::Dsc, t.clone())).collect::<Vec<_>>(),
        System::Keepalived { advert_ms, .. } => vec![(system, format!("{advert_ms}ms"))],
    };
    systems.into_iter().flat_map(of).collect()
}

fn all_measured(failed: usize) -> Result<()> {
    match failed {
        0 => Ok(()),
        n => Err(Error::new("measure every run", format!("{n} runs of dsc failed"))),
    }
}

fn plan_of(up: UpArguments) -> Plan {
    let int = usize::from(up.subnets.contains(&Subnet::Int));
    let timing = if up.timing.starts_with('{') { up.timing } else { format!("\"{}\"", up.timing) };
    Plan {
        nodes: up.nodes,
        subnets: up.subnets,
        vips: up.vips,
        vips6: up.vips6,
        vips_int: int,
        vips6_int: if up.services && up.vips6 > 0 { int } else { 0 },
        hosts: up.hosts.unwrap_or(int),
        services: up.services,
        source_nat: up.source_nat,
        system: up.system,
        timing,
        partition: up.partition,
        flows: if up.symmetric { "routing = \"symmetric\"".into() } else { String::new() },
        witness: up.witness,
    }
}

/// Finds lab and node, and does something to it.
fn on_node(name: &str, node: &str, act: impl FnOnce(&mut Lab, usize) -> Result<u64>) -> Result<()> {
    let mut lab = Lab::open(name)?;
    let index = lab.plan.node_index(node).doing(|| format!("find {node}"))?;
    act(&mut lab, index).map(drop)
}

fn do_cut(lab: &Lab, node: usize, cut: &CutArguments) -> Result<u64> {
    let subnets = cut.subnet.map_or_else(|| lab.plan.subnets.clone(), |s| vec![s]);
    let peer = match &cut.from {
        Some(peer) => Some(lab.plan.node_index(peer).doing(|| format!("find {peer}"))?),
        None => None,
    };
    if !cut.peers && peer.is_none() && cut.one_way.is_none() {
        let how = if cut.carrier { Cut::Carrier } else { Cut::Silent };
        return fault::cut(lab, node, &subnets, how);
    }
    let way = match cut.one_way.as_deref() {
        Some("in") => Way::In,
        Some(_) => Way::Out,
        None => Way::Both,
    };
    fault::cut_peers(lab, node, peer, &subnets, way)
}

fn status(lab: &Lab) -> Result<ExitCode> {
    for node in 0..lab.plan.nodes {
        let mut words = Vec::new();
        for daemon in
            [program::ECHO, program::NGINX].iter().chain(program::daemons(&lab.plan.system))
        {
            let state = program::find(lab, node, daemon).map_or("-".into(), |p| p.pid.to_string());
            words.push(format!("{daemon} {state}"));
        }
        let power = if lab.dark.contains(&node) { "  (crashed)" } else { "" };
        println!("{:<4} {}{power}", lab.plan.node(node), words.join("  "));
    }
    if lab.plan.system == System::Dsc {
        let first = (0..lab.plan.nodes).find(|n| !lab.dark.contains(n));
        let node = first.ok_or_else(|| Error::new("ask for the status", "every node is down"))?;
        println!("\n$ dscctl status    (on {})", lab.plan.node(node));
        print!("{}", cluster::dscctl(lab, node, &["status"])?);
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(lab: &Lab, machine: &str, command: &[String]) -> Result<ExitCode> {
    let mut path = lab.bin_dir.clone().into_os_string();
    path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut program = lab.space(machine)?.command(&command[0])?;
    program.args(&command[1..]).env("PATH", path);
    let status = program.status().doing(|| format!("run {} on {machine}", command[0]))?;
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
