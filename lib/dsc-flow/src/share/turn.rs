//! The end of a turn: what is owed is sent, new records first. Called by `machine`.

use super::api::Output;
use super::count::Count;
use super::gift::Gift;
use super::machine::Share;
use super::message::Message;
use super::stream::Stream;
use dsc_wire::Time;
use std::time::Duration;

/// A node that had no turn for so long was not running. Its own position makes it have five a second.
const SLEPT: Duration = Duration::from_secs(1);

impl Share {
    pub(crate) fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        if now > self.turned + SLEPT {
            self.join.missed();
        }
        self.turned = now;
        let others = self.join.others;
        for body in self.log.flush(now) {
            let to_all = others.iter().map(|to| Output::Send { to, body: body.clone() });
            out.extend(to_all);
        }
        self.search(now, out);
        for node in others.iter() {
            let stream = self.peers[node.index()].stream.as_mut();
            if let Some((first, count)) = stream.and_then(|s| s.ask(now)) {
                self.counts.add(Count::AskSent, 1);
                out.push(Output::Send { to: node, body: Message::Ask { first, count }.encode() });
            }
        }
        self.repeat(now, out);
        self.tell(now, out);
        for peer in &mut self.peers {
            peer.gift.take_if(|g| g.is_over() || now >= g.expires());
            if let Some(gift) = &mut peer.gift {
                gift.turn(out);
            }
        }
    }

    fn search(&mut self, now: Time, out: &mut Vec<Output>) {
        let was_ready = self.join.ready;
        let end = self.join.end_if_whole(&mut self.counts);
        let next = self.join.tick(now, &mut self.counts);
        let send = |(to, message): (_, Message)| Output::Send { to, body: message.encode() };
        out.extend(end.into_iter().chain(next).map(send));
        if self.join.ready && !was_ready {
            out.push(Output::Ready);
            // Others may be waiting for somebody who is.
            self.log.due = now;
        }
    }

    /// Sends again what peers asked for; who asks for what is not there any more hears where the stream is.
    fn repeat(&mut self, now: Time, out: &mut Vec<Output>) {
        for (to, peer) in (0u8..).map(dsc_wire::NodeId).zip(&mut self.peers) {
            let Some((first, count)) = peer.repeat.take() else { continue };
            match self.log.repeat(now, first, count) {
                Some((bodies, records)) => {
                    self.counts.add(Count::RecordRepeated, records);
                    out.extend(bodies.into_iter().map(|body| Output::Send { to, body }));
                }
                None => peer.owed = true,
            }
        }
    }

    /// Says where this node's stream is, to all when it is time, else to those who have to hear it now.
    fn tell(&mut self, now: Time, out: &mut Vec<Output>) {
        let (oldest, position) = (self.log.oldest(), self.log.position());
        let body = || Message::At { oldest, position, ready: self.join.ready }.encode();
        let all = now >= self.log.due;
        if all {
            self.log.tell(now);
        }
        for (to, peer) in (0u8..).map(dsc_wire::NodeId).zip(&mut self.peers) {
            if std::mem::take(&mut peer.owed) || (all && self.join.others.contains(to)) {
                out.push(Output::Send { to, body: body() });
            }
        }
    }

    pub(crate) fn due(&self) -> Time {
        let owed = self.log.owes()
            || self.join.copy.as_ref().is_some_and(|c| c.is_whole())
            || self
                .peers
                .iter()
                .any(|p| p.owed || p.repeat.is_some() || p.gift.as_ref().is_some_and(Gift::owes));
        if owed {
            return Time::ZERO;
        }
        let others = self.join.others;
        let tell = if others.is_empty() { Time::NEVER } else { self.log.due };
        let streams = others.iter().filter_map(|n| self.peers[n.index()].stream.as_ref());
        let gifts = self.peers.iter().filter_map(|p| p.gift.as_ref());
        let dues = streams.map(Stream::ask_due).chain(gifts.map(Gift::expires));
        dues.chain([tell, self.join.deadline()]).min().unwrap_or(Time::NEVER)
    }
}
