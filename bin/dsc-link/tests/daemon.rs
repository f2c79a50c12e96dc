//! The program itself, in a network of its own: it serves what the configuration says, tells what it does, stops when all is sent,
//! and hands its sockets on. Needs root and iproute2.

use crate::net;
use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::object::Object;
use dsc_conf::Config;
use dsc_sys::local::{Access, Context, Server, ask_blocking};
use dsc_wire::health::{Checker, Verdict};
use dsc_wire::local::{BackendView, LinkDownloads, LinkRequest, Reply, View, socket};
use dsc_wire::{BackendId, BackendState, NodeId, Reason};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A question to one that is just going is lost.
const SHORT: Duration = Duration::from_millis(300);
const VIP: &str = "10.1.0.100:80";

struct Node {
    dir: PathBuf,
    object: Object,
    backends: Vec<Backend>,
}

impl Node {
    /// With two backends that have an object of so many bytes. The calling thread, and what it starts, is in its network.
    fn new(test: &str, len: usize) -> Node {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network: needs root");
        ip(&["link", "set", "lo", "up"]);
        for address in ["10.1.0.100/32", "10.2.0.201/32", "10.2.0.202/32"] {
            ip(&["address", "add", address, "dev", "lo"]);
        }
        let dir = std::env::temp_dir().join(format!("dsc-link-{test}-{}", std::process::id()));
        fs::create_dir_all(dir.join("run")).expect("a directory");
        let object = Object::new(len);
        let backend = |address: &str| {
            let object = object.clone();
            Backend::at(address, move |request| (object.serve(request), End::Keep))
        };
        let backends = ["10.2.0.201:8080", "10.2.0.202:8080"].map(backend).into();
        let node = Node { dir, object, backends };
        node.configure("");
        node
    }

    fn configure(&self, more: &str) {
        self.write("80", more);
    }

    fn digest(&self) -> u64 {
        Config::read(&self.dir.join("dsc.toml")).expect("a configuration").digest()
    }

    fn write(&self, port: &str, more: &str) {
        let text = format!(
            "[cluster]\nname = \"test\"\n\n\
             [[subnet]]\nname = \"ext\"\nnetworks = [\"10.1.0.0/24\"]\npool = [\"10.1.0.100\"]\n\n\
             [[subnet]]\nname = \"int\"\nnetworks = [\"10.2.0.0/24\"]\n\n\
             [[node]]\nname = \"n1\"\naddresses = {{ ext = \"10.1.0.1\", int = \"10.2.0.1\" }}\n\n\
             [[service]]\nname = \"shop\"\nvips = [\"10.1.0.100\"]\nport = {port}\nkind = \"link\"\n\
             backends = [{{ address = \"10.2.0.201\", port = 8080 }}, {{ address = \"10.2.0.202\", port = 8080 }}]\n\
             link = {{ speaks = \"http\"{more} }}\n"
        );
        fs::write(self.dir.join("dsc.toml"), text).expect("written");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dsc-link"));
        command.arg("--config").arg(self.dir.join("dsc.toml")).args(["--node", "n1"]);
        command.arg("--state-dir").arg(self.dir.join("state"));
        command.arg("--run-dir").arg(self.dir.join("run")).args(["--log", "warn"]);
        command
    }

    fn start(&self) -> Daemon {
        let child = self.command().spawn().expect("a process");
        net::until("it serves", || TcpStream::connect(VIP).is_ok());
        net::until("it answers", || self.try_ask().is_some());
        Daemon(child)
    }

    fn try_ask(&self) -> Option<LinkDownloads> {
        let question = LinkRequest::Downloads { service: None, limit: 10 };
        ask_blocking(&self.dir.join("run").join(socket::LINK), &question, SHORT).ok()
    }

