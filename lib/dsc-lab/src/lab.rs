//! A lab as a value: its plan, its machines, and the file in which both survive between commands. It brings the
//! machines up, finds them again, and takes all of it down; what runs on them is `program.rs`'s.

use crate::error::{Doing, Error, Result};
use crate::namespace::Space;
use crate::process::Pid;
use crate::topology::Plan;
use crate::{nginx, program, vsftpd, wait, wiring};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where labs are written down.
pub const STATE_DIR: &str = "/run/dsc-lab";
/// The lab that commands mean when none is named.
pub const DEFAULT_NAME: &str = "default";

/// A lab that is up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lab {
    /// Its name; labs of different names live side by side.
    pub name: String,
    /// What it was made from.
    pub plan: Plan,
    /// Where the programs are.
    pub bin_dir: PathBuf,
    /// The machine with the bridges.
    pub switch: Space,
    /// Every other machine.
    pub machines: Vec<Space>,
    /// Nodes that were crashed and not yet started again, or that are not in the cluster.
    pub dark: Vec<usize>,
}

impl Lab {
    /// Makes the machines and their cables and starts everything; a lab of this name that is there already is
    /// taken down first. Returns when the processes run, not when the cluster has settled.
    ///
    /// # Errors
    /// Not root, a program is missing, or the plan makes no sense. What was made until then is removed.
    pub fn up(name: &str, plan: Plan) -> Result<Lab> {
        Lab::up_from(name, plan, bin_dir()?)
    }

    /// As [`Lab::up`], with the programs of `bin_dir`, which may be another build's.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn up_from(name: &str, plan: Plan, bin_dir: PathBuf) -> Result<Lab> {
        plan.check().doing(|| "make such a lab".into())?;
        if !nix::unistd::Uid::effective().is_root() {
            return Err(Error::new("make network namespaces", "you are not root: use sudo"));
        }
        down(name)?;
        let dir = dir_of(name);
        std::fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
        let mut lab = Lab {
            name: name.to_owned(),
            plan,
            bin_dir,
            switch: Space::create("switch")?,
            machines: Vec::new(),
            dark: Vec::new(),
        };
        lab.dark.extend(lab.plan.nodes - lab.plan.spares..lab.plan.nodes);
        let result = lab.build();
        if result.is_err() {
            // The first error is the one to tell.
            let _ = lab.down();
        }
        result.map(|()| lab)
    }

    fn build(&mut self) -> Result<()> {
        self.save()?;
        wiring::make_switch(self)?;
        for machine in self.plan.machines() {
            let space = Space::create(&machine.name)?;
            self.machines.push(space);
            self.save()?;
            wiring::attach(self, &machine)?;
        }
        nginx::make_files(&self.dir())?;
        vsftpd::make_files(&self.dir())?;
        let serving = if self.plan.services { self.plan.hosts } else { 0 };
        for host in 0..serving {
            program::start_host(self, host)?;
        }
        if self.plan.source_nat {
            program::start_web(self, "client")?;
        }
        for node in 0..self.plan.nodes - self.plan.spares {
            program::start_node(self, node)?;
        }
        Ok(())
    }

    /// The lab of this name that an earlier command brought up.
    ///
    /// # Errors
    /// There is none, or its switch is gone.
    pub fn open(name: &str) -> Result<Lab> {
        let file = dir_of(name).join("lab.json");
        let text = std::fs::read_to_string(&file)
            .map_err(|_| Error::new(format!("use the lab {name}"), "it is not up: dsc-lab up"))?;
        let lab: Lab = serde_json::from_str(&text).doing(|| format!("read {}", file.display()))?;
        if !lab.switch.holder.alive() {
            return Err(Error::new(
                format!("use the lab {name}"),
                "its processes are gone: dsc-lab down, then up",
            ));
        }
        Ok(lab)
    }

    /// Writes the lab down for later commands.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self) -> Result<()> {
        let file = self.dir().join("lab.json");
        let text = serde_json::to_string_pretty(self).doing(|| "write the lab down".into())?;
        std::fs::write(&file, text).doing(|| format!("write {}", file.display()))
    }

    /// Where this lab keeps pid files, logs and the web servers' files.
    pub fn dir(&self) -> PathBuf {
        dir_of(&self.name)
    }

    /// A machine by its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn space(&self, name: &str) -> Result<&Space> {
        if name == "switch" {
            return Ok(&self.switch);
        }
        self.machines.iter().find(|s| s.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.machines.iter().map(|s| &*s.name).collect();
            Error::new(format!("find {name}"), format!("machines: switch {}", names.join(" ")))
        })
    }

    /// A node's machine.
    ///
    /// # Errors
    /// There is no such node.
    pub fn node(&self, index: usize) -> Result<&Space> {
        self.space(&self.plan.node(index))
    }

    /// Puts a fresh machine in place of one: a computer after a reset remembers nothing.
    ///
    /// # Errors
    /// Those of making it.
    pub fn replace_machine(&mut self, index: usize) -> Result<()> {
        let machine = self.plan.node_machine(index);
        wiring::detach(self, &machine)?;
        let old = self.space(&machine.name)?.clone();
        stop_all(&[old])?;
        let fresh = Space::create(&machine.name)?;
        if let Some(place) = self.machines.iter_mut().find(|s| s.name == machine.name) {
            *place = fresh;
        }
        self.save()?;
        wiring::attach(self, &machine)
    }

    /// Ends every process in the lab's namespaces, with them the namespaces, and forgets the lab.
    ///
    /// # Errors
    /// A process does not end.
    pub fn down(&self) -> Result<()> {
        let mut spaces = self.machines.clone();
        spaces.push(self.switch.clone());
        stop_all(&spaces)?;
        let dir = self.dir();
        std::fs::remove_dir_all(&dir).doing(|| format!("remove {}", dir.display()))
    }
}

