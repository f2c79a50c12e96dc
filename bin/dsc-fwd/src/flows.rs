//! Keeps the kernel's table of flows: reads what the programs tell, puts in what peers tell, takes out what is old, says
//! what the peers have to be reminded of. It knows no socket.

use crate::pace::Pace;
use dsc_bpf::{FlowTable, News, Put, Seen, Told, Walk, Zone};
use dsc_flow::age::{self, Fate, Met};
use dsc_wire::local::{Counter, FlowTotals};
use dsc_wire::{BackendId, Flow, FlowState, FlowTimeouts, SubnetId, Time, VipId};
use std::net::IpAddr;
use std::time::Duration;

/// Between two looks at a part of the table.
const LOOK: Duration = Duration::from_millis(8);
/// A walk through the whole table takes at least so long.
const ROUND: Duration = Duration::from_secs(5);
/// Entries that are read in one look, which takes about a millisecond: new flows wait for it, here and at the others. At a table of
/// a million flows a walk takes about half a minute.
const ENTRIES: usize = 512;
/// News that are read at once; the rest waits for the next turn, so that a flood of new flows keeps nothing else waiting.
const NEWS: usize = 1024;

/// The table and what is known of it.
pub struct Flows {
    table: FlowTable,
    news: News,
    /// There may be more of them.
    more: bool,
    pace: Pace,
    walk: Walk,
    /// When the walk began, and when the one before did.
    begun: Time,
    before: Time,
    next: Time,
    /// Flows met by the walk so far; by the last whole one; of each backend by the last whole one.
    met: Vec<u64>,
    counted: Vec<u64>,
    rounds: u64,
    /// What the last whole walk took, with its pauses.
    took: Duration,
    told: u64,
    put: [u64; 5],
    aged: u64,
    made: u64,
    max: u32,
    timeouts: FlowTimeouts,
}

impl Flows {
    /// Of `backends` backends, with room for `max` flows; silent ones go after their timeout.
    pub fn new(
        table: FlowTable,
        news: News,
        backends: usize,
        max: u32,
        timeouts: FlowTimeouts,
        now: Time,
    ) -> Flows {
        Flows {
            table,
            news,
            more: false,
            pace: Pace::default(),
            walk: Walk::default(),
            begun: now,
            before: now,
            next: now,
            met: vec![0; backends],
            counted: vec![0; backends],
            rounds: 0,
            took: Duration::ZERO,
            told: 0,
            put: [0; 5],
            aged: 0,
            made: 0,
            max,
            timeouts,
        }
    }

