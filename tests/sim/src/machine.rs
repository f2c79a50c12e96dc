//! One simulated node: power, clock, kernel, ring daemon and its socket queue. The world runs it; the audits
//! read it.

use crate::clock::Clock;
use crate::configs::{Disk, Doc};
use crate::fault::Span;
use crate::kernel::Kernel;
use dsc_ringd::member::{Effect, Member};
use dsc_wire::health::{NodeLight, Verdict};
use dsc_wire::local::{Event, View};
use dsc_wire::packet::Packet;
use dsc_wire::{NodeId, SubnetId, VipId};
use std::cell::OnceCell;
use std::collections::VecDeque;

/// Packets that a socket queue holds; the newest is dropped when it is full.
pub const QUEUE_MAX: usize = 256;

/// What waits to be fed to the daemon.
pub enum Item {
    /// A packet off the wire.
    Packet {
        /// Sender.
        from: NodeId,
        /// Subnet.
        path: SubnetId,
        /// Content.
        packet: Packet,
    },
    /// A fact or a command.
    Input(dsc_ring::Input),
    /// Its disk is done with a document that others gave it.
    Stored(Doc),
    /// Its disk is done with a document that an operator gave it, by number.
    Proposed(u64, Doc),
}

/// One node.
pub struct Machine {
    /// Which.
    pub id: NodeId,
    /// The ring daemon, while it runs.
    pub member: Option<Member>,
    /// What the daemon shows, if somebody has asked since its last turn.
    pub shown: OnceCell<View>,
    /// What outlives it.
    pub kernel: Kernel,
    /// Its clock.
    pub clock: Clock,
    /// Is the power on?
    pub on: bool,
    /// If it is off: will it come back?
    pub returns: bool,
    /// Counts starts and stops, so that an event planned for an earlier life is known as such.
    pub life: u32,
    /// What waits.
    pub inbox: VecDeque<Item>,
    /// Packets the queue holds.
    pub places: usize,
    /// Until when the daemon does not run.
    pub paused: Span,
    /// A pause that begins in the middle of the next turn.
    pub stall: Option<(u8, Span)>,
    /// Effects of a turn cut short by a stall.
    pub rest: VecDeque<Effect>,
    /// When the daemon runs next.
    pub wake: Span,
    /// Until when its data path is not ready, per subnet.
    pub unable: [Span; 2],
    /// It was asked to leave and shall be started again so long after it has left.
    pub leaving: Option<Span>,
    /// Turns since `counted`, to see a daemon that spins.
    pub turns: u32,
    /// Packets sent since `counted`.
    pub sent: u32,
    /// Since when the two above are counted.
    pub counted: Span,
    /// What its checks of backends found; told to the ring daemon again and again.
    pub checked: Vec<Verdict>,
    /// What its own checks say of it, and where it should host nothing because of that; told again and again, too.
    pub lights: (Vec<NodeLight>, dsc_wire::SubnetSet),
    /// Its state directory.
    pub disk: Disk,
    /// Its daemon has found that it is not configured any more, by this.
    pub removed: Option<Doc>,
    /// What its daemon told, its own and the others'.
    pub events: Vec<Event>,
}

impl Machine {
    /// A node without power.
    pub fn new(id: NodeId, vips: usize, stored: Doc) -> Machine {
        Machine {
            id,
            member: None,
            shown: OnceCell::new(),
            kernel: Kernel::new(vips),
            clock: Clock::new(0, 0, 0),
            on: false,
            returns: true,
            life: 0,
            inbox: VecDeque::new(),
            places: QUEUE_MAX,
            paused: 0,
            stall: None,
            rest: VecDeque::new(),
            wake: Span::MAX,
            unable: [0; 2],
            leaving: None,
            turns: 0,
            sent: 0,
            counted: 0,
            checked: Vec::new(),
            lights: Default::default(),
            disk: Disk { stored, next: None },
            removed: None,
            events: Vec::new(),
        }
    }

    /// Does it answer for `vip` at world time `at`?
    pub fn answers(&self, vip: VipId, at: Span) -> bool {
        self.on && self.kernel.answers(vip, || self.clock.local(at))
    }

    /// What its ring daemon shows. Only a turn changes that, but for the time that a fence still lasts, so it is asked
    /// once after each: most looks fall between turns, and a whole view is much to make.
    pub fn view(&self, at: Span) -> Option<&View> {
        let member = self.member.as_ref()?;
        Some(self.shown.get_or_init(|| member.view(self.clock.local(at))))
    }

    /// Does its ring daemon run?
    pub fn runs(&self, at: Span) -> bool {
        self.on && self.member.is_some() && self.paused <= at
    }

    /// Lets the daemon run at `at`, or when its pause ends.
    pub fn wake_at(&mut self, at: Span) {
        if self.member.is_some() {
            self.wake = self.wake.min(at).max(self.paused);
        }
    }

    /// Keeps the daemon from running until `until`.
    pub fn pause(&mut self, until: Span) {
        self.paused = self.paused.max(until);
        if self.member.is_some() {
            self.wake = self.wake.max(self.paused);
        }
    }

    /// Ends the daemon at once: nothing it had in hand is done.
    pub fn stop(&mut self) {
        self.member = None;
        self.shown.take();
        self.inbox.clear();
        self.rest.clear();
        self.stall = None;
        self.leaving = None;
        self.removed = None;
        self.wake = Span::MAX;
        self.life += 1;
    }
}
