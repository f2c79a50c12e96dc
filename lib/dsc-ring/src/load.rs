//! What this node knows of the load: measured of its own VIPs, smoothed of all, and when VIPs moved last. From it and the
//! token comes the move that this node makes next, if any (rule 20); the choice itself is `balance.rs`'s.

use crate::balance::{Item, Move, Seat, choose, even, relieve};
use crate::ring::Ring;
use dsc_wire::local::{Duty, EventKind, Load, VipLoad};
use dsc_wire::token::{Token, VipRecord};
use dsc_wire::{Balance, NodeId, NodeSet, Persistence, Time, VipId};
use std::time::Duration;

/// A load that grows is believed when so many looks in a row have seen it: what passes sooner moves nothing.
const LOOKS: usize = 3;
/// One that falls, by more than this part, is kept for so many looks: one that comes back meanwhile counts as if it had
/// never paused. Then it is forgotten by a part of the difference at each look.
const SAME: u64 = 32;
const HOLD: u32 = 120;
const FALL: u64 = 64;
/// While all loads together grow by more than this part from look to look, some have not been believed yet.
const GROWTH: u64 = 10;
/// Most doublings of a VIP's cool-down, and the time in which one is forgiven.
const DOUBLINGS_MAX: u32 = 10;
const FORGIVE: Duration = Duration::from_secs(1800);
/// A VIP does not return to the host that gave it away for so long.
const BACK: Duration = Duration::from_secs(600);
/// Looks after which the newest host's word on a VIP counts: the first may begin before it hosted it.
const SETTLED: u32 = 2;
/// In a ring where nothing moved for so many cool-downs everybody may give, not only the most loaded: two whose
/// memories differ would wait for each other.
const PATIENCE: u32 = 4;
/// Busy processors, permille: from here on, and this much above the others, they are what a member lacks.
const CPU_HIGH: u16 = 800;
const CPU_ABOVE: u16 = 200;
/// Each look counts for this part.
const CPU_SMOOTH: u16 = 4;
/// Looks for which a ceiling holds, and until it may be lowered: until a move shows.
const CEILING_HOLDS: u32 = 600;
const CEILING_STEP: u32 = 15;

/// Why a VIP is being handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Why {
    /// Its host can or may not keep it.
    #[default]
    Must,
    /// An operator's move.
    Wish,
    /// For the load.
    Load,
}

/// What is remembered of a VIP.
#[derive(Clone, Debug, Default)]
struct Known {
    /// As of the last turn: assignments, and where it was to be handed.
    moves: u64,
    next: Option<NodeId>,
    /// Who wanted that.
    why: Why,
    /// What was seen in the last looks, and what is made of it, bytes per second.
    seen: [u64; LOOKS],
    load: u64,
    /// Looks since it was as high as that.
    below: u32,
    /// Since when this node answers for it.
    stood: Option<Time>,
    /// It is not to be moved until then, and how often that was doubled.
    cooled: Time,
    doublings: u32,
    /// Its host as of the last turn, and those that gave it away lately, with the time until when it does not return there.
    owner: Option<NodeId>,
    left: Vec<(NodeId, Time)>,
}

/// What is remembered of a node's processors.
#[derive(Clone, Copy, Debug, Default)]
struct Processors {
    busy_permille: u16,
    /// Does its health daemon say how busy they are? One that does not is not idle.
    known: bool,
    ceiling: Option<u64>,
    lowered: Time,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Loads {
    rules: Balance,
    vips: Vec<Known>,
    nodes: Vec<Processors>,
    /// Nothing seen yet.
    fresh: bool,
    /// All loads together at the last look, and: they hardly grew since the one before.
    total: u64,
    steady: bool,
    members: NodeSet,
    /// When a VIP or the membership changed last.
    changed: Time,
    next_look: Time,
    next_choice: Time,
    /// This node's own, by VIP; none while its data path does not say.
    measured: Option<Vec<u64>>,
    /// The move that this node is making.
    pub doing: Option<(Move, Time)>,
}

impl Loads {
    pub fn new(rules: Balance, nodes: usize, vips: usize) -> Loads {
        Loads {
            rules,
            vips: vec![Known::default(); vips],
            nodes: vec![Processors::default(); nodes],
            fresh: true,
            total: 0,
            steady: false,
            members: NodeSet::EMPTY,
            changed: Time::ZERO,
            next_look: Time::ZERO,
            next_choice: Time::ZERO,
            measured: None,
            doing: None,
        }
    }

