//! Where this node should host nothing because of its critical checks: from red until the hold-down after it is over. Pure.

use dsc_conf::Config;
use dsc_wire::health::{CheckId, NodeLight};
use dsc_wire::{Light, NodeId, Reason, SubnetSet, Time};
use std::time::Duration;

/// Most doublings of a hold-down.
const DOUBLINGS_MAX: u32 = 5;
/// A check that was not red for so long has its earlier times forgiven.
const FORGIVE: Duration = Duration::from_secs(3600);

/// What the configuration says of one check on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Subnets on which a red one counts; none if it is not made on this node.
    pub critical: SubnetSet,
    /// How long it must be green before the node may host again.
    pub hold_down: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// It takes nothing away: it was never red, it is green for long enough, or it is switched off. Without a first verdict a
    /// check counts for nothing, else the first node of a cluster that has one would get every VIP.
    Free,
    Red,
    /// It is green again, but not for long enough.
    Held(Time),
}

/// One check.
#[derive(Clone, Copy, Debug)]
struct Watched {
    plan: Plan,
    state: State,
    /// Times it was red that are not forgiven.
    times: u32,
    last: Time,
}

/// What the configuration says of the checks, for node `me`, by number.
pub fn plans(config: &Config, me: NodeId) -> impl Iterator<Item = Plan> {
    config.checks.slots().map(move |check| Plan {
        critical: match check {
            Some(check) if check.nodes.contains(me) => check.critical,
            _ => SubnetSet::EMPTY,
        },
        hold_down: check.map_or(Duration::ZERO, |check| check.hold_down),
    })
}

/// All of them.
#[derive(Default)]
pub struct Critical {
    checks: Vec<Watched>,
}

impl Critical {
    /// By [`CheckId`].
    pub fn new(plans: impl Iterator<Item = Plan>) -> Critical {
        let mut critical = Critical::default();
        critical.change(plans);
        critical
    }

    /// Another configuration, in which checks that stay have the numbers that they had.
    pub fn change(&mut self, plans: impl Iterator<Item = Plan>) {
        let before = std::mem::take(&mut self.checks);
        let known = before.into_iter().map(Some).chain(std::iter::repeat(None));
        let watched = |(plan, was): (Plan, Option<Watched>)| match was {
            Some(was) => Watched { plan, ..was },
            None => Watched { plan, state: State::Free, times: 0, last: Time::ZERO },
        };
        self.checks = plans.zip(known).map(watched).collect();
    }

    /// Takes what the checks say now. A yellow one says nothing, unless it is switched off.
    pub fn hear(&mut self, now: Time, lights: &[NodeLight]) {
        for NodeLight { check: CheckId(n), light, reason, .. } in lights {
            let Some(own) = self.checks.get_mut(usize::from(*n)) else { continue };
            own.state = match (own.state, light) {
                (State::Red, Light::Red) => State::Red,
                (_, Light::Red) => {
                    let forgiven = now >= own.last + FORGIVE;
                    own.times = if forgiven { 1 } else { (own.times + 1).min(1 + DOUBLINGS_MAX) };
                    State::Red
                }
                (State::Red, Light::Green) => {
                    own.last = now;
                    let doublings = own.times.saturating_sub(1);
                    State::Held(now + own.plan.hold_down * (1 << doublings))
                }
                (_, Light::Yellow) if *reason == Reason::Disabled => State::Free,
                (state, _) => state,
            };
        }
    }

