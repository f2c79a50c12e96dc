//! Which of two records of one flow holds. Used by whoever has the table, for what [`super::Output::Apply`] brings.

use dsc_wire::{Flow, FlowState};

/// Does `told` take the place of `known`, a record of the same key? The later state does. Of one state, the lower backend
/// does, so that nodes which chose differently, each on its side of a cut, agree on one without asking. What is gone is
/// removed whatever is known: who says so had the flow, and the one that hosts its VIP learns it again by its next packet.
///
/// The two halves of an end (closed by the client, closed by the backend) are no order: a table that keeps what each end has
/// done adds them up, as the kernel's does, and a closed flow is what comes of both.
///
/// Whatever the order in which records other than gone ones come in, all nodes end with the same one.
pub fn supersedes(told: &Flow, known: &Flow) -> bool {
    debug_assert_eq!(told.key, known.key);
    match told.state {
        FlowState::Gone => true,
        state if state == known.state => told.backend < known.backend,
        state => state > known.state,
    }
}

/// Are all three ends of one family, as the encoding of a flow takes for granted?
pub fn is_sound(flow: &Flow) -> bool {
    let six = flow.backend.is_ipv6();
    flow.key.client.is_ipv6() == six && flow.key.vip.is_ipv6() == six
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::{FlowKey, FlowKind, Protocol};

    fn flow(state: FlowState, backend: &str) -> Flow {
        let key = FlowKey {
            protocol: Protocol::Tcp,
            client: "10.1.0.250:4000".parse().unwrap(),
            vip: "10.1.0.100:80".parse().unwrap(),
        };
        Flow { key, backend: backend.parse().unwrap(), state, kind: FlowKind::Nat }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let states = [FlowState::Opening, FlowState::Open, FlowState::Closed];
        let all: Vec<Flow> = states
            .iter()
            .flat_map(|s| ["10.2.0.101:80", "10.2.0.102:80"].map(|b| flow(*s, b)))
            .collect();
        for one in &all {
            for other in all.iter().filter(|other| *other != one) {
                assert_ne!(supersedes(one, other), supersedes(other, one), "{one:?} {other:?}");
                for third in &all {
                    let chain = supersedes(one, other) && supersedes(other, third);
                    assert!(!chain || supersedes(one, third));
                }
            }
            assert!(!supersedes(one, one));
        }
        let open = flow(FlowState::Open, "10.2.0.102:80");
        assert!(supersedes(&open, &flow(FlowState::Opening, "10.2.0.101:80")));
        assert!(supersedes(&flow(FlowState::Open, "10.2.0.101:80"), &open));
        assert!(supersedes(&flow(FlowState::Gone, "10.2.0.103:80"), &open));
    }

    #[test]
    fn families_do_not_mix() {
        let mut mixed = flow(FlowState::Open, "10.2.0.101:80");
        assert!(is_sound(&mixed));
        mixed.backend = "[fd00::1]:80".parse().unwrap();
        assert!(!is_sound(&mixed));
    }
}
