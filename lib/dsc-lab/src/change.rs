//! The configuration of a running cluster, changed as its operator changes it: `dscctl config apply` on a node, a node put in,
//! a node taken out. And when each daemon had it, by its own word.

use crate::cluster;
use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::process::Pid;
use crate::program;
use crate::{clock, wait};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;

/// The daemons that have a configuration in force and say so.
pub const DAEMONS: [&str; 2] = ["dsc-ringd", "dsc-fwd"];
/// Longest wait for all of them, ms.
const IN_FORCE_MS: u64 = 20_000;
/// Between two looks at what they say, ms.
const LOOK_MS: u64 = 1;

/// The configuration in force, as a node tells it.
///
/// # Errors
/// It is not answered.
pub fn document(lab: &Lab, node: usize) -> Result<String> {
    cluster::dscctl(lab, node, &["config", "show"])
}

/// Puts a file into force, on a node. Returns what dscctl says.
///
/// # Errors
/// It is refused.
pub fn apply(lab: &Lab, node: usize, text: &str) -> Result<String> {
    let program = lab.bin_dir.join("dscctl").display().to_string();
    lab.node(node)?.run_with(&[&program, "config", "apply", "-"], text)
}

/// The one text in place of the other in the configuration in force, put into force on a node.
///
/// # Errors
/// It is not in it, or the change is refused.
pub fn replace(lab: &Lab, node: usize, old: &str, new: &str) -> Result<String> {
    let text = document(lab, node)?;
    if !text.contains(old) {
        return Err(Error::new(format!("replace {old}"), "it is not in the configuration"));
    }
    apply(lab, node, &text.replacen(old, new, 1))
}

/// Puts a machine into the cluster that is in nobody's configuration yet: first there, then it gets the file and is started.
///
/// # Errors
/// A step is refused.
pub fn add_node(lab: &mut Lab, asked: usize, node: usize) -> Result<()> {
    let machine = lab.plan.node_machine(node);
    let mut words = vec!["node".to_owned(), "add".to_owned(), machine.name.clone()];
    let on = machine.interfaces.iter().map(|(s, _)| format!("{}={}", s.name(), s.v4(machine.low)));
    words.extend(on);
    cluster::dscctl(lab, asked, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let text = document(lab, asked)?;
    let key = fs::read_to_string(lab.node(asked)?.path("/etc/dsc/key"));
    let key = key.doing(|| "read the key".into())?;
    let space = lab.node(node)?;
    program::write_configuration(lab, node)?;
    space.write("/etc/dsc/dsc.toml", &text, 0o644)?;
    space.write("/etc/dsc/key", &key, 0o600)?;
    program::start_all(lab, node)?;
    lab.dark.retain(|dark| *dark != node);
    lab.save()
}

/// Takes a node out of the configuration; its ring daemon leaves and ends by itself.
///
/// # Errors
/// It is refused, or the daemon does not end.
pub fn remove_node(lab: &mut Lab, asked: usize, node: usize) -> Result<()> {
    let ringd = program::find(lab, node, "dsc-ringd");
    cluster::dscctl(lab, asked, &["node", "remove", &lab.plan.node(node)])?;
    wait::until("the ring daemon of the removed node ends", IN_FORCE_MS, || {
        ringd.iter().for_each(Pid::reap);
        ringd.as_ref().is_none_or(|pid| !pid.alive()).then_some(())
    })?;
    lab.dark.push(node);
    lab.save()
}

/// What a node has in force: version and digest, as its dsc-ringd says; only if its dsc-fwd works with the same.
pub fn in_force(lab: &Lab, node: usize) -> Option<(u64, String)> {
    let status = cluster::status(lab, node).ok()?;
    let differs = |w: &serde_json::Value| w["warning"] == "config-differs";
    if status["warnings"].as_array()?.iter().any(differs) {
        return None;
    }
    Some((status["config_version"].as_u64()?, status["config_digest"].as_str()?.to_owned()))
}

/// Waits until these nodes have the same in force, and returns its version and digest.
///
/// # Errors
/// Not in time.
pub fn wait_same(lab: &Lab, nodes: &[usize]) -> Result<(u64, String)> {
    wait::until("the same configuration is in force on all nodes", IN_FORCE_MS, || {
        let all: Option<Vec<_>> = nodes.iter().map(|node| in_force(lab, *node)).collect();
        let all = all?;
        let first = all.first()?.clone();
        all.iter().all(|other| *other == first).then_some(first)
    })
}

/// The logs of all daemons, from now on.
pub struct Watch {
    logs: Vec<Log>,
    from_ns: u64,
}

struct Log {
    daemon: &'static str,
    file: File,
    read: String,
    at_ns: Option<u64>,
}

impl Watch {
    /// Of all nodes.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn start(lab: &Lab) -> Result<Watch> {
        let mut logs = Vec::new();
        for node in (0..lab.plan.nodes).filter(|n| !lab.dark.contains(n)) {
            for daemon in DAEMONS {
                let path = program::log_file(lab, node, daemon);
                let doing = || format!("read {}", path.display());
                let mut file = File::open(&path).doing(doing)?;
                file.seek(SeekFrom::End(0)).doing(doing)?;
                logs.push(Log { daemon, file, read: String::new(), at_ns: None });
            }
        }
        Ok(Watch { logs, from_ns: clock::now_ns() })
    }

    /// Waits until all have said that this version is in force; how long after the start each did, by daemon, ms.
    ///
    /// # Errors
    /// One did not, in time.
    pub fn wait(mut self, version: u64) -> Result<Vec<(&'static str, f64)>> {
        let line = format!("version {version} of the configuration is in force");
        let end_ns = self.from_ns + IN_FORCE_MS * 1_000_000;
        while self.logs.iter().any(|log| log.at_ns.is_none()) {
            let now_ns = clock::now_ns();
            if now_ns > end_ns {
                return Err(Error::new(format!("see version {version} everywhere"), "too late"));
            }
            for log in self.logs.iter_mut().filter(|log| log.at_ns.is_none()) {
                let read = log.file.read_to_string(&mut log.read);
                read.doing(|| format!("read the log of {}", log.daemon))?;
                log.at_ns = log.read.contains(&line).then_some(now_ns);
            }
            wait::observe(LOOK_MS);
        }
        let ms = |log: &Log| (log.at_ns.unwrap_or(end_ns) - self.from_ns) as f64 / 1e6;
        Ok(self.logs.iter().map(|log| (log.daemon, ms(log))).collect())
    }
}

/// The file that dsc-ringd keeps on a node, if there is one.
pub fn stored(lab: &Lab, node: usize) -> Option<String> {
    let path = lab.node(node).ok()?.path("/var/lib/dsc/dsc.toml");
    // A file that anybody could write would be a way into the cluster.
    let mode = fs::metadata(&path).ok()?.permissions().mode();
    fs::read_to_string(path).ok().filter(|_| mode & 0o022 == 0)
}
