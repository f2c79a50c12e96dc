//! What a prober saw, and what it means: gaps, owners over time, times with two owners. Pure; the definitions of all
//! figures that bench, demo and tests print are here.

use crate::packet::{Answer, Kind};

/// A tick's length, ns.
pub const TICK_NS: u64 = 1_000_000;

/// A node that answers nothing for so long has stopped answering; shorter pauses are one stretch.
pub const SILENCE_NS: u64 = 50 * TICK_NS;

/// Everything sent and answered in one observation.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When each tick's probes were sent, wall clock ns; the number of a tick is its index.
    pub ticks: Vec<u64>,
    /// Answers in the order of their arrival.
    pub answers: Vec<Answer>,
    /// The virtual addresses that were probed, by number.
    pub vips: Vec<usize>,
    /// Answers that came when no more could be noted.
    pub unnoted: u64,
}

/// A stretch of time in which one node answered for a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Who.
    pub node: usize,
    /// First answer, wall clock ns.
    pub from_ns: u64,
    /// Last answer.
    pub to_ns: u64,
}

/// What a client lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lost {
    /// Longest time from a probe that was not answered to the next that was, ms.
    pub longest_ms: f64,
    /// Probes not answered.
    pub probes: usize,
    /// When the longest gap began, wall clock ns.
    pub at_ns: u64,
}

impl Observed {
    /// Only what was sent or accepted in `from_ns..to_ns`.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> Observed {
        let first = self.ticks.partition_point(|t| *t < from_ns);
        let last = self.ticks.partition_point(|t| *t < to_ns);
        let in_range = |a: &&Answer| match a.question.kind {
            Kind::Plain => (first..last).contains(&(a.question.tick as usize)),
            _ => (from_ns..to_ns).contains(&a.accepted_ns),
        };
        let mut answers: Vec<Answer> = self.answers.iter().filter(in_range).copied().collect();
        for answer in &mut answers {
            answer.question.tick = answer.question.tick.saturating_sub(first as u32);
        }
        Observed {
            ticks: self.ticks[first..last.max(first)].to_vec(),
            answers,
            vips: self.vips.clone(),
            unnoted: self.unnoted,
        }
    }

    /// What a client with an ordinary socket lost of one address.
    pub fn lost(&self, vip: usize) -> Lost {
        let mut answered = vec![false; self.ticks.len()];
        for answer in self.of(vip).filter(|a| a.question.kind == Kind::Plain) {
            if let Some(tick) = answered.get_mut(answer.question.tick as usize) {
                *tick = true;
            }
        }
        let mut lost = Lost::default();
        let mut first = None;
        for (tick, answered) in answered.iter().chain([&true]).enumerate() {
            match (answered, first) {
                (false, None) => first = Some(tick),
                (true, Some(begin)) => {
                    let end = self.ticks.get(tick).copied();
                    let end = end.unwrap_or_else(|| self.ticks[tick - 1] + TICK_NS);
                    let ms = (end - self.ticks[begin]) as f64 / 1e6;
                    if ms > lost.longest_ms {
                        lost.longest_ms = ms;
                        lost.at_ns = self.ticks[begin];
                    }
                    first = None;
                }
                _ => {}
            }
            lost.probes += usize::from(!answered);
        }
        lost
    }

    /// Who answered for one address, and when, in the order of their beginnings; stretches of two nodes may
    /// overlap. A node silent for [`SILENCE_NS`] begins a new stretch.
    pub fn stretches(&self, vip: usize) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for (at, node) in self.sequence(vip) {
            match stretches.iter_mut().rev().find(|s| s.node == node) {
                Some(last) if at < last.to_ns + SILENCE_NS => last.to_ns = at,
                _ => stretches.push(Stretch { node, from_ns: at, to_ns: at }),
            }
        }
        stretches
    }

    /// Milliseconds in which two nodes answered for one address: two nodes accepted something in the same
    /// millisecond, and it was not one clean change from the one to the other, because within the milliseconds
    /// around it a node answers again after another has.
    pub fn duplicate_ms(&self, vip: usize) -> u64 {
        let sequence = self.sequence(vip);
        let window = |at: u64| at / TICK_NS;
        let mut count = 0;
        let mut begin = 0;
        while begin < sequence.len() {
            let this = window(sequence[begin].0);
            let end = begin + sequence[begin..].partition_point(|(at, _)| window(*at) == this);
            let mixed = sequence[begin..end].iter().any(|(_, n)| *n != sequence[begin].1);
            if mixed {
                let from = sequence.partition_point(|(at, _)| window(*at) + 1 < this);
                let to = sequence.partition_point(|(at, _)| window(*at) <= this + 1);
                count += u64::from(returns(&sequence[from..to]));
            }
            begin = end;
        }
        count
    }

    /// How often a client with an ordinary socket was answered by another node than before.
    pub fn moves(&self, vip: usize) -> usize {
        let plain = self.of(vip).filter(|a| a.question.kind == Kind::Plain);
        let mut order: Vec<(u64, u8)> = plain.map(|a| (a.accepted_ns, a.node)).collect();
        order.sort_unstable();
        order.windows(2).filter(|pair| pair[0].1 != pair[1].1).count()
    }

    /// Time from `at_ns` until a node other than `old` first answered for one address, ms; none if none did.
    pub fn takeover_ms(&self, vip: usize, at_ns: u64, old: usize) -> Option<f64> {
        let first = self.sequence(vip).into_iter().find(|(at, n)| *at >= at_ns && *n != old)?;
        Some((first.0 - at_ns) as f64 / 1e6)
    }

    /// Who answered last for one address.
    pub fn owner(&self, vip: usize) -> Option<usize> {
        self.sequence(vip).last().map(|(_, node)| *node)
    }

    fn of(&self, vip: usize) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(move |a| usize::from(a.question.vip) == vip)
    }

    /// Answers for one address in the order in which kernels accepted them.
    fn sequence(&self, vip: usize) -> Vec<(u64, usize)> {
        let mut all: Vec<(u64, usize)> =
            self.of(vip).map(|a| (a.accepted_ns, usize::from(a.node))).collect();
        all.sort_unstable();
        all
    }
}

