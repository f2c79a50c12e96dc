//! Events on the token: each makes one full turn, so that every member has the whole cluster's log. Here is their
//! form and codec; `dsc-ring` loads and unloads them.

use crate::cursor::{Malformed, Reader, Writer};
use crate::flow::{BackendId, BackendState};
use crate::health::{CheckId, Reason};
use crate::ids::{NodeId, SubnetId, VipId};
use crate::local::{Duty, EventKind};

/// Most bytes of one event's description; longer ones are of a newer build and carried on as they are.
pub const BODY_MAX: usize = 64;

/// One node's event on its way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where it happened.
    pub node: NodeId,
    /// Counts the events of one life of the node.
    pub number: u64,
    /// Its incarnation.
    pub incarnation: u64,
    /// Members that have still to see it.
    pub hops: u8,
    /// Wall clock of the node, milliseconds since 1970.
    pub wall_ms: u64,
    /// What happened, as [`encode_kind`] writes it.
    pub body: Vec<u8>,
}

fn optional(node: Option<NodeId>) -> u8 {
    node.map_or(u8::MAX, |n| n.0)
}

fn read_optional(r: &mut Reader<'_>) -> Result<Option<NodeId>, Malformed> {
    let n = r.u8()?;
    Ok((n != u8::MAX).then_some(NodeId(n)))
}

fn read_check(r: &mut Reader<'_>) -> Result<CheckId, Malformed> {
    CheckId::try_from(r.u8()?).map_err(|_| Malformed::Value)
}

/// A duty as one byte.
pub fn duty_code(duty: Duty) -> u8 {
    match duty {
        Duty::Open => 0,
        Duty::Draining => 1,
        Duty::Closed => 2,
        Duty::Witness => 3,
    }
}

/// The duty of [`duty_code`].
pub fn duty_of(code: u8) -> Result<Duty, Malformed> {
    match code {
        0 => Ok(Duty::Open),
        1 => Ok(Duty::Draining),
        2 => Ok(Duty::Closed),
        3 => Ok(Duty::Witness),
        _ => Err(Malformed::Value),
    }
}

/// What a backend may be given, as one byte.
pub fn backend_state_code(state: BackendState) -> u8 {
    match state {
        BackendState::Enabled => 0,
        BackendState::Draining => 1,
        BackendState::Disabled => 2,
    }
}

/// The state of [`backend_state_code`].
pub fn backend_state_of(code: u8) -> Result<BackendState, Malformed> {
    match code {
        0 => Ok(BackendState::Enabled),
        1 => Ok(BackendState::Draining),
        2 => Ok(BackendState::Disabled),
        _ => Err(Malformed::Value),
    }
}

/// An event's description as bytes: a kind, then its fields. [`EventKind::Unknown`] becomes the empty description.
pub fn encode_kind(kind: &EventKind) -> Vec<u8> {
    let mut w = Writer::new(BODY_MAX);
    match *kind {
        EventKind::Took { vip, from, failover } => {
            w.u8(1);
            w.u16(vip.0);
            w.u8(optional(from));
            w.bool(failover);
        }
        EventKind::HandedOver { vip, to } => {
            w.u8(2);
            w.u16(vip.0);
            w.u8(to.0);
        }
        EventKind::Removed { peer } => {
            w.u8(3);
            w.u8(peer.0);
        }
        EventKind::Joined { peer } => {
            w.u8(4);
            w.u8(peer.0);
        }
        EventKind::Regenerated => w.u8(5),
        EventKind::Founded => w.u8(6),
        EventKind::Merged { peer } => {
            w.u8(7);
            w.u8(peer.0);
        }
        EventKind::Lapsed { gap_ms } => {
            w.u8(8);
            w.u64(gap_ms);
        }
        EventKind::DutyChanged { peer, duty } => {
            w.u8(9);
            w.u8(peer.0);
            w.u8(duty_code(duty));
        }
        EventKind::AbleChanged { subnet, able } => {
            w.u8(10);
            w.u8(subnet.0);
            w.bool(able);
        }
        EventKind::Pinned { vip, preferred, persistence } => {
            w.u8(11);
            w.u16(vip.0);
            w.u8(optional(preferred));
            w.u8(persistence.into());
        }
        EventKind::Conflict { vip, mac } => {
            w.u8(12);
            w.u16(vip.0);
            w.bytes(&mac);
        }
        EventKind::ConfigDiffers { peer } => {
            w.u8(13);
            w.u8(peer.0);
        }
        EventKind::BackendChanged { backend, state } => {
            w.u8(14);
            w.u16(backend.0);
            w.u8(backend_state_code(state));
        }
        EventKind::Balanced { vip, to, bytes_per_s, from_bytes_per_s, to_bytes_per_s, cpu } => {
            w.u8(20);
            w.u16(vip.0);
            w.u8(to.0);
            w.u64(bytes_per_s);
            w.u64(from_bytes_per_s);
            w.u64(to_bytes_per_s);
            w.bool(cpu);
        }
        EventKind::BackendChecked { backend, red, reason } => {
            let (code, detail) = reason.code();
            w.u8(16);
            w.u16(backend.0);
            w.bool(red);
            w.u8(code);
            w.u16(detail);
        }
        EventKind::LightChanged { check, red, reason } => {
            let (code, detail) = reason.code();
            w.u8(22);
            w.u8(check.0);
            w.bool(red);
            w.u8(code);
            w.u16(detail);
        }
        EventKind::FitChanged { subnet, fit } => {
            w.u8(23);
            w.u8(subnet.0);
            w.bool(fit);
        }
        EventKind::CheckSwitched { check, peer, on } => {
            w.u8(24);
            w.u8(check.0);
            w.u8(optional(peer));
            w.bool(on);
        }
        EventKind::ConfigChanged { version, by } => {
            w.u8(17);
            w.u64(version);
            w.u8(by.0);
        }
        EventKind::ConfigDropped { version, by, peer } => {
            w.u8(18);
            w.u64(version);
            w.u8(by.0);
            w.u8(optional(peer));
        }
        EventKind::Unknown => {}
    }
    w.finish().unwrap_or_default()
}

