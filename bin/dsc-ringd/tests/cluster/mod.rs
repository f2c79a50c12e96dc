//! A small cluster of real ring daemons in network namespaces of its own: nodes on two bridged subnets, with the test in
//! the place of dsc-fwd and dsc-mon. Needs root and iproute2. Everything is taken down with the value.

use dsc_lab::wait;
use dsc_sys::local::{AskError, Context, Teller, ask_blocking};
use dsc_wire::local::{Event, Facts, NicFacts, Reply, Request, View, socket};
use dsc_wire::{NodeId, SubnetId};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// The cluster.
pub struct Cluster {
    /// Names namespaces and directories; unique on this machine.
    tag: String,
    /// Holds configuration, key and one run directory per node.
    pub dir: PathBuf,
    nodes: Vec<Node>,
    context: Context,
}

struct Node {
    daemon: Option<Child>,
    teller: Option<Teller>,
}

impl Cluster {
    /// Namespaces, bridges, configuration and key for `size` nodes; no daemon yet. `VIPS` addresses are in the pools.
    pub fn new(size: usize) -> Cluster {
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let tag = format!("dt{}x{number}", std::process::id());
        let dir = std::env::temp_dir().join(format!("dsc-{tag}"));
        fs::create_dir_all(&dir).unwrap();
        let nodes = (0..size).map(|_| Node { daemon: None, teller: None }).collect();
        let cluster = Cluster { tag, dir, nodes, context: Context::new() };
        cluster.lay_cables(size);
        cluster.configure(size);
        cluster
    }

    fn lay_cables(&self, size: usize) {
        let switch = self.namespace("sw");
        ip(&["netns", "add", &switch]);
        for bridge in ["ext", "int"] {
            ip(&["-n", &switch, "link", "add", bridge, "type", "bridge"]);
            ip(&["-n", &switch, "link", "set", bridge, "up"]);
        }
        for n in 1..=size {
            let node = self.namespace(&n.to_string());
            ip(&["netns", "add", &node]);
            for (nic, bridge, net) in [("eth0", "ext", 1), ("eth1", "int", 2)] {
                let port = format!("{bridge}{n}");
                ip(&[
                    "link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", nic,
                    "netns", &node,
                ]);
                ip(&["-n", &switch, "link", "set", &port, "master", bridge, "up"]);
                ip(&["-n", &node, "address", "add", &format!("10.{net}.0.{n}/24"), "dev", nic]);
                ip(&["-n", &node, "link", "set", nic, "up"]);
            }
        }
    }

    fn configure(&self, size: usize) {
        let key = self.dir.join("key");
        let mut text = format!(
            "[cluster]\nname = \"test\"\nkey_file = \"{}\"\n\n\
             [[subnet]]\nname = \"ext\"\nnetworks = [\"10.1.0.0/24\"]\npool = [\"10.1.0.100-10.1.0.103\"]\n\n\
             [[subnet]]\nname = \"int\"\nnetworks = [\"10.2.0.0/24\"]\npool = [\"10.2.0.100-10.2.0.101\"]\n",
            key.display()
        );
        for n in 1..=size {
            text += &format!(
                "\n[[node]]\nname = \"n{n}\"\naddresses = {{ ext = \"10.1.0.{n}\", int = \"10.2.0.{n}\" }}\n"
            );
        }
        text += "\n[[service]]\nname = \"web\"\nvips = [\"10.1.0.103\"]\nport = 80\n\
                 backends = [{ address = \"10.2.0.201\" }, { address = \"10.2.0.202\" }]\n";
        fs::write(self.dir.join("dsc.toml"), text).unwrap();
        self.write_key(&key, 'a');
    }

