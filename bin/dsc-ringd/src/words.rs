//! Events as sentences for the log.

use dsc_wire::local::{Duty, Event, EventKind, Names};
use dsc_wire::{NodeId, SubnetId, VipId};

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
        EventKind::BackendChanged { backend: b, state } => {
            let backend = match names.backends.get(b.index()) {
                Some(name) => {
                    let service = names.services.get(name.service.index());
                    format!("{} of {}", name.address, service.map_or("?", String::as_str))
                }
                None => b.0.to_string(),
            };
            format!("made backend {backend} {state}")
        }
        EventKind::Unknown => "did something that this build does not know".to_owned(),
    };
    format!("{} {what}", node(event.node))
}
