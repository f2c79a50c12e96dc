//! What backends are given: from the ring's view into the kernel. Only a view of a ring counts: a ring daemon that has just
//! started knows nothing yet, and the kernel goes on with what it had.

use super::Daemon;
use crate::balance;
use crate::views::Views;
use dsc_conf::Config;
use dsc_wire::BackendState;
use dsc_wire::local::View;

/// What the ring says before anything is put into the kernel, which may have it from an earlier daemon: what the file says
/// would reset flows of a backend that an operator has enabled. None if no ring daemon of a ring answers.
pub(super) async fn first(config: &Config, views: Views) -> (Views, Option<Vec<BackendState>>) {
    if config.backends.is_empty() {
        return (views, None);
    }
    let (mut views, view) = views.next().await;
    let states = view.ok().and_then(|view| balance::states(config, &view));
    // The rest of that view is still to be taken.
    views.again();
    (views, states)
}

impl Daemon {
    /// Takes what the ring says about backends.
    pub(super) fn take_states(&mut self, view: &View) {
        // Its digest is another than ours, and for ever: it shall hear so.
        self.informed |= view.config_digest != self.config.digest();
        let Some(states) = balance::states(&self.config, view) else { return };
        self.informed = true;
        self.wanted = states;
        if let Err(e) = self.set_states() {
            self.troubled(Err(e));
        }
    }

    /// Brings the kernel in line, if it is not. Flows that exist are not touched; those of a disabled backend end with their
    /// next packet.
    ///
    /// # Errors
    /// The kernel refused an entry; it is tried again with everything else that is wrong.
    pub(super) fn set_states(&mut self) -> Result<(), String> {
        if self.states == self.wanted {
            return Ok(());
        }
        let (services, backends) = balance::rows(&self.config, &self.wanted);
        self.datapath.set_services(&services, &backends).map_err(|e| e.to_string())?;
        let both = self.wanted.iter().zip(&self.states);
        let all = self.config.backends.iter().zip(both);
        for (backend, (state, _)) in all.filter(|(_, (now, before))| now != before) {
            let service = &self.config.services[backend.service.index()].name;
            tracing::info!("backend {} of {service} is {state}", backend.called());
        }
        self.states.clone_from(&self.wanted);
        Ok(())
    }
}
