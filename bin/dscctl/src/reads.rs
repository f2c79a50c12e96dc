//! The commands that only look, once or for ever: which questions they ask and which exit code they give. Called by
//! `lib.rs`; what they fill is in `status.rs`, `local.rs` and `events.rs`.

use crate::arguments::StatusArguments;
use crate::ask::{self, Ask};
use crate::failure::{DONE, Failure, NO};
use crate::show::{Shown, lost, print};
use crate::shown::Serving;
use crate::{events, local, names, status};
use dsc_wire::local::View;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// How often what is watched is looked at again if nothing changes: a lease and counters change without a new view.
const WATCH: Duration = Duration::from_secs(1);
/// How long `events --follow` keeps one question open; a daemon that went away meanwhile is noticed so much later.
const FOLLOW: Duration = Duration::from_secs(2);
/// How late the answer to a question that was kept open may be before we ask again.
const LATE: Duration = Duration::from_secs(1);
/// Between two tries to reach a daemon that may be restarting.
const RETRY: Duration = Duration::from_millis(200);
/// The data path daemon answers from memory; a status does not wait longer for it.
const FWD_PATIENCE: Duration = Duration::from_secs(2);
/// To the top left corner, and clear what is below.
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

/// Whom to print for, and how long to wait for daemons.
pub struct Reader<'a> {
    /// Where answers go.
    pub out: &'a mut dyn Write,
    /// For scripts?
    pub json: bool,
    /// Is a person looking at a terminal?
    pub terminal: bool,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

impl Reader<'_> {
    /// Prints an answer.
    pub(crate) fn print(&mut self, shown: &Shown) -> Result<(), Failure> {
        print(self.out, self.json, shown)
    }

    fn view(&self, world: &dyn Ask) -> Result<View, Failure> {
        ask::view(world, 0, Duration::ZERO, self.timeout)
    }
}

/// `status`: is the cluster, or this node, serving?
pub fn show_status(
    world: &dyn Ask,
    reader: &mut Reader,
    wanted: &StatusArguments,
) -> Result<u8, Failure> {
    let view = reader.view(world)?;
    let (shown, serving) = fill_status(world, reader, wanted, &view)?;
    if wanted.watch {
        return watch(world, reader, wanted, view, &shown);
    }
    reader.print(&shown)?;
    Ok(if serving { DONE } else { NO })
}

fn fill_status(
    world: &dyn Ask,
    reader: &Reader,
    wanted: &StatusArguments,
    view: &View,
) -> Result<(Shown, bool), Failure> {
    let happened = ask::events(world, 0, Duration::ZERO, reader.timeout)?;
    if wanted.local {
        let counters = world.counters(FWD_PATIENCE.min(reader.timeout));
        let local = local::fill(view, counters.as_ref(), &happened, world.now(), world.wall_ms());
        let serving = local.serving;
        return Ok((Shown::Local(Box::new(local)), serving));
    }
    let status = status::fill(view, &happened, world.now(), world.wall_ms());
    let serving = status.serving;
    Ok((Shown::Status(Box::new(status)), serving))
}

/// Shows it again whenever it changes, until the reader or the daemon has gone.
fn watch(
    world: &dyn Ask,
    reader: &mut Reader,
    wanted: &StatusArguments,
    mut view: View,
    first: &Shown,
) -> Result<u8, Failure> {
    show_again(reader, first)?;
    loop {
        let timeout = reader.timeout;
        let late = LATE.min(timeout);
        let next = patiently(world, timeout, || ask::view(world, view.number, WATCH, late))?;
        let changed = (next.number, next.incarnation) != (view.number, view.incarnation);
        view = next;
        if changed || reader.terminal || wanted.local {
            let (shown, _) =
                patiently(world, timeout, || fill_status(world, reader, wanted, &view))?;
            show_again(reader, &shown)?;
        }
    }
}

