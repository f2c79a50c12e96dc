//! Warnings about backends that an operator took out of service, and services that have none left.

use super::{ago, warning};
use crate::names;
use crate::shown::Warning;
use dsc_wire::local::View;
use dsc_wire::{BackendId, BackendState};

pub const DISABLED: &str = "backend-disabled";
pub const DRAINING: &str = "backend-draining";
pub const UNSERVED: &str = "service-unserved";

/// Adds them. What the configuration disables is what its author wants.
pub fn find(view: &View, wall_ms: u64, found: &mut Vec<Warning>) {
    for (index, service) in view.names.services.iter().enumerate() {
        let backends = view.names.backends.iter().enumerate();
        let mut own = backends
            .filter(|(_, b)| b.service.index() == index && !b.is_gone())
            .map(|(id, _)| BackendId(id as u16));
        let wanted = |id| ordered(view, id).is_some_and(|state| state != BackendState::Enabled);
        if own.clone().any(wanted) && own.all(|id| !is_enabled(view, id)) {
            let text = format!("{service} gets no new flows: none of its backends is enabled");
            found.push(warning(UNSERVED, service.clone(), text));
        }
    }
    for backend in &view.backends {
        let (word, done, given) = match backend.state {
            BackendState::Enabled => continue,
            BackendState::Draining => (DRAINING, "drained", "no new flows"),
            BackendState::Disabled => (DISABLED, "disabled", "nothing"),
        };
        let name = names::backend(&view.names, backend.id);
        let ago = ago(wall_ms.saturating_sub(backend.changed_ms));
        let text = format!("{name} was {done} by an operator {ago}: it gets {given}");
        found.push(warning(word, name, text));
    }
}

/// Does it get new flows, unless it is red?
pub(super) fn is_enabled(view: &View, id: BackendId) -> bool {
    let file = || view.names.backends.get(id.index()).map(|b| b.state);
    ordered(view, id).or_else(file) == Some(BackendState::Enabled)
}

/// What an operator said last.
fn ordered(view: &View, id: BackendId) -> Option<BackendState> {
    view.backends.iter().find(|b| b.id == id).map(|b| b.state)
}
