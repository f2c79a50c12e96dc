//! This node's own stream: what it told last, how far it is, and when to say so. Called by `machine`.

use super::codec::{encode_flows, fitting};
use dsc_wire::{Flow, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// Most records that can be repeated: half a minute at 2,000 new flows a second. They take 8 MiB when all are there. Who
/// misses more takes a copy.
pub const LOG_MAX: usize = 65_536;
/// Most records that one request makes a node repeat.
pub(crate) const REPEAT_MAX: u32 = 1_024;

/// How long after the last record its position is told again, should the datagram be lost: at first soon, because what is
/// missing is a flow in use. Then at this pace for ever. The positions could ride on the
/// token (§B.3); they travel with the stream, because that needs no other daemon, finds a loss within 5 ms instead of a
/// rotation, and leaves the token as short as it is.
const TELL: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(20)];
const TELL_AGAIN: Duration = Duration::from_millis(200);

/// A record, and when the kernel made the flow if it is a new one.
#[derive(Clone, Copy, Debug)]
struct Record {
    flow: Flow,
    made: Option<Time>,
}

/// The stream.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    records: VecDeque<Record>,
    /// Where the next record will be.
    position: u64,
    /// All before this are sent.
    sent: u64,
    sent_at: Time,
    told: usize,
    /// When to tell the position.
    pub due: Time,
    /// Most records that were ever kept.
    pub used_max: usize,
}

impl Log {
    pub fn new(now: Time) -> Log {
        Log {
            records: VecDeque::new(),
            position: 0,
            sent: 0,
            sent_at: now,
            told: 0,
            due: now + TELL_AGAIN,
            used_max: 0,
        }
    }

    /// Where the next record will be.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The first that can be repeated.
    pub fn oldest(&self) -> u64 {
        self.position - self.records.len() as u64
    }

    /// Records kept.
    pub fn used(&self) -> usize {
        self.records.len()
    }

    /// Is there something to send?
    pub fn owes(&self) -> bool {
        self.sent < self.position
    }

    pub fn add(&mut self, flow: Flow, made: Option<Time>) {
        if self.records.len() == LOG_MAX {
            self.records.pop_front();
        }
        self.records.push_back(Record { flow, made });
        self.position += 1;
        self.used_max = self.used_max.max(self.records.len());
    }

    /// The bodies for what was not sent yet, in as few datagrams as possible.
    pub fn flush(&mut self, now: Time) -> Vec<Vec<u8>> {
        if !self.owes() {
            return Vec::new();
        }
        let bodies = self.bodies(now, self.sent.max(self.oldest()), self.position);
        self.sent = self.position;
        self.sent_at = now;
        self.told = 0;
        self.due = now + TELL[0];
        bodies
    }

    /// The bodies for records told before, and how many records: from `first`, at most `count`. None if they are too old.
    pub fn repeat(&self, now: Time, first: u64, count: u32) -> Option<(Vec<Vec<u8>>, u64)> {
        if first < self.oldest() || first >= self.sent {
            return None;
        }
        let end = first.saturating_add(u64::from(count.min(REPEAT_MAX))).min(self.sent);
        Some((self.bodies(now, first, end), end - first))
    }

    fn bodies(&self, now: Time, mut first: u64, end: u64) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        while first < end {
            let from = (first - self.oldest()) as usize;
            let records = || self.records.range(from..).take((end - first) as usize);
            let count = fitting(records().map(|r| &r.flow)).max(1);
            let oldest = records().take(count).filter_map(|r| r.made).min();
            let age = oldest.map(|made| now.since(made));
            bodies.push(encode_flows(first, age, records().take(count).map(|r| &r.flow)));
            first += count as u64;
        }
        bodies
    }

    /// The position is told now: when is it told next?
    pub fn tell(&mut self, now: Time) {
        self.told += 1;
        self.due = match TELL.get(self.told) {
            Some(after) => (self.sent_at + *after).max(now),
            None => now + TELL_AGAIN,
        };
    }
}
