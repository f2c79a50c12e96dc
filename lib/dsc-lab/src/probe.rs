//! The clients that measure: every millisecond a probe to each virtual address by an ordinary socket of the machine
//! `client`, and, from the machine `probe` (so that the client learns nothing from it), a frame to every node's MAC
//! address and a question "who has". One thread sends, one receives; what they saw is judged in `answers.rs`.

use crate::answers::{Observed, TICK_NS};
use crate::clock;
use crate::error::{Doing, Error, Result};
use crate::frames::{Frames, Receive};
use crate::lab::Lab;
use crate::packet::{self, Answer, Kind, Question};
use crate::topology::{Machine, Subnet};
use crate::wait;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Most ticks of one observation: ten minutes.
const TICKS_MAX: usize = 600_000;
/// Most answers noted in one observation; more are counted.
const ANSWERS_MAX: usize = 12_000_000;
/// Most frames to MAC addresses per tick; with more nodes and addresses they take turns.
const FRAMES_PER_TICK: usize = 16;
/// An answer that takes longer is lost.
const LATE_MS: u64 = 500;
/// How long every address must have been answered, by one node each, to be called settled.
const SETTLED_TICKS: usize = 300;
/// Answers to the latest probes may still be under way.
const UNDER_WAY_TICKS: usize = 30;

