//! Replies that came before their flow (§B.3): kept for a moment, sent on as soon as the flow is known, or handed to the host
//! of its VIP if routing is symmetric. One whose flow does not come is somebody's who speaks to the backend directly, and
//! goes on as it is.

use crate::symmetric::Hosts;
use dsc_bpf::{FlowTable, Held};
use dsc_flow::packet::{self, Ends};
use dsc_sys::packets::PacketSender;
use dsc_wire::Time;
use dsc_wire::local::Counter;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A daemon that comes so much late to a reply was asleep, and has not heard what it would have heard meanwhile.
const SLEPT: Duration = Duration::from_millis(10);
/// Most that are kept; the oldest go on when there are more.
const KEPT_MAX: usize = 1024;

/// The replies that wait.
pub struct Waiting {
    source: Held,
    sender: PacketSender,
    /// How long a reply is kept.
    hold: Duration,
    kept: VecDeque<Kept>,
    released: u64,
    handed: u64,
    gave_up: u64,
    strange: u64,
    unsent: u64,
}

struct Kept {
    until: Time,
    /// It was given more time, which it is once.
    extended: bool,
    nic: u32,
    frame: Vec<u8>,
    ends: Ends,
}

impl Waiting {
    /// Of those that the programs leave in `source`; each is kept for `hold`.
    ///
    /// # Errors
    /// The system's: `CAP_NET_RAW` is missing.
    pub fn open(source: Held, hold: Duration) -> Result<Waiting, String> {
        let sender = PacketSender::open()
            .map_err(|e| format!("cannot send packets: {e}: is CAP_NET_RAW there?"))?;
        Ok(Waiting {
            source,
            sender,
            hold,
            kept: VecDeque::new(),
            released: 0,
            handed: 0,
            gave_up: 0,
            strange: 0,
            unsent: 0,
        })
    }

    /// Keeps replies for so long from now on.
    pub fn set_hold(&mut self, hold: Duration) {
        self.hold = hold;
    }

    /// Takes what the programs have left since the last call.
    pub fn take(&mut self, now: Time) {
        for (nic, frame) in self.source.by_ref() {
            match packet::read(&frame) {
                Some(ends) => self.kept.push_back(Kept {
                    until: now + self.hold,
                    extended: false,
                    nic,
                    frame,
                    ends,
                }),
                None => self.strange += 1,
            }
        }
    }

    /// When [`Waiting::turn`] is due even if no flow comes.
    pub fn deadline(&self) -> Time {
        self.kept.front().map_or(Time::NEVER, |kept| kept.until)
    }

    /// Sends on those whose flow is known now, and those that have waited for long enough. With `hosts`, routing is symmetric.
    ///
    /// # Errors
    /// The kernel does not let its table be read.
    pub fn turn(
        &mut self,
        now: Time,
        table: &mut FlowTable,
        mut hosts: Option<Hosts<'_>>,
    ) -> Result<(), String> {
        if self.deadline() + SLEPT < now {
            for kept in self.kept.iter_mut().filter(|kept| !kept.extended) {
                (kept.until, kept.extended) = (now + self.hold, true);
            }
        }
        let mut surplus = self.kept.len().saturating_sub(KEPT_MAX);
        for kept in std::mem::take(&mut self.kept) {
            let Ends { protocol, source: backend, dest: client, .. } = kept.ends;
            let vip = table.vip_of_reply(protocol, backend, client).map_err(|e| e.to_string())?;
            let crowded = surplus > 0;
            surplus = surplus.saturating_sub(1);
            let handed = match (vip, &mut hosts) {
                (Some(vip), Some(hosts)) => {
                    hosts.hand(vip.ip(), kept.nic, &packet::packet(&kept.frame, &kept.ends))
                }
                _ => None,
            };
            if let Some(handed) = handed {
                self.handed += 1;
                self.unsent += u64::from(handed.is_err());
                continue;
            }
            let as_from = |vip| packet::rewritten(&kept.frame, &kept.ends, vip, client);
            let sent = match vip.and_then(as_from) {
                Some(packet) => {
                    self.released += 1;
                    self.sender.send(&packet, client.ip())
                }
                None if crowded || kept.until <= now => {
                    self.gave_up += 1;
                    table.direct(protocol, backend, client, now).map_err(|e| e.to_string())?;
                    self.sender.send(&packet::packet(&kept.frame, &kept.ends), client.ip())
                }
                None => {
                    self.kept.push_back(kept);
                    continue;
                }
            };
            self.unsent += u64::from(sent.is_err());
        }
        Ok(())
    }

    /// What became of them.
    pub fn counters(&self) -> Vec<Counter> {
        [
            ("replies_released", self.released),
            ("replies_handed", self.handed),
            ("replies_of_no_flow", self.gave_up),
            ("replies_strange", self.strange),
            ("replies_unsent", self.unsent),
        ]
        .map(|(name, count)| Counter { name: name.to_owned(), count })
        .into()
    }
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
