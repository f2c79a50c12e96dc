//! A table of a million flows, and a full one under a flood, for `bench_measures.rs`: what a packet, a walk and a flow cost.

use crate::bench_flows::{BenchFlows, Half};
use crate::bpf::{self, Runs, Timed};
use crate::error::{Error, Result};
use crate::flood::{self, Flood};
use crate::lab::Lab;
use crate::live::{self, Whose};
use crate::measures::Values;
use crate::pace::Pace;
use crate::process::Pid;
use crate::segments::{PORTS, Target, datagram, mix};
use crate::services;
use crate::syn_flood::{self, Attack};
use crate::topology::{PREFIX4, Plan, Subnet};
use crate::{cluster, program, wait};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Instant;

/// Datagrams per second while the table is filled, and while packets are timed.
const FILL_PER_S: u64 = 20_000;
const TIMED_PER_S: u64 = 20_000;
/// How long packets are timed, ms.
const TIMED_MS: u64 = 5_000;
/// Flows that have packets in what is compared with an empty table.
const FEW: u32 = 1_000;
/// How long a quiet daemon's processor time is looked at, ms.
const IDLE_MS: u64 = 20_000;
/// Of a thousand flows so many must be there when the table is full: an echo may be lost, and its flow then goes early.
const FULL_PERMILLE: u64 = 990;
/// How often the flows are begun until all are there.
const FILL_TRIES: usize = 3;
/// Longest wait for all flows, and for a walk, ms: flows that had an answer go after 5 minutes.
const LATE_MS: u64 = 240_000;
/// Flows that the table of a flood has room for beside twice the downloads.
const FLOOD_ROOM: u32 = 10_000;
/// Last two bytes of the first address that the flows come from, on `ext`.
const FIRST_LOW: u16 = 0x0901;

/// One run of a table of so many flows.
///
/// # Errors
/// The lab does not calm down, or the table does not fill.
pub(crate) fn table(
    bench: &BenchFlows,
    name: &str,
    profile: &str,
    values: &mut Values,
) -> Result<()> {
    let flows = bench.table;
    let room = flows + flows / 16;
    let plan =
        Plan { flows: format!("max = {}", room.max(1_024)), ..bench.plan_of(bench.nodes, profile) };
    let lab = Lab::up(name, plan)?;
    let result = Filling::begin(&lab, flows).and_then(|filling| filling.measure());
    let measured = lab.down().and(result)?;
    values.extend(measured);
    Ok(())
}

struct Filling<'a> {
    lab: &'a Lab,
    flows: u32,
    targets: Vec<Target>,
    fwd: Vec<Pid>,
}