    fn write_key(&self, path: &Path, digit: char) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .unwrap();
        writeln!(file, "{}", digit.to_string().repeat(64)).unwrap();
    }

    /// A configuration that differs only in the key, for a stranger.
    pub fn foreign_config(&self) -> PathBuf {
        let key = self.dir.join("foreign-key");
        self.write_key(&key, 'b');
        let text = fs::read_to_string(self.dir.join("dsc.toml")).unwrap();
        let own = self.dir.join("key").display().to_string();
        let path = self.dir.join("foreign.toml");
        fs::write(&path, text.replace(&own, &key.display().to_string())).unwrap();
        path
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// A socket of node `n`, counted from 1 as its name is.
    pub fn socket(&self, n: usize, name: &str) -> PathBuf {
        self.run_dir(n).join(name)
    }

    fn run_dir(&self, n: usize) -> PathBuf {
        self.dir.join(format!("run{n}"))
    }

    /// Where node `n` keeps the configuration in force.
    pub fn state_dir(&self, n: usize) -> PathBuf {
        self.dir.join(format!("state{n}"))
    }

    /// Has node `n` apply `document`, made from what is in force there.
    pub fn apply(&self, n: usize, document: &str) -> Reply {
        let control = self.socket(n, socket::CONTROL);
        let Ok(Reply::Config { version, digest, .. }) =
            ask_blocking(&control, &Request::Config, PATIENCE)
        else {
            panic!("node {n} does not tell its configuration")
        };
        let request = Request::Apply {
            base_version: version,
            base_digest: digest,
            document: document.to_owned(),
            wait_ms: 10_000,
        };
        ask_blocking(&control, &request, PATIENCE).unwrap()
    }

    /// Waits until the daemon of node `n` has ended by itself.
    pub fn ended(&mut self, n: usize) -> std::process::ExitStatus {
        self.nodes[n - 1].daemon.take().unwrap().wait().unwrap()
    }

    fn bpf_dir(&self, n: usize) -> PathBuf {
        PathBuf::from(format!("/sys/fs/bpf/dsc-{}-{n}", self.tag))
    }

    /// The command that runs a ring daemon as node `n`.
    pub fn command(&self, n: usize, config: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.namespace(&n.to_string())))
            .arg(env!("CARGO_BIN_EXE_dsc-ringd"))
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(self.state_dir(n))
            .arg("--run-dir")
            .arg(self.run_dir(n))
            .arg("--bpf-dir")
            .arg(self.bpf_dir(n))
            .stdin(Stdio::null());
        command
    }

    /// Runs a line of bash in the network of node `n`.
    pub fn shell(&self, n: usize, line: &str) {
        let net = format!("--net=/run/netns/{}", self.namespace(&n.to_string()));
        let status = Command::new("nsenter").args([&net, "bash", "-c", line]).status().unwrap();
        assert!(status.success(), "{line}");
    }

    /// Starts node `n`; its log goes to `log<n>`.
    pub fn start(&mut self, n: usize) {
        self.start_with(n, &self.dir.join("dsc.toml"));
    }

    /// Starts node `n` with another configuration.
    pub fn start_with(&mut self, n: usize, config: &Path) {
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.dir.join(format!("log{n}")))
            .unwrap();
        let child = self.command(n, config).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes[n - 1].daemon = Some(child);
    }

    /// Kills node `n`'s daemon as a crash would.
    pub fn kill(&mut self, n: usize) {
        let mut child = self.nodes[n - 1].daemon.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks node `n`'s daemon to stop, and waits until it has.
    pub fn stop(&mut self, n: usize) -> std::process::ExitStatus {
        let mut child = self.nodes[n - 1].daemon.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait().unwrap()
    }

    /// Tells node `n` that its carriers and its data path are in order, or that the carrier of `ext` is not.
    pub fn tell_facts(&mut self, n: usize, ext_carrier: bool) {
        let view = self.view(n).expect("a running daemon");
        let path = self.socket(n, socket::FACTS);
        let context = &self.context;
        let teller = self.nodes[n - 1]
            .teller
            .get_or_insert_with(|| Teller::new(context, &path).expect("a socket for facts"));
        let nic = |subnet, carrier| NicFacts {
            subnet: SubnetId(subnet),
            carrier,
            rx_bytes_per_s: 0,
            tx_bytes_per_s: 0,
        };
        let nics = vec![nic(0, ext_carrier), nic(1, true)];
        // Of facts that were not taken yet only the newest is kept, so each is waited for.
        let heard = |v: &View, of: fn(&View) -> bool| of(v);
        teller
            .tell(&Facts::Mon {
                number: 1,
                nics,
                cpu_permille: 0,
                config_digest: Some(view.config_digest),
                health: Some(Vec::new()),
                growing: Vec::new(),
                lights: Some(Vec::new()),
            })
            .unwrap();
        let since = view.heard.mon;
        self.until(n, "mon heard", |v| heard(v, |v| v.heard.mon.is_some()) && v.heard.mon != since);
        let teller = self.nodes[n - 1].teller.as_mut().unwrap();
        let ready = [SubnetId(0), SubnetId(1)].into_iter().collect();
        let config_digest = view.config_digest;
        let fwd = Facts::Fwd {
            number: 1,
            config_digest,
            ready,
            conflicts: vec![],
            vip_loads: None,
            failing: vec![],
        };
        teller.tell(&fwd).unwrap();
        self.until(n, "fwd heard", |v| v.heard.fwd_config_digest == Some(v.config_digest));
    }

    /// The view of node `n` as it is now.
    pub fn view(&self, n: usize) -> Result<View, AskError> {
        let request = Request::View { after: 0, wait_ms: 0 };
        match ask_blocking(&self.socket(n, socket::STATUS), &request, PATIENCE)? {
            Reply::View { view } => Ok(*view),
            other => panic!("not a view: {other:?}"),
        }
    }

    /// All events that node `n` remembers.
    pub fn events(&self, n: usize) -> Vec<Event> {
        let request = Request::Events { after: 0, wait_ms: 0 };
        match ask_blocking(&self.socket(n, socket::STATUS), &request, PATIENCE).unwrap() {
            Reply::Events { events } => events,
            other => panic!("not events: {other:?}"),
        }
    }

    /// Waits until node `n`'s view is as `wanted`, and returns it.
    pub fn until(&self, n: usize, what: &str, wanted: impl Fn(&View) -> bool) -> View {
        let mut last = None;
        let seen = wait::until(what, PATIENCE.as_millis() as u64, || match self.view(n) {
            Ok(view) if wanted(&view) => Some(view),
            Ok(view) => {
                last = Some(view);
                None
            }
            Err(AskError::NoDaemon { .. }) => None,
            Err(e) => panic!("node {n}, waiting for {what}: {e}"),
        });
        if let Ok(view) = seen {
            return view;
        }
        let log = fs::read_to_string(self.dir.join(format!("log{n}"))).unwrap_or_default();
        panic!("node {n} never came to: {what}; last view {last:#?}\nlog:\n{log}");
    }

    /// Starts nodes 1 to `size`, and waits until they form one ring that hosts every VIP.
    pub fn form(&mut self) {
        for n in 1..=self.nodes.len() {
            self.start(n);
        }
        let all = self.nodes.len();
        for n in 1..=all {
            self.until(n, "a ring of all", |v| v.members.len() == all);
            self.tell_facts(n, true);
        }
        for n in 1..=all {
            self.until(n, "every VIP hosted", all_hosted);
        }
    }
}

