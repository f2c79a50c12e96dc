//! One node's ring: its state, and the routing of each input to the file that knows the rule. Rule numbers in
//! this crate are those of RULES.md.

use crate::command::Pending;
use crate::config::Changes;
use crate::events::Log;
use crate::hosts::Kernel;
use crate::lease::Promises;
use crate::links::Tests;
use crate::load::Loads;
use crate::membership::Join;
use crate::notify::Round;
use crate::suspect::Suspicion;
use crate::tacit::Tacit;
use crate::timer::{Timer, Timers};
use crate::view::{Counts, Shown};
use crate::{Input, Output};
use dsc_wire::health;
use dsc_wire::local::{Duty, Load, Mac};
use dsc_wire::message::{Message, Verdict};
use dsc_wire::token::{BackendRecord, CheckSwitch, Token};
use dsc_wire::{
    BackendId, Cluster, Epoch, Incarnation, Key, NodeId, NodeSet, Partition, Receipt, SendId,
    SubnetSet, Time, Timing,
};
use std::time::Duration;

/// Where this node stands with the token.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Just started: silent (rule 12).
    Quiet {
        until: Time,
    },
    /// Somebody else has the token, if there is one.
    Wait,
    Hold {
        token: Box<Token>,
        until: Time,
    },
    /// The token as it was before the pass, in case nobody takes it; what was sent is `Ring::copy`.
    Pass {
        token: Box<Token>,
        id: SendId,
        to: NodeId,
        via: Option<NodeId>,
        first: Time,
    },
    /// Left on purpose.
    Gone,
}

/// One node's part in the ring.
#[derive(Clone, Debug)]
pub struct Ring {
    pub(crate) cluster: Cluster,
    /// Its nodes, without the holes.
    pub(crate) configured: NodeSet,
    /// What is to follow it, and what was before (rule 21).
    pub(crate) changes: Changes,
    pub(crate) me: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) born: Time,
    pub(crate) state: State,
    /// The token passed last, while nobody has to acknowledge it.
    pub(crate) tacit: Option<Tacit>,
    pub(crate) timers: Timers,
    /// Greatest key accepted or made.
    pub(crate) seen: Key,
    /// Key last accepted or made.
    pub(crate) acc: Key,
    /// Key last accepted.
    pub(crate) accepted: Key,
    /// Greatest epoch counter heard in any message.
    pub(crate) heard: u32,
    /// The token as passed last.
    pub(crate) copy: Option<Box<Token>>,
    pub(crate) copy_at: Time,
    /// The spans of the token in hand are as of this time.
    pub(crate) base: Time,
    pub(crate) acc_at: Time,
    pub(crate) promises: Promises,
    pub(crate) kernel: Kernel,
    /// Was the lease renewed by the token in hand (rule 5)?
    pub(crate) renewed: bool,
    /// The token was seen, or patience was granted.
    pub(crate) last_token: Time,
    /// A token was really accepted.
    pub(crate) last_real: Option<Time>,
    pub(crate) round: Option<Round>,
    /// Questions to be let in that are on their way: one to a node at most, however many beacons call for them.
    pub(crate) asked: Vec<(SendId, NodeId)>,
    pub(crate) joins: Vec<Join>,
    pub(crate) suspicion: Suspicion,
    pub(crate) next_beacon: Time,
    pub(crate) beacon_from: u8,
    pub(crate) last_heard: Vec<Option<Time>>,
    /// By node: it said, in this epoch, that its lease in another ring runs and that it hears this node. Until then it, or a
    /// member of its ring, may answer.
    pub(crate) rivals: Vec<Option<(Time, Epoch)>>,
    pub(crate) differs: Vec<Option<Time>>,
    pub(crate) tests: Tests,
    pub(crate) forwards: Vec<(SendId, NodeId, Key)>,
    pub(crate) able: SubnetSet,
    pub(crate) linked: SubnetSet,
    pub(crate) unlinked_since: [Option<Time>; dsc_wire::ids::SUBNETS_MAX],
    pub(crate) unlinked_due: Option<Time>,
    pub(crate) load: Load,
    pub(crate) loads: Loads,
    pub(crate) macs: Vec<Option<Mac>>,
    pub(crate) duty: Duty,
    pub(crate) leaving: Option<Time>,
    pub(crate) pending: Vec<Pending>,
    /// States that operators gave to backends, by rising number, as far as this node has seen (rule 18).
    pub(crate) backends: Vec<BackendRecord>,
    /// What this node's checks of backends found, by rising number (rule 19).
    pub(crate) checked: Vec<health::Verdict>,
    /// Which of the green ones start slowly, as its health daemon says.
    pub(crate) growing: Vec<health::Growth>,
    /// Backends whose new flows fail, as its data path daemon says.
    pub(crate) failing: Vec<BackendId>,
    /// What this node's own checks say of it, and where it should host nothing because of that (rule 22).
    pub(crate) lights: Vec<health::NodeLight>,
    pub(crate) unfit: SubnetSet,
    /// Checks that operators switched, by rising number, as far as this node has seen.
    pub(crate) switches: Vec<CheckSwitch>,
    pub(crate) returns: Vec<crate::assign::Steady>,
    pub(crate) log: Log,
    pub(crate) counts: Counts,
    pub(crate) shown: Shown,
    pub(crate) rotation: Duration,
    pub(crate) hold: Duration,
    pub(crate) hurried: bool,
    /// A member called for the token while somebody else had it, and: this node called since it last had it.
    pub(crate) called: bool,
    pub(crate) calling: bool,
    pub(crate) lease_since: Option<(u32, Time)>,
    pub(crate) raise: Option<Duration>,
    pub(crate) last_send: u64,
}

