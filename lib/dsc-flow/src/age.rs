//! How long a silent flow is kept. A node that sees a flow's packets tells the others before they would give it up, and a
//! flow is given up at all nodes in about the same time.

use dsc_wire::{FlowState, Protocol};
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

/// How often the others are told of a flow that goes on: three times within its life.
pub fn refresh(protocol: Protocol, state: FlowState) -> Duration {
    lifetime(protocol, state) / 3
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
}
