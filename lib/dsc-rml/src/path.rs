//! The paths to one peer: which of them work, how fast they are, which is next. Tries and answers come in from
//! `peer`; nothing is sent from here.

use crate::pace::{Pace, trim};
use dsc_wire::{SubnetId, SubnetSet, Time};
use std::time::Duration;

/// Unanswered tries in a row that take a path down.
const MISSES_DOWN: u8 = 3;

/// One path to one peer. "Sent" is always when the try in question was sent.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub subnet: SubnetId,
    /// Did it work both ways when last tried?
    pub up: bool,
    /// Newest sent time of all tries that were answered, or are known to have arrived.
    pub confirmed: Time,
    /// Newest sent time of the answered ones, which measure the round trip.
    pub measured: Time,
    pub srtt_us: u32,
    rttvar_us: u32,
    /// Unanswered tries since the last answer.
    pub misses: u8,
    /// Sent time of the first and of the last of them.
    pub first_miss: Time,
    last_miss: Time,
    /// When the last probe was sent, and whether it is still awaited.
    pub probed: Time,
    pub probing: bool,
    /// When an awaited probe counts as unanswered.
    probe_end: Time,
    /// When to send the next probe.
    pub probe_due: Time,
}

impl Path {
    fn new(subnet: SubnetId) -> Path {
        Path {
            subnet,
            up: false,
            confirmed: Time::ZERO,
            measured: Time::ZERO,
            srtt_us: 0,
            rttvar_us: 0,
            misses: MISSES_DOWN,
            first_miss: Time::ZERO,
            last_miss: Time::ZERO,
            probed: Time::ZERO,
            probing: false,
            probe_end: Time::NEVER,
            probe_due: Time::NEVER,
        }
    }

    /// Time-out of a first try (RFC 6298 §2, with bounds that fit a LAN).
    pub fn rto(&self, pace: &Pace) -> Duration {
        let us = u64::from(self.srtt_us) + 4 * u64::from(self.rttvar_us);
        Duration::from_micros(us).clamp(pace.floor, pace.ceiling)
    }

    /// When an awaited probe counts as unanswered.
    pub fn probe_end(&self) -> Time {
        if self.probing { self.probe_end } else { Time::NEVER }
    }

    /// A probe was sent.
    pub fn probe(&mut self, now: Time, pace: &Pace) {
        self.probe_due = Time::NEVER;
        self.probed = trim(now);
        self.probing = true;
        self.probe_end = now + self.rto(pace);
    }

    /// In use without doubt.
    pub fn healthy(&self) -> bool {
        self.up && self.misses == 0
    }

    /// A probe is awaited or about to be sent.
    pub fn asked(&self) -> bool {
        self.probing || self.probe_due != Time::NEVER
    }

    /// A try was answered. Returns whether the path came up by it.
    pub fn confirm(&mut self, sent: Time, now: Time) -> bool {
        self.measure(u32::try_from(now.since(sent).as_micros()).unwrap_or(u32::MAX));
        self.confirmed = self.confirmed.max(sent);
        self.measured = self.measured.max(sent);
        self.misses = 0;
        self.probe_due = Time::NEVER;
        if sent >= self.probed {
            self.probing = false;
        }
        !std::mem::replace(&mut self.up, true)
    }

    /// A try is known to have arrived, though it was not answered. That it would be on this path is for others to show.
    pub fn carried(&mut self, sent: Time) {
        self.confirmed = self.confirmed.max(sent);
    }

    /// A try timed out. Returns whether the path went down by it. Tries sent at about the same time are one: a moment's
    /// silence is no proof.
    pub fn miss(&mut self, sent: Time, pace: &Pace) -> bool {
        if self.confirmed >= sent || (self.misses > 0 && sent < self.last_miss + pace.floor / 2) {
            return false;
        }
        if self.misses == 0 {
            self.first_miss = sent;
        }
        self.last_miss = self.last_miss.max(sent);
        self.misses = self.misses.saturating_add(1);
        self.up && self.misses >= MISSES_DOWN && self.fell()
    }

    /// The peer cannot be reached on any path. Returns whether this one went down by it.
    pub fn give_up(&mut self, sent: Time) -> bool {
        if self.misses == 0 {
            self.first_miss = sent;
        }
        self.misses = self.misses.max(MISSES_DOWN);
        self.up && self.fell()
    }

    fn fell(&mut self) -> bool {
        self.up = false;
        true
    }

    /// Smooths the round-trip time (RFC 6298 §2). A late answer after a stall tells little: one second at most.
    fn measure(&mut self, rtt_us: u32) {
        let rtt_us = rtt_us.min(1_000_000);
        if self.srtt_us == 0 {
            self.srtt_us = rtt_us.max(1);
            self.rttvar_us = rtt_us / 2;
        } else {
            self.rttvar_us = (3 * self.rttvar_us + self.srtt_us.abs_diff(rtt_us)) / 4;
            self.srtt_us = ((7 * self.srtt_us + rtt_us) / 8).max(1);
        }
    }
}

/// All paths to one peer.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub list: Vec<Path>,
    turn: usize,
}

impl Paths {
    pub fn new(shared: SubnetSet) -> Paths {
        Paths { list: shared.iter().map(Path::new).collect(), turn: 0 }
    }

    /// Keeps what is known of those that stay.
    pub fn share(&mut self, shared: SubnetSet) {
        self.list.retain(|p| shared.contains(p.subnet));
        let known = self.all();
        self.list.extend(shared.iter().filter(|s| !known.contains(*s)).map(Path::new));
        self.list.sort_by_key(|p| p.subnet);
        self.turn = 0;
    }

