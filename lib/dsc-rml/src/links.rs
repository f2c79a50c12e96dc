//! Which of this node's subnets work at all. Called by `rml` after time-outs; wants probes, sends nothing itself.
//!
//! A path that fails may be the peer's fault, the path's, or this node's. It is the path's if the peer answered on
//! another one meanwhile. It is this node's subnet that is dead if that holds for every peer that can be asked:
//!
//! ```text
//!  a try fails on subnet s ── peer silent everywhere ──> no verdict about s
//!        │ peer answers elsewhere
//!        ├─ ask it again on s, and some others on s and elsewhere at the same time
//!        ├─ anyone answers on s ──> s is linked
//!        └─ nobody left who might ──> s is not linked
//! ```

use crate::pace::Pace;
use crate::peer::Peer;
use dsc_wire::ids::SUBNETS_MAX;
use dsc_wire::{SubnetId, SubnetSet, Time};
use std::time::Duration;

/// Others asked at once about a subnet in doubt. As many, with the first, that find it dead while they answer
/// elsewhere are believed without asking the rest, so that the verdict takes no longer in a large cluster.
const WITNESSES: usize = 3;

/// What is known about this node's subnets.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    mine: SubnetSet,
    linked: SubnetSet,
    /// Newest sent time of the answered tries on each subnet, to any peer.
    good: [Time; SUBNETS_MAX],
    /// Newest sent time of the tries on each subnet that arrived without being answered, and when a packet last came by
    /// it: together they show as much as an answer.
    carried: [Time; SUBNETS_MAX],
    heard: [Time; SUBNETS_MAX],
    /// When somebody was last asked because a subnet was quiet.
    watched: [Time; SUBNETS_MAX],
    /// Subnets with a try that failed in this turn.
    doubted: SubnetSet,
    /// Newest try that arrived on any subnet, or the end of a stall of this node.
    lively: Time,
    surveyed: Time,
}

impl Links {
    pub fn new(mine: SubnetSet, now: Time) -> Links {
        Links {
            mine,
            linked: SubnetSet::EMPTY,
            good: [Time::ZERO; SUBNETS_MAX],
            carried: [Time::ZERO; SUBNETS_MAX],
            heard: [Time::ZERO; SUBNETS_MAX],
            watched: [Time::ZERO; SUBNETS_MAX],
            doubted: SubnetSet::EMPTY,
            lively: now,
            surveyed: now,
        }
    }

    /// This node is on these subnets from now on.
    pub fn change(&mut self, mine: SubnetSet) {
        self.mine = mine;
        self.linked = SubnetSet(self.linked.0 & mine.0);
    }

    /// The subnets that work; none after a long silence, when nothing is known any more.
    pub fn linked(&self, pace: &Pace, now: Time) -> SubnetSet {
        if now > self.lively + pace.silence { SubnetSet::EMPTY } else { self.linked }
    }

    /// Somebody answered a try on `subnet`.
    pub fn confirm(&mut self, subnet: SubnetId, sent: Time) {
        let good = &mut self.good[subnet.index()];
        *good = sent.max(*good);
        self.lively = self.lively.max(sent);
        self.linked.insert(subnet);
    }

    /// A try on `subnet` arrived without an answer.
    pub fn carry(&mut self, subnet: SubnetId, sent: Time) {
        let carried = &mut self.carried[subnet.index()];
        *carried = sent.max(*carried);
        self.lively = self.lively.max(sent);
    }

    /// A packet came by `subnet`.
    pub fn hear(&mut self, subnet: SubnetId, now: Time) {
        self.heard[subnet.index()] = now;
    }

    fn proven(&self, subnet: SubnetId, delay: Duration) -> Time {
        let at = subnet.index();
        self.good[at].max((self.carried[at] + delay).min(self.heard[at]))
    }

    /// A try on `subnet` failed.
    pub fn doubt(&mut self, subnet: SubnetId) {
        self.doubted.insert(subnet);
    }

