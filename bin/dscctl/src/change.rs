//! The commands that change something: names to indices, the question to ringd, and what became of it, told by
//! comparing the views before and after. Called by `lib.rs`. It never decides what is allowed: ringd does.

use crate::arguments::{self, NodeCommand};
use crate::ask::{self, Ask};
use crate::events::duty_word;
use crate::failure::{DONE, Failure, REFUSED};
use crate::names;
use crate::shown::{Change, Moved};
use dsc_wire::local::{Command, Duty, Names, Reply, View};
use std::time::Duration;

/// A change, as ringd and as the operator calls it.
struct Wanted {
    command: Command,
    verb: &'static str,
    about: String,
    /// For "cannot ...".
    action: String,
}

/// Carries a change out and says what became of it, with the exit code. `wait` none: do not wait for it.
pub fn run(
    world: &dyn Ask,
    command: &arguments::Command,
    wait: bool,
    timeout: Duration,
) -> Result<(Change, u8), Failure> {
    let before = ask::view(world, 0, Duration::ZERO, timeout)?;
    let wanted = wanted(&before.names, command)?;
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
fn wanted(names: &Names, command: &arguments::Command) -> Result<Wanted, Failure> {
    let (command, verb, about, action) = match command {
        arguments::Command::MoveVip { vip, node } => {
            let found = Command::MoveVip {
                vip: names::find_vip(names, *vip)?,
                node: names::find_node(names, node)?,
            };
            (found, "move-vip", vip.to_string(), format!("move {vip} to {node}"))
        }
        arguments::Command::Pin { vip, node } => {
            let id = names::find_vip(names, *vip)?;
            let to = node.as_ref().map(|node| names::find_node(names, node)).transpose()?;
            let whither = node.as_ref().map_or_else(String::new, |node| format!(" to {node}"));
            let action = format!("pin {vip}{whither}");
            (Command::Pin { vip: id, node: to }, "pin", vip.to_string(), action)
        }
        arguments::Command::Unpin { vip } => {
            let id = names::find_vip(names, *vip)?;
            (Command::Unpin { vip: id }, "unpin", vip.to_string(), format!("unpin {vip}"))
        }
        arguments::Command::Node { change: Some(change), .. } => {
            let (verb, action, node, duty) = match change {
                NodeCommand::Close { node } => ("node close", "close", node, Duty::Closed),
                NodeCommand::Open { node } => ("node open", "open", node, Duty::Open),
                NodeCommand::Drain { node } => ("node drain", "drain", node, Duty::Draining),
            };
            let id = names::find_node(names, node)?;
            let action = format!("{action} {node}");
            (Command::Duty { node: id, duty }, verb, node.clone(), action)
        }
        _ => unreachable!("lib.rs sends only changes here"),
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
