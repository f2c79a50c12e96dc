//! One peer: its life, the paths to it, messages on their way to and from it. All time-outs of the peer are judged
//! here; its packets are read in `receive`. Called by `rml`.

use crate::api::{Output, PathState, PeerState};
use crate::count::Count;
use crate::inbox::{IN_FLIGHT_MAX, Inbox, Judged};
use crate::life::Life;
use crate::pace::{stamp, trim};
use crate::path::Paths;
use crate::post::Post;
use crate::receive::whole;
use crate::sending::Sending;
use crate::window::Window;
use dsc_wire::delivery::VERDICT_MAX;
use dsc_wire::packet::Body;
use dsc_wire::{Incarnation, NodeId, Receipt, SendId, SubnetId, SubnetSet, Time};

/// One peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub node: NodeId,
    pub paths: Paths,
    pub life: Life,
    /// When it was last heard, on any path.
    pub heard: Time,
    /// At most [`IN_FLIGHT_MAX`], oldest first.
    pub sendings: Vec<Sending>,
    /// Number of the last message and of the last datagram to it.
    message: u64,
    datagram: u64,
    /// When to challenge it again, and the tries so far, while messages wait for its life to be proven.
    pub hello_due: Time,
    hellos: u32,
    /// The newest datagram that waits for its life to be proven.
    pub waiting: Option<(Time, Vec<u8>)>,
    pub datagrams: Window,
    pub inbox: Inbox,
}

impl Peer {
    pub fn new(node: NodeId, shared: SubnetSet) -> Peer {
        Peer {
            node,
            paths: Paths::new(shared),
            life: Life::new(),
            heard: Time::ZERO,
            sendings: Vec::new(),
            message: 0,
            datagram: 0,
            hello_due: Time::NEVER,
            hellos: 0,
            waiting: None,
            datagrams: Window::new(),
            inbox: Inbox::new(),
        }
    }

    /// The two share these subnets from now on. A peer that shares none is as if it had never been there.
    pub fn share(&mut self, shared: SubnetSet, post: &mut Post<'_>) {
        if shared == self.paths.all() {
            return;
        }
        if shared.is_empty() {
            for sending in std::mem::replace(self, Peer::new(self.node, shared)).sendings {
                post.count(Count::MessageFailed);
                post.out.push(Output::Failed { id: sending.id });
            }
        }
        self.paths.share(shared);
    }

    /// For people.
    pub fn state(&self) -> PeerState {
        let paths = self.paths.list.iter().map(|p| PathState {
            subnet: p.subnet,
            up: p.up,
            srtt_us: p.srtt_us,
            confirmed: p.confirmed,
        });
        PeerState { node: self.node, incarnation: self.life.proven, paths: paths.collect() }
    }

    /// When the next thing of this peer is due.
    pub fn deadline(&self, post: &Post<'_>) -> Time {
        let sendings = self.sendings.iter().map(|s| s.due);
        let paths = self.paths.list.iter().map(|p| p.probe_due.min(p.probe_end()));
        let owed = if self.inbox.owes() { post.now } else { Time::NEVER };
        sendings.chain(paths).chain([self.hello_due, owed]).min().unwrap_or(Time::NEVER)
    }

    // What the layer above asks for.

    /// Takes a message for the peer.
    pub fn send(&mut self, id: SendId, message: Vec<u8>, tacit: bool, post: &mut Post<'_>) {
        let oldest = self.sendings.first().map_or(self.message + 1, |s| s.number);
        if self.message + 1 >= oldest + IN_FLIGHT_MAX as u64 {
            post.count(Count::MessageRefused);
            post.out.push(Output::Failed { id });
            return;
        }
        self.message += 1;
        post.count(Count::MessageSent);
        self.sendings.push(Sending::new(id, self.message, message, tacit, post));
        match self.life.proven {
            Some(life) => {
                let Some(sending) = self.sendings.last_mut() else { return };
                sending.attempt(&mut self.paths, self.node, life, post);
            }
            None => self.challenge_for_messages(post),
        }
    }

