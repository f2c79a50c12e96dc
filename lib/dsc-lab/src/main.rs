//! `dsc-lab`: the lab from a shell. It reads arguments and calls the library; `scripts/lab`, `scripts/demo` and
//! `scripts/bench` are wrappers that build first.

mod arguments;

use arguments::{Arguments, BenchVerb, CutArguments, UpArguments, Verb};
use clap::Parser;
use dsc_lab::bench::Bench;
use dsc_lab::bench_flows::BenchFlows;
use dsc_lab::bench_forward::BenchForward;
use dsc_lab::error::{Doing, Error, Result};
use dsc_lab::fault::{self, Cut, Way};
use dsc_lab::lab::{self, Lab};
use dsc_lab::topology::{Plan, Subnet, System};
use dsc_lab::{cluster, demo, echo, program, upgrade};
use std::process::ExitCode;

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
        Verb::Bench(BenchVerb::Balance(bench)) => {
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Bench(BenchVerb::Link(bench)) => {
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Bench(BenchVerb::Config(bench)) => {
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Bench(BenchVerb::Forward { json, runs, window_ms, nodes, hosts, system }) => {
            let bench = BenchForward { json, runs, window_ms, nodes, hosts, systems: system };
            all_measured(bench.run(&format!("{name}-bench"))?)?;
        }
        Verb::Upgrade { from, nodes, json } => {
            let unnoticed = upgrade::run(&format!("{name}-upgrade"), from, nodes, json)?;
            return Ok(ExitCode::from(u8::from(!unnoticed)));
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
        link: up.link.then(String::new),
        check: String::new(),
        source_nat: up.source_nat,
        system: up.system,
        timing,
        partition: up.partition,
        flows: if up.symmetric { "routing = \"symmetric\"".into() } else { String::new() },
        witness: up.witness,
        spares: 0,
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
            [program::ECHO, program::NGINX].into_iter().chain(program::daemons_of(&lab.plan))
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
