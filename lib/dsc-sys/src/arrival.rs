//! Whether a datagram is for this daemon: its seal, its sender's address, and the numbers that it names. Called by `paths`,
//! which has the sockets.

use dsc_wire::packet::{Body, Packet};
use dsc_wire::seal::{Keyring, OpenError};
use dsc_wire::{NodeId, SubnetId, Time};
use std::net::SocketAddr;
use std::time::Duration;

/// Why a datagram was dropped. All of these are the sender's fault, or an attacker's; nothing was changed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Size,
    Seal,
    Malformed,
    OtherReceiver,
    OtherPath,
    UnknownSender,
}

/// Its position is the kind's number.
pub(crate) const BAD: [(Bad, &str, &str); 6] = [
    (Bad::Size, "datagrams_too_short_or_long", "too short or too long"),
    (Bad::Seal, "datagrams_not_sealed_with_our_key", "not sealed with our key"),
    (Bad::Malformed, "datagrams_malformed", "malformed"),
    (Bad::OtherReceiver, "datagrams_for_another_node", "for another node"),
    (Bad::OtherPath, "datagrams_on_another_path", "sent on another path than it came by"),
    (
        Bad::UnknownSender,
        "datagrams_from_an_unknown_address",
        "not from the address of the node it claims to be of",
    ),
];

/// Most datagrams in one second from unknown addresses whose seal is tried, and from known ones that get on as strays: they
/// cost more than they are worth.
const STRAYS_MAX: u32 = 256;

/// What may come from who has another configuration.
#[derive(Default)]
pub(crate) struct Strays {
    /// Does this daemon care for it?
    pub wanted: bool,
    /// Datagrams that may still be taken for strays before `until`.
    left: u32,
    until: Time,
}

/// A datagram that is authentic.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Of a node with this configuration, or for one that need not know the numbers here.
    Ours { from: NodeId, packet: Packet },
    /// Of one with another configuration; `wrong` if it may be something worse.
    Stray { sender: SocketAddr, packet: Packet, wrong: Option<Bad> },
}

/// Where a datagram has come in.
pub(crate) struct Place<'a> {
    /// This node.
    pub me: NodeId,
    /// The daemon's addresses, by node, then by subnet.
    pub peers: &'a [Vec<Option<SocketAddr>>],
    /// The subnet.
    pub path: SubnetId,
}

impl Place<'_> {
    /// Opens what came from `sender`.
    pub fn open(
        &self,
        keyring: &Keyring,
        sender: Option<SocketAddr>,
        datagram: &mut [u8],
        strays: &mut Strays,
        now: Time,
    ) -> Result<Opened, Bad> {
        let Place { me, path, .. } = *self;
        // Cheaper than a seal, so that a flood from elsewhere costs little.
        let Some(sender) = sender else { return Err(Bad::UnknownSender) };
        let is_at = |p: &Vec<Option<SocketAddr>>| {
            p.get(path.index()).copied().flatten().is_some_and(|a| a.ip() == sender.ip())
        };
        let at = (0u8..).map(NodeId).zip(self.peers).find(|(_, p)| is_at(p)).map(|(node, _)| node);
        if at.is_none() && !strays.may_try(now) {
            return Err(Bad::UnknownSender);
        }
        let packet = keyring.open(datagram).map_err(|e| match e {
            OpenError::Truncated | OpenError::Oversized => Bad::Size,
            OpenError::Header(_) | OpenError::Body(_) => Bad::Malformed,
            OpenError::Forged => Bad::Seal,
        });
        let Some(at) = at else {
            // What is not sealed with our key is no stray of ours.
            let packet = packet.map_err(|_| Bad::UnknownSender)?;
            return Ok(Opened::Stray { sender, packet, wrong: None });
        };
        let packet = packet?;
        let header = packet.header;
        let wrong = if header.from != at || at == me {
            Bad::UnknownSender
        } else if header.to != me {
            Bad::OtherReceiver
        } else if header.path != path {
            Bad::OtherPath
        } else {
            return Ok(Opened::Ours { from: at, packet });
        };
        match packet.body {
            // Who has another configuration says so under the numbers there.
            Body::Piece { .. } if at != me => Ok(Opened::Ours { from: at, packet }),
            // Who asks need not know its number, and wants the answer where it asks from.
            Body::Ask { .. } if strays.wanted => Ok(Opened::Stray { sender, packet, wrong: None }),
            _ if strays.may_try(now) => Ok(Opened::Stray { sender, packet, wrong: Some(wrong) }),
            _ => Err(wrong),
        }
    }
}

