//! A small world for tables of rules: rings that hand each other messages after 100 µs, without loss. A message to a
//! node that is down, paused or cut off fails when `removal` has passed. The cruel world is `tests/sim`.

mod post;

use dsc_ring::{Input, Message, Output, Ring, Verdict};
use dsc_wire::local::{Duty, Event, EventKind, HostState, View};
use dsc_wire::token::Token;
use dsc_wire::*;
use post::{Flight, What};
use std::collections::BTreeMap;
use std::time::Duration;

pub const HOP: Duration = Duration::from_micros(100);

pub struct Seat {
    pub ring: Option<Ring>,
    pub life: u64,
    pub paused: bool,
    inbox: Vec<Flight>,
    owed: BTreeMap<u64, (usize, SendId, bool)>,
    /// Verdicts for the senders who ask again, and what was sent without one being waited for.
    kept: BTreeMap<(usize, u64, u64), Verdict>,
    tacit: BTreeMap<u64, (usize, Box<Message>)>,
    answered: BTreeMap<u64, bool>,
    pub lease: Time,
    pub hosts: Vec<(HostState, Vec<NodeId>)>,
    pub events: Vec<Event>,
    pub done: Vec<(u64, Result<String, String>)>,
    pub configs: Vec<Output>,
    pub changes: u64,
    pub left: bool,
    pub sent: u64,
}

pub struct World {
    pub cluster: Cluster,
    pub now: Time,
    pub seats: Vec<Seat>,
    queue: BTreeMap<(Time, u64), Flight>,
    next: u64,
    /// cut[from][to]: nothing arrives.
    pub cut: Vec<Vec<bool>>,
    pub two_answers: Vec<String>,
    /// The next message between these two is lost.
    pub lose: Option<(usize, usize)>,
    /// Acknowledgements sent so far.
    pub verdicts: usize,
    /// Changes every token on its way, and what the last one looked like before.
    pub tamper: Option<fn(&mut Token)>,
    pub last_token: Option<Token>,
}

pub fn cluster(nodes: usize, vips: usize) -> Cluster {
    let subnets = SubnetSet(0b11);
    let plan = |i: usize| VipPlan {
        subnet: SubnetId((i % 2) as u8),
        preferred: None,
        persistence: Persistence::Current,
    };
    Cluster {
        nodes: vec![NodePlan { subnets, witness: false }; nodes],
        vips: (0..vips).map(plan).collect(),
        backends: [BackendState::Enabled, BackendState::Disabled, BackendState::Enabled]
            .map(Some)
            .to_vec(),
        partition: Partition::Serve,
        rejoin: Rejoin::Auto,
        timing: Timing::DEFAULT,
        balance: Balance { on: false, ..Balance::DEFAULT },
        digest: 7,
        version: 0,
    }
}

impl World {
    pub fn new(cluster: Cluster) -> World {
        let n = cluster.nodes.len();
        let mut world = World {
            now: Time::from_ms(1_000),
            seats: Vec::new(),
            queue: BTreeMap::new(),
            next: 0,
            cut: vec![vec![false; n]; n],
            two_answers: Vec::new(),
            lose: None,
            verdicts: 0,
            tamper: None,
            last_token: None,
            cluster,
        };
        for _ in 0..n {
            world.seats.push(Seat {
                ring: None,
                life: 0,
                paused: false,
                inbox: Vec::new(),
                owed: BTreeMap::new(),
                kept: BTreeMap::new(),
                tacit: BTreeMap::new(),
                answered: BTreeMap::new(),
                lease: Time::ZERO,
                hosts: vec![(HostState::Off, Vec::new()); world.cluster.vips.len()],
                events: Vec::new(),
                done: Vec::new(),
                configs: Vec::new(),
                changes: 0,
                left: false,
                sent: 0,
            });
        }
        world
    }

    /// All nodes started, the ring formed, every VIP answered for.
    pub fn formed(cluster: Cluster) -> World {
        let mut world = World::new(cluster);
        for i in 0..world.seats.len() {
            world.start(i);
        }
        world.until("a formed ring", 3_000, |w| w.whole() && w.all_answered());
        world
    }