fn show_again(reader: &mut Reader, shown: &Shown) -> Result<(), Failure> {
    if reader.json {
        return reader.print(shown);
    }
    // Drawn apart and sent whole, or the terminal flickers.
    let mut page = if reader.terminal { CLEAR.to_vec() } else { Vec::new() };
    print(&mut page, false, shown)?;
    if !reader.terminal {
        page.push(b'\n');
    }
    reader.out.write_all(&page).and_then(|()| reader.out.flush()).map_err(lost)
}

/// Tries again while a daemon cannot be reached, for as long after the first failure as an answer may take.
fn patiently<T>(
    world: &dyn Ask,
    timeout: Duration,
    ask: impl Fn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut lost = None;
    loop {
        let answer = ask();
        let now = world.now();
        match answer {
            Err(Failure::Unreachable(_)) if now.since(*lost.get_or_insert(now)) < timeout => {
                world.pause(RETRY);
            }
            answer => return answer,
        }
    }
}

/// `vip`: all of them, or whether one is served.
pub fn show_vip(
    world: &dyn Ask,
    reader: &mut Reader,
    address: Option<IpAddr>,
) -> Result<u8, Failure> {
    let view = reader.view(world)?;
    let now = world.now();
    let mut rows = view.vips.iter().map(|vip| (vip.id, status::vip(&view, vip, now)));
    let Some(address) = address else {
        reader.print(&Shown::Vips(rows.map(|(_, row)| row).collect()))?;
        return Ok(DONE);
    };
    let wanted = names::find_vip(&view.names, address)?;
    let row = rows.find(|(id, _)| *id == wanted).map(|(_, row)| row);
    let row = row.ok_or_else(|| Failure::Refused(format!("no word of {address} in the view")))?;
    let served = matches!(row.state, Serving::Served | Serving::HandingOver);
    reader.print(&Shown::Vip(row))?;
    Ok(if served { DONE } else { NO })
}

/// `node`: all of them, or whether one is in the ring.
pub fn show_node(world: &dyn Ask, reader: &mut Reader, name: Option<&str>) -> Result<u8, Failure> {
    let view = reader.view(world)?;
    let mut rows = view.nodes.iter().map(|node| (node.id, status::node(&view, node)));
    let Some(name) = name else {
        reader.print(&Shown::Nodes(rows.map(|(_, row)| row).collect()))?;
        return Ok(DONE);
    };
    let wanted = names::find_node(&view.names, name)?;
    let row = rows.find(|(id, _)| *id == wanted).map(|(_, row)| row);
    let row = row.ok_or_else(|| Failure::Refused(format!("no word of {name} in the view")))?;
    let member = row.member;
    reader.print(&Shown::Node(row))?;
    Ok(if member { DONE } else { NO })
}

/// `events`: those there are, and with `follow` those to come.
pub fn show_events(
    world: &dyn Ask,
    reader: &mut Reader,
    since: u64,
    follow: bool,
) -> Result<u8, Failure> {
    let timeout = reader.timeout;
    let mut view = reader.view(world)?;
    let mut last = since;
    let mut happened = ask::events(world, last, Duration::ZERO, timeout)?;
    loop {
        last = happened.last().map_or(last, |event| event.number);
        let rows = happened.iter().map(|event| events::fill(&view.names, event)).collect();
        reader.print(&Shown::Events(rows))?;
        if !follow {
            return Ok(DONE);
        }
        let late = LATE.min(timeout);
        let at_once = Duration::ZERO;
        happened = patiently(world, timeout, || ask::events(world, last, FOLLOW, late))?;
        let now = patiently(world, timeout, || ask::view(world, 0, at_once, timeout))?;
        if now.incarnation != view.incarnation {
            // A new life of the daemon counts its events from 1 again.
            last = 0;
            happened = patiently(world, timeout, || ask::events(world, 0, at_once, timeout))?;
        }
        view = now;
    }
}

/// `counters`: those of both daemons; without the data path's it says why.
pub fn show_counters(world: &dyn Ask, reader: &mut Reader) -> Result<u8, Failure> {
    let view = reader.view(world)?;
    let counted = world.counters(FWD_PATIENCE.min(reader.timeout));
    reader.print(&Shown::Counters(local::counters(&view, counted.as_ref().ok())))?;
    counted.map(|_| DONE)
}
