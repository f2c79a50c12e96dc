//! The boundary to everything outside this process that a command asks: the daemons' sockets and the clocks.
//! Commands see only the trait, so that tests can answer instead. It decides nothing and prints nothing.

use crate::failure::Failure;
use crate::names;
use dsc_wire::Time;
use dsc_wire::local::{
    Command, Event, FlowFilter, FwdCounters, FwdFlows, FwdServices, LinkDownloads, LinkRequest,
    Reply, Request, View, WAIT_MAX_MS,
};
use std::time::Duration;

/// What the world answers.
pub trait Ask {
    /// ringd's answer to a question, on its `status` or, for a change, its `control` socket.
    /// Fails with [`Failure::Unreachable`] after `patience`, with [`Failure::Refused`] if we have no right to ask.
    fn ringd(&self, request: &Request, patience: Duration) -> Result<Reply, Failure>;
    /// fwd's counters; fails alike.
    fn counters(&self, patience: Duration) -> Result<FwdCounters, Failure>;
    /// fwd's services and backends; fails alike.
    fn services(&self, patience: Duration) -> Result<FwdServices, Failure>;
    /// At most `limit` of fwd's flows; fails alike.
    fn flows(
        &self,
        filter: FlowFilter,
        limit: u32,
        patience: Duration,
    ) -> Result<FwdFlows, Failure>;
    /// dsc-link's answer; fails alike.
    fn link(&self, request: &LinkRequest, patience: Duration) -> Result<LinkDownloads, Failure>;
    /// The clock that leases are measured by.
    fn now(&self) -> Time;
    /// Milliseconds since 1970, UTC.
    fn wall_ms(&self) -> u64;
    /// Lets `span` pass; only between two tries to reach a daemon that is being restarted.
    fn pause(&self, span: Duration);
}

/// How much longer than the daemon keeps a question we wait for its answer.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The view whose number differs from `after`, or the latest once `wait` has passed; at once for `after` 0.
pub fn view(
    world: &dyn Ask,
    after: u64,
    wait: Duration,
    timeout: Duration,
) -> Result<View, Failure> {
    let request = Request::View { after, wait_ms: ms(wait) };
    match world.ringd(&request, timeout + wait)? {
        Reply::View { mut view } => {
            names::without_gone(&mut view);
            Ok(*view)
        }
        other => Err(unexpected(&other)),
    }
}

/// Events above `after`: at once those there are, else the first to come within `wait`.
pub fn events(
    world: &dyn Ask,
    after: u64,
    wait: Duration,
    timeout: Duration,
) -> Result<Vec<Event>, Failure> {
    match world.ringd(&Request::Events { after, wait_ms: ms(wait) }, timeout + wait)? {
        Reply::Events { events } => Ok(events),
        other => Err(unexpected(&other)),
    }
}

/// The answer to a command, once it is carried out or `wait` has passed.
pub fn command(world: &dyn Ask, command: Command, wait: Duration) -> Result<Reply, Failure> {
    let request = Request::Command { command, wait_ms: ms(wait) };
    match world.ringd(&request, wait + ANSWER_GRACE)? {
        reply @ (Reply::Done { .. } | Reply::Pending { .. } | Reply::Refused { .. }) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

/// The configuration in force: its version, its digest, its text.
pub fn config(world: &dyn Ask, timeout: Duration) -> Result<(u64, u64, String), Failure> {
    match world.ringd(&Request::Config, timeout)? {
        Reply::Config { version, digest, document } => Ok((version, digest, document)),
        other => Err(unexpected(&other)),
    }
}

/// The answer to a configuration that shall follow that of `base` (version and digest), once it is in force or `wait` has passed.
pub fn apply(
    world: &dyn Ask,
    base: (u64, u64),
    document: String,
    wait: Duration,
) -> Result<Reply, Failure> {
    let (base_version, base_digest) = base;
    let request = Request::Apply { base_version, base_digest, document, wait_ms: ms(wait) };
    match world.ringd(&request, wait + ANSWER_GRACE)? {
        reply @ (Reply::Done { .. } | Reply::Pending { .. } | Reply::Refused { .. }) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(WAIT_MAX_MS).min(WAIT_MAX_MS)
}

fn unexpected(reply: &Reply) -> Failure {
    match reply {
        Reply::Refused { reason } => Failure::Refused(reason.clone()),
        _ => Failure::Refused(
            "dsc-ringd answered another question: are dscctl and dsc-ringd of builds that fit?"
                .into(),
        ),
    }
}