impl Strays {
    /// May one more datagram be taken for a stray?
    fn may_try(&mut self, now: Time) -> bool {
        if now >= self.until {
            (self.left, self.until) = (STRAYS_MAX, now + Duration::from_secs(1));
        }
        let may = self.wanted && self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::Incarnation;
    use dsc_wire::packet::Header;
    use dsc_wire::seal::Key;
    use std::net::IpAddr;

    const HERE: NodeId = NodeId(1);

    /// What node 1 of 10.1.0.1, 10.1.0.2 and 10.1.0.3 makes of a packet from `sender` that names these numbers.
    fn opened(
        sender: [u8; 4],
        (from, to, path): (u8, u8, u8),
        body: Body,
        strays: &mut Strays,
    ) -> Result<Opened, Bad> {
        let at = |n| vec![Some(SocketAddr::new(IpAddr::from([10, 1, 0, n]), 7000))];
        let peers = [at(1), at(2), at(3)];
        let keyring = Keyring::new(&Key::new([7; 32]), None);
        let (from, to, path) = (NodeId(from), NodeId(to), SubnetId(path));
        let (incarnation, receiver) = (Incarnation(5), Incarnation(0));
        let header = Header { from, to, path, incarnation, receiver, counter: 1 };
        let mut sealed = Vec::new();
        keyring.seal(&Packet { header, body }, &mut sealed).unwrap();
        let sender = SocketAddr::new(IpAddr::from(sender), 7000);
        let place = Place { me: HERE, peers: &peers, path: SubnetId(0) };
        place.open(&keyring, Some(sender), &mut sealed, strays, Time::from_ms(1))
    }

    fn wanted() -> Strays {
        Strays { wanted: true, ..Strays::default() }
    }

    const PROBE: Body = Body::Probe { stamp: 1 };

    fn ask() -> Body {
        Body::Ask { digest: 0, at: 0, count: 1 }
    }

    fn piece() -> Body {
        Body::Piece { version: 1, digest: 2, size: 1, at: 0, bytes: vec![1] }
    }

    #[test]
    fn numbers_that_are_those_of_here_are_needed_to_be_one_of_us() {
        let third = [10, 1, 0, 3];
        let ours = opened(third, (2, 1, 0), PROBE, &mut wanted());
        assert!(matches!(ours, Ok(Opened::Ours { from: NodeId(2), .. })), "{ours:?}");
        for (numbers, bad) in [
            ((0, 1, 0), Bad::UnknownSender),
            ((1, 1, 0), Bad::UnknownSender),
            ((2, 0, 0), Bad::OtherReceiver),
            ((2, 1, 1), Bad::OtherPath),
        ] {
            let stray = opened(third, numbers, PROBE, &mut wanted());
            assert!(
                matches!(stray, Ok(Opened::Stray { wrong: Some(w), .. }) if w == bad),
                "{stray:?}"
            );
            let dropped = opened(third, numbers, PROBE, &mut Strays::default());
            assert!(matches!(dropped, Err(w) if w == bad), "{dropped:?}");
        }
        let stray = opened([10, 1, 0, 9], (2, 1, 0), PROBE, &mut wanted());
        assert!(matches!(stray, Ok(Opened::Stray { wrong: None, .. })), "{stray:?}");
        let dropped = opened([10, 1, 0, 9], (2, 1, 0), PROBE, &mut Strays::default());
        assert!(matches!(dropped, Err(Bad::UnknownSender)), "{dropped:?}");
    }

    #[test]
    fn documents_come_and_go_whatever_the_numbers() {
        let third = [10, 1, 0, 3];
        for numbers in [(0, 0, 0), (1, 0, 7), (2, 1, 0)] {
            let ours = opened(third, numbers, piece(), &mut wanted());
            assert!(matches!(ours, Ok(Opened::Ours { from: NodeId(2), .. })), "{ours:?}");
        }
        // The asker's port is no daemon's: what is not sent back there is lost.
        let asks = opened([10, 1, 0, 1], (0, 0, 0), ask(), &mut wanted());
        assert!(matches!(asks, Ok(Opened::Stray { wrong: None, .. })), "{asks:?}");
        let asks = opened(third, (2, 1, 0), ask(), &mut wanted());
        assert!(matches!(asks, Ok(Opened::Ours { from: NodeId(2), .. })), "{asks:?}");
        let asks = opened(third, (0, 0, 0), ask(), &mut Strays::default());
        assert!(matches!(asks, Err(Bad::UnknownSender)), "nobody here answers: {asks:?}");
    }

    #[test]
    fn of_strays_only_so_many_are_taken_in_a_second() {
        let mut strays = wanted();
        let mut taken = |sender| opened(sender, (0, 0, 0), PROBE, &mut strays).is_ok();
        let taken: usize =
            (0..STRAYS_MAX).map(|n| usize::from(taken([10, 1, 0, 3 + (n % 2) as u8 * 6]))).sum();
        assert_eq!(taken, STRAYS_MAX as usize);
        let more = opened([10, 1, 0, 3], (0, 0, 0), PROBE, &mut strays);
        assert!(matches!(more, Err(Bad::UnknownSender)), "{more:?}");
        let more = opened([10, 1, 0, 9], (0, 0, 0), PROBE, &mut strays);
        assert!(matches!(more, Err(Bad::UnknownSender)), "{more:?}");
    }
}
