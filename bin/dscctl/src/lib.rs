//! dscctl: shows and changes a cluster from any of its nodes. [`run`] is the whole program; every command fills one
//! value, which is printed for people or for scripts. Only `metrics` has a text of its own, and `top` a screen.
//!
//! ```text
//!   arguments --> reads, flows, link, checks, change, config_*, keygen --> shown --> show_text | show_json
//!       |                     |
//!    remote (ssh)            ask (questions) --> world (sockets, clocks)
//! ```

pub mod arguments;
pub mod ask;
pub mod change;
pub mod checks;
pub mod config_apply;
pub mod config_check;
pub mod config_import;
pub mod events;
pub mod failure;
pub mod flows;
pub mod keygen;
pub mod link;
pub mod local;
pub mod metrics;
pub mod names;
pub mod reads;
pub mod remote;
pub mod show;
pub mod show_json;
pub mod show_text;
pub mod shown;
pub mod status;
pub mod top;
pub mod warnings;
pub mod world;

use arguments::{
    Arguments, BackendArguments, BackendCommand, CheckArguments, CheckCommand, Command,
    ConfigCommand, NodeAddArguments, NodeCommand, Options, StatusArguments,
};
use change::Wish;
use clap::{CommandFactory, Parser};
use dsc_wire::BackendState;
use failure::{DONE, Failure, NO, USAGE};
use reads::Reader;
use show::{Shown, print};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use world::World;

/// The table of commands and options, for completions and for the test against the manual page.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with its `arguments`, its name first; returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(told) => {
            // Help asked for is an answer; a reader that has gone does not make it a failure.
            let asked_for = !told.use_stderr();
            return match told.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failure::REFUSED,
                _ if asked_for => DONE,
                _ => USAGE,
            };
        }
    };
    let command = arguments.command.unwrap_or(Command::Status(StatusArguments::default()));
    let ended = match &arguments.options.host {
        Some(host) => {
            let watching = match &command {
                Command::Status(status) => status.watch,
                command => matches!(command, Command::Top),
            };
            let terminal = watching && io::stdout().is_terminal();
            let patience = arguments.options.timeout;
            remote::run(host, words.get(1..).unwrap_or_default(), terminal, patience)
        }
        None => here(&command, &arguments.options),
    };
    ended.unwrap_or_else(|failure| {
        if failure != Failure::Closed {
            complain(&failure.to_string());
        }
        failure.code()
    })
}