    pub fn start(&mut self, i: usize) {
        let cluster = self.cluster.clone();
        self.start_with(i, cluster);
    }

    pub fn start_with(&mut self, i: usize, cluster: Cluster) {
        let seat = &mut self.seats[i];
        seat.life += 1;
        seat.left = false;
        seat.kept.clear();
        seat.tacit.clear();
        let life = Incarnation(100 * (i as u64 + 1) + seat.life);
        seat.ring = Some(Ring::new(cluster, NodeId(i as u8), life, self.now));
        self.input(i, Input::Able { subnets: SubnetSet(0b11) });
        self.input(i, Input::Linked { subnets: SubnetSet(0b11) });
    }

    /// Power off: the kernel's tables go with it.
    pub fn crash(&mut self, i: usize) {
        self.kill(i);
        self.seats[i].lease = Time::ZERO;
    }

    /// The daemon alone dies: the kernel answers on until the lease ends.
    pub fn kill(&mut self, i: usize) {
        self.seats[i].ring = None;
        self.seats[i].inbox.clear();
    }

    pub fn cut_both(&mut self, a: usize, b: usize, cut: bool) {
        self.cut[a][b] = cut;
        self.cut[b][a] = cut;
    }

    pub fn input(&mut self, i: usize, input: Input) {
        let mut out = Vec::new();
        let now = self.now;
        let Some(ring) = &mut self.seats[i].ring else { return };
        ring.step(now, input, &mut out);
        for output in out {
            self.carry_out(i, output);
        }
    }

    fn carry_out(&mut self, i: usize, output: Output) {
        match output {
            Output::Send { id, to, message } => self.send(i, id, to, message, false),
            Output::SendTacit { id, to, message } => self.send(i, id, to, message, true),
            Output::Arrived { id } => {
                self.seats[i].tacit.remove(&id.0);
            }
            Output::Insist { id } => {
                if let Some((to, message)) = self.seats[i].tacit.remove(&id.0) {
                    self.fail_later(i, to, id);
                    let life = self.seats[to].life;
                    let what = What::Message { id, message, tacit: false };
                    self.fly(HOP, Flight { from: i, to, life, what });
                }
            }
            Output::Cancel { id } => {
                self.seats[i].answered.insert(id.0, true);
                self.seats[i].tacit.remove(&id.0);
            }
            Output::Answer { receipt, verdict } => self.answer(i, receipt, verdict, true),
            Output::Keep { receipt, verdict } => self.answer(i, receipt, verdict, false),
            Output::Beacon { to, beacon } => {
                let to = to.index();
                let life = self.seats[to].life;
                self.fly(HOP, Flight { from: i, to, life, what: What::Beacon(beacon) });
            }
            Output::Lease { end } => self.seats[i].lease = end,
            Output::Host { vip, state, past } => self.seats[i].hosts[vip.index()] = (state, past),
            Output::Event(event) => self.seats[i].events.push(event),
            Output::Done { id, result } => self.seats[i].done.push((id, result)),
            Output::Changed => self.seats[i].changes += 1,
            Output::Prepare { .. } | Output::Configured { .. } | Output::Removed { .. } => {
                self.seats[i].configs.push(output);
            }
            Output::Left => self.seats[i].left = true,
        }
        self.audit();
    }

    /// One event; false when nothing happens before `end`.
    fn advance(&mut self, end: Time) -> bool {
        let flight = self.queue.first_key_value().map(|((at, _), _)| *at);
        let running = self.seats.iter().filter(|s| !s.paused);
        let timer = running.filter_map(|s| s.ring.as_ref().map(|r| r.deadline())).min();
        let at = flight.unwrap_or(Time::NEVER).min(timer.unwrap_or(Time::NEVER));
        if at > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(at);
        if flight.is_some_and(|f| f <= at) {
            if let Some((_, flight)) = self.queue.pop_first() {
                if self.seats[flight.to].paused {
                    self.seats[flight.to].inbox.push(flight);
                } else {
                    self.arrive(flight);
                }
            }
            return true;
        }
        for i in 0..self.seats.len() {
            let due = self.seats[i].ring.as_ref().is_some_and(|r| r.deadline() <= self.now);
            if due && !self.seats[i].paused {
                self.input(i, Input::Tick);
                let next = self.seats[i].ring.as_ref().map(|r| r.deadline());
                assert!(next.is_none_or(|n| n > self.now), "n{i} spins at {:?}", self.now);
            }
        }
        true
    }