    /// Forgets a message.
    pub fn cancel(&mut self, id: SendId) {
        self.sendings.retain(|s| s.id != id);
    }

    /// What was sent tacitly is known to have arrived.
    pub fn arrived(&mut self, id: SendId, post: &mut Post<'_>) {
        let Some(at) = self.sendings.iter().position(|s| s.id == id) else { return };
        let sending = self.sendings.remove(at);
        post.count(Count::MessageArrived);
        let Some((path, sent)) = sending.sole_try() else { return };
        if let Some(path) = self.paths.get(path) {
            path.carried(sent);
        }
        post.desk.links.carry(path, sent);
        self.paths.arm(&post.desk.pace, post.now);
    }

    /// What was sent tacitly has not shown its effect: as if it had timed out now.
    pub fn insist(&mut self, id: SendId, post: &mut Post<'_>) {
        if let Some(sending) = self.sendings.iter_mut().find(|s| s.id == id) {
            sending.insist(post);
        }
    }

    /// Sends a datagram on every path; holds back the newest while the peer's life is unknown.
    pub fn send_datagram(&mut self, body: Vec<u8>, post: &mut Post<'_>) {
        let Some(life) = self.life.proven else {
            if self.waiting.replace((post.now, body)).is_some() {
                post.count(Count::DatagramUnsent);
            }
            self.challenge(post);
            return;
        };
        self.datagram += 1;
        for path in self.paths.all().iter() {
            let body = Body::Datagram { number: self.datagram, body: body.clone() };
            post.send(self.node, path, life, body);
        }
    }

    /// Sends the verdict on a received message.
    pub fn answer(&mut self, receipt: Receipt, verdict: Vec<u8>, post: &mut Post<'_>) {
        self.judge(receipt, verdict, true, post);
    }

    /// Sends the verdict on a received message, unless its sender does not wait for it.
    pub fn keep(&mut self, receipt: Receipt, verdict: Vec<u8>, post: &mut Post<'_>) {
        self.judge(receipt, verdict, false, post);
    }

    fn judge(&mut self, receipt: Receipt, verdict: Vec<u8>, always: bool, post: &mut Post<'_>) {
        let judged =
            if verdict.len() > VERDICT_MAX { None } else { self.inbox.judge(receipt, &verdict) };
        match (judged, self.life.proven) {
            (Some(Judged { cause, .. }), Some(_)) if cause.tacit && !always => {}
            (Some(judged), Some(life)) => {
                let Judged { number: message, count, cause } = judged;
                let body = whole(message, cause, count, verdict);
                post.send(self.node, cause.path, life, body);
            }
            _ => post.count(Count::VerdictRefused),
        }
    }

    // Whose packets are believed.

    /// Asks which life of the peer is the present one, on every path; not more often than the shortest time-out.
    pub fn challenge(&mut self, post: &mut Post<'_>) {
        let pace = post.pace();
        if self.life.asked.is_some_and(|asked| post.now < asked + pace.floor) {
            return;
        }
        self.life.asked = Some(post.now);
        let challenge = self.life.challenge(post.desk.counter + 1, post.now, pace.removal);
        post.count(Count::HelloSent);
        for path in self.paths.all().iter() {
            let body = Body::Hello { stamp: stamp(post.now), challenge };
            post.send(self.node, path, Incarnation(0), body);
        }
    }

    fn challenge_for_messages(&mut self, post: &mut Post<'_>) {
        if self.hello_due != Time::NEVER {
            return;
        }
        self.hellos = 0;
        self.challenge_again(post);
    }

    fn challenge_again(&mut self, post: &mut Post<'_>) {
        self.challenge(post);
        self.hello_due = post.now + post.pace().floor * (1 << self.hellos.min(8));
        self.hellos += 1;
    }

    // Which paths work.

    /// A try on `path` was answered.
    pub fn confirm(&mut self, path: SubnetId, sent: Time, post: &mut Post<'_>) {
        let now = post.now;
        let Some(confirmed) = self.paths.get(path) else { return };
        let came_up = confirmed.confirm(sent, now);
        post.desk.links.confirm(path, sent);
        if came_up {
            post.out.push(Output::PathChanged { peer: self.node, path, up: true });
        }
        self.paths.arm(&post.desk.pace, now);
    }

