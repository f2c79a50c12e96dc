//! Which VIP moves to even out the load, and where (§A.5, rule 20). Pure on plain values; `load.rs` feeds it from the
//! token and remembers, `assign.rs` carries it out.
//!
//! Why it comes to rest. A move of a VIP of load w from a member with load A to one with load B is made only if both end
//! below A by the hysteresis, h: A - w <= A - hA and B + w <= A - hA. The sum of the squares of all loads falls by
//! 2 w (A - B - w) >= 2 (hA)², so with constant loads no placement ever comes again, and there are finitely many. Loads that
//! swing faster than they are forgotten (see `load.rs`) count as their peaks, which are as good as constant; slower ones
//! may move a VIP again, but no sooner than its cool-down, which doubles each time.
//!
//! A member short of processor time has a *ceiling* for the bytes that it carries. What is above it is given away though
//! that evens nothing; nothing is moved to above it. So what was given away for that reason does not return while the
//! ceiling lasts.

use dsc_wire::{NodeId, NodeSet, VipId};

/// Members that carry less give nothing away: nobody would notice, and it is measured in thousands. Bytes per second.
pub(crate) const LEAST: u64 = 50_000;

/// A VIP as far as its load is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub owner: NodeId,
    /// Bytes per second.
    pub load: u64,
    /// May it be moved now?
    pub free: bool,
    /// Who may take it.
    pub takers: NodeSet,
}

/// A member as far as its load is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub node: NodeId,
    /// Of all VIPs that it hosts, bytes per second.
    pub load: u64,
    /// The most that it may be given, where its processors say so.
    pub ceiling: Option<u64>,
    /// Is it known how busy they are? Who is not known to be idle relieves nobody.
    pub known: bool,
}

/// What is to be done, with the figures from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub vip: VipId,
    pub from: NodeId,
    pub to: NodeId,
    pub load: u64,
    pub from_load: u64,
    pub to_load: u64,
    /// For the giver's processors.
    pub cpu: bool,
}

/// The one move that evens most: from the most loaded member that has one. Members above their ceiling come first.
pub(crate) fn choose(seats: &[Seat], items: &[Option<Item>], hysteresis: u8) -> Option<Move> {
    let mut order: Vec<&Seat> = seats.iter().filter(|s| s.load >= LEAST).collect();
    order.sort_by_key(|s| (std::cmp::Reverse(s.load), s.node));
    let relief = order.iter().find_map(|from| relieve(from, seats, items));
    let single = || order.iter().find_map(|from| even(from, seats, items, hysteresis));
    relief.or_else(single).or_else(|| order.first().and_then(|d| swap(d, seats, items, hysteresis)))
}

/// The least that a move has to take off a load.
fn least_gain(load: u64, hysteresis: u8) -> u64 {
    (u128::from(load) * u128::from(hysteresis)).div_ceil(100).max(1) as u64
}

/// The best move that `from` can make.
pub(crate) fn even(
    from: &Seat,
    seats: &[Seat],
    items: &[Option<Item>],
    hysteresis: u8,
) -> Option<Move> {
    let gain = |m: &Move| m.load.min(from.load.saturating_sub(m.to_load + m.load));
    let least = least_gain(from.load, hysteresis);
    let moves = moves(from, seats, items).filter(|m| from.load >= LEAST && gain(m) >= least);
    moves.max_by_key(|m| (gain(m), std::cmp::Reverse(m.vip)))
}

/// Where no single move helps the most loaded member: the first half of two that do, a VIP there and a smaller one back. The
/// second is then the most loaded member's own best move, or there is a better one.
fn swap(from: &Seat, seats: &[Seat], items: &[Option<Item>], hysteresis: u8) -> Option<Move> {
    let free = |node: NodeId| {
        let all = (0u16..).map(VipId).zip(items).filter_map(|(vip, item)| Some((vip, (*item)?)));
        all.filter(move |(_, item)| item.owner == node && item.free && item.load > 0)
    };
    let mut best: Option<(u64, Move)> = None;
    let others = seats.iter().filter(|s| s.node != from.node && s.load < from.load);
    for to in others.filter(|s| s.ceiling.is_none() && from.ceiling.is_none()) {
        let back: Vec<Item> = free(to.node).map(|(_, item)| item).collect();
        for (vip, item) in free(from.node).filter(|(_, item)| item.takers.contains(to.node)) {
            let full = to.load + item.load;
            let left = from.load - item.load;
            let smaller = |b: &&Item| b.load < item.load && b.takers.contains(from.node);
            for other in back.iter().filter(smaller) {
                let after = (left + other.load).max(full - other.load);
                let gain = from.load.saturating_sub(after);
                let second = full.saturating_sub((left + other.load).max(full - other.load));
                let enough = gain >= least_gain(from.load, hysteresis)
                    && second >= least_gain(full, hysteresis);
                if enough && best.is_none_or(|(most, _)| gain > most) {
                    let (from_load, to_load) = (from.load, to.load);
                    let (from, to, load) = (from.node, to.node, item.load);
                    let cpu = false;
                    best = Some((gain, Move { vip, from, to, load, from_load, to_load, cpu }));
                }
            }
        }
    }
    best.map(|(_, m)| m)
}

/// What brings a member below its ceiling: the smallest VIP that does, else the greatest that there is.
pub(crate) fn relieve(from: &Seat, seats: &[Seat], items: &[Option<Item>]) -> Option<Move> {
    let excess = from.load.checked_sub(from.ceiling?).filter(|excess| *excess > 0)?;
    let enough = |m: &Move| m.load >= excess;
    let key = |m: &Move| (!enough(m), if enough(m) { m.load } else { u64::MAX - m.load }, m.vip);
    let known: Vec<Seat> = seats.iter().filter(|s| s.known).copied().collect();
    moves(from, &known, items).min_by_key(key).map(|m| Move { cpu: true, ..m })
}

/// Each VIP that `from` may give, to the least loaded that may take it.
fn moves<'a>(
    from: &'a Seat,
    seats: &'a [Seat],
    items: &'a [Option<Item>],
) -> impl Iterator<Item = Move> + 'a {
    let own = |item: &Item| item.owner == from.node && item.free && item.load > 0;
    let items = (0u16..).map(VipId).zip(items).filter_map(|(vip, item)| Some((vip, (*item)?)));
    items.filter(move |(_, item)| own(item)).filter_map(move |(vip, item)| {
        let takes = |s: &&Seat| {
            let below = s.ceiling.is_none_or(|ceiling| s.load + item.load <= ceiling);
            s.node != from.node && item.takers.contains(s.node) && below
        };
        let to = seats.iter().filter(takes).min_by_key(|s| (s.load, s.node))?;
        Some(Move {
            vip,
            from: from.node,
            to: to.node,
            load: item.load,
            from_load: from.load,
            to_load: to.load,
            cpu: false,
        })
    })
}
