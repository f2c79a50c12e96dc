//! Clients of connections that were ended because their server is red, and that wait for it in silence: each is asked for a packet
//! of its own, which the kernel's programs refuse like every packet of such a flow, so that it is reset. It knows no clock.

use dsc_bpf::{FlowTable, Walk};
use dsc_flow::packet;
use dsc_sys::packets::PacketSender;
use dsc_wire::local::Counter;
use dsc_wire::{Flow, FlowState, Protocol, Time};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Entries of the table that are read in one look, which takes about two milliseconds, and the pause before the next: a table
/// of ten thousand flows takes a tenth of a second, one of a million some ten.
const ENTRIES: usize = 1024;
const LOOK: Duration = Duration::from_millis(5);
/// Everybody who is still there is asked so often, and so much later each time: packets are lost.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Whom to ask, and how far that is.
pub struct Prompts {
    sender: PacketSender,
    /// The servers.
    ending: BTreeSet<SocketAddr>,
    rounds: u32,
    walk: Walk,
    next: Time,
    sent: u64,
    unsent: u64,
}

impl Prompts {
    /// Of nobody yet.
    ///
    /// # Errors
    /// The system's: `CAP_NET_RAW` is missing.
    pub fn open() -> Result<Prompts, String> {
        let sender = PacketSender::open()
            .map_err(|e| format!("cannot send packets: {e}: is CAP_NET_RAW there?"))?;
        let (ending, walk) = (BTreeSet::new(), Walk::default());
        Ok(Prompts { sender, ending, rounds: 0, walk, next: Time::NEVER, sent: 0, unsent: 0 })
    }

    /// The connections of these servers have ended, and no others. One that is new among them begins it anew.
    pub fn ending(&mut self, now: Time, servers: BTreeSet<SocketAddr>) {
        if !servers.is_subset(&self.ending) {
            (self.rounds, self.walk, self.next) = (ROUNDS, Walk::default(), now);
        }
        if servers.is_empty() {
            self.next = Time::NEVER;
        }
        self.ending = servers;
    }

    /// When [`Prompts::turn`] is due.
    pub fn deadline(&self) -> Time {
        self.next
    }

    /// Looks at the next part of the table. The host of a VIP asks for it, by `mine`.
    ///
    /// # Errors
    /// The kernel does not let its table be read.
    pub fn turn(
        &mut self,
        now: Time,
        table: &FlowTable,
        mine: impl Fn(IpAddr) -> bool,
    ) -> Result<(), String> {
        if now < self.next {
            return Ok(());
        }
        let mut silent = Vec::new();
        let met = |flow: &Flow| {
            // Who is opening one sends again by itself.
            let waits = !matches!(flow.state, FlowState::Opening | FlowState::Closed);
            let tcp = flow.key.protocol == Protocol::Tcp;
            if tcp && waits && self.ending.contains(&flow.backend) && mine(flow.key.vip.ip()) {
                silent.push(flow.key);
            }
            false
        };
        let more = table.ask(&mut self.walk, ENTRIES, met, &mut Vec::new());
        let more = more.map_err(|e| e.to_string())?;
        for key in silent {
            let sent = packet::prompt(key.vip, key.client)
                .is_some_and(|packet| self.sender.send(&packet, key.client.ip()).is_ok());
            self.sent += u64::from(sent);
            self.unsent += u64::from(!sent);
        }
        self.next = now + LOOK;
        if !more {
            self.rounds -= 1;
            self.walk = Walk::default();
            self.next = if self.rounds > 0 { now + PAUSE } else { Time::NEVER };
        }
        Ok(())
    }

    /// What was asked.
    pub fn counters(&self) -> Vec<Counter> {
        [("clients_prompted", self.sent), ("clients_unprompted", self.unsent)]
            .map(|(name, count)| Counter { name: name.to_owned(), count })
            .into()
    }
}