/// Does a node answer again after another has answered in between?
fn returns(sequence: &[(u64, usize)]) -> bool {
    let mut owners: Vec<usize> = sequence.iter().map(|(_, n)| *n).collect();
    owners.dedup();
    let changes = owners.len();
    owners.sort_unstable();
    owners.dedup();
    owners.len() < changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Question;

    const START: u64 = 1_700_000_000_000_000_000;

    /// A text per node, one character per ms: '#' where it answers.
    fn observed(rows: &[&str]) -> Observed {
        let ticks: Vec<u64> = (0..rows[0].len() as u64).map(|t| START + t * TICK_NS).collect();
        let mut answers = Vec::new();
        for (node, row) in rows.iter().enumerate() {
            for (tick, _) in row.bytes().enumerate().filter(|(_, c)| *c == b'#') {
                answers.push(Answer {
                    question: Question { kind: Kind::Plain, vip: 0, tick: tick as u32 },
                    node: node as u8,
                    accepted_ns: ticks[tick] + 1000 * node as u64,
                });
            }
        }
        Observed { ticks, answers, vips: vec![0], unnoted: 0 }
    }

    #[test]
    fn a_gap_is_from_the_first_lost_probe_to_the_next_answered_one() {
        let seen = observed(&["###....#..", ".........."]);
        let lost = seen.lost(0);
        assert_eq!((lost.longest_ms, lost.probes, lost.at_ns), (4.0, 6, START + 3 * TICK_NS));
        assert_eq!(observed(&["####"]).lost(0), Lost::default());
    }

    #[test]
    fn a_clean_change_is_no_duplicate_and_an_overlap_is() {
        assert_eq!(observed(&["####....", "....####"]).duplicate_ms(0), 0);
        // One millisecond in which the old node answers before the new one.
        assert_eq!(observed(&["#####...", "....####"]).duplicate_ms(0), 0);
        // The old one goes on after the new one has begun.
        assert_eq!(observed(&["#######.", "....####"]).duplicate_ms(0), 3);
        assert_eq!(observed(&["########", "########"]).duplicate_ms(0), 8);
        // The same with the nodes' order reversed, so that the new one is asked first.
        assert_eq!(observed(&["....####", "####...."]).duplicate_ms(0), 0);
        assert_eq!(observed(&["....####", "#######."]).duplicate_ms(0), 3);
    }

    #[test]
    fn stretches_moves_and_takeover_follow_the_answers() {
        let seen = observed(&["###.....", ".....###"]);
        let nodes: Vec<usize> = seen.stretches(0).iter().map(|s| s.node).collect();
        assert_eq!((nodes, seen.moves(0), seen.owner(0)), (vec![0, 1], 1, Some(1)));
        let takeover = seen.takeover_ms(0, START + 3 * TICK_NS, 0).unwrap();
        assert!((2.0..2.1).contains(&takeover));
        assert_eq!(seen.takeover_ms(0, START, 1), Some(0.0));
    }

    #[test]
    fn a_part_has_its_own_tick_numbers() {
        let seen = observed(&["###..###", "........"]);
        let part = seen.between(START + 4 * TICK_NS, START + 8 * TICK_NS);
        assert_eq!((part.ticks.len(), part.lost(0).probes), (4, 1));
        assert_eq!(seen.between(START + 5 * TICK_NS, START + 8 * TICK_NS).lost(0).probes, 0);
    }
}
