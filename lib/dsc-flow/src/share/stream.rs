//! What one peer told in one of its lives, and what is missing of it. Called by `machine`.
//!
//! A record behind a gap is brought into the table at once, because a flow in use cannot wait, and once more in its turn,
//! because only the order of a stream says how a key that ended and began anew stands.

use super::log::REPEAT_MAX;
use dsc_wire::{Flow, FlowState, Time};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

/// Most records held behind a gap, for each peer; some 600 KiB.
const HOLD_MAX: usize = 4_096;
/// Between two requests for what is missing: at first longer than a round trip, so that an answer is not outrun.
const ASK_MIN: Duration = Duration::from_millis(2);
const ASK_MAX: Duration = Duration::from_millis(200);
/// What a peer told last: records of so long, at most so many. While it lives its position shows every loss in that time,
/// even on a bad network.
const RECENT: Duration = Duration::from_secs(2);
const RECENT_MAX: usize = 1_024;
/// No stream gets this far ahead of what is known of it: twelve days of a million records a second.
const JUMP_MAX: u64 = 1 << 40;

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub fresh: u64,
    /// Of the fresh ones, those that are opening.
    pub opening: u32,
    pub known: u64,
    pub unheld: u64,
}

impl Taken {
    fn add(&mut self, flow: &Flow) {
        self.fresh += 1;
        self.opening += u32::from(flow.state == FlowState::Opening);
    }
}

/// The stream of one life of a peer.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The peer knows all flows, as it said last.
    pub ready: bool,
    /// What came before was not told to this node: it needs a copy that has it.
    floor: u64,
    /// All records from `floor` to here are in the table.
    next: u64,
    /// The peer has told so many, as far as is known.
    known: u64,
    ahead: BTreeMap<u64, Flow>,
    /// The latest records, in the order of their arrival.
    recent: VecDeque<(Time, Flow)>,
    /// The end of what was asked for last, and when to ask again.
    asked: u64,
    ask_due: Time,
    ask_wait: Duration,
}

impl Stream {
    /// Starts at `floor`.
    pub fn new(floor: u64) -> Stream {
        Stream {
            ready: false,
            floor,
            next: floor,
            known: floor,
            ahead: BTreeMap::new(),
            recent: VecDeque::new(),
            asked: floor,
            ask_due: Time::ZERO,
            ask_wait: ASK_MIN,
        }
    }

    /// All before this are here.
    pub fn received(&self) -> u64 {
        self.next
    }

    /// The peer has told all before this.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// Can a position of this stream be that far?
    pub fn believes(&self, position: u64) -> bool {
        position.saturating_sub(self.known) < JUMP_MAX
    }

    /// Is something missing?
    pub fn has_gap(&self) -> bool {
        self.next < self.known
    }

    /// The peer has told all before `position`. Returns whether a gap appears by it.
    pub fn learn(&mut self, position: u64) -> bool {
        let had = self.has_gap();
        self.known = self.known.max(position);
        !had && self.has_gap()
    }

    /// Takes records; those to be brought into the table now are added to `apply`, in order.
    pub fn take(
        &mut self,
        now: Time,
        first: u64,
        flows: Vec<Flow>,
        apply: &mut Vec<Flow>,
    ) -> Taken {
        let mut taken = Taken::default();
        for (position, flow) in (first..).zip(flows) {
            if position < self.next {
                taken.known += 1;
            } else if position == self.next {
                let early = self.ahead.remove(&position).is_some();
                taken.known += u64::from(early);
                if !early {
                    taken.add(&flow);
                    self.note(now, flow);
                }
                self.next += 1;
                apply.push(flow);
                self.catch_up(apply);
            } else if self.ahead.contains_key(&position) {
                taken.known += 1;
            } else if self.ahead.len() >= HOLD_MAX {
                taken.unheld += 1;
            } else {
                taken.add(&flow);
                self.note(now, flow);
                if flow.state != FlowState::Gone {
                    apply.push(flow);
                }
                self.ahead.insert(position, flow);
            }
        }
        taken
    }

    fn note(&mut self, now: Time, flow: Flow) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((now, flow));
    }

    /// The peer went away, and may have told this node what others missed: the last record of each flow that it told of
    /// shortly before, where the flow has not ended.
    pub fn last_words(&mut self) -> Vec<Flow> {
        let until = self.recent.back().map_or(Time::ZERO, |(at, _)| *at);
        let mut seen = HashSet::new();
        let recent = std::mem::take(&mut self.recent).into_iter().rev();
        let recent = recent.take_while(|(at, _)| until <= *at + RECENT).map(|(_, flow)| flow);
        recent.filter(|f| seen.insert(f.key) && f.state != FlowState::Gone).collect()
    }

    fn catch_up(&mut self, apply: &mut Vec<Flow>) {
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() != self.next {
                break;
            }
            self.next += 1;
            apply.push(entry.remove());
        }
        self.ask_wait = ASK_MIN;
    }

    /// The peer cannot repeat what is before `oldest`. Returns whether something of it was missing; it is not waited for.
    pub fn give_up(&mut self, oldest: u64, apply: &mut Vec<Flow>) -> bool {
        if self.next >= oldest {
            return false;
        }
        // What came early came without its order, but a copy brings nothing newer.
        let rest = self.ahead.split_off(&oldest);
        apply.extend(std::mem::replace(&mut self.ahead, rest).into_values());
        self.floor = oldest;
        self.next = oldest;
        self.known = self.known.max(oldest);
        self.catch_up(apply);
        true
    }

    /// A copy has what came before `position`, and needs all after it.
    pub fn go_back(&mut self, position: u64) {
        if position < self.floor {
            self.floor = position;
            self.next = position;
            self.asked = position;
            self.ahead.clear();
        }
    }

    /// When [`Stream::ask`] has something to ask.
    pub fn ask_due(&self) -> Time {
        match self.has_gap() {
            false => Time::NEVER,
            // All that was asked for came: on with the next.
            true if self.next >= self.asked => Time::ZERO,
            true => self.ask_due,
        }
    }

    /// What to ask for now: the first, how many.
    pub fn ask(&mut self, now: Time) -> Option<(u64, u32)> {
        if now < self.ask_due() {
            return None;
        }
        if self.next >= self.asked {
            self.ask_wait = ASK_MIN;
        }
        let end = self.ahead.keys().next().copied().unwrap_or(self.known);
        let count = (end - self.next).min(u64::from(REPEAT_MAX)) as u32;
        self.asked = self.next + u64::from(count);
        self.ask_due = now + self.ask_wait;
        self.ask_wait = (self.ask_wait * 2).min(ASK_MAX);
        Some((self.next, count))
    }
}
