//! One peer: its life, the paths to it, messages on their way to and from it. Routes each packet of the peer to
//! the room it belongs to; all time-outs of the peer are judged here. Called by `rml`.

use crate::api::{Output, PathState, PeerState};
use crate::count::Count;
use crate::inbox::{Cause, IN_FLIGHT_MAX, Inbox, Judged, Piece, Taken};
use crate::life::{Life, Reply};
use crate::pace::{stamp, stamped, trim};
use crate::path::Paths;
use crate::post::Post;
use crate::sending::Sending;
use crate::window::Window;
use dsc_wire::delivery::VERDICT_MAX;
use dsc_wire::packet::{Body, Header};
use dsc_wire::{Incarnation, NodeId, Receipt, SendId, SubnetId, SubnetSet, Time};

/// One peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    node: NodeId,
    pub paths: Paths,
    pub life: Life,
    /// When it was last heard, on any path.
    pub heard: Time,
    /// At most [`IN_FLIGHT_MAX`], oldest first.
    sendings: Vec<Sending>,
    /// Number of the last message and of the last datagram to it.
    message: u64,
    datagram: u64,
    /// When to challenge it again, and the tries so far, while messages wait for its life to be proven.
    hello_due: Time,
    hellos: u32,
    /// The newest datagram that waits for its life to be proven.
    waiting: Option<(Time, Vec<u8>)>,
    datagrams: Window,
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
        let pace = post.pace();
        let sendings = self.sendings.iter().map(|s| s.due);
        let paths = self.paths.list.iter().map(|p| p.probe_due.min(p.probe_end(&pace)));
        let owed = if self.inbox.owes() { post.now } else { Time::NEVER };
        sendings.chain(paths).chain([self.hello_due, owed]).min().unwrap_or(Time::NEVER)
    }

    // What the layer above asks for.

    /// Takes a message for the peer.
    pub fn send(&mut self, id: SendId, message: Vec<u8>, post: &mut Post<'_>) {
        let oldest = self.sendings.first().map_or(self.message + 1, |s| s.number);
        if self.message + 1 >= oldest + IN_FLIGHT_MAX as u64 {
            post.count(Count::MessageRefused);
            post.out.push(Output::Failed { id });
            return;
        }
        self.message += 1;
        post.count(Count::MessageSent);
        self.sendings.push(Sending::new(id, self.message, message, post));
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
        let judged =
            if verdict.len() > VERDICT_MAX { None } else { self.inbox.judge(receipt, &verdict) };
        match (judged, self.life.proven) {
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

    /// Takes a packet whose header is in order.
    pub fn receive(&mut self, header: &Header, body: Body, post: &mut Post<'_>) {
        match body {
            Body::Hello { stamp: asked, challenge } => {
                self.receive_hello(header, asked, challenge, post);
            }
            Body::HelloReply { stamp: asked, challenge, counter } => {
                self.receive_reply(header, asked, challenge, counter, post);
            }
            Body::Data { .. }
            | Body::Ack { .. }
            | Body::Probe { .. }
            | Body::ProbeReply { .. }
            | Body::Datagram { .. } => {
                if header.receiver != post.desk.incarnation {
                    post.count(Count::PacketForOtherLife);
                    // It does not know this life yet: a challenge introduces it.
                    self.challenge(post);
                } else if self.life.proven != Some(header.incarnation) {
                    post.count(Count::PacketUnproven);
                    self.challenge(post);
                } else if !self.life.take(header.counter) {
                    post.count(Count::PacketReplayed);
                } else {
                    self.hear(header.path, post);
                    self.receive_proven(header, body, post);
                }
            }
        }
    }

    /// A packet on a path in doubt: it works again, in this direction at least.
    fn hear(&mut self, path: SubnetId, post: &Post<'_>) {
        self.heard = post.now;
        let period = post.pace().period;
        if let Some(path) = self.paths.get(path)
            && !path.healthy()
            && !path.asked()
        {
            path.probe_due = post.now.max(path.probed + period);
        }
    }

    fn receive_hello(&mut self, header: &Header, asked: u32, challenge: u64, post: &mut Post<'_>) {
        let known = self.life.proven == Some(header.incarnation);
        if known && !self.life.take(header.counter) {
            post.count(Count::PacketReplayed);
            return;
        }
        let counter = (!known).then(|| {
            let fresh = post.desk.counter + 1;
            let value = self.life.challenge(fresh, post.now, post.desk.pace.removal);
            (stamp(post.now), value)
        });
        let body = Body::HelloReply { stamp: asked, challenge, counter };
        post.send(self.node, header.path, header.incarnation, body);
    }

    fn receive_reply(
        &mut self,
        header: &Header,
        asked: u32,
        challenge: u64,
        counter: Option<(u32, u64)>,
        post: &mut Post<'_>,
    ) {
        if header.receiver != post.desk.incarnation {
            post.count(Count::PacketForOtherLife);
            return;
        }
        let before = self.life.proven;
        let reply = self.life.reply(header.incarnation, challenge, header.counter);
        if reply == Reply::Unasked {
            post.count(Count::ReplyUnasked);
            return;
        }
        if let Some((stamp, challenge)) = counter {
            let body = Body::HelloReply { stamp, challenge, counter: None };
            post.send(self.node, header.path, header.incarnation, body);
        }
        self.hear(header.path, post);
        self.confirm(header.path, stamped(asked, post.now), post);
        if reply == Reply::Proves {
            post.count(Count::LifeProven);
            self.begin(before, header.incarnation, post);
        }
    }

    /// The peer's life is proven: what was meant for an earlier one fails, what waited goes out.
    fn begin(&mut self, before: Option<Incarnation>, life: Incarnation, post: &mut Post<'_>) {
        if before != Some(life) {
            self.inbox = Inbox::new();
            self.datagrams = Window::new();
        }
        if before.is_some_and(|b| b != life) {
            for sending in self.sendings.drain(..) {
                post.count(Count::MessageFailed);
                post.out.push(Output::Failed { id: sending.id });
            }
        }
        self.hello_due = Time::NEVER;
        for sending in self.sendings.iter_mut().filter(|s| s.tries == 0) {
            sending.attempt(&mut self.paths, self.node, life, post);
        }
        if let Some((since, body)) = self.waiting.take() {
            if post.now <= since + post.pace().removal {
                self.send_datagram(body, post);
            } else {
                post.count(Count::DatagramUnsent);
            }
        }
    }

    // What believed packets say.

    fn receive_proven(&mut self, header: &Header, body: Body, post: &mut Post<'_>) {
        let (path, life) = (header.path, header.incarnation);
        match body {
            Body::Data { message, stamp, index, count, fragment } => {
                let piece = Piece { message, index, count, fragment };
                self.receive_piece(piece, Cause { path, stamp }, life, post);
            }
            Body::Ack { message, stamp, via, base, beyond, verdict } => {
                if via == path {
                    self.confirm(path, stamped(stamp, post.now), post);
                }
                let Some(at) = self.sendings.iter().position(|s| s.number == message) else {
                    return;
                };
                match verdict {
                    Some(verdict) => {
                        let id = self.sendings.remove(at).id;
                        post.count(Count::MessageDelivered);
                        post.out.push(Output::Delivered { id, verdict });
                    }
                    None => {
                        let told = (base, beyond);
                        self.sendings[at].acknowledge(told, path, self.node, life, post);
                    }
                }
            }
            Body::Probe { stamp } => {
                post.send(self.node, path, life, Body::ProbeReply { stamp });
            }
            Body::ProbeReply { stamp } => self.confirm(path, stamped(stamp, post.now), post),
            Body::Datagram { number, body } => {
                if self.datagrams.take(number) {
                    let from = self.node;
                    post.out.push(Output::Datagram { from, incarnation: life, body });
                } else {
                    post.count(Count::DatagramRepeated);
                }
            }
            Body::Hello { .. } | Body::HelloReply { .. } => {
                unreachable!("taken before a life is asked for")
            }
        }
    }

    fn receive_piece(
        &mut self,
        piece: Piece,
        cause: Cause,
        life: Incarnation,
        post: &mut Post<'_>,
    ) {
        let number = piece.message;
        let receipt = Receipt((post.desk.receipt + 1) << 8 | u64::from(self.node.0));
        match self.inbox.take(piece, cause, receipt, post.now) {
            Taken::Part | Taken::Waiting => {}
            Taken::Message(message) => {
                post.desk.receipt += 1;
                post.count(Count::MessageReceived);
                let from = self.node;
                post.out.push(Output::Received { from, incarnation: life, receipt, message });
            }
            Taken::Again { count, verdict } => {
                post.count(Count::MessageRepeated);
                for path in self.paths.all().iter() {
                    let body = whole(number, cause, count, verdict.clone());
                    post.send(self.node, path, life, body);
                }
            }
            Taken::Stale => post.count(Count::MessageStale),
        }
    }

    // Which paths work.

    fn confirm(&mut self, path: SubnetId, sent: Time, post: &mut Post<'_>) {
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
        let pace = post.pace();
        for at in 0..self.paths.list.len() {
            let path = &mut self.paths.list[at];
            if post.now >= path.probe_end(&pace) {
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
        for sending in &mut self.sendings {
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
                path.probe_due = Time::NEVER;
                path.probed = trim(post.now);
                path.probing = true;
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

/// The acknowledgement of a whole message.
fn whole(message: u64, cause: Cause, count: u16, verdict: Vec<u8>) -> Body {
    Body::Ack {
        message,
        stamp: cause.stamp,
        via: cause.path,
        base: count,
        beyond: 0,
        verdict: Some(verdict),
    }
}