    /// This node was not running: silence meanwhile means nothing.
    pub fn restart(&mut self, now: Time) {
        self.lively = now;
        self.watched = [now; SUBNETS_MAX];
        self.surveyed = now;
    }

    /// When [`Links::tick`] has something to do.
    pub fn deadline(&self, pace: &Pace, peers: &[Peer]) -> Time {
        let healthy = |s: Option<SubnetId>| {
            peers.iter().any(|p| {
                p.paths.list.iter().any(|p| p.healthy() && s.is_none_or(|s| s == p.subnet))
            })
        };
        let survey = if healthy(None) { self.surveyed + pace.survey } else { Time::NEVER };
        let watch = self.mine.iter().filter(|s| healthy(Some(*s))).map(|s| self.watch(s, pace));
        watch.chain([survey]).min().unwrap_or(Time::NEVER)
    }

    fn watch(&self, subnet: SubnetId, pace: &Pace) -> Time {
        // What is sent tacitly is known to have arrived a rotation later.
        let proven = self.proven(subnet, pace.period);
        proven.max(self.watched[subnet.index()]) + pace.watch
    }

    /// Judges the subnets in doubt and has quiet ones looked at. `peers` want their probes sent afterwards.
    pub fn tick(&mut self, pace: &Pace, peers: &mut [Peer], now: Time) {
        for subnet in std::mem::take(&mut self.doubted).iter() {
            self.judge(subnet, pace, peers, now);
        }
        for subnet in self.mine.iter() {
            if now >= self.watch(subnet, pace) {
                self.watched[subnet.index()] = now;
                ask(subnet, 1, peers, now, false);
            }
        }
        if now >= self.surveyed + pace.survey {
            self.surveyed = now;
            let paths = peers.iter_mut().flat_map(|p| &mut p.paths.list);
            let stalest = paths
                .filter(|p| p.healthy() && !p.asked())
                .min_by_key(|p| p.measured.max(p.probed))
                .filter(|p| now >= p.measured.max(p.probed) + pace.watch);
            if let Some(path) = stalest {
                path.probe_due = now;
            }
        }
    }

    fn judge(&mut self, subnet: SubnetId, pace: &Pace, peers: &mut [Peer], now: Time) {
        let good = self.proven(subnet, Duration::ZERO);
        let (mut suspect, mut down, mut hopeful) = (false, 0, false);
        for peer in peers.iter() {
            let Some(path) = peer.paths.list.iter().find(|p| p.subnet == subnet) else { continue };
            let its_fault = path.misses > 0 && peer.paths.proved_elsewhere(subnet, path.first_miss);
            if its_fault {
                // One that failed before somebody else last answered is old news.
                let counts = path.first_miss >= good;
                suspect |= counts;
                down += usize::from(counts && !path.up);
                hopeful |= path.up && path.asked();
            } else {
                let may_be_stalled = now < peer.heard + pace.patience;
                hopeful |= path.healthy() || path.asked() || may_be_stalled;
            }
        }
        if down > WITNESSES || (down > 0 && !hopeful) {
            self.linked.remove(subnet);
        } else if suspect && hopeful {
            ask(subnet, WITNESSES, peers, now, true);
        }
    }
}

/// Has up to `count` peers probed on `subnet`, the ones heard most recently first, and `elsewhere` too, if that is
/// needed to tell a dead peer from a dead subnet.
fn ask(subnet: SubnetId, count: usize, peers: &mut [Peer], now: Time, elsewhere: bool) {
    for _ in 0..count {
        let fits = |p: &&mut Peer| {
            p.paths.list.iter().any(|p| p.subnet == subnet && p.healthy() && !p.asked())
        };
        let Some(peer) = peers.iter_mut().filter(fits).max_by_key(|p| p.heard) else { return };
        let mut others = usize::from(elsewhere);
        for path in &mut peer.paths.list {
            if path.subnet == subnet {
                path.probe_due = now;
            } else if others > 0 && path.healthy() {
                others -= 1;
                if !path.asked() {
                    path.probe_due = now;
                }
            }
        }
    }
}
