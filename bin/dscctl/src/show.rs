//! One answer of any command, and the choice of how to print it. Commands do not know who reads.

use crate::failure::{Failure, reason};
use crate::shown::{
    Applied, BackendRow, Change, CheckRow, Checked, CounterRow, Downloads, EventRow, FlowCount,
    Flows, Imported, InForce, KeyWritten, LinkRow, Local, NodeRow, ServiceRow, Status, VipRow,
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
    /// `check`
    Checks(Vec<CheckRow>),
    /// `flows`
    Flows(Flows),
    /// `flows --count`
    FlowCount(FlowCount),
    /// `link`
    Downloads(Downloads),
    /// `link --count`
    Links(Vec<LinkRow>),
    /// `events`
    Events(Vec<EventRow>),
    /// `counters`
    Counters(Vec<CounterRow>),
    /// `move-vip`, `pin`, `unpin`, `node close|open|drain`
    Change(Change),
    /// `config check`
    Checked(Checked),
    /// `config show`
    InForce(InForce),
    /// `config import`
    Imported(Imported),
    /// `config diff`, `config apply`, `node add`, `node remove`
    Applied(Box<Applied>),
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
