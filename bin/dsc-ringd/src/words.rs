//! Events as sentences for the log.

use dsc_wire::local::{Duty, Event, EventKind, Names};
use dsc_wire::{BackendId, NodeId, SubnetId, VipId};

/// One event, with the name of the node it happened on.
pub fn sentence(names: &Names, event: &Event) -> String {
    let node = |id: NodeId| names.nodes.get(id.index()).cloned().unwrap_or_else(|| id.to_string());
    let vip = |id: VipId| match names.vips.get(id.index()) {
        Some(address) => address.to_string(),
        None => format!("VIP {}", id.0),
    };
    let subnet = |id: SubnetId| match names.subnets.get(id.index()) {
        Some(name) => name.clone(),
        None => format!("subnet {}", id.0),
    };
    let what = match &event.kind {
        EventKind::Took { vip: v, from, failover } => {
            let whence = from.map_or_else(String::new, |f| format!(" from {}", node(f)));
            let how = if *failover { " by failover" } else { "" };
            format!("took {}{whence}{how}", vip(*v))
        }
        EventKind::HandedOver { vip: v, to } => format!("handed {} over to {}", vip(*v), node(*to)),
        EventKind::Removed { peer } => {
            format!("removed {}, which could not be reached", node(*peer))
        }
        EventKind::Joined { peer } => format!("let {} into the ring", node(*peer)),
        EventKind::Regenerated => "made the lost token again".to_owned(),
        EventKind::Founded => "founded a ring".to_owned(),
        EventKind::Merged { peer } => format!("gave its ring up for that of {}", node(*peer)),
        EventKind::Lapsed { gap_ms } => format!("was without a lease for {gap_ms} ms"),
        EventKind::DutyChanged { peer, duty } => {
            let word = match duty {
                Duty::Open => "open",
                Duty::Draining => "draining",
                Duty::Closed => "closed",
                Duty::Witness => "a witness",
            };
            format!("made {} {word}", node(*peer))
        }
        EventKind::AbleChanged { subnet: s, able: true } => format!("can host on {}", subnet(*s)),
        EventKind::AbleChanged { subnet: s, able: false } => {
            format!("cannot host on {}", subnet(*s))
        }
        EventKind::Pinned { vip: v, preferred, persistence } => {
            let place = preferred.map_or_else(String::new, |p| format!(", preferring {}", node(p)));
            format!("gave {} persistence {}{place}", vip(*v), u8::from(*persistence))
        }
        EventKind::Conflict { vip: v, mac } => {
            let [a, b, c, d, e, f] = mac;
            let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            format!("saw {mac}, which is not of the cluster, claim {}", vip(*v))
        }
        EventKind::ConfigDiffers { peer } => {
            format!("kept {} out, which has another configuration", node(*peer))
        }
        EventKind::ConfigChanged { version, by } => {
            format!("put configuration version {version} into force, applied on {}", node(*by))
        }
        EventKind::ConfigDropped { version, by, peer } => {
            let why = match peer {
                Some(peer) => format!("{} cannot work with it", node(*peer)),
                None => "not every member was ready in time".to_owned(),
            };
            format!("gave up configuration version {version}, applied on {}: {why}", node(*by))
        }
        EventKind::BackendChanged { backend: b, state } => {
            format!("made backend {} {state}", backend(names, *b))
        }
        EventKind::BackendChecked { backend: b, red, reason } => {
            let light = if *red { "red" } else { "green" };
            format!("found backend {} {light}: {reason}", backend(names, *b))
        }
        EventKind::LightChanged { check, red, reason } => {
            let name = names.checks.get(check.index()).map_or("?", |c| c.name.as_str());
            format!("found its check {name} {}: {reason}", if *red { "red" } else { "green" })
        }
        EventKind::FitChanged { subnet: s, fit: true } => {
            format!("may host on {} again, by its critical checks", subnet(*s))
        }
        EventKind::FitChanged { subnet: s, fit: false } => {
            format!("should not host on {}, by its critical checks", subnet(*s))
        }
        EventKind::CheckSwitched { check, peer, on } => {
            let name = names.checks.get(check.index()).map_or("?", |c| c.name.as_str());
            let place = peer.map_or_else(String::new, |p| format!(" on {}", node(p)));
            format!("switched check {name}{place} {}", if *on { "on" } else { "off" })
        }
        EventKind::Balanced { vip: v, to, bytes_per_s, from_bytes_per_s, to_bytes_per_s, cpu } => {
            format!(
                "gave {} with {bytes_per_s} B/s to {} to even out {}, {from_bytes_per_s} B/s here and {to_bytes_per_s} B/s there",
                vip(*v),
                node(*to),
                if *cpu { "the processors" } else { "the load" }
            )
        }
        EventKind::Unknown => "did something that this build does not know".to_owned(),
    };
    format!("{} {what}", node(event.node))
}

fn backend(names: &Names, id: BackendId) -> String {
    match names.backends.get(id.index()) {
        Some(name) => {
            let service = names.services.get(name.service.index());
            format!("{} of {}", name.address, service.map_or("?", String::as_str))
        }
        None => id.0.to_string(),
    }
}