impl Ring {
    /// Starts node `me` of `cluster` in a new life. `me` must be one of its nodes.
    pub fn new(cluster: Cluster, me: NodeId, incarnation: Incarnation, now: Time) -> Ring {
        assert!(cluster.is_node(me), "{me} is not in the configuration");
        let nodes = cluster.nodes.len();
        let vips = cluster.vips.len();
        let quiet = Timing::fence(cluster.timing.lease_max);
        let duty = if cluster.nodes[me.index()].witness { Duty::Witness } else { Duty::Open };
        let mut ring = Ring {
            configured: cluster.node_set(),
            changes: Changes::new(&cluster),
            born: now,
            state: State::Quiet { until: now + quiet },
            tacit: None,
            timers: Timers::new(),
            seen: Key::ZERO,
            acc: Key::ZERO,
            accepted: Key::ZERO,
            heard: 0,
            copy: None,
            copy_at: now,
            base: now,
            acc_at: now,
            promises: Promises::new(nodes, vips),
            kernel: Kernel::new(vips),
            renewed: false,
            last_token: now,
            last_real: None,
            round: None,
            asked: Vec::new(),
            joins: Vec::new(),
            suspicion: Suspicion::at_boot(now),
            next_beacon: now + cluster.timing.beacon,
            beacon_from: me.0,
            last_heard: vec![None; nodes],
            rivals: vec![None; nodes],
            differs: vec![None; nodes],
            tests: Tests::default(),
            forwards: Vec::new(),
            able: SubnetSet::EMPTY,
            linked: SubnetSet::EMPTY,
            unlinked_since: Default::default(),
            unlinked_due: None,
            load: Load::default(),
            loads: Loads::new(cluster.balance, nodes, vips),
            macs: Vec::new(),
            duty,
            leaving: None,
            pending: Vec::new(),
            backends: Vec::new(),
            checked: Vec::new(),
            growing: Vec::new(),
            failing: Vec::new(),
            lights: Vec::new(),
            unfit: SubnetSet::EMPTY,
            switches: Vec::new(),
            returns: vec![Default::default(); nodes],
            log: Log::new(nodes),
            counts: Counts::default(),
            shown: Shown::default(),
            rotation: cluster.timing.rotation,
            hold: cluster.timing.rotation / 2,
            hurried: false,
            called: false,
            calling: false,
            lease_since: None,
            raise: None,
            last_send: 0,
            cluster,
            me,
            incarnation,
        };
        ring.arm(now);
        ring
    }

