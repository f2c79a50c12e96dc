//! How long a silent flow is kept. A node that sees a flow's packets tells the others before they would give it up, and a
//! flow is given up at all nodes in about the same time.

use dsc_wire::{FlowKey, FlowState, Protocol, Time};
use std::time::Duration;

/// A connection that was never answered, or a single datagram: a flood of them must not stay.
const OPENING: Duration = Duration::from_secs(30);
/// RFC 5382, requirement 5: an established connection for at least 2 hours and 4 minutes, so that the ends' keep-alives
/// (every 2 hours, RFC 9293 §3.8.4) come in time.
const TCP: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
/// RFC 4787, requirement 5: at least 2 minutes; 5 are recommended.
const UDP: Duration = Duration::from_secs(5 * 60);
/// One end has closed; the other may still send for long, as in a half-closed download, but not be silent for long.
const HALF_CLOSED: Duration = Duration::from_secs(10 * 60);
/// Both ends have closed: late segments are still rewritten. Twice the longest life of a segment in a network of our
/// days; the backend's own TIME-WAIT goes on without us.
const CLOSED: Duration = Duration::from_secs(30);

/// How long a flow is kept after its last packet.
pub fn lifetime(protocol: Protocol, state: FlowState) -> Duration {
    match (state, protocol) {
        (FlowState::Opening, _) => OPENING,
        (FlowState::Open, Protocol::Tcp) => TCP,
        (FlowState::Open, Protocol::Udp) => UDP,
        (FlowState::ClientClosed | FlowState::ServerClosed, _) => HALF_CLOSED,
        (FlowState::Closed, _) => CLOSED,
        (FlowState::Gone, _) => Duration::ZERO,
    }
}

/// What a walk through the table does with a flow that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Keep,
    /// The others are told that it goes on: they may not see its packets.
    Remind,
    /// It is taken out.
    Remove,
}

/// A flow as a walk meets it.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    /// Which; its port spreads the reminders over the walks.
    pub key: FlowKey,
    /// How far it has come.
    pub state: FlowState,
    /// When its last packet came, give or take [`TICK`].
    pub at: Time,
}

/// How exactly a table knows when a packet came.
pub const TICK: Duration = Duration::from_millis(1_074);

/// The fate of a flow that the `number`-th walk meets at `now`. Walks begin every `round`; the one before this one began at
/// `before`. Each flow that has packets is told of three times within its life.
pub fn fate(now: Time, met: &Met, number: u64, round: Duration, before: Time) -> Fate {
    let life = lifetime(met.key.protocol, met.state);
    if met.at + life + TICK < now {
        return Fate::Remove;
    }
    // What is opening or closed comes further or ends before anybody could forget it.
    let lasts = !matches!(met.state, FlowState::Opening | FlowState::Closed);
    let alive = met.at + TICK >= before;
    let every = (life / 3).as_nanos() / round.as_nanos().max(1);
    let turn = u128::from(number) + u128::from(met.key.client.port());
    if lasts && alive && turn.is_multiple_of(every.max(1)) { Fate::Remind } else { Fate::Keep }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_as_the_standards_ask() {
        assert!(lifetime(Protocol::Tcp, FlowState::Open) >= Duration::from_secs(7440));
        assert!(lifetime(Protocol::Udp, FlowState::Open) >= Duration::from_secs(120));
        assert_eq!(lifetime(Protocol::Tcp, FlowState::Gone), Duration::ZERO);
    }

    #[test]
    fn an_end_shortens_the_life() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let of = |state| lifetime(protocol, state);
            assert!(of(FlowState::Closed) < of(FlowState::Open));
            assert!(of(FlowState::Opening) < of(FlowState::Open));
            assert!(of(FlowState::ClientClosed) <= of(FlowState::Open).max(HALF_CLOSED));
        }
    }

    const ROUND: Duration = Duration::from_secs(5);

    fn met(protocol: Protocol, state: FlowState, at: Time, port: u16) -> Met {
        let client = std::net::SocketAddr::from(([10, 1, 0, 250], port));
        let vip = "10.1.0.100:80".parse().unwrap();
        Met { key: FlowKey { protocol, client, vip }, state, at }
    }

    #[test]
    fn a_silent_flow_goes_when_its_life_is_over_and_not_before() {
        for (protocol, state) in [
            (Protocol::Tcp, FlowState::Opening),
            (Protocol::Tcp, FlowState::Open),
            (Protocol::Udp, FlowState::Open),
            (Protocol::Tcp, FlowState::ServerClosed),
            (Protocol::Tcp, FlowState::Closed),
        ] {
            let at = Time::from_ms(1_000_000);
            let flow = met(protocol, state, at, 7);
            let end = at + lifetime(protocol, state) + TICK;
            let long_ago = Time::ZERO;
            assert_ne!(fate(end, &flow, 1, ROUND, long_ago), Fate::Remove, "{state:?}");
            let later = end + Duration::from_millis(1);
            assert_eq!(fate(later, &flow, 1, ROUND, long_ago), Fate::Remove, "{state:?}");
        }
    }

    /// Whatever its port, the others hear of it at least twice before they would forget it.
    #[test]
    fn a_flow_that_goes_on_is_told_of_in_time() {
        for (protocol, state) in
            [(Protocol::Tcp, FlowState::Open), (Protocol::Udp, FlowState::Open)]
        {
            let walks = (lifetime(protocol, state).as_secs() / ROUND.as_secs()) as u32;
            for port in [1, 2, 4_000, 65_535] {
                let told = (0..walks).filter(|n| {
                    let now = Time::from_ms(1_000_000) + ROUND * *n;
                    let flow = met(protocol, state, now, port);
                    fate(now, &flow, u64::from(*n), ROUND, now) == Fate::Remind
                });
                assert!((2..=4).contains(&told.count()), "{protocol} {port}");
            }
        }
    }

    #[test]
    fn nobody_is_told_of_what_is_silent_or_ends_soon() {
        let now = Time::from_ms(1_000_000);
        let silent = met(Protocol::Tcp, FlowState::Open, now, 7);
        let later = now + ROUND * 3;
        for n in 0..1_000 {
            assert_eq!(fate(later, &silent, n, ROUND, later), Fate::Keep);
            for state in [FlowState::Opening, FlowState::Closed] {
                assert_eq!(
                    fate(now, &met(Protocol::Tcp, state, now, 7), n, ROUND, now),
                    Fate::Keep
                );
            }
        }
    }
}