    /// Another configuration: what is new is looked at as if it had just begun.
    pub fn resize(&mut self, rules: Balance, nodes: usize, vips: usize) {
        self.rules = rules;
        self.vips.resize(vips, Known::default());
        self.nodes.resize(nodes, Processors::default());
        if let Some(measured) = &mut self.measured {
            measured.resize(vips, 0);
        }
        self.doing = None;
    }

    /// What the data path counted; none if it does not say.
    pub fn measure(&mut self, loads: Option<Vec<VipLoad>>) {
        self.measured = loads.map(|loads| {
            let mut all = vec![0; self.vips.len()];
            for load in loads {
                if let Some(place) = all.get_mut(load.vip.index()) {
                    *place = load.bytes_per_s;
                }
            }
            all
        });
    }

    /// Notes what changed since the last turn; true if it is time to look at the load.
    pub fn watch(
        &mut self,
        now: Time,
        token: &Token,
        stands: impl Fn(VipId) -> bool,
        may_keep: impl Fn(VipId) -> bool,
    ) -> bool {
        let members = token.member_set();
        if members != self.members {
            (self.members, self.changed) = (members, now);
        }
        for (i, (known, v)) in self.vips.iter_mut().zip(&token.vips).enumerate() {
            if v.moves != known.moves {
                if !self.fresh {
                    self.changed = now;
                    // Failovers and first assignments are no reason to leave a VIP where it fell.
                    if known.next.is_some() && known.next == v.owner {
                        known.handed_over(now, self.rules.vip_cooldown);
                    }
                }
                known.moves = v.moves;
            }
            (known.owner, known.next) = (v.owner, v.next);
            known.why = match v.next {
                Some(next) if v.wish == Some(next) => Why::Wish,
                Some(_) if may_keep(VipId(i as u16)) => Why::Load,
                _ => Why::Must,
            };
            known.stood = stands(VipId(i as u16)).then(|| known.stood.unwrap_or(now));
        }
        let look = now >= self.next_look;
        if look {
            self.next_look = now + self.rules.sample;
        }
        look
    }

    /// What this node, the host, says of the VIP from now on; none if it cannot say.
    fn said(&self, now: Time, vip: VipId) -> Option<u32> {
        let stood = self.vips[vip.index()].stood?;
        let bytes_per_s = self.measured.as_ref()?[vip.index()];
        let settled = now.since(stood) >= self.rules.sample * SETTLED;
        settled.then(|| u32::try_from(bytes_per_s.saturating_add(500) / 1000).unwrap_or(u32::MAX))
    }

    /// One look at what everybody says.
    pub fn look(&mut self, now: Time, token: &mut Token, me: NodeId) {
        for i in 0..token.vips.len() {
            let v = &mut token.vips[i];
            if v.owner == Some(me)
                && let Some(kb_per_s) = self.said(now, VipId(i as u16))
            {
                v.kb_per_s = kb_per_s;
            }
            let load = u64::from(v.kb_per_s) * 1000;
            let known = &mut self.vips[i];
            known.see(load, self.fresh);
        }
        let total = self.vips.iter().map(|known| known.load).sum();
        self.steady = total <= self.total + self.total / GROWTH;
        self.total = total;
        for m in &token.members {
            let node = &mut self.nodes[m.node.index()];
            node.known = m.load != Load::default();
            if !node.known {
                continue;
            }
            let (old, new) = (node.busy_permille, m.load.cpu_permille.min(1000));
            let part = |span: u16| span.div_ceil(CPU_SMOOTH);
            node.busy_permille =
                if new > old { old + part(new - old) } else { old - part(old - new) };
        }
        self.fresh = false;
        self.judge_processors(now, token);
    }

