//! The loop: wait for a packet, a message or the deadline; read the clock once; feed all packets, then the rest, then the
//! tick; carry out the effects in their order.

use crate::changes::{self, Changes, Outcome};
use crate::control::{Control, Wanted};
use crate::doors::{Came, Doors};
use crate::facts::{News, NodeFacts};
use crate::member::{Effect, Member};
use crate::words::sentence;
use dsc_bpf::LeaseMap;
use dsc_conf::Config;
use dsc_ring::Input;
use dsc_sys::clock::{self, Alarm};
use dsc_sys::end::End;
use dsc_sys::keyfile::KeyFile;
use dsc_sys::nic;
use dsc_sys::notify::{self, Watchdog};
use dsc_sys::paths::{Arrived, Paths, Stray};
use dsc_wire::local::{Counter, Event, EventKind, Names, View};
use dsc_wire::seal::Keyring;
use dsc_wire::{NodeId, Time};
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

/// How long a planned stop may take to hand everything over.
const LEAVE: Duration = Duration::from_secs(2);
/// Between two turns of what is not urgent.
const SECOND: Duration = Duration::from_secs(1);
/// Seconds between two looks at all interfaces.
const LOOK_EVERY: u64 = 10;

/// Everything that is open, and what came of it.
pub struct Daemon {
    /// This node.
    pub me: NodeId,
    /// What people call things.
    pub names: Names,
    /// The configuration in force, and the next.
    pub changes: Changes,
    /// Ring and messages.
    pub member: Member,
    /// The sockets to the peers.
    pub paths: Paths,
    /// The keys of what passes there.
    pub key_file: KeyFile,
    /// The sockets of this node.
    pub doors: Doors,
    /// The kernel's lease and hosts.
    pub lease: LeaseMap,
    /// Questions and events.
    pub control: Control,
    /// What the other daemons say.
    pub facts: NodeFacts,
    /// Own timers later than this mean that we were not run.
    pub stall: Duration,
    /// Set by a signal that asks to stop. Looked at in every turn: waiting for the signal here would cost more.
    pub stop_asked: Arc<AtomicBool>,
    /// The deadline.
    pub alarm: Alarm,
    /// The service manager's.
    pub watchdog: Watchdog,
    /// Counts and buffers of the loop.
    pub turn: Turn,
}

/// The loop's own state.
#[derive(Default)]
pub struct Turn {
    effects: Vec<Effect>,
    arrived: Vec<Arrived>,
    came: Vec<Came>,
    news: Vec<News>,
    next_second: Time,
    seconds: u64,
    leave_by: Option<Time>,
    left: bool,
    outcomes: Vec<Outcome>,
    removed: Option<u64>,
    /// Version of what is in force elsewhere, which only a daemon that begins anew can work with.
    renumbered: Option<u64>,
    late: u64,
    facts_malformed: u64,
}

impl Turn {
    /// Before the first turn.
    pub fn new(now: Time) -> Turn {
        Turn { next_second: now, ..Turn::default() }
    }
}

impl Daemon {
    /// What an earlier life had prepared may have come into force meanwhile.
    pub fn recall(&mut self, next: &Path, now: Time) {
        let Ok(config) = Config::read(next) else { return };
        let ours = &self.changes.config;
        if config.name == ours.name && config.version > ours.version {
            let configuration = self.changes.prepared(Arc::new(config), None);
            self.member.prepared(now, configuration, &mut self.turn.effects);
        }
    }

    /// Runs until a signal asks to stop and the ring has been left.
    ///
    /// # Errors
    /// A socket or timer that is beyond use; or this node is not configured any more, or has another number now.
    pub async fn run(mut self) -> Result<(), End> {
        let result = self.turns().await;
        // Whatever was not handed over is not answered for without us.
        self.lease.set_lease(Time::ZERO);
        self.changes.store.finish();
        result.map_err(|e| End::Other(format!("cannot go on: {e}")))?;
        if let Some(version) = self.turn.renumbered {
            return Err(End::Other(format!(
                "version {version} of the configuration, which other nodes have, gives other numbers than here, and is stored now: to be started again with it"
            )));
        }
        let Some(version) = self.turn.removed else { return Ok(()) };
        let name = self.names.nodes.get(self.me.index()).map_or("", String::as_str);
        Err(End::Configuration(format!(
            "{name} has left for good: it is not in version {version} of the configuration; stop the daemons of this node, or put it in again with dscctl node add on another one"
        )))
    }

    async fn turns(&mut self) -> io::Result<()> {
        loop {
            self.alarm.set(self.deadline())?;
            self.wait().await?;
            let now = clock::now();
            self.packets(now);
            self.stored(now);
            self.messages(now)?;
            self.second(now);
            self.leave(now);
            self.member.tick(now, &mut self.turn.effects);
            self.carry_out();
            self.answer(now);
            if self.turn.left || self.turn.leave_by.is_some_and(|by| now >= by) {
                return Ok(());
            }
        }
    }

