//! One answer of any command, and the choice of how to print it. Commands do not know who reads.

use crate::failure::{Failure, reason};
use crate::shown::{
    BackendRow, Change, Checked, CounterRow, EventRow, FlowCount, Flows, KeyWritten, Local,
    NodeRow, ServiceRow, Status, VipRow,
};
use crate::{show_json, show_text};
use std::io::{self, Write};

/// What a command fills.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// `status`
    Status(Box<Status>),
    /// `status --local`
    Local(Box<Local>),
    /// `vip`
    Vips(Vec<VipRow>),
    /// `vip ADDRESS`
    Vip(VipRow),
    /// `node`
    Nodes(Vec<NodeRow>),
    /// `node NAME`
    Node(NodeRow),
    /// `service`
    Services(Vec<ServiceRow>),
    /// `backend`
    Backends(Vec<BackendRow>),
    /// `flows`
    Flows(Flows),
    /// `flows --count`
    FlowCount(FlowCount),
    /// `events`
    Events(Vec<EventRow>),
    /// `counters`
    Counters(Vec<CounterRow>),
    /// `move-vip`, `pin`, `unpin`, `node close|open|drain`
    Change(Change),
    /// `config check`
    Checked(Checked),
    /// `keygen`
    Key(KeyWritten),
}

/// Prints `shown` and makes sure that it has left us.
pub fn print(out: &mut dyn Write, json: bool, shown: &Shown) -> Result<(), Failure> {
    let printed = match json {
        true => show_json::show(out, shown),
        false => show_text::show(out, shown),
    };
    printed.and_then(|()| out.flush()).map_err(lost)
}

/// A reader that has read enough is no failure; a full disk is one.
pub fn lost(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Refused(format!("cannot print: {}", reason(&error))),
    }
}
