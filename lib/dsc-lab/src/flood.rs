//! Frames from the machine `client` at a steady rate, from one thread, whatever becomes of them.

use crate::clock;
use crate::cluster;
use crate::error::{Doing, Error, Result};
use crate::frames::{Frames, Receive};
use crate::lab::Lab;
use crate::segments::Target;
use crate::topology::Subnet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Between two bursts.
const TICK_NS: u64 = 1_000_000;
/// A thread that was late makes up for so much and no more: a burst of a second would be another flood.
const LATE_MAX_NS: u64 = 20_000_000;

/// The frames; they end with this value.
pub struct Flood {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
}

impl Flood {
    /// Sends `per_s` frames each second, those that `frame` makes of the numbers from 0 to `end`.
    ///
    /// # Errors
    /// The client's machine is gone, or lets nobody send frames.
    pub fn start(
        lab: &Lab,
        per_s: u64,
        end: u64,
        frame: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> Result<Flood> {
        let doing = || format!("send {per_s} frames per second");
        let space = lab.space("client")?;
        let socket = space.inside(|| Frames::open("eth0", Receive::Nothing).doing(doing))?;
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let sender = Sender { socket, per_s, end, stop: stop.clone(), counts: counts.clone() };
        let thread = std::thread::Builder::new()
            .name("flood".into())
            .spawn(move || sender.run(frame))
            .doing(doing)?;
        Ok(Flood { stop, counts, thread: Some(thread) })
    }

    /// Frames sent until now.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Are all sent?
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

struct Sender {
    socket: Frames,
    per_s: u64,
    end: u64,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Sender {
    fn run(self, frame: impl Fn(u64) -> Vec<u8>) {
        let mut number = 0;
        let (mut due, mut last) = (0u64, clock::now_ns());
        while number < self.end && !self.stop.load(Ordering::Relaxed) {
            clock::sleep_until(last + TICK_NS);
            let now = clock::now_ns();
            // In billionths of a frame.
            due += (now - last).min(LATE_MAX_NS) * self.per_s;
            last = now;
            while due >= 1_000_000_000 && number < self.end {
                due -= 1_000_000_000;
                // What the kernel has no room for is lost, as on any wire.
                if self.socket.send(&frame(number)) {
                    self.counts.sent.fetch_add(1, Ordering::Relaxed);
                }
                number += 1;
            }
        }
    }
}

/// The virtual addresses of `ext`, IPv4, with the nodes that host them now.
///
/// # Errors
/// One has no host.
pub fn targets(lab: &Lab) -> Result<Vec<Target>> {
    let from = client_mac(lab)?;
    let list = lab.plan.vip_list();
    let all = list.iter().enumerate().filter(|(_, v)| v.subnet == Subnet::Ext);
    let targets = all.filter_map(|(number, vip)| match vip.address {
        IpAddr::V4(address) => Some((number, address)),
        IpAddr::V6(_) => None,
    });
    let target = |(number, vip)| {
        let host = cluster::host_of(lab, number);
        let host = host.ok_or_else(|| Error::new(format!("find the host of {vip}"), "none"))?;
        Ok(Target { mac: lab.plan.node_machine(host).mac(Subnet::Ext), vip, from })
    };
    targets.map(target).collect()
}

fn client_mac(lab: &Lab) -> Result<[u8; 6]> {
    let machines = lab.plan.machines();
    let client = machines.iter().find(|m| m.name == "client");
    client.map(|m| m.mac(Subnet::Ext)).ok_or_else(|| Error::new("find the client", "no machine"))
}