    pub fn thaw(&mut self, i: usize) {
        self.seats[i].paused = false;
        // What failed while it slept starts again, as the reliable messages do.
        for flight in std::mem::take(&mut self.seats[i].inbox) {
            match flight.what {
                What::Failed { .. } => self.fly(self.cluster.timing.removal, flight),
                What::Message { .. } | What::Verdict { .. } | What::Beacon(_) => {
                    self.arrive(flight);
                }
            }
        }
        self.input(i, Input::Tick);
    }

    pub fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.advance(end) {}
    }

    pub fn until(&mut self, what: &str, ms: u64, done: impl Fn(&World) -> bool) -> u64 {
        let start = self.now;
        while !done(self) {
            let waited = self.now.since(start).as_millis();
            assert!(waited < u128::from(ms), "no {what} within {ms} ms\n{}", self.describe());
            self.run(1);
        }
        self.now.since(start).as_millis() as u64
    }

    pub fn answers(&self, i: usize, vip: usize) -> bool {
        self.seats[i].lease > self.now && self.seats[i].hosts[vip].0 == HostState::On
    }

    pub fn who(&self, vip: usize) -> Vec<usize> {
        (0..self.seats.len()).filter(|i| self.answers(*i, vip)).collect()
    }

    pub fn all_answered(&self) -> bool {
        (0..self.cluster.vips.len()).all(|v| self.who(v).len() == 1)
    }

    fn audit(&mut self) {
        for v in 0..self.cluster.vips.len() {
            let who = self.who(v);
            if who.len() > 1 {
                self.two_answers.push(format!("{:?}: vip {v} on {who:?}", self.now));
            }
        }
    }

    pub fn view(&self, i: usize) -> View {
        self.seats[i].ring.as_ref().expect("a running node").view(self.now)
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.seats.len()).filter(|i| self.seats[*i].ring.is_some()).collect()
    }

    /// Every running node sees all running nodes as members.
    pub fn whole(&self) -> bool {
        let running = self.running();
        running.iter().all(|i| {
            let mut members: Vec<usize> = self.view(*i).members.iter().map(|n| n.index()).collect();
            members.sort_unstable();
            members == running
        })
    }

    pub fn count(&self, kind: fn(&EventKind) -> bool) -> usize {
        let own = |i: usize| {
            self.seats[i].events.iter().filter(move |e| e.node.index() == i && kind(&e.kind))
        };
        (0..self.seats.len()).map(|i| own(i).count()).sum()
    }

    pub fn hosts_of(&self, i: usize) -> usize {
        (0..self.cluster.vips.len()).filter(|v| self.answers(i, *v)).count()
    }

    pub fn duty(&self, i: usize, of: usize) -> Duty {
        self.view(i).nodes[of].duty
    }

    pub fn describe(&self) -> String {
        let mut text = format!("at {:?}\n", self.now);
        for (i, seat) in self.seats.iter().enumerate() {
            let Some(ring) = &seat.ring else { continue };
            let view = ring.view(self.now);
            let vips: Vec<_> = view
                .vips
                .iter()
                .take(8)
                .map(|v| {
                    (v.host.map(|n| n.0), v.heir.map(|n| n.0), v.next.map(|n| n.0), v.fence_ms)
                })
                .collect();
            text += &format!(
                "n{i} {:?} {:?} members {:?} lease {:?} vips {vips:?} hosts {:?}\n",
                view.state,
                view.key,
                view.members,
                view.lease_end,
                seat.hosts.iter().take(8).map(|h| h.0).collect::<Vec<_>>(),
            );
        }
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.two_answers, Vec::<String>::new(), "two nodes answered");
        }
    }
}
