//! `config show`, `config diff`, `config apply`, `node add`, `node remove`: from a file, or from one change of what is in
//! force, to the configuration that shall follow it, and by the cluster's answer to what became of it. Called by `lib.rs`.
//! What may follow what is decided by `dsc-conf` here, and again by every member.

use crate::ask::{self, Ask};
use crate::config_check;
use crate::failure::{DONE, Failure, NO, REFUSED, reason};
use crate::names;
use crate::shown::{Applied, ConfigChange, ConfigValue, InForce};
use crate::status::hex;
use dsc_conf::{Change, Config, How, Problems};
use dsc_wire::local::{DOCUMENT_MAX, Reply};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// `config diff FILE`
    Diff(&'a Path),
    /// `config apply FILE`
    Apply(&'a Path),
    /// `node add NAME SUBNET=IP...`
    Add {
        /// Its name.
        name: &'a str,
        /// Its address on each subnet that is named.
        addresses: &'a [(String, IpAddr)],
        /// Votes, but never hosts.
        witness: bool,
    },
    /// `node remove NAME`
    Remove(&'a str),
}

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Only show what would change.
    pub dry_run: bool,
    /// Wait until every member's view shows it.
    pub wait: bool,
    /// For so long.
    pub timeout: Duration,
    /// Draw problems in colour, for a terminal.
    pub colour: bool,
}

/// What the node that is asked works with.
struct Base {
    version: u64,
    digest: u64,
    config: Config,
}

/// The configuration in force.
pub fn show(world: &dyn Ask, timeout: Duration) -> Result<InForce, Failure> {
    let (version, digest, document) = ask::config(world, timeout)?;
    Ok(InForce { version, config_digest: hex(digest), document })
}

/// Does what is asked for and says what became of it, with the exit code.
pub fn run(world: &dyn Ask, wish: Wish<'_>, manner: Manner) -> Result<(Applied, u8), Failure> {
    let (version, digest, document) = ask::config(world, manner.timeout)?;
    let config = Config::parse(&document, "the configuration in force").map_err(|problems| {
        Failure::Refused(format!(
            "cannot read the configuration in force: are dscctl and dsc-ringd of builds that fit?\n{problems}"
        ))
    })?;
    let base = Base { version, digest, config };
    let mut applied = Applied {
        command: match wish {
            Wish::Diff(_) => "config diff",
            Wish::Apply(_) => "config apply",
            Wish::Add { .. } => "node add",
            Wish::Remove(_) => "node remove",
        },
        about: match wish {
            Wish::Diff(file) | Wish::Apply(file) => called(file),
            Wish::Add { name, .. } | Wish::Remove(name) => name.to_owned(),
        },
        result: "refused",
        text: String::new(),
        base_version: version,
        version: None,
        took_ms: None,
        changes: Vec::new(),
        problems: Vec::new(),
        drawn: String::new(),
    };
    let next = wanted(&base.config, wish)?.and_then(|wanted| match stale(&base, &wanted, wish) {
        Some(text) => Ok(Err(text)),
        None => base.config.successor(wanted).map(Ok),
    });
    let next = match next {
        Ok(Ok(next)) => next,
        Ok(Err(text)) => {
            applied.text = format!("cannot apply {}: {text}", applied.about);
            return Ok((applied, REFUSED));
        }
        Err(problems) => {
            let plural = if problems.count() == 1 { "problem" } else { "problems" };
            let what = action(&applied);
            applied.text = format!("cannot {what}: {} {plural}", problems.count());
            applied.problems = config_check::listed(&problems);
            applied.drawn = problems.render(manner.colour);
            return Ok((applied, REFUSED));
        }
    };
    applied.changes = base.config.changes(&next).iter().map(change).collect();
    applied.version = Some(next.version);
    finish(world, wish, manner, &base, next, applied)
}

/// The configuration that is asked for; or what is wrong with it.
fn wanted(in_force: &Config, wish: Wish<'_>) -> Result<Result<Config, Problems>, Failure> {
    Ok(match wish {
        Wish::Diff(file) | Wish::Apply(file) if file.as_os_str() == "-" => {
            Config::read_from(io::stdin().lock(), &called(file))
        }
        Wish::Diff(file) | Wish::Apply(file) => {
            let opened = File::open(file).map_err(|error| {
                Failure::Refused(format!("cannot read {}: {}", called(file), reason(&error)))
            })?;
            Config::read_from(opened, &called(file))
        }
        Wish::Add { name, addresses, witness } => in_force.with_node(name, addresses, witness),
        Wish::Remove(name) => match in_force.node_named(name) {
            Some(node) => in_force.without_node(node),
            None => {
                let nodes: Vec<String> = in_force.nodes.values().map(|n| n.name.clone()).collect();
                return Err(Failure::Usage(format!(
                    "no node {name:?}: the nodes of this cluster are {}",
                    names::list(nodes.into_iter())
                )));
            }
        },
    })
}

/// A file that was made from a configuration which is not in force any more would undo what came after it.
fn stale(base: &Base, wanted: &Config, wish: Wish<'_>) -> Option<String> {
    let from = wanted.version;
    (matches!(wish, Wish::Apply(_)) && from != 0 && from != base.version).then(|| {
        format!(
            "it was made from version {from}, but {} is in force: look at dscctl config diff, and if it shall come into \
             force nevertheless take the line `version` out of it",
            base.version
        )
    })
}

/// Shows it, or puts it in force.
fn finish(
    world: &dyn Ask,
    wish: Wish<'_>,
    manner: Manner,
    base: &Base,
    next: Config,
    mut applied: Applied,
) -> Result<(Applied, u8), Failure> {
    let count = match applied.changes.len() {
        1 => "1 change".to_owned(),
        many => format!("{many} changes"),
    };
    let what = action(&applied);
    if applied.changes.is_empty() {
        applied.result = "unchanged";
        applied.text = format!("nothing to change: version {} says the same", base.version);
        return Ok((applied, DONE));
    }
    if matches!(wish, Wish::Diff(_)) {
        applied.result = "shown";
        applied.text = format!("{count} to version {}", base.version);
        return Ok((applied, NO));
    }
    if manner.dry_run {
        applied.result = "shown";
        applied.text = format!("{count} to version {}; nothing was changed", base.version);
        return Ok((applied, DONE));
    }
    let document = next.document();
    if document.len() > DOCUMENT_MAX {
        let written = document.len();
        applied.text = format!(
            "cannot {what}: with every value written out it has {written} bytes, at most {DOCUMENT_MAX} can be kept"
        );
        return Ok((applied, REFUSED));
    }
    let asked = world.now();
    let patience = if manner.wait { manner.timeout } else { Duration::ZERO };
    let reply = ask::apply(world, (base.version, base.digest), document, patience)?;
    let took = world.now().since(asked);
    let (result, text, code) = match reply {
        Reply::Refused { reason } => ("refused", format!("cannot {what}: {reason}"), REFUSED),
        Reply::Pending { .. } if !manner.wait => (
            "pending",
            format!("asked to {what} as version {}; not waited for", next.version),
            DONE,
        ),
        Reply::Pending { text } => {
            let seconds = manner.timeout.as_secs_f64();
            let text = format!(
                "not seen by every member within {seconds} s: {what}: {text}; it may still happen"
            );
            ("pending", text, REFUSED)
        }
        _ => {
            applied.took_ms = Some(took.as_millis() as u64);
            let who = match ask::view(world, 0, Duration::ZERO, manner.timeout) {
                Ok(view) if view.members.len() > 1 => format!("all {} members", view.members.len()),
                Ok(view) if view.members.len() == 1 => "1 member".to_owned(),
                _ => "every member".to_owned(),
            };
            let text = format!(
                "version {} is in force on {who}, {} ms after it was asked for: {count}",
                next.version,
                took.as_millis()
            );
            ("done", text, DONE)
        }
    };
    applied.result = result;
    // A reason may name what only the new configuration has.
    applied.text = names::spell(&next.names(), &text);
    Ok((applied, code))
}

/// For "cannot ...".
fn action(applied: &Applied) -> String {
    match applied.command {
        "node add" => format!("add {}", applied.about),
        "node remove" => format!("remove {}", applied.about),
        "config diff" => format!("compare {}", applied.about),
        _ => format!("apply {}", applied.about),
    }
}

fn called(file: &Path) -> String {
    match file.as_os_str() == "-" {
        true => "the standard input".to_owned(),
        false => file.display().to_string(),
    }
}

fn change(change: &Change) -> ConfigChange {
    ConfigChange {
        change: match change.how {
            How::Added => "added",
            How::Removed => "removed",
            How::Changed => "changed",
        },
        what: change.what,
        name: change.name.clone(),
        values: change
            .values
            .iter()
            .map(|v| ConfigValue { key: v.key.clone(), from: v.from.clone(), to: v.to.clone() })
            .collect(),
        text: change.to_string(),
    }
}
