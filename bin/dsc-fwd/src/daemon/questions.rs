//! Questions that people have, and what is answered.

use super::Daemon;
use crate::control;
use crate::inventory::Inventory;
use dsc_fwd::share::Sharing;
use dsc_sys::clock;
use dsc_wire::local::{Counter, FwdRequest};

impl Daemon {
    /// Answers those that wait; true if more may wait.
    pub(super) fn answer(&mut self) -> Result<bool, String> {
        let own = |name: &str, count| Counter { name: name.to_owned(), count };
        let own = vec![
            own("announcements_unsent", self.unsent),
            own("claims_forgotten", self.conflicts.forgotten),
            own("requests_malformed", self.server.malformed),
            own("answers_unsent", self.server.unsent),
        ];
        let shared = self.sharing.as_ref().map(Sharing::counters).unwrap_or_default();
        let flows = [self.flows.counters(), self.prompts.counters()].concat();
        let own = [own, flows, self.waiting.counters(), shared].concat();
        let (datapath, lease, vips) = (&self.datapath, &self.lease, &self.vips);
        let sharing = self.sharing_status(clock::now());
        let inventory = Inventory {
            config: &self.config,
            given: &self.given,
            datapath,
            flows: &self.flows,
            hosts: &self.hosts,
        };
        let answered = control::answer_waiting(&mut self.server, |request| match request {
            FwdRequest::Counters => {
                let (own, sharing) = (own.clone(), sharing.clone());
                control::encoded(&control::counters(datapath, lease, vips, own, sharing)?)
            }
            FwdRequest::Services => control::encoded(&inventory.services()?),
            FwdRequest::Flows { filter, limit } => {
                control::encoded(&inventory.flows(clock::now(), &filter, limit)?)
            }
        });
        answered.map_err(|e| format!("cannot answer questions: {e}"))
    }
}