    /// Tells where VIPs, backends and machines inside are.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn know(
        &mut self,
        vips: &[(VipId, IpAddr, SubnetId)],
        backends: &[dsc_bpf::Backend],
        zones: &[Zone],
    ) -> Result<(), String> {
        self.table.know(vips, backends, zones).map_err(|e| e.to_string())
    }

    /// Goes on with so many numbers of backends, and these timeouts.
    pub fn change(&mut self, backends: usize, timeouts: FlowTimeouts) {
        self.met.resize(backends, 0);
        self.counted.resize(backends, 0);
        self.timeouts = timeouts;
    }

    /// The table itself, for questions.
    pub fn table(&self) -> &FlowTable {
        &self.table
    }

    /// The same, for who keeps what is no flow in it.
    pub fn table_mut(&mut self) -> &mut FlowTable {
        &mut self.table
    }

    /// What the programs have made or seen since the last call, up to a bound; if there may be more, it is due again at once.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn news(&mut self, now: Time) -> Result<Vec<Told>, String> {
        let told: Vec<Told> = self.news.by_ref().take(NEWS).collect();
        let made = told.iter().filter(|t| t.flow.state == FlowState::Opening).count();
        if let Some(by_itself) = self.pace.turn(now, made > 0) {
            self.news.poll(by_itself).map_err(|e| e.to_string())?;
        }
        self.told += told.len() as u64;
        self.made += made as u64;
        self.more = told.len() == NEWS;
        Ok(told)
    }

    /// Puts in what a peer knows.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn apply(&mut self, flows: &[Flow], now: Time) -> Result<(), String> {
        let gone = |flow: &Flow| flow.state == FlowState::Gone;
        let mut became = Vec::with_capacity(flows.len());
        for flows in flows.chunk_by(|a, b| gone(a) == gone(b)) {
            if flows.first().is_some_and(gone) {
                flows.iter().try_for_each(|f| self.table.remove(f)).map_err(|e| e.to_string())?;
            } else {
                self.table.put(flows, now, &mut became).map_err(|e| e.to_string())?;
            }
        }
        for put in became {
            self.put[put as usize] += 1;
        }
        Ok(())
    }

    /// When [`Flows::news`] or [`Flows::look`] is due.
    pub fn deadline(&self) -> Time {
        if self.more { Time::ZERO } else { self.next.min(self.pace.due) }
    }

    /// Looks at the next part of the table: takes old flows out, and adds those that go on and are due for it to `remind`.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn look(&mut self, now: Time, remind: &mut Vec<Flow>) -> Result<(), String> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + LOOK;
        let mut seen = Vec::new();
        let more = self.table.walk(&mut self.walk, now, ENTRIES, &mut seen);
        let more = more.map_err(|e| e.to_string())?;
        for seen in &seen {
            self.judge(now, seen, remind)?;
        }
        if !more {
            self.counted.clone_from(&self.met);
            self.met.fill(0);
            self.rounds += 1;
            self.took = now.since(self.begun);
            self.before = self.begun;
            self.begun = self.next.max(self.begun + ROUND);
            self.next = self.begun;
        }
        Ok(())
    }

    fn judge(&mut self, now: Time, seen: &Seen, remind: &mut Vec<Flow>) -> Result<(), String> {
        let Flow { key, state, .. } = seen.flow;
        let met = Met { key, state, at: seen.at };
        let round = round_of(self.took);
        let fate = age::fate(&self.timeouts, now, &met, self.rounds, round, self.before);
        if fate == Fate::Remove {
            let removed = self.table.remove_silent(seen).map_err(|e| e.to_string())?;
            self.aged += u64::from(removed);
            return Ok(());
        }
        if let Some(count) = seen.backend.and_then(|backend| self.met.get_mut(backend.index())) {
            *count += 1;
        }
        if fate == Fate::Remind {
            remind.push(seen.flow);
        }
        Ok(())
    }

    /// Flows of `backend` as of the last walk.
    pub fn of_backend(&self, backend: BackendId) -> u64 {
        self.counted.get(backend.index()).copied().unwrap_or(0)
    }

    /// The table as a whole, but for how many flows are in it now.
    pub fn totals(&self) -> FlowTotals {
        FlowTotals {
            max: self.max,
            now: 0,
            made: self.made,
            learned: self.put[Put::New as usize],
            ended: self.aged,
            refused: self.put[Put::Full as usize],
        }
    }

    /// What was told, put and taken.
    pub fn counters(&self) -> Vec<Counter> {
        let of = |put: Put| self.put[put as usize];
        [
            ("flows_told_by_programs", self.told),
            ("flows_put", of(Put::New)),
            ("flows_joined", of(Put::Known)),
            ("flows_clashed", of(Put::Clash)),
            ("flows_without_room", of(Put::Full)),
            ("flows_of_no_service_here", of(Put::Foreign)),
            ("flows_aged", self.aged),
            ("flows_walks", self.rounds),
            ("flows_walk_ms", self.took.as_millis() as u64),
        ]
        .map(|(name, count)| Counter { name: name.to_owned(), count })
        .into()
    }
}

/// How long walks take, rounded up so that it seldom changes: by it each flow's turn to be told of is counted.
fn round_of(took: Duration) -> Duration {
    let rounds = took.as_millis().div_ceil(ROUND.as_millis()).max(1);
    ROUND * (rounds as u32).next_power_of_two()
}

impl std::os::fd::AsFd for Flows {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.news.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_of_a_large_table_is_counted_as_it_takes() {
        for (ms, s) in [(0, 5), (4_999, 5), (5_000, 5), (5_001, 10), (31_000, 40), (128_000, 160)] {
            assert_eq!(round_of(Duration::from_millis(ms)), Duration::from_secs(s), "{ms}");
        }
    }
}