/// A running observation.
pub struct Prober {
    seen: Arc<Mutex<Observed>>,
    /// The sender, then the receiver, which must hear the answers to the sender's last probes.
    threads: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// Sockets in the two machines.
struct Sockets {
    plain4: UdpSocket,
    plain6: UdpSocket,
    raw4: UdpSocket,
    raw6: UdpSocket,
    frames: Frames,
    arp: Frames,
    ip6: Frames,
}

/// One probed address.
struct Target {
    vip: usize,
    address: IpAddr,
    who_has: Vec<u8>,
}

impl Prober {
    /// Begins to probe these virtual addresses of `ext`.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub fn start(lab: &Lab, vips: &[usize]) -> Result<Prober> {
        let sockets = Arc::new(Sockets::open(lab)?);
        let list = lab.plan.vip_list();
        let machines = lab.plan.machines();
        let own = machines
            .iter()
            .find(|m| m.name == "probe")
            .ok_or_else(|| Error::new("start probing", "the lab has no machine probe"))?
            .clone();
        let targets: Vec<Target> = vips
            .iter()
            .map(|v| {
                let address = list[*v].address;
                Target { vip: *v, address, who_has: packet::who_has(&own, address) }
            })
            .collect();
        let macs = (0..lab.plan.nodes).map(|n| lab.plan.node_machine(n).mac(Subnet::Ext)).collect();
        let seen = Observed { vips: vips.to_vec(), ..Observed::default() };
        let seen = Arc::new(Mutex::new(seen));
        let by_address: BTreeMap<IpAddr, u16> =
            targets.iter().map(|t| (t.address, t.vip as u16)).collect();
        let sender = Sender { own, macs, targets, sockets: sockets.clone(), turn: 0 };
        let receiver = Receiver { by_address, sockets, nodes: lab.plan.nodes };
        let (sending, receiving) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stop, noted) = (sending.clone(), seen.clone());
        let sender = std::thread::spawn(move || sender.run(&noted, &stop));
        let (stop, noted) = (Arc::clone(&receiving), seen.clone());
        let receiver = std::thread::spawn(move || receiver.run(&noted, &stop));
        Ok(Prober { seen, threads: vec![(sending, sender), (receiving, receiver)] })
    }

    /// Is every probed address answered now, each by one node, and has been for a while?
    pub fn settled(&self) -> bool {
        let seen = lock(&self.seen);
        let Some(end) = seen.ticks.len().checked_sub(UNDER_WAY_TICKS) else { return false };
        let Some(begin) = end.checked_sub(SETTLED_TICKS) else { return false };
        let mut owners: BTreeMap<u16, u8> = BTreeMap::new();
        let mut answered: BTreeMap<u16, usize> = BTreeMap::new();
        for answer in seen.answers.iter().rev() {
            let tick = answer.question.tick as usize;
            // Answers come nearly in order; some slack, and the rest is older.
            if tick + LATE_MS as usize <= begin {
                break;
            }
            if tick < begin || tick >= end {
                continue;
            }
            let vip = answer.question.vip;
            if *owners.entry(vip).or_insert(answer.node) != answer.node {
                return false;
            }
            if answer.question.kind == Kind::Plain {
                *answered.entry(vip).or_default() += 1;
            }
        }
        seen.vips.iter().all(|v| answered.get(&(*v as u16)) == Some(&SETTLED_TICKS))
    }

    /// Waits until [`Prober::settled`].
    ///
    /// # Errors
    /// Not within `limit_ms`.
    pub fn wait_settled(&self, limit_ms: u64) -> Result<()> {
        wait::until("each address is answered by one node", limit_ms, || {
            self.settled().then_some(())
        })
    }

    /// Who answered last for an address.
    pub fn owner(&self, vip: usize) -> Option<usize> {
        let seen = lock(&self.seen);
        let last = seen.answers.iter().rev().find(|a| usize::from(a.question.vip) == vip);
        last.map(|a| usize::from(a.node))
    }

    /// Ends the observation once late answers have had their time.
    ///
    /// # Errors
    /// There were more answers than can be noted: what is missing would be judged as lost.
    pub fn stop(mut self) -> Result<Observed> {
        self.end();
        let seen = std::mem::take(&mut *lock(&self.seen));
        match seen.unnoted {
            0 => Ok(seen),
            n => Err(Error::new("judge an observation", format!("{n} answers were not noted"))),
        }
    }

    fn end(&mut self) {
        for (stop, thread) in self.threads.drain(..) {
            stop.store(true, Ordering::Relaxed);
            // A panic in a thread has been printed; what was seen until then is judged.
            let _ = thread.join();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(seen: &Mutex<Observed>) -> MutexGuard<'_, Observed> {
    seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Sockets {
    fn open(lab: &Lab) -> Result<Sockets> {
        let pair = || {
            let v4 =
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing(|| "open a socket".into())?;
            let v6 =
                UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).doing(|| "open a socket".into())?;
            for socket in [&v4, &v6] {
                clock::stamp_packets(socket).doing(|| "set up a socket".into())?;
            }
            Ok((v4, v6))
        };
        let (plain4, plain6) = lab.space("client")?.inside(pair)?;
        lab.space("probe")?.inside(|| {
            let (raw4, raw6) = pair()?;
            let open = |receive| {
                let socket = Frames::open("eth0", receive)?;
                clock::stamp_packets(&socket)?;
                Ok::<Frames, nix::Error>(socket)
            };
            let doing = || "open a packet socket".into();
            Ok(Sockets {
                plain4,
                plain6,
                raw4,
                raw6,
                frames: open(Receive::Nothing).doing(doing)?,
                arp: open(Receive::Arp).doing(doing)?,
                ip6: open(Receive::Ip6).doing(doing)?,
            })
        })
    }
}

/// The sending thread.
struct Sender {
    own: Machine,
    macs: Vec<[u8; 6]>,
    targets: Vec<Target>,
    sockets: Arc<Sockets>,
    /// Whose turn it is, where not everybody can be probed in every tick.
    turn: usize,
}

impl Sender {
    fn run(mut self, seen: &Mutex<Observed>, stop: &AtomicBool) {
        clock::go_ahead();
        let mut next = clock::now_ns() + TICK_NS;
        while !stop.load(Ordering::Relaxed) {
            clock::sleep_until(next);
            let now = clock::now_ns();
            // After a stall there is nothing to catch up with: a tick's time is when it was sent.
            next = (next + TICK_NS).max(now);
            let tick = {
                let mut seen = lock(seen);
                if seen.ticks.len() >= TICKS_MAX {
                    return;
                }
                seen.ticks.push(now);
                seen.ticks.len() as u32 - 1
            };
            self.send(tick);
        }
    }

    fn send(&mut self, tick: u32) {
        let port = |s: &UdpSocket| s.local_addr().map(|a| a.port()).unwrap_or(0);
        for target in &self.targets {
            let question = Question { kind: Kind::Plain, vip: target.vip as u16, tick };
            let to = SocketAddr::new(target.address, packet::ECHO_PORT);
            let plain = if to.is_ipv4() { &self.sockets.plain4 } else { &self.sockets.plain6 };
            // A probe that cannot be sent (no neighbour) is a lost probe.
            let _ = plain.send_to(&question.encode(), to);
        }
        let per_tick = (FRAMES_PER_TICK / self.macs.len()).clamp(1, self.targets.len());
        for k in 0..per_tick {
            let target = &self.targets[(self.turn + k) % self.targets.len()];
            let question = Question { kind: Kind::Raw, vip: target.vip as u16, tick };
            let back =
                if target.address.is_ipv4() { &self.sockets.raw4 } else { &self.sockets.raw6 };
            for mac in &self.macs {
                let payload = question.encode();
                let frame = packet::frame(&self.own, port(back), *mac, target.address, &payload);
                self.sockets.frames.send(&frame);
            }
        }
        let who = &self.targets[tick as usize % self.targets.len()];
        self.sockets.frames.send(&who.who_has);
        self.turn = (self.turn + per_tick) % self.targets.len();
    }
}

/// The receiving thread.
struct Receiver {
    by_address: BTreeMap<IpAddr, u16>,
    sockets: Arc<Sockets>,
    nodes: usize,
}

impl Receiver {
    fn run(self, seen: &Mutex<Observed>, stop: &AtomicBool) {
        clock::go_ahead();
        let s = &self.sockets;
        let udp = [s.plain4.as_fd(), s.plain6.as_fd(), s.raw4.as_fd(), s.raw6.as_fd()];
        let frames = [s.arp.as_fd(), s.ip6.as_fd()];
        let mut end = None;
        loop {
            let all = udp.iter().chain(&frames);
            let mut ready: Vec<PollFd> =
                all.map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
            let _ = poll(&mut ready, PollTimeout::from(20u8));
            for fd in udp {
                while let Some(answer) = receive(fd, |bytes, _| Answer::decode(bytes)) {
                    note(seen, answer);
                }
            }
            for fd in frames {
                while let Some(answer) = receive(fd, |bytes, at| self.who_has(bytes, at)) {
                    note(seen, answer);
                }
            }
            if stop.load(Ordering::Relaxed) {
                let now = clock::now_ns();
                let end = *end.get_or_insert(now + LATE_MS * 1_000_000);
                if now >= end || complete(seen) {
                    return;
                }
            }
        }
    }

    fn who_has(&self, frame: &[u8], at_ns: u64) -> Option<Answer> {
        let (address, mac) = packet::who_has_answer(frame)?;
        let vip = *self.by_address.get(&address)?;
        let low = u16::from_be_bytes([mac[4], mac[5]]);
        let node =
            u8::try_from(low.checked_sub(1)?).ok().filter(|n| usize::from(*n) < self.nodes)?;
        let question = Question { kind: Kind::WhoHas, vip, tick: u32::MAX };
        Some(Answer { question, node, accepted_ns: at_ns })
    }
}

/// The next packet in a queue, judged by `judge` with the kernel's time stamp; none if the queue is empty. Packets
/// that are not ours are passed over.
fn receive(
    fd: BorrowedFd<'_>,
    judge: impl Fn(&[u8], u64) -> Option<Answer>,
) -> Option<Option<Answer>> {
    let mut buffer = [0u8; 256];
    let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(fd.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
    let mut at_ns = 0;
    for control in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmTimestampns(stamp) = control {
            at_ns = clock::ns(stamp);
        }
    }
    let length = message.bytes;
    Some(judge(&buffer[..length], at_ns))
}

fn note(seen: &Mutex<Observed>, answer: Option<Answer>) {
    let Some(mut answer) = answer else { return };
    let mut seen = lock(seen);
    if answer.question.tick == u32::MAX {
        answer.question.tick = seen.ticks.len().saturating_sub(1) as u32;
    }
    if seen.answers.len() < ANSWERS_MAX {
        seen.answers.push(answer);
    } else {
        seen.unnoted += 1;
    }
}

/// Has every probe of the last ticks been answered?
fn complete(seen: &Mutex<Observed>) -> bool {
    let seen = lock(seen);
    let Some(last) = seen.ticks.len().checked_sub(1) else { return true };
    let latest = seen.answers.iter().rev().take(1000);
    latest
        .filter(|a| a.question.kind == Kind::Plain && a.question.tick as usize == last)
        .map(|a| a.question.vip)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
        == seen.vips.len()
}
