//! The health daemon on a real interface: the test is the ring daemon it tells, and pulls the cable. Needs root and
//! iproute2.

use dsc_sys::local::{Access, Context, Server};
use dsc_wire::SubnetId;
use dsc_wire::local::{Facts, NicFacts, Reply, View, socket};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// More interfaces than the kernel lists in one answer.
const MANY: usize = 60;
/// Well below the second between two readings.
const AT_ONCE: Duration = Duration::from_millis(500);

struct Node {
    tag: String,
    dir: PathBuf,
    daemon: Option<Child>,
}

impl Node {
    /// A namespace with this many interfaces and then the node's own, and one with the other end of its cable.
    fn new(test: &str, others: usize) -> Node {
        let tag = format!("dm{}{test}", std::process::id());
        let dir = std::env::temp_dir().join(format!("dsc-{tag}"));
        fs::create_dir_all(dir.join("run")).unwrap();
        let text = "[cluster]\nname = \"test\"\n\n\
                    [[subnet]]\nname = \"ext\"\nnetworks = [\"10.1.0.0/24\"]\npool = [\"10.1.0.100\"]\n\n\
                    [[node]]\nname = \"n1\"\naddresses = { ext = \"10.1.0.1\" }\n";
        fs::write(dir.join("dsc.toml"), text).unwrap();
        let node = Node { tag, dir, daemon: None };
        let (inside, outside) = (node.namespace("n1"), node.namespace("sw"));
        ip(&["netns", "add", &inside]);
        ip(&["netns", "add", &outside]);
        for i in 0..others {
            ip(&["-n", &inside, "link", "add", &format!("br{i}"), "type", "bridge"]);
        }
        // With equal numbers at both ends the kernel takes the carrier for unhurried, and tells of it up to a second late.
        let far_end = ["port", "index", "77", "netns", &outside];
        let near_end = ["type", "veth", "peer", "name", "eth0", "netns", &inside];
        ip(&[&["link", "add"], &far_end[..], &near_end[..]].concat());
        ip(&["-n", &outside, "link", "set", "port", "up"]);
        ip(&["-n", &inside, "address", "add", "10.1.0.1/24", "dev", "eth0"]);
        ip(&["-n", &inside, "link", "set", "eth0", "up"]);
        node
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.namespace("n1")))
            .arg(env!("CARGO_BIN_EXE_dsc-mon"))
            .arg("--config")
            .arg(self.dir.join("dsc.toml"))
            .arg("--run-dir")
            .arg(self.dir.join("run"))
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _already_dead = child.kill();
            let _reaped = child.wait();
        }
        for name in ["n1", "sw"] {
            let _best_effort =
                Command::new("ip").args(["netns", "del", &self.namespace(name)]).status();
        }
        let _best_effort = fs::remove_dir_all(&self.dir);
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {error}: are you root?", arguments.join(" "));
}

/// The next facts.
async fn next(server: &mut Server) -> Vec<NicFacts> {
    loop {
        if let Some((_, body)) = server.take().unwrap() {
            let facts = serde_json::from_slice(&body).unwrap();
            let Facts::Mon { nics, .. } = facts else { panic!("not from dsc-mon: {facts:?}") };
            return nics;
        }
        server.news().await.unwrap();
    }
}

/// Takes facts until they are as wanted.
async fn until(server: &mut Server, limit: Duration, wanted: impl Fn(&[NicFacts]) -> bool) {
    let mut last = None;
    let seen = tokio::time::timeout(limit, async {
        loop {
            let nics = next(server).await;
            if wanted(&nics) {
                return;
            }
            last = Some(nics);
        }
    });
    if seen.await.is_err() {
        panic!("not told within {limit:?}; last {last:?}");
    }
}

