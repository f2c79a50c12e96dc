//! The cluster's log: what happened here goes into this node's log at once and onto the token for one full turn;
//! what comes with the token goes into this node's log.

use crate::Output;
use crate::ring::Ring;
use dsc_wire::event::{Report, decode_kind, encode_kind};
use dsc_wire::local::{Event, EventKind};
use dsc_wire::token::{REPORTS_MAX, Token};
use dsc_wire::{NodeId, Time};
use std::collections::VecDeque;

/// Events that may wait for a place on the token.
const WAITING_MAX: usize = 1024;
/// Events that one node loads in one turn.
const TURN_MAX: usize = 48;

/// Events on their way into the log and onto the token.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    wall: (Time, u64),
    number: u64,
    fresh: Vec<Event>,
    waiting: VecDeque<Report>,
    /// Last life and number seen of each node.
    seen: Vec<(u64, u64)>,
    pub dropped: u64,
}

impl Log {
    pub fn new(nodes: usize) -> Log {
        Log {
            wall: (Time::ZERO, 0),
            number: 0,
            fresh: Vec::new(),
            waiting: VecDeque::new(),
            seen: vec![(0, 0); nodes],
            dropped: 0,
        }
    }

    /// Nodes are numbered up to `nodes` from now on.
    pub fn resize(&mut self, nodes: usize) {
        self.seen.resize(nodes, (0, 0));
    }

    pub fn set_wall(&mut self, now: Time, wall_ms: u64) {
        self.wall = (now, wall_ms);
    }

    /// The wall clock, milliseconds since 1970.
    pub fn wall_ms(&self, now: Time) -> u64 {
        let (at, wall_ms) = self.wall;
        wall_ms.saturating_add(now.since(at).as_millis() as u64)
    }

    /// What has to go into this node's log.
    pub fn drain(&mut self) -> impl Iterator<Item = Event> {
        self.fresh.drain(..)
    }

    /// Is this the first time that the report is seen?
    fn is_new(&mut self, report: &Report) -> bool {
        let seen = &mut self.seen[report.node.index()];
        let new = seen.0 != report.incarnation || report.number > seen.1;
        if new {
            *seen = (report.incarnation, report.number);
        }
        new
    }
}

impl Ring {
    /// Something happened here that an operator wants to know later.
    pub(crate) fn report(&mut self, now: Time, kind: EventKind) {
        let wall_ms = self.log.wall_ms(now);
        self.log.number += 1;
        let report = Report {
            node: self.me,
            number: self.log.number,
            incarnation: self.incarnation.0,
            hops: 0,
            wall_ms,
            body: encode_kind(&kind),
        };
        if self.log.waiting.len() < WAITING_MAX {
            self.log.waiting.push_back(report);
        } else {
            self.log.dropped += 1;
        }
        self.log.fresh.push(Event { number: 0, wall_ms, node: self.me, kind });
    }

    /// Takes the others' events off the token; those that everybody has seen leave it.
    pub(crate) fn unload(&mut self, token: &mut Token) {
        let (me, log) = (self.me, &mut self.log);
        token.reports.retain_mut(|report| {
            if report.node == me {
                return false;
            }
            if log.is_new(report) {
                let kind = decode_kind(&report.body);
                let (wall_ms, node) = (report.wall_ms, report.node);
                log.fresh.push(Event { number: 0, wall_ms, node, kind });
            }
            report.hops = report.hops.saturating_sub(1);
            report.hops > 0
        });
    }

    /// Puts this node's events onto the token.
    pub(crate) fn load_reports(&mut self, token: &mut Token) {
        let hops = token.members.iter().filter(|m| m.node != self.me).count() as u8;
        if hops == 0 {
            self.log.waiting.clear();
            return;
        }
        let room = REPORTS_MAX.saturating_sub(token.reports.len()).min(TURN_MAX);
        let loaded = self.log.waiting.len().min(room);
        let reports = self.log.waiting.drain(..loaded);
        token.reports.extend(reports.map(|r| Report { hops, ..r }));
    }

    /// Events and the news of a changed view leave with the step that caused them.
    pub(crate) fn show(&mut self, out: &mut Vec<Output>) {
        out.extend(self.log.drain().map(Output::Event));
        if self.changed() {
            out.push(Output::Changed);
        }
    }

    /// Nodes that hosted a VIP and may still have its connections: members, and those that left on purpose.
    pub(crate) fn reachable_past(token: &Token, past: &[NodeId]) -> Vec<NodeId> {
        let steered = |n: &NodeId| token.absent.iter().any(|a| a.node == *n && a.steer_us > 0);
        past.iter().copied().filter(|n| token.has(*n) || steered(n)).collect()
    }
}