/// Takes the lab of this name down if it is there.
///
/// # Errors
/// A process does not end.
pub fn down(name: &str) -> Result<()> {
    let dir = dir_of(name);
    let Ok(text) = std::fs::read_to_string(dir.join("lab.json")) else { return Ok(()) };
    match serde_json::from_str::<Lab>(&text) {
        Ok(lab) => lab.down(),
        Err(error) => Err(Error::new(format!("read {}/lab.json", dir.display()), error)),
    }
}

fn dir_of(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(name)
}

/// SIGKILL to all processes of these machines, holders last, until none is left.
fn stop_all(spaces: &[Space]) -> Result<()> {
    let end = |pids: Vec<Pid>| {
        pids.iter().for_each(|p| p.signal(Signal::SIGKILL));
        wait::until("killed processes end", 10_000, || {
            pids.iter().for_each(Pid::reap);
            pids.iter().all(|p| !p.alive()).then_some(())
        })
    };
    for space in spaces.iter().filter(|s| s.holder.alive()) {
        // A process may fork while it is being listed, so look again until there is none.
        wait::until(&format!("{} is empty", space.name), 10_000, || {
            let pids = space.processes();
            let empty = pids.is_empty();
            let ended = end(pids).is_ok();
            (empty && ended).then_some(())
        })?;
    }
    end(spaces.iter().map(|s| s.holder).collect())
}

/// Where the programs are: `DSC_BIN_DIR`, or next to the running program.
///
/// # Errors
/// They are not there.
pub fn bin_dir() -> Result<PathBuf> {
    let dir = match std::env::var_os("DSC_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let own = std::env::current_exe().doing(|| "find the running program".into())?;
            let dir = own.parent().unwrap_or(Path::new("/")).to_owned();
            if dir.ends_with("deps") { dir.parent().unwrap_or(&dir).to_owned() } else { dir }
        }
    };
    has_programs(dir)
}

/// The same directory, if the programs are in it.
///
/// # Errors
/// They are not.
pub fn has_programs(dir: PathBuf) -> Result<PathBuf> {
    if dir.join("dsc-lab").exists() && dir.join("dsc-ringd").exists() {
        return Ok(dir);
    }
    Err(Error::new(
        format!("find the programs in {}", dir.display()),
        "dsc-lab is not there: build the workspace first, or set DSC_BIN_DIR",
    ))
}