impl<'a> Filling<'a> {
    fn begin(lab: &'a Lab, flows: u32) -> Result<Filling<'a>> {
        live::settle(lab, Whose::Outside)?;
        let mut addresses = String::new();
        for k in 0..flows.div_ceil(PORTS) as u16 {
            let address = Subnet::Ext.v4(FIRST_LOW + k);
            let _ = writeln!(addresses, "addr add {address}/{PREFIX4} dev eth0");
        }
        let client = lab.space("client")?;
        client.run_with(&["ip", "-batch", "-"], &addresses)?;
        // The answers end here, and nothing says that nobody wants them.
        let quiet = format!(
            "add table inet quiet\n\
             add chain inet quiet answers {{ type filter hook prerouting priority raw; }}\n\
             add rule inet quiet answers ip daddr {}/24 udp sport {} drop\n",
            Subnet::Ext.v4(FIRST_LOW & 0xff00),
            services::UDP_PORT
        );
        client.run_with(&["nft", "-f", "-"], &quiet)?;
        let nodes = 0..lab.plan.nodes;
        let fwd = nodes.filter_map(|node| program::find(lab, node, "dsc-fwd")).collect();
        Ok(Filling { lab, flows, targets: flood::targets(lab)?, fwd })
    }

    fn measure(&self) -> Result<Vec<((&'static str, &'static str), f64)>> {
        let timed = Timed::begin()?;
        let few = |number: u64| number as u32 % FEW;
        let empty_ns = self.mean_ns(few)?;
        let (empty_cpu, empty_kib) = (self.idle_cpu(), self.pss_kib());
        let fill_per_s = self.fill()?;
        let full_ns = self.mean_ns(few)?;
        let flows = self.flows;
        let all_ns = self.mean_ns(move |number| (mix(number) % u64::from(flows)) as u32)?;
        drop(timed);
        let walk_s = self.walk_s()?;
        let (full_cpu, full_kib) = (self.idle_cpu(), self.pss_kib());
        let there = cluster::flow_totals(self.lab, 0)?.now as f64;
        let first = self.fwd.first().and_then(bpf::table);
        let table = first.ok_or_else(|| Error::new("find the table of flows", "no such map"))?;
        Ok(vec![
            (("table-flows", "flows"), there),
            (("table-fill-rate", "1/s"), fill_per_s),
            // Each flow has two entries.
            (("table-kernel-memory", "B/flow"), table.bytes as f64 * 2.0 / table.entries as f64),
            (("table-daemon-memory", "B/flow"), (full_kib - empty_kib) * 1024.0 / there),
            (("table-program-empty", "ns"), empty_ns),
            (("table-program-full", "ns"), full_ns),
            (("table-program-all", "ns"), all_ns),
            (("table-walk", "s"), walk_s),
            (("table-idle-cpu-empty", "%"), empty_cpu),
            (("table-idle-cpu-full", "%"), full_cpu),
        ])
    }

    fn send(&self, end: u64, flow: impl Fn(u64) -> u32 + Send + 'static) -> Result<Flood> {
        let (targets, first) = (self.targets.clone(), self.first());
        let per_s = if end == u64::MAX { TIMED_PER_S } else { FILL_PER_S };
        Flood::start(self.lab, per_s, end, move |number| {
            let flow = flow(number);
            datagram(&targets[flow as usize % targets.len()], first, flow)
        })
    }

    fn first(&self) -> Ipv4Addr {
        Subnet::Ext.v4(FIRST_LOW)
    }

    /// Mean time of the programs on the way in, over all nodes.
    fn mean_ns(&self, flow: impl Fn(u64) -> u32 + Send + 'static) -> Result<f64> {
        let flood = self.send(u64::MAX, flow)?;
        wait::until("all few flows have packets", LATE_MS, || {
            (flood.sent() > u64::from(FEW) * 2).then_some(())
        })?;
        let before: Runs = bpf::runs(&self.fwd);
        wait::observe(TIMED_MS);
        let mean = bpf::runs(&self.fwd).mean_since(before);
        mean.ok_or_else(|| Error::new("time the programs", "they did not run"))
    }

    /// Makes all flows, those that did not come about once more; flows per second of the first try.
    fn fill(&self) -> Result<f64> {
        let least = u64::from(self.flows) * FULL_PERMILLE / 1_000;
        let (mut per_s, mut fewest) = (None, 0);
        for _ in 0..FILL_TRIES {
            let begun = Instant::now();
            let flood = self.send(self.flows.into(), |number| number as u32)?;
            let sent =
                wait::until("all flows are begun before the first are too old", LATE_MS, || {
                    flood.is_over().then_some(())
                });
            sent.map_err(|e| Error::new(e, format!("{} of {}", flood.sent(), self.flows)))?;
            per_s.get_or_insert(f64::from(self.flows) / begun.elapsed().as_secs_f64());
            let totals = (0..self.lab.plan.nodes).map(|n| cluster::flow_totals(self.lab, n));
            let there: Vec<u64> = totals.map(|t| t.map(|t| t.now)).collect::<Result<_>>()?;
            fewest = there.into_iter().min().unwrap_or(0);
            if let (Some(per_s), true) = (per_s, fewest >= least) {
                return Ok(per_s);
            }
        }
        let of = format!("a node has {fewest} of {} flows", self.flows);
        Err(Error::new("fill the table", of))
    }

    /// Longest walk of any node, when each has walked through the full table.
    fn walk_s(&self) -> Result<f64> {
        let nodes = || 0..self.lab.plan.nodes;
        let read = |node: usize, name: &str| -> Result<u64> {
            let counters = cluster::counters(self.lab, node)?;
            counters.get(name).copied().ok_or_else(|| Error::new(format!("read {name}"), "none"))
        };
        let walks = |node| read(node, "flows_walks");
        let before: Vec<u64> = nodes().map(walks).collect::<Result<_>>()?;
        wait::until("every node has walked through its table", LATE_MS, || {
            // The walk that was under way began in a table that was not full.
            let twice = |(node, before): (usize, &u64)| walks(node).is_ok_and(|n| n >= before + 2);
            nodes().zip(&before).all(twice).then_some(())
        })?;
        let ms: Vec<u64> = nodes().map(|n| read(n, "flows_walk_ms")).collect::<Result<_>>()?;
        Ok(ms.into_iter().max().unwrap_or(0) as f64 / 1e3)
    }

    /// Percent of one processor that a node's daemon of the data path takes, the most of any node.
    fn idle_cpu(&self) -> f64 {
        let used = || self.fwd.iter().map(Pid::cpu_ns).collect::<Vec<_>>();
        let (before, begun) = (used(), Instant::now());
        wait::observe(IDLE_MS);
        let elapsed = begun.elapsed().as_nanos() as f64;
        let most = used().iter().zip(&before).map(|(after, before)| after - before).max();
        most.unwrap_or(0) as f64 / elapsed * 100.0
    }

    fn pss_kib(&self) -> f64 {
        self.fwd.first().map_or(0, Pid::pss_kib) as f64
    }
}

/// One run of a flood into a full table; what the downloads lived through.
///
/// # Errors
/// As [`syn_flood::run`].
pub(crate) fn syn_flood(
    bench: &BenchFlows,
    name: &str,
    profile: &str,
    values: &mut Values,
) -> Result<Half> {
    // Full within seconds, whatever the machine can send.
    let room = bench.connections as u32 * 2 + FLOOD_ROOM;
    let plan = Plan { flows: format!("max = {room}"), ..bench.plan_of(bench.nodes, profile) };
    let lab = Lab::up(name, plan)?;
    let to = services::web(&lab.plan, false);
    let attack = Attack { per_s: bench.flood_per_s, length_ms: bench.flood_s * 1_000 };
    let result = syn_flood::run(&lab, &to, bench.connections, Pace::Slow, attack);
    let seen = lab.down().and(result)?;
    if let Some(latest) = &seen.report.latest {
        eprintln!("# syn-flood: {latest}");
    }
    values.extend([
        (("syn-flood-rate", "1/s"), seen.per_s),
        (("syn-flood-table", "%"), seen.flows.0 as f64 / seen.flows.1.max(1) as f64 * 100.0),
        (("syn-flood-refused", "packets"), seen.refused as f64),
        (("syn-flood-martian", "packets"), seen.martian as f64),
        (("syn-flood-memory-before", "MB"), seen.before_mb),
        (("syn-flood-memory-most", "MB"), seen.most_mb),
        (("syn-flood-recovery", "s"), seen.recovery_s),
    ]);
    Ok(Half::from(&seen.report))
}
