//! Warnings about the health of backends: one line for each that is red or disputed, one for each service that is red as a
//! whole.

use super::backends::is_enabled;
use super::{BACKEND_DISPUTED, BACKEND_RED, SERVICE_RED, ago, warning};
use crate::names::{backend as backend_name, node as node_name};
use crate::shown::Warning;
use dsc_wire::health::{Finding, finding};
use dsc_wire::local::View;
use dsc_wire::{BackendId, Light, NodeId, ServiceId};

pub(super) fn of_backends(view: &View, wall_ms: u64, found: &mut Vec<Warning>) {
    let names = &view.names;
    let ids = (0u16..).map(BackendId).zip(&names.backends);
    let all: Vec<(BackendId, ServiceId, Finding)> = ids
        .filter(|(_, name)| !name.is_gone())
        .map(|(id, name)| (id, name.service, finding(&view.health, id)))
        .collect();
    for (service, name) in (0u16..).map(ServiceId).zip(&names.services) {
        // As the data path counts: what gets no new flows anyway hides nothing.
        let own = all.iter().filter(|(id, of, _)| *of == service && is_enabled(view, *id));
        let mut own = own.peekable();
        if own.peek().is_some() && own.all(|(.., finding)| finding.light == Light::Red) {
            let text = format!(
                "{name}: every backend is red, so that all of them go on to get connections"
            );
            found.push(warning(SERVICE_RED, name.clone(), text));
        }
    }
    for (id, _, finding) in &all {
        let Some((_, verdict)) = finding.red.first() else { continue };
        let nodes = |list: &mut dyn Iterator<Item = NodeId>| {
            list.map(|n| node_name(names, n)).collect::<Vec<_>>().join(" and ")
        };
        let red = nodes(&mut finding.red.iter().map(|(node, _)| *node));
        let since = ago(wall_ms.saturating_sub(verdict.since_ms));
        let (called, why) = (backend_name(names, *id), verdict.reason);
        let new = if finding.light == Light::Red {
            let text = format!("{called} is red: {why}, found by {red} {since}");
            warning(BACKEND_RED, called, text)
        } else {
            let green = nodes(&mut finding.green.iter().copied());
            let text = format!(
                "{called}: {red} cannot use it ({why}, {since}), but {green} can: check the way from {red}"
            );
            warning(BACKEND_DISPUTED, called, text)
        };
        found.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::BackendState;
    use dsc_wire::local::BackendView;

    #[test]
    fn a_service_is_red_when_all_that_are_enabled_are() {
        let case = include_str!("../../tests/views/checks.json");
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        let mut view: View = serde_json::from_value(case["view"].clone()).unwrap();
        let red = |view: &View| {
            let mut found = Vec::new();
            of_backends(view, 0, &mut found);
            let services = found.into_iter().filter(|w| w.warning == SERVICE_RED);
            services.map(|w| w.about).collect::<Vec<_>>()
        };
        // The first of web's four is red, and that of six.
        assert_eq!(red(&view), ["six"]);
        let order = |id, state| BackendView {
            id: BackendId(id),
            state,
            changed_ms: 1_700_000_000_000,
            by: NodeId(1),
        };
        view.backends = vec![order(3, BackendState::Draining), order(4, BackendState::Disabled)];
        view.names.backends[1].state = BackendState::Disabled;
        view.names.backends[2].state = BackendState::Draining;
        assert_eq!(red(&view), ["web"], "the file and an operator take out the others");
        view.backends.push(order(1, BackendState::Enabled));
        assert_eq!(red(&view), Vec::<String>::new(), "an operator's word goes before the file's");
    }
}