    /// Gives a member that is short of processor time, while others are not, a ceiling below what it carries.
    fn judge_processors(&mut self, now: Time, token: &Token) {
        let sample = self.rules.sample;
        // Who hosts nothing, a witness or a closed node, is no measure of who does; nor is who does not say.
        let known: Vec<bool> = self.nodes.iter().map(|node| node.known).collect();
        let hosts = || {
            let open = token.members.iter().filter(|m| m.duty == Duty::Open && !m.leaving);
            open.filter(|m| known[m.node.index()])
        };
        let busy: u64 = hosts().map(|m| u64::from(self.nodes[m.node.index()].busy_permille)).sum();
        let others = hosts().count().saturating_sub(1) as u64;
        for m in hosts() {
            let load = self.load_of(token, m.node);
            let node = &mut self.nodes[m.node.index()];
            if now.since(node.lowered) >= sample * CEILING_HOLDS {
                node.ceiling = None;
            }
            let own = u64::from(node.busy_permille);
            let mean = (busy - own).checked_div(others).unwrap_or(own);
            let lacks = own >= u64::from(CPU_HIGH) && own >= mean + u64::from(CPU_ABOVE);
            let may = node.ceiling.is_none() || now.since(node.lowered) >= sample * CEILING_STEP;
            if lacks && may {
                (node.ceiling, node.lowered) = (Some(load - load / 10), now);
            }
        }
    }

    fn load_of(&self, token: &Token, node: NodeId) -> u64 {
        let own = token.vips.iter().zip(&self.vips).filter(|(v, _)| v.owner == Some(node));
        own.map(|(_, known)| known.load).sum()
    }

    /// Is it time to choose a move?
    pub fn is_due(&mut self, now: Time) -> bool {
        let Balance { on, ring_cooldown, .. } = self.rules;
        let due = on && self.steady && now >= self.next_choice.max(self.changed + ring_cooldown);
        if due {
            self.next_choice = now + ring_cooldown / 2;
        }
        due
    }

    /// The move for `me` to make now; `takers` says who may take a VIP.
    pub fn next_move(
        &self,
        now: Time,
        token: &Token,
        me: NodeId,
        takers: impl Fn(VipId) -> NodeSet,
    ) -> Option<Move> {
        let rules = self.rules;
        let rests = |v: &VipRecord| {
            v.heir.is_none() && v.next.is_none() && v.wish.is_none() && v.fence_us == 0
        };
        if token.members.len() < 2 || !token.vips.iter().all(rests) {
            return None;
        }
        let seats: Vec<Seat> = token
            .members
            .iter()
            .map(|m| Seat {
                node: m.node,
                load: self.load_of(token, m.node),
                ceiling: self.nodes[m.node.index()].ceiling,
                known: self.nodes[m.node.index()].known,
            })
            .collect();
        let item = |(i, v): (usize, &VipRecord)| {
            let known = &self.vips[i];
            let free = v.persistence == Persistence::Free && now >= known.cooled;
            let mut takers = if free { takers(VipId(i as u16)) } else { NodeSet::EMPTY };
            for (left, _) in known.left.iter().filter(|(_, until)| now < *until) {
                takers = takers.without(*left);
            }
            Some(Item { owner: v.owner?, load: known.load, free, takers })
        };
        let items: Vec<Option<Item>> = token.vips.iter().enumerate().map(item).collect();
        let first = choose(&seats, &items, rules.hysteresis_percent)?;
        if first.from == me {
            return Some(first);
        }
        if now < self.changed + rules.ring_cooldown * PATIENCE {
            return None;
        }
        let own = seats.iter().find(|s| s.node == me)?;
        let relief = relieve(own, &seats, &items);
        relief.or_else(|| even(own, &seats, &items, rules.hysteresis_percent))
    }
}

impl Known {
    /// It was handed over: its cool-down begins, twice as long as the one before, but for what is forgiven. Not if it had to
    /// go: the node that gave it may soon be as good as before.
    fn handed_over(&mut self, now: Time, cooldown: Duration) {
        if self.why == Why::Must {
            return;
        }
        if self.cooled > Time::ZERO {
            let forgiven = now.since(self.cooled).as_secs() / FORGIVE.as_secs();
            let forgiven = forgiven.min(u64::from(DOUBLINGS_MAX)) as u32;
            self.doublings = (self.doublings + 1).saturating_sub(forgiven).min(DOUBLINGS_MAX);
        }
        self.cooled = now + cooldown * (1 << self.doublings);
        self.left.retain(|(host, until)| now < *until && Some(*host) != self.owner);
        if self.why == Why::Load {
            self.left.extend(self.owner.map(|host| (host, now + BACK)));
        }
    }

