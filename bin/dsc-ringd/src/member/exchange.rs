//! The member's part in the exchange of documents: questions and pieces of other members, and of nodes that have no number
//! here because they work with another configuration, or with none yet.

use super::{Effect, Member};
use crate::documents::{NO_PIECE, Step};
use dsc_wire::message::Beacon;
use dsc_wire::packet::{Body, Header, Packet};
use dsc_wire::{Incarnation, NodeId, SubnetId, SubnetSet, Time};

impl Member {
    /// A question or a piece of a member.
    pub(super) fn exchange(
        &mut self,
        now: Time,
        from: NodeId,
        path: SubnetId,
        body: Body,
        out: &mut Vec<Effect>,
    ) {
        match body {
            Body::Ask { digest, at, count } => {
                for body in self.documents.answer(now, digest, at, count) {
                    let packet = self.beside(from, path, body);
                    out.push(Effect::Packet { to: from, path, packet });
                }
            }
            // A piece may be of what is prepared only; these are news of what is in force.
            Body::Piece { version, digest, at: NO_PIECE, .. } => {
                let mine = &self.documents.in_force.cluster;
                if (version, digest) < (mine.version, mine.digest) {
                    // It may be one that does not know this node, and will not hear of it otherwise.
                    let packet = self.beside(from, path, self.documents.news());
                    out.push(Effect::Packet { to: from, path, packet });
                }
                let from = Some(from);
                self.to_ring.push_back(dsc_ring::Input::News { from, version, digest });
            }
            Body::Piece { version, digest, size, at, bytes } => {
                let step = self.documents.take(now, (version, digest), size, at, bytes);
                self.go_on(now, step, out);
            }
            _ => {}
        }
    }

    /// Takes a packet that was opened and is authentic, but is of no node of the configuration in force: one that has an
    /// earlier or later one, or none yet. Gives the answers, to be sent to where it came from.
    pub fn stray(&mut self, now: Time, packet: Packet, out: &mut Vec<Effect>) -> Vec<Packet> {
        let Header { from, path, .. } = packet.header;
        let bodies = match packet.body {
            Body::Ask { digest, at, count } => self.documents.answer(now, digest, at, count),
            Body::Piece { at: NO_PIECE, version, digest, .. } => {
                Vec::from_iter(self.told(now, version, digest, out))
            }
            Body::Piece { version, digest, size, at, bytes } => {
                match self.documents.take(now, (version, digest), size, at, bytes) {
                    Some(Step::Ask(_, body)) => vec![body],
                    step => {
                        self.go_on(now, step, out);
                        Vec::new()
                    }
                }
            }
            Body::Datagram { body, .. } => {
                let later = Beacon::decode(&body).ok();
                let question = later.and_then(|b| self.told(now, b.version, b.digest, out));
                vec![question.unwrap_or_else(|| self.documents.news())]
            }
            _ => vec![self.documents.news()],
        };
        bodies.into_iter().map(|body| self.beside(from, path, body)).collect()
    }

    /// Who has no number here says what is in force there. It may be later than what is in force here, and decided by nodes
    /// that have forgotten it since; only from there it comes back then. Gives the question for its document, if it is wanted.
    fn told(
        &mut self,
        now: Time,
        version: u64,
        digest: u64,
        out: &mut Vec<Effect>,
    ) -> Option<Body> {
        self.to_ring.push_back(dsc_ring::Input::News { from: None, version, digest });
        self.settle(now, out);
        self.documents.question(digest)
    }

    /// Puts a header on what is not the reliable messages'. Its counter is above all of theirs.
    fn beside(&mut self, to: NodeId, path: SubnetId, body: Body) -> Packet {
        self.beside += 1;
        let (from, incarnation, receiver) = (self.me, self.incarnation, Incarnation(0));
        let counter = 1 << 63 | self.beside;
        Packet { header: Header { from, to, path, incarnation, receiver, counter }, body }
    }

    /// Gets on with a document that is on its way here.
    pub(super) fn go_on(&mut self, now: Time, step: Option<Step>, out: &mut Vec<Effect>) {
        match step {
            None => {}
            Some(Step::Ask(None, _)) => {}
            Some(Step::Ask(Some(to), body)) => {
                let nodes = &self.documents.in_force.cluster.nodes;
                let on = |n: NodeId| nodes.get(n.index()).map_or(0, |n| n.subnets.0);
                let shared: Vec<SubnetId> = SubnetSet(on(self.me) & on(to)).iter().collect();
                let turn = self.beside as usize;
                if let Some(path) = shared.get(turn % shared.len().max(1)).copied() {
                    let packet = self.beside(to, path, body);
                    out.push(Effect::Packet { to, path, packet });
                }
            }
            Some(Step::Whole { version, digest, document }) => {
                out.push(Effect::Prepare { version, digest, document });
            }
            Some(Step::Failed { digest }) => {
                self.to_ring.push_back(dsc_ring::Input::Unfit { digest, reason: None });
                self.settle(now, out);
            }
        }
    }
}
