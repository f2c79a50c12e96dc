//! The commands that change something: names to indices, the question to ringd, and what became of it, told by
//! comparing the views before and after. Called by `lib.rs`. It never decides what is allowed: ringd does.

use crate::ask::{self, Ask};
use crate::events::duty_word;
use crate::failure::{DONE, Failure, REFUSED};
use crate::names;
use crate::shown::{Change, Moved};
use dsc_wire::BackendState;
use dsc_wire::local::{Command, Duty, Names, Reply, View};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A change in the operator's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// `move-vip VIP NODE`
    Move(IpAddr, &'a str),
    /// `pin VIP [NODE]`
    Pin(IpAddr, Option<&'a str>),
    /// `unpin VIP`
    Unpin(IpAddr),
    /// `node close NODE`
    Close(&'a str),
    /// `node open NODE`
    Open(&'a str),
    /// `node drain NODE`
    Drain(&'a str),
    /// `backend enable|disable|drain SERVICE BACKEND`
    Backend(BackendState, &'a str, SocketAddr),
    /// `check enable|disable CHECK [NODE]`
    Check(bool, &'a str, Option<&'a str>),
}

/// A change in ringd's words, and what to call it.
struct Wanted {
    command: Command,
    verb: &'static str,
    about: String,
    /// For "cannot ...".
    action: String,
}

/// Carries a change out and says what became of it, with the exit code. Without `wait` it only asks for it.
pub fn run(
    world: &dyn Ask,
    wish: Wish<'_>,
    wait: bool,
    timeout: Duration,
) -> Result<(Change, u8), Failure> {
    let before = ask::view(world, 0, Duration::ZERO, timeout)?;
    let wanted = wanted(&before.names, wish)?;
    let patience = if wait { timeout } else { Duration::ZERO };
    let reply = ask::command(world, wanted.command, patience)?;
    // The change is what it is, whether or not we can still see it.
    let after = ask::view(world, 0, Duration::ZERO, timeout).unwrap_or_else(|_| before.clone());
    let spell = |text: &str| names::spell(&before.names, text);
    let (result, text, code) = match &reply {
        Reply::Refused { reason } => {
            ("refused", format!("cannot {}: {}", wanted.action, spell(reason)), REFUSED)
        }
        Reply::Pending { .. } if !wait => {
            ("pending", format!("asked to {}; not waited for", wanted.action), DONE)
        }
        Reply::Pending { text } => (
            "pending",
            format!(
                "not seen by every member within {} s: {}: {}; it may still happen",
                timeout.as_secs_f64(),
                wanted.action,
                spell(text)
            ),
            REFUSED,
        ),
        _ => ("done", told(&wanted, &before, &after), DONE),
    };
    let moved = moved(&before, &after);
    Ok((Change { command: wanted.verb, about: wanted.about, result, text, moved }, code))
}

/// Names to indices; fails with what there is.
fn wanted(names: &Names, wish: Wish<'_>) -> Result<Wanted, Failure> {
    let vip = |address| names::find_vip(names, address);
    let node = |name| names::find_node(names, name);
    let duty = |name, duty| Ok::<_, Failure>(Command::Duty { node: node(name)?, duty });
    let (command, verb, about, action) = match wish {
        Wish::Move(address, name) => {
            let command = Command::MoveVip { vip: vip(address)?, node: node(name)? };
            (command, "move-vip", address.to_string(), format!("move {address} to {name}"))
        }
        Wish::Pin(address, name) => {
            let command = Command::Pin { vip: vip(address)?, node: name.map(node).transpose()? };
            let whither = name.map_or_else(String::new, |name| format!(" to {name}"));
            (command, "pin", address.to_string(), format!("pin {address}{whither}"))
        }
        Wish::Unpin(address) => {
            let command = Command::Unpin { vip: vip(address)? };
            (command, "unpin", address.to_string(), format!("unpin {address}"))
        }
        Wish::Close(name) => {
            (duty(name, Duty::Closed)?, "node close", name.to_string(), format!("close {name}"))
        }
        Wish::Open(name) => {
            (duty(name, Duty::Open)?, "node open", name.to_string(), format!("open {name}"))
        }
        Wish::Drain(name) => {
            (duty(name, Duty::Draining)?, "node drain", name.to_string(), format!("drain {name}"))
        }
        Wish::Backend(state, service, address) => {
            let backend = names::find_backend(names, service, address)?;
            let (word, verb) = match state {
                BackendState::Enabled => ("enable", "backend enable"),
                BackendState::Disabled => ("disable", "backend disable"),
                BackendState::Draining => ("drain", "backend drain"),
            };
            let about = names::backend(names, backend);
            let action = format!("{word} {about}");
            (Command::Backend { backend, state }, verb, about, action)
        }
        Wish::Check(on, name, place) => {
            let command = Command::Check {
                check: names::find_check(names, name)?,
                node: place.map(node).transpose()?,
                on,
            };
            let (word, verb) =
                if on { ("enable", "check enable") } else { ("disable", "check disable") };
            let whither = place.map_or_else(String::new, |place| format!(" on {place}"));
            (command, verb, name.to_string(), format!("{word} check {name}{whither}"))
        }
    };
    Ok(Wanted { command, verb, about, action })
}

/// A sentence about what every member's view shows now.
fn told(wanted: &Wanted, before: &View, after: &View) -> String {
    let about = &wanted.about;
    let moved = moved(before, after);
    let node = |id| names::node(&after.names, id);
    let head = match wanted.command {
        Command::MoveVip { vip, node: to } => {
            let from = before.vips.iter().find(|v| v.id == vip).and_then(|v| v.host);
            match from {
                Some(from) if from == to => format!("{about} is hosted by {} already", node(to)),
                Some(from) => format!("{about} moved from {} to {}", node(from), node(to)),
                None => format!("{about} is hosted by {}", node(to)),
            }
        }
        Command::Pin { node: Some(to), .. } => format!("{about} is pinned to {}", node(to)),
        Command::Pin { node: None, .. } => format!("{about} is pinned where it is"),
        Command::Unpin { .. } => format!("{about} is free"),
        Command::Duty { node: id, duty } => {
            let duty = after.nodes.iter().find(|n| n.id == id).map_or(duty, |n| n.duty);
            format!("{about} is {}", duty_word(duty))
        }
        Command::Backend { state, .. } => format!("{about} is {state}"),
        Command::Check { node: place, on, .. } => {
            let whither = place.map_or_else(String::new, |place| format!(" on {}", node(place)));
            format!("check {about} is {}{whither}", if on { "enabled" } else { "disabled" })
        }
    };
    let others: Vec<String> = moved
        .iter()
        .filter(|m| !(m.vip == *about && matches!(wanted.command, Command::MoveVip { .. })))
        .map(|m| {
            let name = |host: &Option<String>| host.clone().unwrap_or_else(|| "nobody".into());
            format!("{} from {} to {}", m.vip, name(&m.from), name(&m.to))
        })
        .collect();
    let also = match others.len() {
        0 => String::new(),
        _ => format!("; moved: {}", names::list(others.into_iter())),
    };
    let members = after.members.len();
    let all = if members == 1 { "1 member shows" } else { "members show" };
    let count = if members == 1 { String::new() } else { format!("all {members} ") };
    format!("{head}{also}; {count}{all} it")
}

fn moved(before: &View, after: &View) -> Vec<Moved> {
    let names = &after.names;
    let host = |view: &View, id| view.vips.iter().find(|v| v.id == id).and_then(|v| v.host);
    after
        .vips
        .iter()
        .filter_map(|vip| {
            let from = host(before, vip.id);
            let name = |id| names::node(names, id);
            (from != vip.host).then(|| Moved {
                vip: names::vip(names, vip.id),
                from: from.map(name),
                to: vip.host.map(name),
            })
        })
        .collect()
}
