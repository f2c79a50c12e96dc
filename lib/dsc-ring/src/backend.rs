//! States that operators gave to backends (rule 18). Every node remembers all it has seen, for as long as it lives, and
//! in each of its turns token and memory take from each other what is newer. So nothing that one living node has seen is
//! lost, whatever becomes of the token, and two rings that merge agree on the later change.

use crate::ring::Ring;
use dsc_wire::local::{BackendView, EventKind};
use dsc_wire::token::{BackendRecord, Token};
use dsc_wire::{BackendId, BackendState, Time};

impl Ring {
    /// Token and memory take from each other what is newer.
    pub(crate) fn share_backends(&mut self, token: &mut Token) {
        if token.backends == self.backends {
            return;
        }
        take_newer(&mut self.backends, &token.backends);
        if take_newer(&mut token.backends, &self.backends) {
            self.stir(token);
        }
    }

    /// What the backend is given as far as this node knows. The number must be one of the configuration.
    pub(crate) fn backend_state(&self, backend: BackendId) -> BackendState {
        let record = self.backends.binary_search_by_key(&backend, |r| r.backend);
        let plan = self.cluster.backends[backend.index()].unwrap_or(BackendState::Disabled);
        record.map_or(plan, |at| self.backends[at].state)
    }

    /// An operator's word, in this node's turn. It is later than all that this node knows of the backend, also if the
    /// clock of another node was ahead.
    pub(crate) fn set_backend(
        &mut self,
        now: Time,
        token: &mut Token,
        backend: BackendId,
        state: BackendState,
    ) {
        let known = self.backends.binary_search_by_key(&backend, |r| r.backend);
        let before = known.map_or(0, |at| self.backends[at].changed_ms.saturating_add(1));
        let changed_ms = self.log.wall_ms(now).max(before);
        let record = BackendRecord { backend, state, changed_ms, by: self.me, extra: Vec::new() };
        take_newer(&mut self.backends, &[record]);
        self.share_backends(token);
        self.report(now, EventKind::BackendChanged { backend, state });
    }

    /// All of them, as the view shows them.
    pub(crate) fn backend_views(&self) -> Vec<BackendView> {
        let view = |r: &BackendRecord| BackendView {
            id: r.backend,
            state: r.state,
            changed_ms: r.changed_ms,
            by: r.by,
        };
        self.backends.iter().map(view).collect()
    }
}

/// Both lists rise by the backend's number; true if `into` was changed.
fn take_newer(into: &mut Vec<BackendRecord>, from: &[BackendRecord]) -> bool {
    let mut changed = false;
    for record in from {
        match into.binary_search_by_key(&record.backend, |r| r.backend) {
            Ok(at) if record.is_newer(&into[at]) => into[at] = record.clone(),
            Ok(_) => continue,
            Err(at) => into.insert(at, record.clone()),
        }
        changed = true;
    }
    changed
}
