//! What backends are given, and whether they are well: from the ring's view into the kernel. Only a view of a ring counts: a ring daemon that has just
//! started knows nothing yet, and the kernel goes on with what it had.

use super::Daemon;
use crate::balance::{self, Given};
use dsc_conf::Config;
use dsc_sys::clock;
use dsc_sys::local::Views;
use dsc_wire::local::View;

/// What the ring says before anything is put into the kernel, which may have it from an earlier daemon: what the file says
/// would reset flows of a backend that an operator has enabled. None if no ring daemon of a ring answers.
pub(super) async fn first(config: &Config, views: Views) -> (Views, Option<Given>) {
    if config.backends.is_empty() {
        return (views, None);
    }
    let (mut views, view) = views.next().await;
    let given = view.ok().and_then(|view| balance::given(config, &view));
    // The rest of that view is still to be taken.
    views.again();
    (views, given)
}

impl Daemon {
    /// Takes what the ring says about backends.
    pub(super) fn take_states(&mut self, view: &View) {
        // Its digest is another than ours, and for ever: it shall hear so.
        self.informed |= view.config_digest != self.config.digest();
        let Some(given) = balance::given(&self.config, view) else { return };
        self.informed = true;
        self.wanted = given;
        if let Err(e) = self.set_states() {
            self.troubled(Err(e));
        }
    }

    /// Brings the kernel in line, if it is not. Flows that exist are not touched, but for those of a backend that is disabled, or
    /// is red where that ends them: they end with their client's next packet.
    ///
    /// # Errors
    /// The kernel refused an entry; it is tried again with everything else that is wrong.
    pub(super) fn set_states(&mut self) -> Result<(), String> {
        if self.given == self.wanted {
            return Ok(());
        }
        let config = &self.config;
        let gets = |given: &Given| {
            let ids = config.backends.iter();
            ids.map(|(id, _)| given.gets(config, id)).collect::<Vec<_>>()
        };
        // Why one is red changes nothing in the kernel.
        if gets(&self.given) != gets(&self.wanted) {
            let (services, backends) = balance::rows(&self.config, &self.wanted, &mut self.tables);
            self.datapath.set_services(&services, &backends).map_err(|e| e.to_string())?;
            self.prompts.ending(clock::now(), balance::ending(&self.config, &self.wanted));
        }
        let (before, now) = (&self.given, &self.wanted);
        for (id, backend) in self.config.backends.iter() {
            let service = &self.config.services[backend.service].name;
            let (called, at) = (backend.called(), id.index());
            if now.states[at] != before.states[at] {
                tracing::info!("backend {called} of {service} is {}", now.states[at]);
            }
            if now.health[at].light != before.health[at].light {
                let place = if now.balanced(&self.config, id) { "gets" } else { "gets no" };
                let light = now.health[at].light;
                let ends = if now.ends(&self.config, id) { "; its flows end" } else { "" };
                tracing::info!("backend {called} of {service} is {light}, {place} new flows{ends}");
            }
        }
        self.given.clone_from(&self.wanted);
        Ok(())
    }
}
