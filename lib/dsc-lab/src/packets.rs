//! Packets per second through the nodes to the hosts behind: datagrams from the machine `client` as fast as one processor can
//! send them, while the others carry them. A packet counts as the sender's until it is at its end, or lost; with so many
//! under way that the kernel takes no more from it, the way is what is measured and not the sender.

use crate::error::{Doing, Error, Result};
use crate::frames::{Frames, Receive};
use crate::lab::Lab;
use crate::packet::ECHO_PORT;
use crate::topology::{Subnet, host_machine};
use crate::wait;
use nix::sched::{CpuSet, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Before anything counts, ms: flows are made and neighbours found.
const WARM_UP_MS: u64 = 1_000;
/// Frames of one system call.
const BURST: usize = 64;
/// The processor that sends.
const SENDER: usize = 0;

/// What was seen in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packets {
    /// Arrived at the hosts behind per second.
    pub delivered: f64,
    /// Of those taken from the sender, percent.
    pub lost_percent: f64,
    /// System calls of the sender that found the way full, percent: if there are none, the sender was too slow.
    pub full_percent: f64,
}

/// Makes the hosts behind take datagrams for the echo and forget them, and all processors but one carry what the client
/// sends. It is not undone: the lab is for nothing else then.
///
/// # Errors
/// The kernel refuses.
pub fn prepare(lab: &Lab) -> Result<()> {
    let sink = format!(
        "add table netdev sink\n\
         add chain netdev sink arrivals {{ type filter hook ingress device \"eth0\" priority -500; }}\n\
         add rule netdev sink arrivals udp dport {ECHO_PORT} drop\n"
    );
    for host in 0..lab.plan.hosts {
        lab.space(&host_machine(host).name)?.run_with(&["nft", "-f", "-"], &sink)?;
    }
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let others = (0..processors.min(32)).filter(|cpu| *cpu != SENDER || processors == 1);
    let mask = others.fold(0u32, |mask, cpu| mask | 1 << cpu);
    let port = format!("client-{}", Subnet::Ext.name());
    let file = lab.switch.path(&format!("/sys/class/net/{port}/queues/rx-0/rps_cpus"));
    std::fs::write(&file, format!("{mask:x}")).doing(|| format!("write {file}"))
}

/// Sends these frames over and over; `during` is done while they flow, and its result given back.
///
/// # Errors
/// The client's machine is gone, or nothing may be sent; those of `during`.
pub fn through<T>(
    lab: &Lab,
    frames: &[Vec<u8>],
    during: impl FnOnce() -> Result<T>,
) -> Result<(Packets, T)> {
    let doing = || "send packets".to_owned();
    let space = lab.space("client")?;
    let stop = AtomicBool::new(false);
    let (sent, calls, full) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            space.enter_net()?;
            let mut processors = CpuSet::new();
            processors.set(SENDER).doing(doing)?;
            sched_setaffinity(nix::unistd::Pid::from_raw(0), &processors).doing(doing)?;
            let socket = Frames::open("eth0", Receive::Nothing).doing(doing)?;
            while !stop.load(Ordering::Relaxed) {
                for burst in frames.chunks(BURST) {
                    let taken = socket.send_all(burst).doing(doing)?;
                    sent.fetch_add(taken as u64, Ordering::Relaxed);
                    calls.fetch_add(1, Ordering::Relaxed);
                    full.fetch_add(u64::from(taken < burst.len()), Ordering::Relaxed);
                }
            }
            Ok(())
        });
        wait::observe(WARM_UP_MS);
        let count = || {
            let [sent, calls, full] = [&sent, &calls, &full].map(|n| n.load(Ordering::Relaxed));
            Ok::<_, Error>([arrived(lab)?, sent, calls, full].map(|n| n as f64))
        };
        let (before, begun) = (count(), Instant::now());
        let result = during();
        let (after, s) = (count(), begun.elapsed().as_secs_f64());
        stop.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| Error::new(doing(), "the sender panicked"))??;
        let (before, after) = (before?, after?);
        let [arrived, sent, calls, full] = [0, 1, 2, 3].map(|n: usize| after[n] - before[n]);
        let packets = Packets {
            delivered: arrived / s,
            lost_percent: (sent - arrived).max(0.0) / sent.max(1.0) * 100.0,
            full_percent: full / calls.max(1.0) * 100.0,
        };
        Ok((packets, result?))
    })
}

/// Packets that the hosts behind have received.
fn arrived(lab: &Lab) -> Result<u64> {
    let mut packets = 0;
    for host in 0..lab.plan.hosts {
        let space = lab.space(&host_machine(host).name)?;
        let file = space.path("/sys/class/net/eth0/statistics/rx_packets");
        let text = std::fs::read_to_string(&file).doing(|| format!("read {file}"))?;
        packets += text.trim().parse::<u64>().doing(|| format!("read {file}"))?;
    }
    Ok(packets)
}
