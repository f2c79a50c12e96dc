//! The program itself with a service of FTP, in a network of its own: a download goes on when its server dies while another
//! process takes the program's place. Needs root and iproute2.

use crate::ftpd::client::Client;
use crate::ftpd::file;
use crate::ftpd::server::{Script, Server};
use dsc_sys::local::ask_blocking;
use dsc_wire::local::{LinkDownloads, LinkRequest, socket};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const VIP: &str = "10.1.0.100:21";
const CONFIG: &str = r#"
[cluster]
name = "test"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[service]]
name = "files"
vips = ["10.1.0.100"]
port = 21
kind = "link"
backends = [{ address = "10.2.0.201", port = 21 }, { address = "10.2.0.202", port = 21 }]
link = { speaks = "ftp" }
"#;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

struct Program(Child);

impl Program {
    fn start(folder: &Path, more: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dsc-link"));
        command.arg("--config").arg(folder.join("dsc.toml")).args(["--node", "n1"]);
        command.arg("--state-dir").arg(folder.join("state"));
        command.arg("--run-dir").arg(folder.join("run")).args(["--log", "warn"]);
        Program(command.args(more).spawn().expect("a process"))
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a process").is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn ip(words: &[&str]) {
    assert!(Command::new("ip").args(words).status().expect("ip").success(), "ip {words:?}");
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn told(folder: &Path) -> Option<LinkDownloads> {
    let question = LinkRequest::Downloads { service: None, limit: 10 };
    let short = Duration::from_millis(300);
    ask_blocking(&folder.join("run").join(socket::LINK), &question, short).ok()
}

async fn login() -> Client {
    let mut client = Client::connect(VIP.parse().unwrap()).await;
    assert_eq!(client.reply().await.code, 220);
    for (line, code) in [("USER joe", 331), ("PASS x", 230), ("TYPE I", 200)] {
        assert_eq!(client.ask(line).await, code, "{line}");
    }
    client
}

#[tokio::test]
async fn a_download_outlives_its_server_and_its_program() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network: needs root");
    ip(&["link", "set", "lo", "up"]);
    for address in ["10.1.0.100/32", "10.2.0.201/32", "10.2.0.202/32"] {
        ip(&["address", "add", address, "dev", "lo"]);
    }
    let name = format!("dsc-link-ftp-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    fs::create_dir_all(folder.0.join("run")).unwrap();
    fs::write(folder.0.join("dsc.toml"), CONFIG).unwrap();
    // More than all buffers on the way hold.
    let bytes = file(40_000_000);
    let first = Server::at("10.2.0.201:21", Script::of(&bytes)).await;
    let second = Server::at("10.2.0.202:21", Script::of(&bytes)).await;
    let mut program = Program::start(&folder.0, &[]);
    until("it listens", async || TcpStream::connect(VIP).await.is_ok()).await;
    until("it answers", async || told(&folder.0).is_some()).await;
    until("nobody asks", async || told(&folder.0).unwrap().services[0].connections == 0).await;
    let mut client = login().await;
    let (data, code) = client.begin("RETR pub/f").await;
    assert_eq!(code, 150);
    until("it runs", async || told(&folder.0).unwrap().downloads.iter().any(|d| d.sent > 0)).await;
    let download = told(&folder.0).unwrap().downloads.remove(0);
    assert_eq!((&*download.service, &*download.object), ("files", "pub/f"));
    assert_eq!((download.length, download.resumable), (Some(bytes.len() as u64), true));
    let sends = download.backend.unwrap();
    let heir = Program::start(&folder.0, &["--replace"]);
    let is_heir = async || told(&folder.0).is_some_and(|t| t.downloads.is_empty());
    until("another has taken its place", is_heir).await;
    if sends == first.address { &first } else { &second }.kill();
    let got = client.rest(data).await;
    assert_eq!((got.code, got.is_closed, got.bytes == bytes), (226, true, true));
    until("the first has ended", async || program.has_ended()).await;
    let got = login().await.get("RETR pub/f").await;
    assert_eq!((got.code, got.bytes == bytes), (226, true), "the next one serves");
    drop(heir);
}