    /// One look. Upwards as soon as it is believed, so that a load is met while it lasts; downwards slowly, so that one that
    /// comes and goes counts as what it comes to, and nothing moves for its pauses.
    fn see(&mut self, load: u64, first: bool) {
        if first {
            (self.seen, self.load) = ([load; LOOKS], load);
            return;
        }
        self.seen.rotate_right(1);
        self.seen[0] = load;
        let believed = self.seen.iter().copied().min().unwrap_or(load);
        let highest = self.seen.iter().copied().max().unwrap_or(load);
        if believed + self.load / SAME >= self.load {
            (self.load, self.below) = (self.load.max(believed), 0);
            return;
        }
        self.below = self.below.saturating_add(1);
        if self.below > HOLD && highest < self.load {
            self.load -= (self.load - highest).div_ceil(FALL);
        }
    }
}

impl Ring {
    /// Looks at the load, in this node's turn.
    pub(crate) fn watch_loads(&mut self, now: Time, token: &mut Token) {
        let (stand, me) = (&self.kernel.stand, self.me);
        // Only VIPs on their way are asked about.
        let kept: Vec<bool> = (token.vips.iter().zip(&self.cluster.vips))
            .map(|(v, plan)| {
                let owner = v.owner.filter(|_| v.next.is_some());
                owner.is_some_and(|owner| self.eligible(token, owner, plan.subnet))
            })
            .collect();
        let stands = |vip: VipId| stand[vip.index()];
        if self.loads.watch(now, token, stands, |vip| kept[vip.index()]) {
            self.loads.look(now, token, me);
        }
    }

    /// The VIP that this node gives away to even out the load, and to whom.
    pub(crate) fn balanced(&mut self, now: Time, token: &Token) -> Option<Move> {
        let still = |ring: &Ring, m: &Move| {
            let v = &token.vips[m.vip.index()];
            let subnet = ring.cluster.vips[m.vip.index()].subnet;
            let free = v.persistence == Persistence::Free && v.wish.is_none();
            free && v.owner == Some(ring.me) && ring.eligible(token, m.to, subnet)
        };
        let doing = self.loads.doing.filter(|(m, until)| now < *until && still(self, m));
        self.loads.doing = doing;
        if let Some((m, _)) = doing {
            return Some(m);
        }
        if !self.loads.is_due(now) {
            return None;
        }
        let takers = |vip: VipId| {
            let subnet = self.cluster.vips[vip.index()].subnet;
            self.all_fit(token, subnet)
        };
        let found = self.loads.next_move(now, token, self.me, takers);
        // A hand-over takes two turns, and no turn is later than the patience for the token.
        let patience = (self.cluster.balance.sample * SETTLED).max(2 * self.starve());
        self.loads.doing = found.map(|m| (m, now + patience));
        found
    }
}

impl Ring {
    /// If the VIP that was just handed over moved for the load, the log gets the figures.
    pub(crate) fn report_balanced(&mut self, now: Time, vip: VipId, to: NodeId) {
        let Some((m, _)) = self.loads.doing.filter(|(m, _)| (m.vip, m.to) == (vip, to)) else {
            return;
        };
        self.loads.doing = None;
        self.counts.balanced += 1;
        let Move { load, from_load, to_load, cpu, .. } = m;
        let kind = EventKind::Balanced {
            vip,
            to,
            bytes_per_s: load,
            from_bytes_per_s: from_load,
            to_bytes_per_s: to_load,
            cpu,
        };
        self.report(now, kind);
    }
}

#[cfg(test)]
#[path = "shapes.rs"]
mod shapes;