    /// Takes one input; what is to be done is appended to `out`, in order. `now` must not go back.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.wake(now, out);
        match input {
            Input::Received { from, incarnation, receipt, message } => {
                self.on_message(now, from, incarnation, receipt, message, out);
            }
            Input::Beacon { from, incarnation: _, beacon } => {
                self.on_beacon(now, from, beacon, out);
            }
            Input::Repeated { from } => self.on_repeated(now, from, out),
            Input::Delivered { id, verdict } => self.on_delivered(now, id, verdict, out),
            Input::Failed { id } => self.on_failed(now, id, out),
            Input::Linked { subnets } => self.on_linked(now, subnets, out),
            Input::Able { subnets } => self.on_able(now, subnets, out),
            Input::Load { load } => self.load = load,
            Input::VipLoads { loads } => self.loads.measure(loads),
            Input::Macs { macs } => self.macs = macs,
            Input::Checked { verdicts } => self.on_checked(now, verdicts, out),
            Input::Growing { growing } => self.growing = growing,
            Input::Failing { backends } => self.on_failing(now, backends, out),
            Input::Lights { lights, unfit } => self.on_lights(now, lights, unfit, out),
            Input::Command { id, command } => self.on_command(now, id, command, out),
            Input::Propose { id, cluster, size } => self.on_propose(now, id, cluster, size, out),
            Input::Prepared { cluster, size } => self.on_prepared(now, cluster, size, out),
            Input::Unfit { digest, reason } => self.on_unfit(now, digest, reason, out),
            Input::News { from, version, digest } => {
                self.same_config(now, from, version, digest, out);
            }
            Input::Leave => self.on_leave(now, out),
            Input::Wall { wall_ms } => self.log.set_wall(now, wall_ms),
            Input::Tick => self.on_tick(now, out),
        }
        self.let_in(now, out);
        self.flush(out);
        self.show(out);
        self.arm(now);
    }

    /// When [`Input::Tick`] is owed at the latest.
    pub fn deadline(&self) -> Time {
        self.timers.next()
    }

    /// Key of the last token really accepted, not made; [`Key::ZERO`] before the first.
    pub fn accepted(&self) -> Key {
        self.accepted
    }

    fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        incarnation: Incarnation,
        receipt: Receipt,
        message: Message,
        out: &mut Vec<Output>,
    ) {
        if !self.cluster.is_node(from) || from == self.me {
            self.counts.strangers += 1;
            out.push(Output::Answer { receipt, verdict: Verdict::Noted });
            return;
        }
        if matches!(self.state, State::Quiet { .. } | State::Gone) {
            out.push(Output::Answer { receipt, verdict: Verdict::Quiet });
            return;
        }
        self.last_heard[from.index()] = Some(now);
        match message {
            Message::Token(token) => self.on_token(now, from, receipt, token, out),
            Message::Relayed { origin, token } => self.on_token(now, origin, receipt, token, out),
            Message::Relay { to, token } => self.on_relay(now, from, receipt, to, token, out),
            Message::Passed { key, verdict } => {
                out.push(Output::Answer { receipt, verdict: Verdict::Noted });
                self.on_passed(now, from, key, verdict, out);
            }
            Message::Notice(notice) => {
                self.on_notice(now, from, incarnation, receipt, notice, out);
            }
            Message::Reach => out.push(Output::Answer { receipt, verdict: Verdict::Noted }),
            Message::Call => {
                out.push(Output::Answer { receipt, verdict: Verdict::Noted });
                self.on_call(now, out);
            }
        }
    }

    /// Timers that are due, in a fixed order: the token first, then what is missing, then the outside.
    fn on_tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if let State::Quiet { until } = self.state {
            if now < until {
                return;
            }
            self.state = State::Wait;
            self.last_token = now.before(self.starve());
        }
        match std::mem::replace(&mut self.state, State::Wait) {
            State::Hold { token, until } if now >= until => self.pass(now, token, out),
            State::Pass { token, to, first, via: Some(_), .. }
                if self.timers.due(Timer::Relay, now) =>
            {
                self.lost(now, token, to, first, out);
            }
            other => self.state = other,
        }
        self.tick_tacit(now, out);
        self.tick_round(now, out);
        self.tick_sweep(now, out);
        self.tick_unlinked(now, out);
        self.tick_beacon(now, out);
        self.tick_commands(now, out);
        self.tick_config(now, out);
        self.tick_leave(now, out);
    }

    /// Sets every timer from the state, so that none can be forgotten.
    fn arm(&mut self, now: Time) {
        let timing = self.cluster.timing;
        let (mut quiet, mut hold, mut starve) = (None, None, None);
        match &self.state {
            State::Quiet { until } => quiet = Some(*until),
            State::Hold { until, .. } => hold = Some(*until),
            State::Wait if self.round.is_none() => starve = Some(self.last_token + self.starve()),
            State::Wait | State::Pass { .. } => {}
            State::Gone => {
                self.timers = Timers::new();
                return;
            }
        }
        let relayed = match &self.state {
            State::Pass { via: Some(_), first, .. } => Some(*first + timing.removal * 3),
            _ => None,
        };
        let awake = quiet.is_none();
        // At rest nobody is removed before a tacit pass was insisted on.
        let rests =
            !self.hurried && self.round.is_none() && !matches!(self.state, State::Pass { .. });
        let watch = if rests { timing.rotation * 5 / 4 } else { timing.removal / 2 };
        let timers = &mut self.timers;
        timers.put(Timer::Quiet, quiet);
        timers.put(Timer::Hold, hold);
        timers.put(Timer::Relay, relayed);
        timers.put(Timer::Tacit, self.tacit.as_ref().map(|t| t.until));
        timers.put(Timer::Starve, starve);
        timers.put(Timer::Round, self.round.as_ref().map(|r| r.start + timing.removal * 4));
        timers.put(Timer::Sweep, self.suspicion.sweep.map(|s| s.next).filter(|_| awake));
        timers.put(Timer::Unlinked, self.unlinked_due.filter(|_| awake));
        timers.put(Timer::Leave, self.leaving);
        let proposal = self.changes.deadline();
        let command = self.pending.first().map(|p| p.until);
        timers.put(Timer::Command, command.into_iter().chain(proposal).min());
        timers.put(Timer::Watch, awake.then_some(now + watch));
        let beacon = (awake && self.speaks()).then_some(self.next_beacon);
        self.timers.put(Timer::Beacon, beacon);
    }

    /// Names the next message.
    pub(crate) fn send(&mut self, to: NodeId, message: Message, out: &mut Vec<Output>) -> SendId {
        self.last_send += 1;
        let id = SendId(self.last_send);
        out.push(Output::Send { id, to, message });
        id
    }

    /// The token as this node knows it: in hand, else as passed last.
    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.state {
            State::Hold { token, .. } | State::Pass { token, .. } => Some(token),
            State::Quiet { .. } | State::Wait | State::Gone => self.copy.as_deref(),
        }
    }

    /// The member that does for the ring what one has to do.
    pub(crate) fn is_first(&self, token: &Token) -> bool {
        token.members.first().is_some_and(|m| m.node == self.me)
    }

    pub(crate) fn holding(&self) -> bool {
        matches!(self.state, State::Hold { .. } | State::Pass { .. })
    }

    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        self.token().is_some_and(|t| t.has(node))
    }

    pub(crate) fn majority_mode(&self) -> bool {
        self.cluster.partition == Partition::Majority
    }

    /// May a ring of this membership serve?
    pub(crate) fn quorum(&self, members: usize) -> bool {
        !self.majority_mode() || 2 * members > self.configured.len()
    }

    /// All configured nodes but this one.
    pub(crate) fn others(&self) -> NodeSet {
        self.configured.without(self.me)
    }

    /// Patience with a missing token; a ring whose hops alone take longer than a rotation needs more of it.
    pub(crate) fn starve(&self) -> Duration {
        self.cluster.timing.starve.max(self.rotation * 2)
    }

    /// Makes a new epoch for the token in hand (rule 2).
    pub(crate) fn new_epoch(&mut self, token: &mut Token) {
        let last = self.seen.epoch.counter.max(self.heard).max(token.key.epoch.counter);
        token.key.epoch.counter = last.saturating_add(1);
        token.key.epoch.proposer = self.me;
        token.key.epoch.incarnation = self.incarnation;
        self.seen = token.key;
        self.acc = token.key;
        self.heard = self.heard.max(token.key.epoch.counter);
    }
}
