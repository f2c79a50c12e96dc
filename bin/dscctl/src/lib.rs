//! dscctl: shows and changes a cluster from any of its nodes. [`run`] is the whole program; every command fills one
//! value, which is printed for people or for scripts.
//!
//! ```text
//!   arguments --> reads, flows, change, config_check, keygen --> shown --> show_text | show_json
//!       |                     |
//!    remote (ssh)            ask (questions) --> world (sockets, clocks)
//! ```

pub mod arguments;
pub mod ask;
pub mod change;
pub mod config_check;
pub mod events;
pub mod failure;
pub mod flows;
pub mod keygen;
pub mod local;
pub mod names;
pub mod reads;
pub mod remote;
pub mod show;
pub mod show_json;
pub mod show_text;
pub mod shown;
pub mod status;
pub mod warnings;
pub mod world;

use arguments::{
    Arguments, BackendArguments, BackendCommand, Command, ConfigCommand, NodeCommand, Options,
    StatusArguments,
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
            let watching = matches!(&command, Command::Status(status) if status.watch);
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
        Command::Flows(wanted) => flows::show_flows(&world, &mut reader, wanted),
        Command::Counters => reads::show_counters(&world, &mut reader),
        Command::MoveVip { vip, node } => change(options, &mut out, Wish::Move(*vip, node)),
        Command::Pin { vip, node } => change(options, &mut out, Wish::Pin(*vip, node.as_deref())),
        Command::Unpin { vip } => change(options, &mut out, Wish::Unpin(*vip)),
        Command::Node { change: Some(verb), .. } => {
            let wish = match verb {
                NodeCommand::Close { node } => Wish::Close(node),
                NodeCommand::Open { node } => Wish::Open(node),
                NodeCommand::Drain { node } => Wish::Drain(node),
            };
            change(options, &mut out, wish)
        }
        Command::Config { command: ConfigCommand::Check { file } } => {
            let checked = config_check::run(file, terminal)?;
            let code = if checked.right { DONE } else { NO };
            print(&mut out, json, &Shown::Checked(checked)).map(|()| code)
        }
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

/// One line on the standard error; if that has gone too, the exit code alone must do.
fn complain(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "dscctl: {text}");
}
