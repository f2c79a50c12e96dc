//! One machine of the lab: a holder process that keeps a network, a mount and a host-name namespace alive, and
//! the ways into it. Inside, /etc/dsc, /run/dsc, /var/lib/dsc and /sys are the machine's own, so every command
//! looks as on a real one. It never touches the namespaces of the machine that the lab runs on.

use crate::error::{Doing, Error, Result};
use crate::process::Pid;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Directories that are each machine's own, empty at its start.
const OWN: [&str; 3] = ["/etc/dsc", "/run/dsc", "/var/lib/dsc"];

/// A machine's namespaces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Space {
    /// Host name.
    pub name: String,
    /// The process that holds the namespaces.
    pub holder: Pid,
}

impl Space {
    /// Starts the holder: `sleep` in namespaces of its own.
    ///
    /// # Errors
    /// Not root, or the mount points cannot be made.
    pub fn create(name: &str) -> Result<Space> {
        for path in OWN {
            std::fs::create_dir_all(path).doing(|| format!("make the mount point {path}"))?;
        }
        let host_name = name.to_owned();
        let mut command = Command::new("sleep");
        command.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0);
        // SAFETY: between fork and exec the closure only makes system calls on values made before the fork.
        unsafe {
            command
                .pre_exec(move || enter_new_namespaces(&host_name).map_err(std::io::Error::from));
        }
        let child = command.spawn().doing(|| format!("make the namespaces of {name} (root?)"))?;
        Ok(Space { name: name.to_owned(), holder: Pid::of(child.id())? })
    }

    /// A command that will run inside, with a small environment.
    ///
    /// # Errors
    /// The holder is gone.
    pub fn command(&self, program: impl AsRef<Path>) -> Result<Command> {
        let spaces = [
            (self.open("net")?, CloneFlags::CLONE_NEWNET),
            (self.open("uts")?, CloneFlags::CLONE_NEWUTS),
            (self.open("mnt")?, CloneFlags::CLONE_NEWNS),
        ];
        let mut command = Command::new(program.as_ref());
        // SAFETY: between fork and exec the closure only makes system calls on files opened before the fork.
        unsafe {
            command.pre_exec(move || {
                for (file, kind) in &spaces {
                    setns(file.as_fd(), *kind).map_err(std::io::Error::from)?;
                }
                Ok(())
            });
        }
        Ok(command)
    }

    /// Runs a command inside to its end and returns what it printed.
    ///
    /// # Errors
    /// It cannot be started or its exit status is not zero; the error has what it printed on stderr.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        self.run_with(argv, "")
    }

    /// The same with text for its standard input.
    ///
    /// # Errors
    /// As [`Space::run`].
    pub fn run_with(&self, argv: &[&str], input: &str) -> Result<String> {
        let output = self.output(argv, input)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let doing = format!("run \"{}\" in {}", argv.join(" "), self.name);
            Err(Error::new(doing, String::from_utf8_lossy(&output.stderr).trim()))
        }
    }

    /// Runs a command inside to its end and returns all it said, its exit status too.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn output(&self, argv: &[&str], input: &str) -> Result<Output> {
        let doing = || format!("run \"{}\" in {}", argv.join(" "), self.name);
        let mut command = self.command(argv[0])?;
        command
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().doing(doing)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).doing(doing)?;
        }
        child.wait_with_output().doing(doing)
    }

    /// Moves the calling thread into the network namespace, for good; sockets it opens belong there.
    ///
    /// # Errors
    /// The holder is gone.
    pub fn enter_net(&self) -> Result<()> {
        setns(self.open("net")?.as_fd(), CloneFlags::CLONE_NEWNET)
            .doing(|| format!("enter the network of {}", self.name))
    }

    /// Runs `work` on a thread inside the network namespace and returns its result.
    ///
    /// # Errors
    /// Those of `work`, or the holder is gone.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter_net()?;
                    work()
                })
                .join()
                .map_err(|_| Error::new(format!("work inside {}", self.name), "it panicked"))?
        })
    }

    /// Writes kernel settings: pairs of a path below /proc/sys and a value. A path that this kernel lacks is
    /// an error.
    ///
    /// # Errors
    /// A setting cannot be written.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.inside(|| {
            for (path, value) in settings {
                std::fs::write(format!("/proc/sys/{path}"), value)
                    .doing(|| format!("set {path} = {value} in {}", self.name))?;
            }
            Ok(())
        })
    }

    /// Writes a file as it looks from inside: `path` is absolute.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let outside = self.path(path);
        let doing = || format!("write {path} in {}", self.name);
        let _ = std::fs::remove_file(&outside);
        let mut options = std::fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(mode).open(&outside).doing(doing)?;
        file.write_all(text.as_bytes()).doing(doing)
    }

    /// A file inside, as seen from outside.
    pub fn path(&self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.holder.pid)
    }

    /// Every process in this network namespace but the holder.
    pub fn processes(&self) -> Vec<Pid> {
        let Some(mine) = net_of(self.holder.pid) else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| *pid != self.holder.pid && net_of(*pid).as_deref() == Some(&*mine))
            .filter_map(|pid| Pid::of(pid as u32).ok())
            .collect()
    }

    fn open(&self, kind: &str) -> Result<File> {
        let doing = || format!("enter {} ({kind})", self.name);
        if !self.holder.alive() {
            return Err(Error::new(doing(), "it is gone"));
        }
        File::open(format!("/proc/{}/ns/{kind}", self.holder.pid)).doing(doing)
    }
}

fn net_of(pid: i32) -> Option<String> {
    Some(std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.to_str()?.to_owned())
}

/// Runs between fork and exec of the holder: it must not allocate.
fn enter_new_namespaces(host_name: &str) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
    sethostname(host_name)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // A fresh /sys shows this network's interfaces; the BPF file system below it is this machine's own.
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)?;
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none)?;
    for path in OWN {
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    }
    Ok(())
}
