//! Two nodes and a client around a switch, each in a network namespace of its own, with real dsc-fwd processes. The ring is
//! played by the test: it writes the lease maps by hand and serves views.

pub mod probe;
pub mod ringd;

use dsc_bpf::{Hook, LeaseMap};
use dsc_wire::local::HostState;
use dsc_wire::{NodeId, Time, VipId};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringd::Ringd;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

pub const VIP4: VipId = VipId(0);
pub const VIP6: VipId = VipId(4);
pub const CONFIG: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24", "fd00:1::/64"]
pool = ["10.1.0.100-10.1.0.103", "fd00:1::100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1" }
[[node]]
name = "n2"
addresses = { ext = "10.1.0.2" }
"#;

pub fn vip4() -> IpAddr {
    "10.1.0.100".parse().unwrap()
}

pub fn vip6() -> IpAddr {
    "fd00:1::100".parse().unwrap()
}

/// Waits for a condition, not for a guess.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(Duration::from_secs(10), what, holds);
}

/// The same for what may take longer.
pub fn until_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "still not: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own; everything it starts is in there too.
pub struct Space {
    jobs: Sender<Job>,
    tid: i32,
}

impl Space {
    fn new() -> Space {
        let (jobs, work) = channel::<Job>();
        let (tell, told) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("cannot unshare the network namespace");
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            work.iter().for_each(|job| job());
        });
        Space { jobs, tid: told.recv().unwrap() }
    }

    /// Runs `work` inside and waits for it.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.jobs.send(Box::new(move || tell.send(work()).unwrap())).unwrap();
        told.recv().expect("work in a namespace failed")
    }

    pub fn ip(&self, arguments: &str) -> String {
        let arguments = arguments.to_owned();
        self.run(move || ip(&arguments))
    }

    pub fn tc(&self, arguments: &str) -> String {
        let arguments = arguments.to_owned();
        self.run(move || tool("tc", &arguments))
    }
}

fn ip(arguments: &str) -> String {
    tool("ip", arguments)
}