    fn deadline(&self) -> Time {
        let leave_by = self.turn.leave_by.unwrap_or(Time::NEVER);
        let own = self.control.deadline().min(self.turn.next_second).min(leave_by);
        self.member.deadline().min(own)
    }

    /// Waits for the first of everything; all are polled, so that each can wake us.
    async fn wait(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut ready = false;
            for source in
                [self.alarm.poll_rang(cx), self.paths.poll_readable(cx), self.doors.poll_news(cx)]
            {
                if let Poll::Ready(result) = source {
                    result?;
                    ready = true;
                }
            }
            while let Poll::Ready(Some(outcome)) = self.changes.store.poll_outcome(cx) {
                self.turn.outcomes.push(outcome);
                ready = true;
            }
            if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    fn packets(&mut self, now: Time) {
        // When we were not run for a while, more may be waiting than the runtime has told us of (rule 11).
        let late = now > self.alarm.at() + self.stall;
        self.turn.late += u64::from(late);
        self.paths.receive(now, late, &mut self.turn.arrived);
        for Arrived { from, path, packet, .. } in self.turn.arrived.drain(..) {
            self.member.packet(now, from, path, packet, &mut self.turn.effects);
        }
        for Stray { path, sender, packet } in self.paths.strays() {
            for answer in self.member.stray(now, packet, &mut self.turn.effects) {
                self.paths.send_back(path, sender, &answer);
            }
        }
    }

    /// What the disk is done with.
    fn stored(&mut self, now: Time) {
        for outcome in std::mem::take(&mut self.turn.outcomes) {
            let effects = &mut self.turn.effects;
            let pinned = self.member.pending().map(|c| c.cluster.digest);
            match outcome {
                Outcome::Applied(id, applied) => match self.changes.applied(applied, pinned) {
                    Ok(configuration) => self.member.propose(now, id, configuration, effects),
                    Err(reason) => self.control.done(id, Err(reason)),
                },
                Outcome::Checked(_, Ok(config)) => {
                    let configuration = self.changes.prepared(config, pinned);
                    self.member.prepared(now, configuration, effects);
                }
                Outcome::Checked(digest, Err(reason)) => {
                    tracing::warn!("cannot work with a new configuration: {reason}");
                    let input = Input::Unfit { digest, reason: Some(reason) };
                    self.member.input(now, input, effects);
                }
                Outcome::Renumbered(version) => {
                    tracing::warn!("has to begin anew with version {version} of the configuration");
                    self.turn.renumbered = Some(version);
                }
            }
            if let Some(pending) = self.member.pending() {
                self.changes.keep(pending);
            }
        }
    }

    /// Everything goes on with another configuration.
    fn switch(&mut self, version: u64, digest: u64) {
        if !self.changes.switch(version, digest) {
            self.member.restated(changes::configuration(&self.changes.config).document);
        }
        let config = &self.changes.config;
        tracing::info!("version {version} of the configuration is in force");
        self.names = config.names();
        let mine = config.cluster().nodes[self.me.index()].subnets;
        let plans = crate::critical::plans(config, self.me);
        self.facts.change(clock::now(), mine, digest, plans, &mut self.turn.news);
        match nic::nics() {
            Ok(nics) => self.paths.change(&crate::sites(config), &nics),
            Err(e) => tracing::warn!("cannot read this machine's addresses: {e}"),
        }
        self.control.view_changed();
    }

    fn messages(&mut self, now: Time) -> io::Result<()> {
        self.doors.take(&mut self.turn.came)?;
        for came in std::mem::take(&mut self.turn.came) {
            match came {
                Came::Request(door, asker, body) => {
                    match self.control.ask(now, door, asker, &body) {
                        Some(Wanted::Command { id, command }) => {
                            tracing::info!("asked for {command:?}");
                            let input = Input::Command { id, command };
                            self.member.input(now, input, &mut self.turn.effects);
                        }
                        Some(Wanted::Apply { id, base, document }) => {
                            tracing::info!(
                                "asked for another configuration than version {}",
                                base.0
                            );
                            let free = self.member.busy().map_or(Ok(()), |b| Err(b.to_owned()));
                            let begun = free.and_then(|()| self.changes.apply(id, base, document));
                            if let Err(reason) = begun {
                                self.control.done(id, Err(reason));
                            }
                        }
                        None => {}
                    }
                }
                Came::Facts(body) => match serde_json::from_slice(&body) {
                    Ok(facts) => {
                        tracing::trace!("heard {facts:?}");
                        self.facts.hear(now, facts, &mut self.turn.news);
                    }
                    Err(e) => {
                        self.turn.facts_malformed += 1;
                        tracing::debug!("cannot understand facts: {e}");
                    }
                },
            }
        }
        self.tell(now);
        Ok(())
    }

    /// Passes on what the facts brought.
    fn tell(&mut self, now: Time) {
        for news in std::mem::take(&mut self.turn.news) {
            let input = match news {
                News::Able(subnets) => Input::Able { subnets },
                News::Load(load) => Input::Load { load },
                News::VipLoads(loads) => Input::VipLoads { loads },
                News::Checked(verdicts) => Input::Checked { verdicts },
                News::Failing(backends) => Input::Failing { backends },
                News::Lights(lights, unfit) => Input::Lights { lights, unfit },
                News::Growing(growing) => Input::Growing { growing },
                News::Conflict(conflict) => {
                    let kind = EventKind::Conflict { vip: conflict.vip, mac: conflict.mac };
                    self.happened(Event {
                        number: 0,
                        wall_ms: clock::wall_ms(),
                        node: self.me,
                        kind,
                    });
                    self.control.view_changed();
                    continue;
                }
            };
            self.member.input(now, input, &mut self.turn.effects);
        }
    }

    /// What is not urgent.
    fn second(&mut self, now: Time) {
        if now < self.turn.next_second {
            return;
        }
        self.turn.next_second = now + SECOND;
        self.watchdog.turn(now);
        let wall = Input::Wall { wall_ms: clock::wall_ms() };
        self.member.input(now, wall, &mut self.turn.effects);
        self.facts.turn(now, &mut self.turn.news);
        self.tell(now);
        if self.key_file.look() {
            self.paths.set_keyring(self.key_file.keyring(Keyring::new));
        }
        if (self.turn.seconds.is_multiple_of(LOOK_EVERY) || self.paths.is_stale())
            && let Ok(nics) = nic::nics()
        {
            self.paths.follow(&nics);
            let macs = Input::Macs { macs: self.paths.macs(&nics) };
            self.member.input(now, macs, &mut self.turn.effects);
        }
        self.turn.seconds += 1;
    }

    fn leave(&mut self, now: Time) {
        let over = self.turn.renumbered.is_some() || self.stop_asked.load(Ordering::Relaxed);
        if self.turn.leave_by.is_some() || !over {
            return;
        }
        tracing::info!("handing over and leaving the ring");
        if let Err(e) = notify::stopping("handing over and leaving the ring") {
            tracing::warn!("cannot reach the service manager: {e}");
        }
        self.turn.leave_by = Some(now + LEAVE);
        self.member.input(now, Input::Leave, &mut self.turn.effects);
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.turn.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Packet { to, path, packet } => self.paths.send(to, path, &packet),
                Effect::Lease { end } => self.lease.set_lease(end),
                Effect::Host { vip, state, past } => self.lease.set_host(vip, state, &past),
                Effect::Event(event) => self.happened(event),
                Effect::Done { id, result } => self.control.done(id, result),
                Effect::Changed => self.control.view_changed(),
                Effect::Prepare { version, digest, document } => {
                    if let Err(e) = self.changes.check(version, digest, document) {
                        tracing::warn!("cannot check a new configuration: {e}");
                    }
                }
                Effect::Configured { version, digest } => self.switch(version, digest),
                Effect::Removed { configuration } => {
                    self.turn.removed = Some(configuration.cluster.version);
                    self.changes.commit(configuration.document);
                }
                Effect::Left => self.turn.left = true,
            }
        }
        self.turn.effects = effects;
    }

    fn happened(&mut self, event: Event) {
        tracing::info!("{}", sentence(&self.names, &event));
        self.control.happened(event);
    }

    fn answer(&mut self, now: Time) {
        let view = self.control.wants_view(now).then(|| self.view(now));
        let mut due = Vec::new();
        self.control.answers(now, view, || self.changes.reply(), &mut due);
        for answer in due {
            self.doors.answer(answer);
        }
    }

    fn view(&self, now: Time) -> View {
        let mut view = self.member.view(now);
        view.number = self.control.view_number();
        view.names = self.names.clone();
        view.config_file.clone_from(&self.changes.file);
        view.heard = self.facts.heard().clone();
        view.paths_down = self.member.paths_down(&view.members);
        view.keys = self.key_file.ids();
        view.counters.extend(self.member.counters());
        view.counters.extend(self.paths.counters());
        view.counters.extend(self.doors.counters());
        let own = [
            ("requests_refused", self.control.refused()),
            ("facts_malformed", self.turn.facts_malformed),
            ("late_wake_ups", self.turn.late),
        ];
        view.counters.extend(own.map(|(name, count)| Counter { name: name.to_owned(), count }));
        view
    }
}