    pub fn get(&mut self, subnet: SubnetId) -> Option<&mut Path> {
        self.list.iter_mut().find(|p| p.subnet == subnet)
    }

    /// Every shared subnet.
    pub fn all(&self) -> SubnetSet {
        self.list.iter().map(|p| p.subnet).collect()
    }

    /// Does any path work?
    pub fn any_up(&self) -> bool {
        self.list.iter().any(|p| p.up)
    }

    /// Newest sent time of the tries that arrived on any path.
    pub fn confirmed(&self) -> Time {
        self.list.iter().map(|p| p.confirmed).max().unwrap_or(Time::ZERO)
    }

    /// Did a try on a path other than `subnet` arrive that was sent at `since` or later? Then the peer was alive, and a
    /// try on `subnet` that failed was the path's fault.
    pub fn proved_elsewhere(&self, subnet: SubnetId, since: Time) -> bool {
        self.list.iter().any(|p| p.subnet != subnet && p.confirmed >= since)
    }

    /// The next path in turn: one without doubt that `tried` does not hold, else one that works, else any untried,
    /// else any. There is at least one path.
    pub fn next(&mut self, tried: SubnetSet) -> &Path {
        let n = self.list.len();
        let turn = self.turn;
        let find = |fits: &dyn Fn(&Path) -> bool| {
            (0..n).map(|i| (turn + i) % n).find(|i| fits(&self.list[*i]))
        };
        let untried = |p: &Path| !tried.contains(p.subnet);
        let at = find(&|p| p.healthy() && untried(p))
            .or_else(|| find(&|p| p.up && untried(p)))
            .or_else(|| find(&untried))
            .unwrap_or(turn % n);
        self.turn = (at + 1) % n;
        &self.list[at]
    }

    /// A probe on `subnet` failed, and nobody knows whose fault it is: tries another path that worked, unless that was
    /// done. Paths that are down would ask for each other for ever.
    pub fn cross_check(&mut self, subnet: SubnetId, sent: Time, now: Time) {
        let first = self.get(subnet).map_or(now, |p| p.first_miss);
        if self.proved_elsewhere(subnet, first) {
            return;
        }
        let tried = |p: &Path| p.asked() || p.confirmed.max(p.probed) >= sent;
        if !self.list.iter().any(|p| p.subnet != subnet && tried(p))
            && let Some(other) = self.list.iter_mut().find(|p| p.subnet != subnet && p.up)
        {
            other.probe_due = now;
        }
    }

    /// Wants probes where there is doubt: at once while a path that failed is still up and the peer proved to be alive
    /// on another; once in a period, while the peer goes on proving that, when it is down.
    pub fn arm(&mut self, pace: &Pace, now: Time) {
        for i in 0..self.list.len() {
            let path = &self.list[i];
            if path.misses == 0 || path.asked() {
                continue;
            }
            let (since, gap) =
                if path.up { (path.first_miss, pace.floor) } else { (path.probed, pace.period) };
            if self.proved_elsewhere(path.subnet, since) {
                let due = now.max(path.probed + gap);
                self.list[i].probe_due = due;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::Timing;

    const A: SubnetId = SubnetId(0);
    const B: SubnetId = SubnetId(3);

    fn two() -> Paths {
        let mut paths = Paths::new([A, B].into_iter().collect());
        for path in &mut paths.list {
            assert!(path.confirm(Time::from_ms(1), Time::from_ms(1)));
        }
        paths
    }

    #[test]
    fn healthy_paths_take_turns_and_a_doubtful_one_is_left_out() {
        let pace = Pace::new(&Timing::DEFAULT);
        let mut paths = two();
        let none = SubnetSet::EMPTY;
        let turns: Vec<_> = (0..4).map(|_| paths.next(none).subnet).collect();
        assert_eq!(turns, [A, B, A, B]);
        assert!(!paths.get(A).unwrap().miss(Time::from_ms(2), &pace));
        assert_eq!((paths.next(none).subnet, paths.next(none).subnet), (B, B));
        assert_eq!(paths.next([B].into_iter().collect()).subnet, A, "a retry takes the other path");
    }

    #[test]
    fn three_tries_in_a_row_take_a_path_down_and_one_answer_brings_it_back() {
        let pace = Pace::new(&Timing::DEFAULT);
        let mut paths = two();
        let path = paths.get(A).unwrap();
        assert!(!path.miss(Time::from_ms(10), &pace));
        assert!(!path.miss(Time::from_ms(11), &pace), "the same moment counts once");
        assert!(!path.miss(Time::from_ms(14), &pace));
        assert!(path.miss(Time::from_ms(18), &pace) && !path.up);
        assert!(!path.miss(Time::from_ms(22), &pace), "down already");
        assert!(path.confirm(Time::from_ms(30), Time::from_ms(31)) && path.healthy());
        assert!(!path.miss(Time::from_ms(29), &pace), "an older try is no news");
        assert_eq!(path.misses, 0);
    }

    #[test]
    fn the_time_out_follows_the_answers_within_its_bounds() {
        let pace = Pace::new(&Timing::DEFAULT);
        let mut paths = two();
        let path = paths.get(A).unwrap();
        let answer = |path: &mut Path, us: u64| {
            path.confirm(Time::from_ms(1_000), Time::from_ms(1_000) + Duration::from_micros(us));
        };
        (0..50).for_each(|_| answer(path, 100));
        assert_eq!(path.rto(&pace), pace.floor);
        (0..50).for_each(|_| answer(path, 5_000));
        assert!(path.rto(&pace) > pace.floor && path.rto(&pace) < pace.ceiling);
        (0..50).for_each(|_| answer(path, 80_000));
        assert_eq!(path.rto(&pace), pace.ceiling);
    }
}
