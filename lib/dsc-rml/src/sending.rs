//! One message on its way to one peer: which pieces are acknowledged, when to try again, on which path, and when
//! to give up. Called by `peer`.
//!
//! ```text
//!  removal        |<------------------------ 28 ms ------------------------>|
//!  try on         path 1     path 2                   every path            failed
//!  time-out       |-- 4 ms --|-------- 8 ms ----------|------- 16 ms -------|
//! ```

use crate::count::Count;
use crate::pace::{stamp, trim};
use crate::path::Paths;
use crate::pieces::Pieces;
use crate::post::Post;
use dsc_wire::packet::{Body, FRAGMENT_MAX};
use dsc_wire::{Incarnation, NodeId, SendId, SubnetId, SubnetSet, Time};

/// Pieces sent ahead of the first unacknowledged one: a third of what a socket's default buffer holds.
const AHEAD_MAX: u16 = 32;

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub id: SendId,
    pub number: u64,
    message: Vec<u8>,
    count: u16,
    acked: Pieces,
    base: u16,
    /// First piece never sent.
    next: u16,
    /// When its time began to run.
    pub start: Time,
    /// Tries so far; none while the peer's life is not proven.
    pub tries: u32,
    tried: SubnetSet,
    /// Nobody waits for its acknowledgement yet.
    pub tacit: bool,
    /// Paths of the latest try, and when it was.
    on: SubnetSet,
    sent: Time,
    /// When to try again or give up.
    pub due: Time,
}

impl Sending {
    pub fn new(id: SendId, number: u64, message: Vec<u8>, tacit: bool, post: &Post<'_>) -> Sending {
        Sending {
            id,
            number,
            count: message.len().div_ceil(FRAGMENT_MAX).max(1) as u16,
            message,
            acked: Pieces::default(),
            base: 0,
            next: 0,
            start: post.now,
            tries: 0,
            tried: SubnetSet::EMPTY,
            tacit,
            on: SubnetSet::EMPTY,
            sent: Time::ZERO,
            due: post.now + post.pace().removal,
        }
    }

    /// Forgets everything but the message: its time starts again.
    pub fn restart(&mut self, post: &Post<'_>) {
        self.acked = Pieces::default();
        self.base = 0;
        self.next = 0;
        self.start = post.now;
        self.tries = 0;
        self.tried = SubnetSet::EMPTY;
        self.on = SubnetSet::EMPTY;
        self.due = post.now + post.pace().removal;
    }

    /// Its acknowledgement is wanted from now on: this is the time-out of the only try so far, and its time starts.
    pub fn insist(&mut self, post: &Post<'_>) {
        if std::mem::take(&mut self.tacit) && self.tries > 0 {
            self.start = post.now;
            self.due = post.now;
        }
    }

    /// The path that the message must have arrived by, if only one was tried, and when.
    pub fn sole_try(&self) -> Option<(SubnetId, Time)> {
        let mut on = self.on.iter();
        match (on.next(), on.next(), self.tries) {
            (Some(path), None, 1) => Some((path, self.sent)),
            _ => None,
        }
    }

    /// Is there no time left for a further try?
    pub fn spent(&self, post: &Post<'_>) -> bool {
        post.now >= self.start + post.pace().removal
    }

    /// Sends what is not acknowledged, on the next path in turn. The last try, and every one while no path is known to
    /// work, goes out on all of them.
    pub fn attempt(
        &mut self,
        paths: &mut Paths,
        to: NodeId,
        receiver: Incarnation,
        post: &mut Post<'_>,
    ) {
        let pace = post.pace();
        let (all, blind) = (paths.all(), !paths.any_up());
        let path = paths.next(self.tried);
        let span = path.rto(&pace) * (1 << self.tries.min(8));
        let end = self.start + pace.removal;
        self.on = [path.subnet].into_iter().collect();
        self.due = post.now + span;
        // A try that leaves the next one less than half the shortest time-out is better made the last.
        if self.due + pace.floor / 2 > end {
            self.due = end;
            self.on = all;
        }
        if blind {
            self.on = all;
        }
        if self.tacit {
            self.due = Time::NEVER;
        }
        if self.tries > 0 {
            post.count(Count::MessageRetried);
        }
        self.tries += 1;
        self.sent = trim(post.now);
        self.next = self.next.max(self.window());
        for path in self.on.iter() {
            self.tried.insert(path);
            self.send(path, self.base, to, receiver, post);
        }
    }

    fn window(&self) -> u16 {
        self.count.min(self.base.saturating_add(AHEAD_MAX))
    }

    /// Sends the unacknowledged pieces from `first` to the end of the window; the last piece, if all are acknowledged
    /// and only the verdict is missing.
    fn send(
        &self,
        path: SubnetId,
        first: u16,
        to: NodeId,
        receiver: Incarnation,
        post: &mut Post<'_>,
    ) {
        let first = first.min(self.count - 1);
        for index in first..self.window().max(first + 1) {
            if self.acked.contains(index) && self.base < self.count {
                continue;
            }
            let start = usize::from(index) * FRAGMENT_MAX;
            let end = self.message.len().min(start + FRAGMENT_MAX);
            let body = Body::Data {
                message: self.number,
                stamp: stamp(post.now),
                index,
                count: self.count,
                tacit: self.tacit,
                fragment: self.message[start..end].to_vec(),
            };
            post.send(to, path, receiver, body);
        }
    }

    /// Takes note of an acknowledgement that came on `path`. One that makes room in the window sends what fits, and the
    /// message's time starts again: a long message is given `removal` for each window, a short one for the whole.
    pub fn acknowledge(
        &mut self,
        told: (u16, u32),
        path: SubnetId,
        to: NodeId,
        receiver: Incarnation,
        post: &mut Post<'_>,
    ) {
        let (base, beyond) = told;
        (0..base.min(self.count)).for_each(|i| {
            self.acked.insert(i);
        });
        (0..32).filter(|i| beyond >> i & 1 == 1).for_each(|i| {
            self.acked.insert(base.saturating_add(1 + i));
        });
        self.base = self.acked.base(self.count);
        let unsent = self.next;
        if self.window() > unsent && self.tries > 0 {
            self.next = self.window();
            self.start = post.now;
            self.tries = 1;
            self.on = [path].into_iter().collect();
            self.tried = self.on;
            self.sent = trim(post.now);
            if !self.tacit {
                self.due = post.now + post.pace().floor;
            }
            self.send(path, unsent, to, receiver, post);
        }
    }

    /// The latest try: its paths and when it was.
    pub fn latest(&self) -> (SubnetSet, Time) {
        (self.on, self.sent)
    }

    /// Every path tried since its time began to run.
    pub fn tried(&self) -> SubnetSet {
        self.tried
    }
}
