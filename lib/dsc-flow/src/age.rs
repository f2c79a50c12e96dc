//! How long a silent flow is kept. A node that sees a flow's packets tells the others before they would give it up, and a
//! flow is given up at all nodes in about the same time.

use dsc_wire::{FlowKey, FlowState, FlowTimeouts, Protocol, Time};
use std::time::Duration;

/// A name server answers a question once, and who asks from inside takes a port for each (RFC 4787, requirement 5 a: less for a
/// port outside that is known to need less).
const NAMES_PORT: u16 = 53;

/// How long a flow is kept after its last packet.
pub fn lifetime(timeouts: &FlowTimeouts, key: &FlowKey, state: FlowState) -> Duration {
    match (key.protocol, state) {
        (_, FlowState::Gone) => Duration::ZERO,
        (Protocol::Tcp, FlowState::Opening) => timeouts.tcp_syn_sent,
        (Protocol::Tcp, FlowState::Open) => timeouts.tcp_established,
        (Protocol::Tcp, FlowState::ClientClosed | FlowState::ServerClosed) => timeouts.tcp_fin_wait,
        (Protocol::Tcp, FlowState::Closed) => timeouts.tcp_time_wait,
        (Protocol::Udp, FlowState::Opening | FlowState::Closed) => timeouts.udp,
        (Protocol::Udp, _) if key.client.port() == NAMES_PORT => timeouts.udp,
        (Protocol::Udp, _) => timeouts.udp_stream,
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
    /// Which; its ports spread the reminders over the walks.
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
pub fn fate(
    timeouts: &FlowTimeouts,
    now: Time,
    met: &Met,
    number: u64,
    round: Duration,
    before: Time,
) -> Fate {
    let life = lifetime(timeouts, &met.key, met.state);
    if met.at + life + TICK < now {
        return Fate::Remove;
    }
    // What is opening or closed comes further or ends before anybody could forget it.
    let lasts = !matches!(met.state, FlowState::Opening | FlowState::Closed);
    let alive = met.at + TICK >= before;
    let every = (life / 3).as_nanos() / round.as_nanos().max(1);
    // Of a client's flows one port differs, of those that begin inside the other one.
    let ports = u128::from(met.key.client.port()) + u128::from(met.key.vip.port());
    let turn = u128::from(number) + ports;
    if lasts && alive && turn.is_multiple_of(every.max(1)) { Fate::Remind } else { Fate::Keep }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: FlowTimeouts = FlowTimeouts::DEFAULT;

    fn usual(protocol: Protocol, state: FlowState) -> Duration {
        lifetime(&USUAL, &met(protocol, state, Time::ZERO, 7).key, state)
    }

    #[test]
    fn lives_are_as_the_standards_ask() {
        assert!(usual(Protocol::Tcp, FlowState::Open) >= Duration::from_secs(7440));
        assert!(usual(Protocol::Udp, FlowState::Open) >= Duration::from_secs(120));
        assert_eq!(usual(Protocol::Tcp, FlowState::Gone), Duration::ZERO);
        let names = |protocol| {
            let key = met(protocol, FlowState::Open, Time::ZERO, NAMES_PORT).key;
            lifetime(&USUAL, &key, FlowState::Open)
        };
        assert_eq!(names(Protocol::Tcp), usual(Protocol::Tcp, FlowState::Open));
        assert_eq!(names(Protocol::Udp), usual(Protocol::Udp, FlowState::Opening));
    }

    #[test]
    fn an_end_shortens_the_life() {
        let tcp = |state| usual(Protocol::Tcp, state);
        assert!(tcp(FlowState::Closed) < tcp(FlowState::ClientClosed));
        assert!(tcp(FlowState::ClientClosed) < tcp(FlowState::Open));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let of = |state| usual(protocol, state);
            assert!(of(FlowState::Opening) < of(FlowState::Open));
            assert_eq!(of(FlowState::ClientClosed), of(FlowState::ServerClosed));
        }
    }

    #[test]
    fn each_state_has_the_timeout_of_its_name() {
        let s = Duration::from_secs;
        let timeouts = FlowTimeouts {
            tcp_syn_sent: s(1),
            tcp_established: s(2),
            tcp_fin_wait: s(3),
            tcp_time_wait: s(4),
            udp: s(5),
            udp_stream: s(6),
        };
        for (protocol, state, life) in [
            (Protocol::Tcp, FlowState::Opening, 1),
            (Protocol::Tcp, FlowState::Open, 2),
            (Protocol::Tcp, FlowState::ClientClosed, 3),
            (Protocol::Tcp, FlowState::ServerClosed, 3),
            (Protocol::Tcp, FlowState::Closed, 4),
            (Protocol::Udp, FlowState::Opening, 5),
            (Protocol::Udp, FlowState::Open, 6),
        ] {
            assert_eq!(
                lifetime(&timeouts, &met(protocol, state, Time::ZERO, 7).key, state),
                s(life),
                "{protocol} {state:?}"
            );
            let at = Time::from_ms(1_000_000);
            let end = at + s(life) + TICK;
            let fate =
                |now| fate(&timeouts, now, &met(protocol, state, at, 7), 1, ROUND, Time::ZERO);
            assert_ne!(fate(end), Fate::Remove, "{protocol} {state:?}");
            assert_eq!(fate(end + Duration::from_millis(1)), Fate::Remove, "{protocol} {state:?}");
        }
    }

    const ROUND: Duration = Duration::from_secs(5);

    fn met(protocol: Protocol, state: FlowState, at: Time, port: u16) -> Met {
        let client = std::net::SocketAddr::from(([10, 1, 0, 250], port));
        let vip = "10.1.0.100:80".parse().unwrap();
        Met { key: FlowKey { protocol, client, vip }, state, at }
    }

    /// Whatever its port, the others hear of it at least twice before they would forget it.
    #[test]
    fn a_flow_that_goes_on_is_told_of_in_time() {
        for (protocol, state) in
            [(Protocol::Tcp, FlowState::Open), (Protocol::Udp, FlowState::Open)]
        {
            let walks = (usual(protocol, state).as_secs() / ROUND.as_secs()) as u32;
            for port in [1, 2, 4_000, 65_535] {
                let told = (0..walks).filter(|n| {
                    let now = Time::from_ms(1_000_000) + ROUND * *n;
                    let flow = met(protocol, state, now, port);
                    fate(&USUAL, now, &flow, u64::from(*n), ROUND, now) == Fate::Remind
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
            assert_eq!(fate(&USUAL, later, &silent, n, ROUND, later), Fate::Keep);
            for state in [FlowState::Opening, FlowState::Closed] {
                assert_eq!(
                    fate(&USUAL, now, &met(Protocol::Tcp, state, now, 7), n, ROUND, now),
                    Fate::Keep
                );
            }
        }
    }
}