#[test]
fn a_pulled_cable_is_told_at_once_and_a_second_daemon_is_refused() {
    let mut node = Node::new("cable", 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let facts = node.dir.join("run").join(socket::FACTS);
        let mut server = Server::open(&Context::new(), &facts, Access::Root).unwrap();
        node.daemon = Some(node.command().spawn().unwrap());
        let carrier = |wanted: bool| {
            move |nics: &[NicFacts]| {
                nics.len() == 1 && nics[0].subnet == SubnetId(0) && nics[0].carrier == wanted
            }
        };
        until(&mut server, PATIENCE, carrier(true)).await;
        let second = node.command().output().unwrap();
        let error = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1));
        assert!(error.starts_with("dsc-mon: another dsc-mon is running (pid "), "{error}");
        for _ in 0..3 {
            ip(&["-n", &node.namespace("sw"), "link", "set", "port", "down"]);
            until(&mut server, AT_ONCE, carrier(false)).await;
            ip(&["-n", &node.namespace("sw"), "link", "set", "port", "up"]);
            until(&mut server, AT_ONCE, carrier(true)).await;
        }
        ip(&["-n", &node.namespace("n1"), "link", "set", "eth0", "down"]);
        until(&mut server, AT_ONCE, carrier(false)).await;
        ip(&["-n", &node.namespace("n1"), "link", "del", "eth0"]);
        // It goes on without the interface, and says so each second.
        for _ in 0..2 {
            until(&mut server, PATIENCE, carrier(false)).await;
        }
    });
}

/// A host gives up the addresses of a subnet for one word of a lost carrier.
#[test]
fn the_first_facts_are_true_however_many_interfaces_there_are() {
    let mut node = Node::new("many", MANY);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let facts = node.dir.join("run").join(socket::FACTS);
        let mut server = Server::open(&Context::new(), &facts, Access::Root).unwrap();
        for _ in 0..3 {
            let daemon = node.daemon.insert(node.command().spawn().unwrap());
            let first = tokio::time::timeout(PATIENCE, next(&mut server)).await.expect("facts");
            assert_eq!(first.len(), 1);
            assert!(first[0].carrier, "{first:?}");
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            while server.take().unwrap().is_some() {}
        }
    });
}

/// A ring daemon that has begun anew, with another configuration, may have another number.
#[test]
fn a_node_that_has_another_number_now_is_watched_under_it() {
    let mut node = Node::new("number", 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (context, run_dir) = (Context::new(), node.dir.join("run"));
        let mut facts = Server::open(&context, &run_dir.join(socket::FACTS), Access::Root).unwrap();
        let mut status =
            Server::open(&context, &run_dir.join(socket::STATUS), Access::Read).unwrap();
        node.daemon = Some(node.command().spawn().unwrap());
        until(&mut facts, PATIENCE, |nics| nics[0].carrier).await;
        let file = node.dir.join("dsc.toml");
        let before = fs::read_to_string(&file).unwrap();
        let first = "[[node]]\nname = \"n0\"\naddresses = { ext = \"10.1.0.9\" }\n";
        fs::write(&file, before.replace("[[node]]", &format!("{first}[[node]]"))).unwrap();
        let digest = dsc_conf::Config::read(&file).unwrap().digest();
        let view = json!({
            "number": 1, "incarnation": 7, "me": 1, "state": "member",
            "key": {"epoch": {"counter": 1, "proposer": 1, "incarnation": 7}, "seq": 1},
            "members": [0, 1], "quorum": true, "partition": "serve", "lease_end": 0,
            "lease_ms": 95, "rotation_us": 0, "nodes": [], "vips": [], "config_digest": digest,
        });
        let asker = loop {
            if let Some((asker, _)) = status.take().unwrap() {
                break asker;
            }
            tokio::time::timeout(PATIENCE, status.news()).await.expect("a question").unwrap();
        };
        let view = Box::new(serde_json::from_value::<View>(view).unwrap());
        status.answer(&asker, serde_json::to_vec(&Reply::View { view }).unwrap());
        let told = |body: &[u8]| match serde_json::from_slice(body).unwrap() {
            Facts::Mon { nics, config_digest, .. } => {
                (config_digest == Some(digest)).then_some(nics)
            }
            other => panic!("not from dsc-mon: {other:?}"),
        };
        let follows = async {
            loop {
                if let Some(nics) = facts.take().unwrap().and_then(|(_, body)| told(&body)) {
                    return nics;
                }
                facts.news().await.unwrap();
            }
        };
        let nics = tokio::time::timeout(PATIENCE, follows).await.expect("facts of the new one");
        assert!(nics[0].carrier, "it looks at another node's address: {nics:?}");
    });
}
