//! `config check`: everything that is wrong with a configuration file, at once. Reads that file only; asks no daemon.

use crate::failure::{Failure, reason};
use crate::shown::{Checked, ConfigProblem, Contents};
use crate::status::hex;
use dsc_conf::{Config, Problems};
use std::fs::File;
use std::path::Path;

/// Reads and checks `path`; `colour` only for a terminal.
pub fn run(path: &Path, colour: bool) -> Result<Checked, Failure> {
    let file = path.display().to_string();
    // A file that cannot be read is neither right nor wrong.
    File::open(path)
        .map_err(|error| Failure::Refused(format!("cannot read {file}: {}", reason(&error))))?;
    Ok(match Config::read(path) {
        Ok(config) => Checked {
            right: true,
            contents: Some(Contents {
                cluster: config.name.clone(),
                nodes: config.nodes.count(),
                subnets: config.subnets.count(),
                vips: config.vips.count(),
                services: config.services.count(),
                backends: config.backends.count(),
                config_digest: hex(config.digest()),
            }),
            problems: Vec::new(),
            drawn: String::new(),
            file,
        },
        Err(problems) => Checked {
            right: false,
            contents: None,
            problems: listed(&problems),
            drawn: problems.render(colour),
            file,
        },
    })
}

/// Problems as scripts read them.
pub fn listed(problems: &Problems) -> Vec<ConfigProblem> {
    let listed = problems.list().iter().map(|p| ConfigProblem {
        line: (p.line > 0).then_some(p.line),
        column: (p.column > 0).then_some(p.column),
        found: p.text.clone(),
        text: p.message.clone(),
        expected: p.expected.clone(),
        help: p.help.clone(),
    });
    listed.collect()
}
