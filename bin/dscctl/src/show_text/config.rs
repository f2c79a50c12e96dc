//! Prints what the commands about configurations tell.

use crate::shown::{Applied, Checked, Status};
use dsc_wire::local::ConfigFile;
use std::io::{self, Write};

/// Whether a file is right.
pub fn show_checked(out: &mut dyn Write, checked: &Checked) -> io::Result<()> {
    match &checked.contents {
        None => write!(out, "{}", checked.drawn),
        Some(contents) => writeln!(
            out,
            "{}: right: cluster {}, {} nodes, {} subnets, {} VIPs, {} services, {} backends",
            checked.file,
            contents.cluster,
            contents.nodes,
            contents.subnets,
            contents.vips,
            contents.services,
            contents.backends
        ),
    }
}

/// Which one is in force, and whether the node was started with another.
pub fn in_force(status: &Status) -> String {
    let version = format!("version {} in force", status.config_version);
    match &status.config_file {
        None => version,
        Some(ConfigFile { path, .. }) => {
            format!("{version}; {path} says something else: dscctl config diff {path}, or apply")
        }
    }
}

/// What changes, and what became of it.
pub fn show_applied(out: &mut dyn Write, applied: &Applied) -> io::Result<()> {
    show_changes(out, applied)?;
    writeln!(out, "{}", applied.text)
}

/// What changes, a line for each thing.
pub fn show_changes(out: &mut dyn Write, applied: &Applied) -> io::Result<()> {
    applied.changes.iter().try_for_each(|change| writeln!(out, "{}", change.text))
}
