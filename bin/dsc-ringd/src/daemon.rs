//! The loop: wait for a packet, a message or the deadline; read the clock once; feed all packets, then the rest, then the
//! tick; carry out the effects in their order.

use crate::control::Control;
use crate::doors::{Came, Doors};
use crate::facts::{News, NodeFacts};
use crate::member::{Effect, Member};
use crate::words::sentence;
use dsc_bpf::LeaseMap;
use dsc_ring::Input;
use dsc_sys::clock::{self, Alarm};
use dsc_sys::nic;
use dsc_sys::notify::{self, Watchdog};
use dsc_sys::paths::{Arrived, Paths};
use dsc_wire::local::{Counter, Event, EventKind, Names, View};
use dsc_wire::{NodeId, Time};
use std::future::poll_fn;
use std::io;
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
    /// Ring and messages.
    pub member: Member,
    /// The sockets to the peers.
    pub paths: Paths,
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
    /// Runs until a signal asks to stop and the ring has been left.
    ///
    /// # Errors
    /// A socket or timer that is beyond use.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            self.alarm.set(self.deadline())?;
            self.wait().await?;
            let now = clock::now();
            self.packets(now);
            self.messages(now)?;
            self.second(now);
            self.leave(now);
            self.member.tick(now, &mut self.turn.effects);
            self.carry_out();
            self.answer(now);
            if self.turn.left || self.turn.leave_by.is_some_and(|by| now >= by) {
                // Whatever was not handed over is not answered for without us.
                self.lease.set_lease(Time::ZERO);
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
    }

    fn messages(&mut self, now: Time) -> io::Result<()> {
        self.doors.take(&mut self.turn.came)?;
        for came in std::mem::take(&mut self.turn.came) {
            match came {
                Came::Request(door, asker, body) => {
                    if let Some((id, command)) = self.control.ask(now, door, asker, &body) {
                        tracing::info!("asked for {command:?}");
                        let input = Input::Command { id, command };
                        self.member.input(now, input, &mut self.turn.effects);
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
        if self.turn.leave_by.is_some() || !self.stop_asked.load(Ordering::Relaxed) {
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
        self.control.answers(now, view, &mut due);
        for answer in due {
            self.doors.answer(answer);
        }
    }

    fn view(&self, now: Time) -> View {
        let mut view = self.member.view(now);
        view.number = self.control.view_number();
        view.names = self.names.clone();
        view.heard = self.facts.heard().clone();
        view.paths_down = self.member.paths_down(&view.members);
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