    fn miss(&mut self, path: SubnetId, sent: Time, post: &mut Post<'_>) {
        let Some(missed) = self.paths.get(path) else { return };
        let went_down = missed.miss(sent, &post.desk.pace);
        post.desk.links.doubt(path);
        if went_down {
            self.lose(path, post);
        }
        self.paths.arm(&post.desk.pace, post.now);
    }

    fn lose(&mut self, path: SubnetId, post: &mut Post<'_>) {
        post.count(Count::PathLost);
        post.out.push(Output::PathChanged { peer: self.node, path, up: false });
    }

    // Time.

    /// Judges what is due.
    pub fn tick(&mut self, post: &mut Post<'_>) {
        for at in 0..self.paths.list.len() {
            let path = &mut self.paths.list[at];
            if post.now >= path.probe_end() {
                path.probing = false;
                let (subnet, sent) = (path.subnet, path.probed);
                self.miss(subnet, sent, post);
                self.paths.cross_check(subnet, sent, post.now);
            }
        }
        let mut at = 0;
        while let Some(sending) = self.sendings.get(at) {
            if post.now < sending.due {
                at += 1;
                continue;
            }
            let (on, sent) = sending.latest();
            for path in on.iter() {
                self.miss(path, sent, post);
            }
            at += usize::from(self.retry(at, post));
        }
        if post.now >= self.hello_due {
            if self.sendings.iter().any(|s| s.tries == 0) {
                self.challenge_again(post);
            } else {
                self.hello_due = Time::NEVER;
            }
        }
    }

    /// Tries a message again, or gives it up and returns false.
    fn retry(&mut self, at: usize, post: &mut Post<'_>) -> bool {
        let sending = &mut self.sendings[at];
        match self.life.proven {
            Some(life) if !sending.spent(post) => {
                sending.attempt(&mut self.paths, self.node, life, post);
                true
            }
            Some(_) | None => {
                let failed = self.sendings.remove(at);
                if self.paths.confirmed() < trim(failed.start) {
                    for path in failed.tried().iter() {
                        if self.paths.get(path).is_some_and(|p| p.give_up(failed.start)) {
                            self.lose(path, post);
                        }
                    }
                }
                post.count(Count::MessageFailed);
                post.out.push(Output::Failed { id: failed.id });
                false
            }
        }
    }

    /// This node was not running: nothing that timed out meanwhile says anything about the peer (rule 11).
    pub fn restart(&mut self, post: &mut Post<'_>) {
        for path in &mut self.paths.list {
            if std::mem::take(&mut path.probing) {
                path.probe_due = post.now;
            }
        }
        let mut waiting = false;
        // What was sent tacitly cannot time out.
        for sending in self.sendings.iter_mut().filter(|s| !s.tacit) {
            sending.restart(post);
            match self.life.proven {
                Some(life) => sending.attempt(&mut self.paths, self.node, life, post),
                None => waiting = true,
            }
        }
        if waiting {
            self.hellos = 0;
            self.challenge_again(post);
        }
    }

    /// Sends the probes that are due and the acknowledgements of parts that are owed.
    pub fn flush(&mut self, post: &mut Post<'_>) {
        let Some(life) = self.life.proven else { return };
        for path in &mut self.paths.list {
            if post.now >= path.probe_due {
                path.probe(post.now, &post.desk.pace);
                post.count(Count::ProbeSent);
                let body = Body::Probe { stamp: stamp(post.now) };
                post.send(self.node, path.subnet, life, body);
            }
        }
        for (partial, cause) in self.inbox.owed() {
            let base = partial.here.base(partial.count);
            let body = Body::Ack {
                message: partial.number,
                stamp: cause.stamp,
                via: cause.path,
                base,
                beyond: partial.here.beyond(base),
                verdict: None,
            };
            post.send(self.node, cause.path, life, body);
        }
    }
}
