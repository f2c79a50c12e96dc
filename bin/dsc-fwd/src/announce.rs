//! When to announce which VIP: a burst when this node begins to host it or its ring has changed (after a merge the winner's
//! neighbours may believe the loser), then a refresh, below the ageing time of switches. Pure: time and states are arguments.

use dsc_wire::key::Epoch;
use dsc_wire::{Time, VipId};
use std::collections::BTreeMap;
use std::time::Duration;

/// The burst, in milliseconds after its start: at once, for the quickest failover; later, because frames get lost and
/// switches that were just connected hold them back.
const BURST_MS: [u64; 5] = [0, 20, 100, 300, 1000];
/// The first announcement of a burst that comes with a question who else has the VIP: the questions must not keep back the
/// announcements of a takeover, and three of them, as RFC 5227 asks for, are left.
const ASK_FROM: usize = 2;
/// After the burst.
const REFRESH: Duration = Duration::from_secs(60);

/// Does a question who else has the VIP go with this announcement of its burst? With each refresh one does.
pub fn asks(step: usize) -> bool {
    step >= ASK_FROM
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    start: Time,
    step: usize,
    due: Time,
}

/// The plan for each VIP that is hosted here.
#[derive(Default)]
pub struct Announcer {
    plans: BTreeMap<VipId, Plan>,
    epoch: Option<Epoch>,
}

impl Announcer {
    /// This node hosts exactly `hosted` now. VIPs that were not hosted before are announced at once.
    pub fn hosts(&mut self, now: Time, hosted: &[VipId]) {
        self.plans.retain(|vip, _| hosted.contains(vip));
        for vip in hosted {
            self.plans.entry(*vip).or_insert_with(|| Plan::burst(now));
        }
    }

    /// The ring's epoch: if it changed, everything is announced again.
    pub fn epoch(&mut self, now: Time, epoch: Epoch) {
        if self.epoch.replace(epoch).is_some_and(|before| before != epoch) {
            self.again(now);
        }
    }

    /// Announces everything again, as after an interface came back.
    pub fn again(&mut self, now: Time) {
        for plan in self.plans.values_mut() {
            *plan = Plan::burst(now);
        }
    }

    /// When [`Announcer::due`] next has something.
    pub fn deadline(&self) -> Time {
        self.plans.values().map(|plan| plan.due).min().unwrap_or(Time::NEVER)
    }

    /// What to announce now, each with the number of the announcement in its burst.
    pub fn due(&mut self, now: Time) -> Vec<(VipId, usize)> {
        let mut due = Vec::new();
        for (vip, plan) in self.plans.iter_mut().filter(|(_, plan)| plan.due <= now) {
            due.push((*vip, plan.step));
            plan.advance(now);
        }
        due
    }
}

impl Plan {
    fn burst(now: Time) -> Plan {
        Plan { start: now, step: 0, due: now }
    }

    /// A late turn skips nothing, but never sends two at once.
    fn advance(&mut self, now: Time) {
        self.step += 1;
        self.due = match BURST_MS.get(self.step) {
            Some(ms) => (self.start + Duration::from_millis(*ms)).max(now),
            None => now + REFRESH,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::key::Key;

    const VIP: VipId = VipId(3);

    fn epoch(counter: u32) -> Epoch {
        Epoch { counter, ..Key::ZERO.epoch }
    }

    /// Runs to `until` and returns when the VIP was announced, in milliseconds.
    fn run(announcer: &mut Announcer, until_ms: u64) -> Vec<u64> {
        let mut times = Vec::new();
        while announcer.deadline() <= Time::from_ms(until_ms) {
            let now = announcer.deadline();
            times.extend(announcer.due(now).iter().map(|_| now.0 / 1_000_000));
        }
        times
    }

    #[test]
    fn a_burst_and_then_refreshes() {
        let mut announcer = Announcer::default();
        assert_eq!(announcer.deadline(), Time::NEVER);
        announcer.hosts(Time::from_ms(50), &[VIP]);
        assert_eq!(run(&mut announcer, 122_000), [50, 70, 150, 350, 1050, 61_050, 121_050]);
    }

    #[test]
    fn being_told_the_same_changes_nothing_and_losing_it_ends_it() {
        let mut announcer = Announcer::default();
        announcer.hosts(Time::from_ms(0), &[VIP]);
        assert_eq!(run(&mut announcer, 20), [0, 20]);
        announcer.hosts(Time::from_ms(30), &[VIP]);
        assert_eq!(run(&mut announcer, 300), [100, 300]);
        announcer.hosts(Time::from_ms(400), &[]);
        assert_eq!(run(&mut announcer, 200_000), [0; 0]);
        announcer.hosts(Time::from_ms(300_000), &[VIP]);
        assert_eq!(run(&mut announcer, 300_020), [300_000, 300_020]);
    }

    #[test]
    fn another_epoch_starts_a_burst_and_the_first_does_not() {
        let mut announcer = Announcer::default();
        announcer.hosts(Time::from_ms(0), &[VIP]);
        announcer.epoch(Time::from_ms(0), epoch(4));
        run(&mut announcer, 5_000);
        announcer.epoch(Time::from_ms(6_000), epoch(4));
        assert_eq!(run(&mut announcer, 7_000), [0; 0]);
        announcer.epoch(Time::from_ms(7_000), epoch(5));
        assert_eq!(run(&mut announcer, 9_000), [7_000, 7_020, 7_100, 7_300, 8_000]);
    }

    #[test]
    fn a_burst_asks_three_times_and_each_refresh_once() {
        let mut announcer = Announcer::default();
        announcer.hosts(Time::from_ms(0), &[VIP]);
        let mut asked = Vec::new();
        while announcer.deadline() <= Time::from_ms(121_000) {
            let now = announcer.deadline();
            asked.extend(announcer.due(now).iter().filter(|(_, step)| asks(*step)).map(|_| now));
        }
        assert_eq!(asked, [100, 300, 1000, 61_000, 121_000].map(Time::from_ms));
    }

    #[test]
    fn a_late_turn_announces_once() {
        let mut announcer = Announcer::default();
        announcer.hosts(Time::from_ms(0), &[VIP]);
        assert_eq!(announcer.due(Time::from_ms(500)), [(VIP, 0)]);
        assert_eq!(announcer.due(Time::from_ms(500)), [(VIP, 1)]);
        assert_eq!(announcer.deadline(), Time::from_ms(500));
    }
}