/// What [`encode_kind`] wrote; [`EventKind::Unknown`] for what another build means. Fields that a newer build added
/// at the end are ignored.
pub fn decode_kind(body: &[u8]) -> EventKind {
    read_kind(&mut Reader::new(body)).unwrap_or(EventKind::Unknown)
}

fn read_kind(r: &mut Reader<'_>) -> Result<EventKind, Malformed> {
    let vip = |r: &mut Reader<'_>| r.u16().map(VipId);
    let node = |r: &mut Reader<'_>| r.u8().map(NodeId);
    Ok(match r.u8()? {
        1 => EventKind::Took { vip: vip(r)?, from: read_optional(r)?, failover: r.bool()? },
        2 => EventKind::HandedOver { vip: vip(r)?, to: node(r)? },
        3 => EventKind::Removed { peer: node(r)? },
        4 => EventKind::Joined { peer: node(r)? },
        5 => EventKind::Regenerated,
        6 => EventKind::Founded,
        7 => EventKind::Merged { peer: node(r)? },
        8 => EventKind::Lapsed { gap_ms: r.u64()? },
        9 => EventKind::DutyChanged { peer: node(r)?, duty: duty_of(r.u8()?)? },
        10 => EventKind::AbleChanged { subnet: SubnetId(r.u8()?), able: r.bool()? },
        11 => EventKind::Pinned {
            vip: vip(r)?,
            preferred: read_optional(r)?,
            persistence: r.u8()?.try_into().map_err(|_| Malformed::Value)?,
        },
        12 => EventKind::Conflict {
            vip: vip(r)?,
            mac: r.bytes(6)?.try_into().map_err(|_| Malformed::Short)?,
        },
        13 => EventKind::ConfigDiffers { peer: node(r)? },
        14 => EventKind::BackendChanged {
            backend: BackendId(r.u16()?),
            state: backend_state_of(r.u8()?)?,
        },
        20 => EventKind::Balanced {
            vip: vip(r)?,
            to: node(r)?,
            bytes_per_s: r.u64()?,
            from_bytes_per_s: r.u64()?,
            to_bytes_per_s: r.u64()?,
            cpu: r.bool()?,
        },
        16 => {
            let (backend, red) = (BackendId(r.u16()?), r.bool()?);
            let reason = Reason::of_code(r.u8()?, r.u16()?);
            EventKind::BackendChecked { backend, red, reason }
        }
        22 => EventKind::LightChanged {
            check: read_check(r)?,
            red: r.bool()?,
            reason: Reason::of_code(r.u8()?, r.u16()?),
        },
        23 => EventKind::FitChanged { subnet: SubnetId(r.u8()?), fit: r.bool()? },
        24 => EventKind::CheckSwitched {
            check: read_check(r)?,
            peer: read_optional(r)?,
            on: r.bool()?,
        },
        17 => EventKind::ConfigChanged { version: r.u64()?, by: node(r)? },
        18 => EventKind::ConfigDropped { version: r.u64()?, by: node(r)?, peer: read_optional(r)? },
        _ => EventKind::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Persistence;

    #[test]
    fn every_kind_survives_the_wire() {
        let (vip, peer) = (VipId(1000), NodeId(63));
        for kind in [
            EventKind::Took { vip, from: None, failover: true },
            EventKind::Took { vip, from: Some(peer), failover: false },
            EventKind::HandedOver { vip, to: peer },
            EventKind::Removed { peer },
            EventKind::Joined { peer },
            EventKind::Regenerated,
            EventKind::Founded,
            EventKind::Merged { peer },
            EventKind::Lapsed { gap_ms: u64::MAX },
            EventKind::DutyChanged { peer, duty: Duty::Draining },
            EventKind::AbleChanged { subnet: SubnetId(7), able: true },
            EventKind::Pinned { vip, preferred: Some(peer), persistence: Persistence::Preferred },
            EventKind::Conflict { vip, mac: [1, 2, 3, 4, 5, 6] },
            EventKind::ConfigDiffers { peer },
            EventKind::BackendChanged { backend: BackendId(1023), state: BackendState::Draining },
            EventKind::BackendChanged { backend: BackendId(0), state: BackendState::Disabled },
            EventKind::Balanced {
                vip,
                to: peer,
                bytes_per_s: u64::MAX,
                from_bytes_per_s: 2,
                to_bytes_per_s: 3,
                cpu: true,
            },
            EventKind::BackendChecked {
                backend: BackendId(1023),
                red: true,
                reason: Reason::Status { status: 503 },
            },
            EventKind::Unknown,
        ] {
            let body = encode_kind(&kind);
            assert_eq!(decode_kind(&body), kind);
            let mut longer = body.clone();
            longer.push(9);
            if !body.is_empty() {
                assert_eq!(decode_kind(&longer), kind, "a newer build's field is ignored");
                assert_eq!(decode_kind(&body[..body.len() - 1]), EventKind::Unknown);
            }
        }
        assert_eq!(decode_kind(&[200, 1, 2]), EventKind::Unknown);
    }
}
