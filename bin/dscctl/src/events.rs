//! Fills the rows of `events`: names instead of indices, and a sentence for each. Pure.

use crate::names::{
    backend as backend_name, check as check_name, node as node_name, subnet as subnet_name,
    vip as vip_name,
};
use crate::show_text::bytes_per_s;
use crate::shown::EventRow;
use crate::status::mac_text;
use dsc_wire::local::{Duty, Event, EventKind, Names};
use dsc_wire::{BackendId, Light};
use serde_json::{Map, Value, json};

/// One event, in words.
pub fn fill(names: &Names, event: &Event) -> EventRow {
    let (fields, text) = tell(names, &event.kind);
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    EventRow {
        number: event.number,
        wall_ms: event.wall_ms,
        wall: iso(event.wall_ms),
        node: node_name(names, event.node),
        fields,
        text,
    }
}

fn tell(names: &Names, kind: &EventKind) -> (Value, String) {
    let node = |id| node_name(names, id);
    let maybe = |id: Option<_>| id.map(node);
    match *kind {
        EventKind::Took { vip, from, failover } => {
            let (vip, from) = (vip_name(names, vip), maybe(from));
            let whence = from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
            let how = if failover { " (failover)" } else { "" };
            let text = format!("took {vip}{whence}{how}");
            (json!({"event": "took", "vip": vip, "from": from, "failover": failover}), text)
        }
        EventKind::HandedOver { vip, to } => {
            let (vip, to) = (vip_name(names, vip), node(to));
            let text = format!("handed {vip} over to {to}");
            (json!({"event": "handed-over", "vip": vip, "to": to}), text)
        }
        EventKind::Removed { peer } => {
            let peer = node(peer);
            let text = format!("removed {peer} from the ring: it could not be reached");
            (json!({"event": "removed", "peer": peer}), text)
        }
        EventKind::Joined { peer } => {
            let peer = node(peer);
            let text = format!("let {peer} into the ring");
            (json!({"event": "joined", "peer": peer}), text)
        }
        EventKind::Regenerated => {
            (json!({"event": "regenerated"}), "made the lost token again".into())
        }
        EventKind::Founded => (json!({"event": "founded"}), "founded a ring".into()),
        EventKind::Merged { peer } => {
            let peer = node(peer);
            let text = format!("gave up its ring for the greater one of {peer}");
            (json!({"event": "merged", "peer": peer}), text)
        }
        EventKind::Lapsed { gap_ms } => {
            let text = format!("its lease lapsed for {gap_ms} ms");
            (json!({"event": "lapsed", "gap_ms": gap_ms}), text)
        }
        EventKind::DutyChanged { peer, duty } => {
            let peer = node(peer);
            let text = format!("{peer} is {}", duty_word(duty));
            (json!({"event": "duty-changed", "peer": peer, "duty": duty}), text)
        }
        EventKind::AbleChanged { subnet, able } => {
            let subnet = subnet_name(names, subnet);
            let text = format!("can {} host on {subnet}", if able { "again" } else { "no longer" });
            (json!({"event": "able-changed", "subnet": subnet, "able": able}), text)
        }
        EventKind::Pinned { vip, preferred, persistence } => {
            let (vip, preferred) = (vip_name(names, vip), maybe(preferred));
            let where_to = preferred.as_ref().map_or_else(String::new, |p| format!(" on {p}"));
            let text = format!("{vip} has persistence {}{where_to}", u8::from(persistence));
            let fields = json!({"event": "pinned", "vip": vip, "preferred": preferred,
                "persistence": persistence});
            (fields, text)
        }
        EventKind::Conflict { vip, mac } => {
            let (vip, mac) = (vip_name(names, vip), mac_text(&mac));
            let text = format!("another machine ({mac}) answers for {vip}");
            (json!({"event": "conflict", "vip": vip, "mac": mac}), text)
        }
        EventKind::ConfigDiffers { peer } => {
            let peer = node(peer);
            let text = format!("did not let {peer} in: it runs another configuration");
            (json!({"event": "config-differs", "peer": peer}), text)
        }
        EventKind::ConfigChanged { version, by } => {
            let by = node(by);
            let text = format!("put configuration version {version} into force, applied on {by}");
            (json!({"event": "config-changed", "version": version, "by": by}), text)
        }
        EventKind::ConfigDropped { version, by, peer } => {
            let (by, peer) = (node(by), peer.map(node));
            let why = match &peer {
                Some(peer) => format!("{peer} cannot work with it"),
                None => "not every member was ready in time".to_owned(),
            };
            let text = format!("gave up configuration version {version}, applied on {by}: {why}");
            let fields =
                json!({"event": "config-dropped", "version": version, "by": by, "peer": peer});
            (fields, text)
        }
        EventKind::BackendChecked { backend, red, reason } => {
            let (service, address) = parts(names, backend);
            let light = if red { Light::Red } else { Light::Green };
            let text = format!("found {} {light}: {reason}", backend_name(names, backend));
            let fields = json!({"event": "backend-checked", "service": service,
                "backend": address, "light": light, "reason": reason.to_string()});
            (fields, text)
        }
        EventKind::BackendChanged { backend, state } => {
            let (service, address) = parts(names, backend);
            let text = format!("{} is {state}", backend_name(names, backend));
            let fields = json!({"event": "backend-changed", "service": service,
                "backend": address, "state": state});
            (fields, text)
        }
        EventKind::LightChanged { check, red, reason } => {
            let check = check_name(names, check);
            let light = if red { Light::Red } else { Light::Green };
            let text = format!("check {check} is {light}: {reason}");
            let fields = json!({"event": "light-changed", "check": check, "light": light,
                "reason": reason.to_string()});
            (fields, text)
        }
        EventKind::FitChanged { subnet, fit } => {
            let subnet = subnet_name(names, subnet);
            let text = match fit {
                true => format!("may host on {subnet} again: its critical checks are in order"),
                false => format!("should not host on {subnet}: a critical check is red"),
            };
            (json!({"event": "fit-changed", "subnet": subnet, "fit": fit}), text)
        }
        EventKind::CheckSwitched { check, peer, on } => {
            let (check, peer) = (check_name(names, check), maybe(peer));
            let place = peer.as_ref().map_or_else(String::new, |peer| format!(" on {peer}"));
            let text =
                format!("check {check}{place} is {}", if on { "enabled" } else { "disabled" });
            (json!({"event": "check-switched", "check": check, "peer": peer, "on": on}), text)
        }
        EventKind::Balanced {
            vip,
            to,
            bytes_per_s: load,
            from_bytes_per_s: from_load,
            to_bytes_per_s: to_load,
            cpu,
        } => {
            let (vip, to) = (vip_name(names, vip), node(to));
            let [load_text, from_text, to_text] = [load, from_load, to_load].map(bytes_per_s);
            let reason = if cpu { "for its processors" } else { "to even out the load" };
            let text = format!(
                "moved {vip} ({load_text}) to {to} {reason}: it carried {from_text}, {to} {to_text}"
            );
            let fields = json!({"event": "balanced", "vip": vip, "to": to, "bytes_per_s": load,
                "from_bytes_per_s": from_load, "to_bytes_per_s": to_load, "cpu": cpu});
            (fields, text)
        }
        EventKind::Unknown => (
            json!({"event": "unknown"}),
            "something this dscctl does not know: the daemons are of a newer build".into(),
        ),
    }
}

/// A backend's service and address.
fn parts(names: &Names, backend: BackendId) -> (Option<&String>, Option<String>) {
    let name = names.backends.get(backend.index());
    let service = name.and_then(|name| names.services.get(name.service.index()));
    (service, name.map(|name| name.address.to_string()))
}

/// What an operator calls a duty.
pub fn duty_word(duty: Duty) -> &'static str {
    match duty {
        Duty::Open => "open",
        Duty::Draining => "draining",
        Duty::Closed => "closed",
        Duty::Witness => "a witness",
    }
}

/// `2026-11-24T02:03:04.567Z`, by the proleptic Gregorian calendar (days to dates as in ISO 8601).
pub fn iso(wall_ms: u64) -> String {
    let (days, ms) = (wall_ms / 86_400_000, wall_ms % 86_400_000);
    // Counted from 1 March of the year 0, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!(
        "{:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        era * 400 + year + carry,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso(1_795_485_784_567), "2026-11-24T02:03:04.567Z");
        assert_eq!(iso(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
    }
}