/// Runs a command in the namespace of the calling thread.
fn tool(name: &str, arguments: &str) -> String {
    let out = Command::new(name).args(arguments.split(' ')).output();
    let out = out.unwrap_or_else(|e| panic!("cannot run {name}: {e}"));
    assert!(out.status.success(), "{name} {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A machine at the switch.
pub struct Machine {
    pub space: Space,
    pub mac: [u8; 6],
    port: String,
}

impl Machine {
    fn new(number: u8) -> Machine {
        let machine = Machine {
            space: Space::new(),
            mac: [2, 0, 0, 0, 0, number],
            port: format!("port{number}"),
        };
        machine.space.ip("link set lo up");
        machine.plug_in();
        machine
    }

    /// Makes the interface eth0 and puts it to the switch.
    pub fn plug_in(&self) {
        let Machine { space, mac, port } = self;
        let number = mac[5];
        let text = mac.map(|b| format!("{b:02x}")).join(":");
        let outside = format!("/proc/{}/task/{}/ns/net", std::process::id(), space.tid);
        ip(&format!("link add {port} type veth peer name inside address {text}"));
        ip(&format!("link set inside netns {outside}"));
        ip(&format!("link set {port} master br0 up"));
        space.ip("link set inside name eth0 up");
        space.ip(&format!("addr add 10.1.0.{number}/24 dev eth0"));
        space.ip(&format!("addr add fd00:1::{number}/64 dev eth0 nodad"));
    }

    /// Takes the interface away, as if its card had been pulled.
    pub fn pull_out(&self) {
        ip(&format!("link del {}", self.port));
    }

    pub fn nic(&self) -> u32 {
        self.space.run(|| dsc_sys::address::index_of("eth0").unwrap())
    }
}

/// A node: a machine with dsc-fwd, its lease map, and a ring daemon of ours.
pub struct Node {
    pub machine: Machine,
    pub lease: LeaseMap,
    pub ringd: Ringd,
    bpf_dir: PathBuf,
    pub run_dir: PathBuf,
    /// Where the next dsc-fwd puts its programs; none: where it likes.
    pub hook: Option<Hook>,
    fwd: Option<Child>,
}

impl Node {
    fn new(number: u8, macs: &[[u8; 6]], hook: Option<Hook>) -> Node {
        let machine = Machine::new(number);
        let bpf_dir = PathBuf::from(format!("/sys/fs/bpf/n{number}"));
        let run_dir = PathBuf::from(format!("/mnt/n{number}"));
        std::fs::create_dir(&run_dir).unwrap();
        let lease = LeaseMap::open(&bpf_dir).unwrap();
        let ringd = Ringd::start(&run_dir, NodeId(number - 1), macs);
        Node { machine, lease, ringd, bpf_dir, run_dir, hook, fwd: None }
    }

    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dsc-fwd"));
        command.args(["--config", "/mnt/dsc.toml", "--run-dir"]).arg(&self.run_dir);
        command.arg("--bpf-dir").arg(&self.bpf_dir).args(more);
        if let Some(hook) = self.hook {
            command.arg("--hook").arg(hook.to_string());
        }
        command
    }

    /// Starts dsc-fwd and waits until it has told the ring daemon that the kernel is ready.
    pub fn start(&mut self) {
        self.spawn();
        until("dsc-fwd is ready", || self.ringd.ready());
    }

    /// Starts dsc-fwd.
    pub fn spawn(&mut self) {
        let mut command = self.command(&[]);
        self.ringd.forget_facts();
        self.fwd = Some(self.machine.space.run(move || command.spawn().unwrap()));
    }

    /// The scheduling policy and real-time priority of each thread of dsc-fwd, the main one first.
    pub fn schedules(&self) -> Vec<(i32, i32)> {
        let pid = self.fwd.as_ref().unwrap().id();
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut tasks: Vec<u32> =
            tasks.map(|t| t.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
        tasks.sort_by_key(|task| (*task != pid, *task));
        let schedule = |task: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{task}/stat")).unwrap();
            // proc_pid_stat(5): fields 40 and 41; the third follows the name in brackets.
            let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
            let last: Vec<i32> = fields.skip(37).take(2).map(|f| f.parse().unwrap()).collect();
            (last[1], last[0])
        };
        tasks.iter().map(schedule).collect()
    }

    pub fn kill(&mut self) {
        let mut fwd = self.fwd.take().unwrap();
        fwd.kill().unwrap();
        fwd.wait().unwrap();
    }

    /// Changes something while dsc-fwd cannot see the steps, only what comes of them.
    pub fn unseen(&self, change: impl FnOnce(&Space)) {
        self.stopped(|| change(&self.machine.space));
    }

    /// Does something while dsc-fwd does not run.
    pub fn stopped(&self, act: impl FnOnce()) {
        let fwd = Pid::from_raw(self.fwd.as_ref().unwrap().id() as i32);
        kill(fwd, Signal::SIGSTOP).unwrap();
        act();
        kill(fwd, Signal::SIGCONT).unwrap();
    }

    /// Runs `dsc-fwd` with more options to its end: its exit code and what it said.
    pub fn run_once(&self, more: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(more);
        let out = self
            .machine
            .space
            .run(move || command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap());
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    }

    pub fn host(&self, vip: VipId, state: HostState, past: &[u8]) {
        let past: Vec<NodeId> = past.iter().map(|n| NodeId(*n)).collect();
        self.lease.set_host(vip, state, &past);
        self.ringd.publish();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.fwd.is_some() {
            self.kill();
        }
    }
}

pub struct World {
    pub nodes: [Node; 2],
    pub client: Machine,
}

/// Runs `test` once on each hook that this kernel has, in a world of its own.
pub fn on_each_hook(test: fn(World)) {
    let best = Hook::best().expect("this test needs root");
    for hook in [Hook::Tcx, Hook::Clsact] {
        if hook == Hook::Tcx && best == Hook::Clsact {
            continue;
        }
        let run = thread::Builder::new().name(format!("on {hook}"));
        if let Err(panic) = run.spawn(move || test(world_on(Some(hook)))).unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A world in which dsc-fwd chooses its hook.
pub fn world() -> World {
    world_on(None)
}

/// Everything in namespaces of the calling test's thread; it vanishes with the test.
pub fn world_on(hook: Option<Hook>) -> World {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("cannot unshare namespaces");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).unwrap();
    mount(Some("tmpfs"), "/mnt", Some("tmpfs"), MsFlags::empty(), none).unwrap();
    std::fs::write("/mnt/dsc.toml", CONFIG).unwrap();
    ip("link add br0 type bridge");
    ip("link set br0 up");
    let through_iptables = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if std::path::Path::new(through_iptables).exists() {
        std::fs::write(through_iptables, "0").unwrap();
    }
    let macs = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    let mut nodes = [1, 2].map(|number| Node::new(number, &macs, hook));
    let client = Machine::new(250);
    for node in &mut nodes {
        node.start();
        node.lease.set_lease(Time::NEVER);
    }
    World { nodes, client }
}

impl World {
    /// Gives the first node an interface of its own for a second subnet, and starts its daemon anew, ready on both.
    pub fn add_subnet(&mut self) {
        let node = &mut self.nodes[0];
        node.kill();
        node.machine.space.ip("link add eth1 type veth peer name far1");
        node.machine.space.ip("addr add 10.2.0.1/24 dev eth1");
        node.machine.space.ip("link set eth1 up");
        let [one, two] = ["10.1.0.1", "10.1.0.2"].map(|a| format!("ext = \"{a}\""));
        let config = CONFIG
            .replace(&one, &format!("{one}, int = \"10.2.0.1\""))
            .replace(&two, &format!("{two}, int = \"10.2.0.2\""));
        let int =
            "[[subnet]]\nname = \"int\"\nnetworks = [\"10.2.0.0/24\"]\npool = [\"10.2.0.100\"]\n";
        std::fs::write("/mnt/dsc.toml", config + int).unwrap();
        node.start();
    }

    /// A hand-over on purpose from node 1 to node 2, in the order of the ring's rules.
    pub fn move_to_second(&self, vip: VipId) {
        let [old, new] = &self.nodes;
        new.host(vip, HostState::Incoming, &[]);
        old.host(vip, HostState::Steer(NodeId(1)), &[0]);
        new.host(vip, HostState::On, &[0]);
    }
}