/// Runs a command on this node.
fn here(command: &Command, options: &Options) -> Result<u8, Failure> {
    let world = World { run_dir: options.run_dir.clone() };
    let terminal = io::stdout().is_terminal();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let json = options.json;
    let mut reader = Reader { out: &mut out, json, terminal, timeout: options.timeout };
    match command {
        Command::Status(wanted) => reads::show_status(&world, &mut reader, wanted),
        Command::Vip { address } => reads::show_vip(&world, &mut reader, *address),
        Command::Node { change: None, name } => {
            reads::show_node(&world, &mut reader, name.as_deref())
        }
        Command::Events { follow, since } => {
            reads::show_events(&world, &mut reader, *since, *follow)
        }
        Command::Service => flows::show_services(&world, &mut reader),
        Command::Backend { change: None } => flows::show_backends(&world, &mut reader),
        Command::Backend { change: Some(verb) } => {
            let (state, which) = match verb {
                BackendCommand::Enable(which) => (BackendState::Enabled, which),
                BackendCommand::Disable(which) => (BackendState::Disabled, which),
                BackendCommand::Drain(which) => (BackendState::Draining, which),
            };
            let BackendArguments { service, backend } = which;
            change(options, &mut out, Wish::Backend(state, service, *backend))
        }
        Command::Check { change: None } => checks::show_checks(&world, &mut reader),
        Command::Check { change: Some(verb) } => {
            let (on, CheckArguments { name, node }) = match verb {
                CheckCommand::Enable(which) => (true, which),
                CheckCommand::Disable(which) => (false, which),
            };
            change(options, &mut out, Wish::Check(on, name, node.as_deref()))
        }
        Command::Flows(wanted) => flows::show_flows(&world, &mut reader, wanted),
        Command::Link(wanted) => link::show(&world, &mut reader, wanted),
        Command::Counters => reads::show_counters(&world, &mut reader),
        Command::Top => {
            drop(out);
            top::run(options)
        }
        Command::Metrics(_) if json => {
            Err(Failure::Usage("metrics are text for Prometheus: there are none in JSON".into()))
        }
        Command::Metrics(wanted) => metrics::run(&world, &mut out, wanted, options.timeout),
        Command::MoveVip { vip, node } => change(options, &mut out, Wish::Move(*vip, node)),
        Command::Pin { vip, node } => change(options, &mut out, Wish::Pin(*vip, node.as_deref())),
        Command::Unpin { vip } => change(options, &mut out, Wish::Unpin(*vip)),
        Command::Node { change: Some(verb), .. } => {
            let wish = match verb {
                NodeCommand::Close { node } => Wish::Close(node),
                NodeCommand::Open { node } => Wish::Open(node),
                NodeCommand::Drain { node } => Wish::Drain(node),
                NodeCommand::Add(NodeAddArguments { name, addresses, witness, dry_run }) => {
                    let wish = config_apply::Wish::Add { name, addresses, witness: *witness };
                    return configure(options, &mut out, wish, *dry_run);
                }
                NodeCommand::Remove { node, dry_run } => {
                    return configure(
                        options,
                        &mut out,
                        config_apply::Wish::Remove(node),
                        *dry_run,
                    );
                }
            };
            change(options, &mut out, wish)
        }
        Command::Config { command } => match command {
            ConfigCommand::Show => {
                let shown = config_apply::show(&world, options.timeout)?;
                print(&mut out, json, &Shown::InForce(shown)).map(|()| DONE)
            }
            ConfigCommand::Check { file } => {
                let checked = config_check::run(file, terminal)?;
                let code = if checked.right { DONE } else { NO };
                print(&mut out, json, &Shown::Checked(checked)).map(|()| code)
            }
            ConfigCommand::Import { files, cluster } => {
                let imported = config_import::run(files, cluster, io::stderr().is_terminal())?;
                let code = if imported.document.is_some() { DONE } else { NO };
                if code == NO && !json {
                    let _ = write!(io::stderr().lock(), "{}", imported.drawn);
                    return Ok(code);
                }
                print(&mut out, json, &Shown::Imported(imported)).map(|()| code)
            }
            ConfigCommand::Diff { file } => {
                configure(options, &mut out, config_apply::Wish::Diff(file), false)
            }
            ConfigCommand::Apply { file, dry_run } => {
                configure(options, &mut out, config_apply::Wish::Apply(file), *dry_run)
            }
        },
        Command::Keygen(wanted) => {
            print(&mut out, json, &Shown::Key(keygen::run(wanted)?)).map(|()| DONE)
        }
        Command::Completions { shell } => {
            // Made in memory: the generator panics if its reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut self::command(), "dscctl", &mut script);
            out.write_all(&script).and_then(|()| out.flush()).map_err(show::lost).map(|()| DONE)
        }
    }
}

/// Changes the cluster. What was not done is a complaint for people, and an answer like any other for scripts.
fn change(options: &Options, out: &mut dyn Write, wish: Wish<'_>) -> Result<u8, Failure> {
    let world = World { run_dir: options.run_dir.clone() };
    let (change, code) = change::run(&world, wish, !options.no_wait, options.timeout)?;
    if code != DONE && !options.json {
        complain(&change.text);
    } else {
        print(out, options.json, &Shown::Change(change))?;
    }
    Ok(code)
}

/// Changes the configuration, or shows what would change. What was refused is a complaint for people, as in [`change`].
fn configure(
    options: &Options,
    out: &mut dyn Write,
    wish: config_apply::Wish<'_>,
    dry_run: bool,
) -> Result<u8, Failure> {
    let world = World { run_dir: options.run_dir.clone() };
    let manner = config_apply::Manner {
        dry_run,
        wait: !options.no_wait,
        timeout: options.timeout,
        colour: io::stderr().is_terminal(),
    };
    let (applied, code) = config_apply::run(&world, wish, manner)?;
    if code == failure::REFUSED && !options.json {
        show_text::config::show_changes(out, &applied)
            .and_then(|()| out.flush())
            .map_err(show::lost)?;
        let mut err = io::stderr().lock();
        let _ = write!(err, "{}", applied.drawn);
        drop(err);
        complain(&applied.text);
    } else {
        print(out, options.json, &Shown::Applied(Box::new(applied)))?;
    }
    Ok(code)
}

/// One line on the standard error; if that has gone too, the exit code alone must do.
fn complain(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "dscctl: {text}");
}