    /// Where the node should host nothing; ends hold-downs, so it is owed about every second.
    pub fn unfit(&mut self, now: Time) -> SubnetSet {
        let mut unfit = SubnetSet::EMPTY;
        for own in &mut self.checks {
            if matches!(own.state, State::Held(until) if now >= until) {
                own.state = State::Free;
            }
            if !matches!(own.state, State::Free) {
                own.plan.critical.iter().for_each(|subnet| unfit.insert(subnet));
            }
        }
        unfit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const BOTH: SubnetSet = SubnetSet(3);

    fn light(light: Light) -> NodeLight {
        let reason = if light == Light::Green { Reason::Answered } else { Reason::Unknown };
        NodeLight { check: CheckId(0), light, reason, since_ms: 0 }
    }

    fn one() -> Critical {
        Critical::new([Plan { critical: BOTH, hold_down: 30 * S }].into_iter())
    }

    fn says(critical: &mut Critical, at: u64, word: Light) -> SubnetSet {
        let now = Time::ZERO + S * at as u32;
        critical.hear(now, &[light(word)]);
        critical.unfit(now)
    }

    const NONE: SubnetSet = SubnetSet::EMPTY;

    #[test]
    fn only_a_red_one_takes_something_away_and_it_stands_until_there_is_another_word() {
        let mut critical = one();
        assert_eq!(critical.unfit(Time::ZERO), NONE);
        assert_eq!(says(&mut critical, 1, Light::Yellow), NONE, "no verdict yet");
        assert_eq!(says(&mut critical, 2, Light::Red), BOTH);
        assert_eq!(says(&mut critical, 3, Light::Yellow), BOTH, "the watcher was replaced");
    }

    #[test]
    fn another_configuration_keeps_what_is_known_by_number() {
        let mut critical = one();
        assert_eq!(says(&mut critical, 1, Light::Red), BOTH);
        let first = SubnetSet(1);
        let plan = |critical| Plan { critical, hold_down: 30 * S };
        critical.change([plan(first), plan(BOTH)].into_iter());
        assert_eq!(critical.unfit(Time::ZERO), first);
        critical.change([plan(NONE)].into_iter());
        assert_eq!(critical.unfit(Time::ZERO), NONE);
    }

    #[test]
    fn it_must_be_green_for_the_hold_down_and_longer_each_time() {
        let mut critical = one();
        assert_eq!(says(&mut critical, 0, Light::Green), NONE);
        assert_eq!(says(&mut critical, 10, Light::Red), BOTH);
        assert_eq!(says(&mut critical, 20, Light::Green), BOTH);
        assert_eq!(says(&mut critical, 49, Light::Green), BOTH);
        assert_eq!(says(&mut critical, 50, Light::Green), NONE);
        assert_eq!(says(&mut critical, 60, Light::Red), BOTH);
        assert_eq!(says(&mut critical, 70, Light::Green), BOTH);
        assert_eq!(says(&mut critical, 70 + 59, Light::Yellow), BOTH, "the watcher was replaced");
        assert_eq!(says(&mut critical, 70 + 60, Light::Green), NONE);
        // An hour of peace.
        assert_eq!(says(&mut critical, 70 + 3600, Light::Red), BOTH);
        assert_eq!(says(&mut critical, 70 + 3610, Light::Green), BOTH);
        assert_eq!(says(&mut critical, 70 + 3640, Light::Green), NONE);
    }

    #[test]
    fn one_that_is_switched_off_takes_nothing_away() {
        let mut critical = one();
        assert_eq!(says(&mut critical, 0, Light::Red), BOTH);
        let off = NodeLight { reason: Reason::Disabled, ..light(Light::Yellow) };
        critical.hear(Time::ZERO, &[off]);
        assert_eq!(critical.unfit(Time::ZERO), NONE);
    }

    /// A check that is green for 31 s and red for a second, an hour long: how often does the node change its mind?
    #[test]
    fn a_check_that_flaps_moves_vips_a_bounded_number_of_times() {
        for (green, red) in [(31, 1), (1, 1), (61, 3), (300, 1), (20, 5)] {
            let mut critical = one();
            let mut changes = 0;
            let mut last = critical.unfit(Time::ZERO);
            for at in 0..3600 {
                let word = if at % (green + red) < green { Light::Green } else { Light::Red };
                let now = says(&mut critical, at, word);
                changes += usize::from(now != last);
                last = now;
            }
            assert!(changes <= 14, "{green} s green, {red} s red: {changes} changes");
        }
    }
}
