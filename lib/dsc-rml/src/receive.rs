//! What a peer's packets say: first whether to believe them, then what they are about. Called by `rml`.

use crate::api::Output;
use crate::count::Count;
use crate::inbox::{Cause, Inbox, Piece, Taken};
use crate::life::Reply;
use crate::pace::{stamp, stamped};
use crate::peer::Peer;
use crate::post::Post;
use crate::window::Window;
use dsc_wire::packet::{Body, Header};
use dsc_wire::{Incarnation, Receipt, SubnetId, Time};

impl Peer {
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
            Body::Ask { .. } | Body::Piece { .. } => post.count(Count::PacketMisaddressed),
        }
    }

    /// A packet on a path in doubt: it works again, in this direction at least.
    fn hear(&mut self, path: SubnetId, post: &mut Post<'_>) {
        self.heard = post.now;
        post.desk.links.hear(path, post.now);
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

    fn receive_proven(&mut self, header: &Header, body: Body, post: &mut Post<'_>) {
        let (path, life) = (header.path, header.incarnation);
        match body {
            Body::Data { message, stamp, index, count, tacit, fragment } => {
                let piece = Piece { message, index, count, fragment };
                self.receive_piece(piece, Cause { path, stamp, tacit }, life, post);
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
            Body::Hello { .. }
            | Body::HelloReply { .. }
            | Body::Ask { .. }
            | Body::Piece { .. } => {
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
                post.out.push(Output::Repeated { from: self.node });
            }
            Taken::Stale => post.count(Count::MessageStale),
        }
    }
}

/// The acknowledgement of a whole message.
pub(crate) fn whole(message: u64, cause: Cause, count: u16, verdict: Vec<u8>) -> Body {
    Body::Ack {
        message,
        stamp: cause.stamp,
        via: cause.path,
        base: count,
        beyond: 0,
        verdict: Some(verdict),
    }
}
