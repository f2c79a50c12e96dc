//! The cases below `views/`: what the daemons would say, as files. Read by the golden tests and by those of the program.

use dsc_conf::Config;
use dsc_wire::Time;
use dsc_wire::local::{
    Event, FlowFilter, FwdCounters, FwdFlow, FwdFlows, FwdServices, LinkDownloads, LinkRequest,
    Reply, Request, View,
};
use dscctl::ask::Ask;
use dscctl::failure::Failure;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The node's clock.
    pub now: Time,
    /// The wall clock.
    pub wall_ms: u64,
    /// What ringd knows.
    pub view: View,
    /// What it remembers.
    pub events: Vec<Event>,
    /// What fwd has counted; none if it does not run.
    pub fwd: Option<FwdCounters>,
    /// What fwd forwards.
    #[serde(default)]
    pub services: FwdServices,
    /// Its table of flows.
    #[serde(default)]
    pub flows: FwdFlows,
    /// What dsc-link does; none if it does not run.
    #[serde(default)]
    pub link: Option<LinkDownloads>,
    /// The configuration in force.
    #[serde(skip)]
    pub config: Option<Config>,
    /// What ringd answers to another; without it, that comes into force.
    #[serde(skip)]
    pub refusal: Option<Reply>,
}

/// A folder of this test.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The case of that name.
pub fn case(name: &str) -> Case {
    let path = folder("views").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Case {
    /// What ringd answers to a question that changes nothing.
    pub fn reply(&self, request: &Request) -> Reply {
        match request {
            Request::View { .. } => Reply::View { view: Box::new(self.view.clone()) },
            Request::Events { after, .. } => Reply::Events {
                events: self.events.iter().filter(|e| e.number > *after).cloned().collect(),
            },
            Request::Config if self.config.is_some() => {
                let config = self.config.as_ref().unwrap();
                let document = config.document();
                Reply::Config { version: config.version, digest: config.digest(), document }
            }
            Request::Apply { base_version, base_digest, document, .. } => {
                self.applied((*base_version, *base_digest), document)
            }
            Request::Config | Request::Command { .. } => {
                Reply::Refused { reason: "not by this case".into() }
            }
        }
    }

    /// What ringd answers to a configuration, as every member would decide.
    fn applied(&self, base: (u64, u64), document: &str) -> Reply {
        let config = self.config.as_ref().expect("nothing is in force");
        if (config.version, config.digest()) != base {
            return Reply::Refused { reason: format!("version {} is in force", config.version) };
        }
        let next = Config::parse(document, "document").unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(config.successor(next.clone()), Ok(next), "it is what it says it is");
        self.refusal.clone().unwrap_or(Reply::Done { text: "in force".into() })
    }

    /// What fwd answers when it is asked for flows.
    pub fn listed(&self, filter: &FlowFilter, limit: u32) -> FwdFlows {
        let matches = |f: &&FwdFlow| {
            filter.service.is_none_or(|s| f.service == Some(s))
                && filter.client.is_none_or(|c| f.flow.key.client.ip() == c)
                && filter.backend.is_none_or(|b| f.flow.backend == b)
        };
        let matched: Vec<FwdFlow> = self.flows.flows.iter().filter(matches).copied().collect();
        FwdFlows {
            matched: matched.len() as u32,
            flows: matched.into_iter().take(limit as usize).collect(),
            totals: self.flows.totals,
        }
    }

    /// What dsc-link answers.
    pub fn downloads(&self, request: &LinkRequest) -> Option<LinkDownloads> {
        let LinkRequest::Downloads { service, limit } = request;
        let mut answer = self.link.clone()?;
        answer.downloads.retain(|d| service.as_ref().is_none_or(|name| d.service == *name));
        answer.matched = answer.downloads.len() as u32;
        answer.downloads.truncate(*limit as usize);
        Some(answer)
    }

    fn running<T>(&self, answer: T) -> Result<T, Failure> {
        let gone = || Failure::Unreachable("cannot ask fwd: it is not running".into());
        self.fwd.is_some().then_some(answer).ok_or_else(gone)
    }
}

impl Ask for Case {
    fn ringd(&self, request: &Request, _: Duration) -> Result<Reply, Failure> {
        Ok(self.reply(request))
    }

    fn counters(&self, _: Duration) -> Result<FwdCounters, Failure> {
        self.running(self.fwd.clone()).map(Option::unwrap)
    }

    fn services(&self, _: Duration) -> Result<FwdServices, Failure> {
        self.running(self.services.clone())
    }

    fn flows(&self, filter: FlowFilter, limit: u32, _: Duration) -> Result<FwdFlows, Failure> {
        self.running(self.listed(&filter, limit))
    }

    fn link(&self, request: &LinkRequest, _: Duration) -> Result<LinkDownloads, Failure> {
        let gone = || Failure::Unreachable("cannot ask dsc-link: it is not running".into());
        self.downloads(request).ok_or_else(gone)
    }

    fn now(&self) -> Time {
        self.now
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms
    }

    fn pause(&self, _: Duration) {
        panic!("nothing in a case is waited for");
    }
}
