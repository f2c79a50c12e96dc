//! The real daemons and clocks behind [`crate::ask::Ask`]: one question per connection, below the run directory.
//! Called by `lib.rs`. It turns the causes of a missing answer into what the operator can do about them.

use crate::ask::Ask;
use crate::failure::Failure;
use dsc_sys::local::{AskError, GROUP_CHANGE, GROUP_READ, ask_blocking};
use dsc_wire::Time;
use dsc_wire::local::{
    FlowFilter, FwdCounters, FwdFlows, FwdRequest, FwdServices, LinkDownloads, LinkRequest, Reply,
    Request, socket,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;

/// This node.
pub struct World {
    /// Where the sockets are.
    pub run_dir: PathBuf,
}

impl World {
    fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        name: &str,
        question: &Q,
        patience: Duration,
    ) -> Result<A, Failure> {
        let path = self.run_dir.join(name);
        let daemon = match name {
            socket::FWD => "dsc-fwd",
            socket::LINK => "dsc-link",
            _ => "dsc-ringd",
        };
        let about = format!("cannot ask {}", path.display());
        ask_blocking(&path, question, patience).map_err(|error| match error {
            AskError::NoDaemon { .. } => Failure::Unreachable(format!(
                "{about}: no {daemon} is running on this node: start it with systemctl start {daemon}"
            )),
            AskError::Denied { .. } => {
                let group = if name == socket::CONTROL { GROUP_CHANGE } else { GROUP_READ };
                let text = format!("{about}: permission denied: needs root or group {group}");
                Failure::Refused(text)
            }
            AskError::TimedOut { after, .. } => {
                let seconds = after.as_secs_f64();
                let change = name == socket::CONTROL;
                let still = if change { "; the change may still happen" } else { "" };
                Failure::Unreachable(format!(
                    "{about}: no answer within {seconds} s: see systemctl status {daemon}{still}"
                ))
            }
            AskError::BadAnswer { problem, .. } => Failure::Refused(format!(
                "{about}: cannot read the answer ({problem}): are dscctl and {daemon} of builds that fit?"
            )),
            AskError::System { source, .. } => Failure::Unreachable(format!("{about}: {source}")),
        })
    }
}

impl Ask for World {
    fn ringd(&self, request: &Request, patience: Duration) -> Result<Reply, Failure> {
        let name = match request {
            Request::Command { .. } | Request::Apply { .. } => socket::CONTROL,
            Request::View { .. } | Request::Events { .. } | Request::Config => socket::STATUS,
        };
        self.ask(name, request, patience)
    }

    fn counters(&self, patience: Duration) -> Result<FwdCounters, Failure> {
        self.ask(socket::FWD, &FwdRequest::Counters, patience)
    }

    fn services(&self, patience: Duration) -> Result<FwdServices, Failure> {
        self.ask(socket::FWD, &FwdRequest::Services, patience)
    }

    fn flows(
        &self,
        filter: FlowFilter,
        limit: u32,
        patience: Duration,
    ) -> Result<FwdFlows, Failure> {
        self.ask(socket::FWD, &FwdRequest::Flows { filter, limit }, patience)
    }

    fn link(&self, request: &LinkRequest, patience: Duration) -> Result<LinkDownloads, Failure> {
        self.ask(socket::LINK, request, patience)
    }

    fn now(&self) -> Time {
        dsc_sys::clock::now()
    }

    fn wall_ms(&self) -> u64 {
        dsc_sys::clock::wall_ms()
    }

    fn pause(&self, span: Duration) {
        std::thread::sleep(span);
    }
}