    fn ask(&self) -> LinkDownloads {
        self.try_ask().expect("an answer")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

struct Daemon(Child);

impl Daemon {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    fn ended(&mut self) -> bool {
        match self.0.try_wait().expect("a process") {
            Some(status) => {
                assert!(status.success(), "{status}");
                true
            }
            None => false,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(words: &[&str]) {
    assert!(Command::new("ip").args(words).status().expect("ip").success(), "ip {words:?}");
}

fn vip() -> SocketAddr {
    VIP.parse().expect("an address")
}

/// Begins a download that stays under way for as long as nothing of it is read.
fn begin(node: &Node) -> Client {
    let mut client = Client::connect(vip());
    client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    net::until("it runs", || node.ask().downloads.iter().any(|d| d.sent > 0));
    client
}

fn finish(node: &Node, mut client: Client) {
    let response = client.response(false).expect("a response");
    assert!(response.whole && response.body == node.object.bytes);
}

/// Set at the end of a stretch, also when that is a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const BIG: usize = 40_000_000;

#[test]
fn it_serves_and_tells_what_it_does_and_stops_when_all_is_sent() {
    let node = Node::new("serve", BIG);
    let mut daemon = node.start();
    let client = begin(&node);
    let told = node.ask();
    assert_eq!((told.matched, told.services.len()), (1, 1));
    let download = &told.downloads[0];
    assert_eq!((&*download.service, &*download.object), ("shop", "/big"));
    assert_eq!((download.length, download.resumable), (Some(BIG as u64), true));
    assert!(download.backend.is_some() && download.sent < BIG as u64);
    let second = node.command().output().expect("a process");
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another dsc-link is running"));
    daemon.signal("TERM");
    net::until("it takes no more", || TcpStream::connect(VIP).is_err());
    assert!(!daemon.ended());
    finish(&node, client);
    net::until("it ends", || daemon.ended());
}

#[test]
fn another_takes_its_place_and_nothing_is_lost() {
    let node = Node::new("replace", BIG);
    let mut daemon = node.start();
    let client = begin(&node);
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut heir = None;
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut client = Client::connect(vip());
                client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                assert_eq!(client.response(true).expect("a response").status, 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _ends = Ends(&stop);
        net::until("requests are served", || served.load(Ordering::Relaxed) > 20);
        heir = Some(Daemon(node.command().arg("--replace").spawn().expect("a process")));
        net::until("the heir answers", || {
            let is_heir = |t: LinkDownloads| t.matched == 0 && t.services[0].requests > 20;
            node.try_ask().is_some_and(is_heir)
        });
        stop.store(true, Ordering::Relaxed);
        asker.join().expect("no request was lost");
    });
    assert!(!daemon.ended());
    finish(&node, client);
    net::until("the old one ends", || daemon.ended());
    // By itself, when it is told that the program is another one now.
    let mut heir = heir.expect("one");
    heir.signal("USR2");
    net::until("it has gone", || heir.ended());
    net::until("the next one answers", || node.try_ask().is_some());
    let mut client = Client::connect(vip());
    assert_eq!(client.get("/", "").expect("a response").status, 200);
    let pid = fs::read_to_string(node.dir.join("run/dsc-link.pid")).expect("a pid");
    assert!(Command::new("kill").arg(pid.trim()).status().expect("kill").success());
    drop(client);
    net::until("nobody serves", || TcpStream::connect(VIP).is_err());
}

/// A ring daemon that only tells its view.
struct Ring {
    view: Arc<Mutex<View>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ring {
    fn start(node: &Node) -> Ring {
        let view: View = serde_json::from_value(serde_json::json!({
            "number": 1, "incarnation": 7, "me": 0, "state": "alone", "members": [0], "quorum": true,
            "key": { "epoch": { "counter": 1, "proposer": 0, "incarnation": 7 }, "seq": 1 },
            "partition": "serve", "lease_end": 0, "lease_ms": 100, "rotation_us": 10, "nodes": [], "vips": [],
            "config_digest": node.digest(),
        }))
        .expect("a view");
        let (view, stop) = (Arc::new(Mutex::new(view)), Arc::new(AtomicBool::new(false)));
        let (shown, ends) = (view.clone(), stop.clone());
        let path = node.dir.join("run").join(socket::STATUS);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a loop").block_on(async {
                let context = Context::new();
                let mut server = Server::open(&context, &path, Access::Read).expect("a socket");
                while !ends.load(Ordering::Relaxed) {
                    while let Some((asker, _)) = server.take().expect("a question") {
                        let view = Box::new(shown.lock().unwrap().clone());
                        let reply = serde_json::to_vec(&Reply::View { view }).expect("JSON");
                        server.answer(&asker, reply);
                    }
                    let _ = tokio::time::timeout(Duration::from_millis(20), server.news()).await;
                }
            });
        });
        Ring { view, stop, thread: Some(thread) }
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock().unwrap();
        change(&mut view);
        view.number += 1;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn it_follows_the_ring_and_the_configuration() {
    let node = Node::new("follow", 1000);
    let ring = Ring::start(&node);
    let _daemon = node.start();
    let asked = || [node.backends[0].requests(), node.backends[1].requests()];
    // Until the next ten requests all go to this one.
    let all_go_to = |which: usize| {
        net::until("they go there", || {
            let before = asked();
            let mut client = Client::connect(vip());
            for _ in 0..10 {
                assert_eq!(client.get("/", "").expect("a response").status, 200);
            }
            asked()[which] == before[which] + 10
        });
    };
    let red = |backend: u16| {
        vec![Checker {
            node: NodeId(0),
            green: vec![BackendId(1 - backend)],
            red: vec![Verdict {
                backend: BackendId(backend),
                red: true,
                reason: Reason::Refused,
                since_ms: 1,
            }],
            growing: Vec::new(),
            failing: Vec::new(),
        }]
    };
    for which in [0, 1] {
        ring.change(|view| view.health = red(1 - which));
        all_go_to(which.into());
    }
    let state = BackendState::Draining;
    let drained = |id| BackendView { id: BackendId(id), state, changed_ms: 1, by: NodeId(0) };
    ring.change(|view| (view.health, view.backends) = (Vec::new(), vec![drained(1)]));
    all_go_to(0);
    // Another port, in the very process: the old one is closed.
    node.write("81", "");
    ring.change(|view| view.config_digest = node.digest());
    net::until("it listens there", || TcpStream::connect("10.1.0.100:81").is_ok());
    net::until("it left the old one", || TcpStream::connect(VIP).is_err());
    assert_eq!(node.ask().services.len(), 1);
}

/// Without a ring daemon the file's configuration holds; a reading that fails changes nothing.
#[test]
fn a_broken_configuration_does_not_start_it() {
    let node = Node::new("broken", 10);
    node.configure(", silence_ms = 1");
    let run = node.command().output().expect("a process");
    assert_eq!(run.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&run.stderr).contains("silence_ms"));
}