/// Has every VIP a host, for good?
pub fn all_hosted(view: &View) -> bool {
    view.vips.iter().all(|v| v.host.is_some() && v.heir.is_none() && v.next.is_none())
}

/// Does `node` host no VIP?
pub fn hosts_none(view: &View, node: NodeId) -> bool {
    view.vips.iter().all(|v| v.host != Some(node))
}

/// A counter of a view.
pub fn counter(view: &View, name: &str) -> u64 {
    view.counters.iter().find(|c| c.name == name).map(|c| c.count).expect("the counter exists")
}

/// Runs a daemon that shall fail at its start with this exit code.
pub fn failed(mut command: Command, code: i32) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(code));
    String::from_utf8(stderr).unwrap()
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {error}: are you root?", arguments.join(" "));
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.daemon.take() {
                let _already_dead = child.kill();
                let _reaped = child.wait();
            }
        }
        let mut names = vec!["sw".to_owned()];
        names.extend((1..=self.nodes.len()).map(|n| n.to_string()));
        for name in names {
            let _best_effort =
                Command::new("ip").args(["netns", "del", &self.namespace(&name)]).status();
        }
        for n in 1..=self.nodes.len() {
            let _best_effort = fs::remove_dir_all(self.bpf_dir(n));
        }
        if !std::thread::panicking() {
            let _best_effort = fs::remove_dir_all(&self.dir);
        }
    }
}
