//! The FTP relay between real clients and real servers: curl and wget, and two vsftpd of which one is killed while it sends.

use crate::ftpd::{Relay, file, link};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes of the file, and what one session is sent in a second.
const LENGTH: usize = 6 << 20;
const RATE: usize = 2 << 20;
/// Downloads at once.
const DOWNLOADS: usize = 12;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A vsftpd with its files.
struct Vsftpd {
    folder: PathBuf,
    address: SocketAddr,
    process: Child,
}

impl Vsftpd {
    async fn start(name: &str, bytes: &[u8]) -> Vsftpd {
        let folder = std::env::temp_dir().join(format!("dsc-vsftpd-{}-{name}", std::process::id()));
        let _none = fs::remove_dir_all(&folder);
        let root = folder.join("root");
        fs::create_dir_all(root.join("pub")).unwrap();
        fs::create_dir_all(root.join("incoming")).unwrap();
        fs::create_dir_all(folder.join("empty")).unwrap();
        for path in [&folder, &root, &root.join("pub")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let own = |id: &str| {
            let asked = Command::new("id").args([id, "ftp"]).output().unwrap();
            String::from_utf8(asked.stdout).unwrap().trim().parse().expect("the user ftp")
        };
        chown(root.join("incoming"), Some(own("-u")), Some(own("-g"))).unwrap();
        let path = root.join("pub/f");
        fs::write(&path, bytes).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = [
            "listen=YES".to_owned(),
            "listen_address=127.0.0.1".to_owned(),
            format!("listen_port={}", address.port()),
            "background=NO".to_owned(),
            "anonymous_enable=YES".to_owned(),
            "local_enable=NO".to_owned(),
            "write_enable=YES".to_owned(),
            "anon_upload_enable=YES".to_owned(),
            format!("anon_root={}", root.display()),
            format!("anon_max_rate={RATE}"),
            format!("secure_chroot_dir={}", folder.join("empty").display()),
            "seccomp_sandbox=NO".to_owned(),
            "isolate=NO".to_owned(),
            "isolate_network=NO".to_owned(),
            String::new(),
        ];
        let config = folder.join("vsftpd.conf");
        fs::write(&config, settings.join("\n")).unwrap();
        // Sessions are processes of their own: all end with the first of their namespace, which vsftpd must not be itself.
        let process = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "sh", "-c", "vsftpd \"$1\"; exit", "vsftpd"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Vsftpd { folder, address, process };
        let answers = async || TcpStream::connect(address).await.is_ok();
        until("vsftpd is installed and answers", answers).await;
        server
    }

    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join("root/incoming").join(name)).ok()
    }

    /// Kills it with all its sessions.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Vsftpd {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// Waits for a condition.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(what);
}

/// Runs a client to its end.
async fn run(program: &'static str, arguments: Vec<String>) -> Output {
    let run = move || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env_clear().env("PATH", env!("PATH"));
        command.output().expect("the client is installed")
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn curl(arguments: &[&str]) -> Output {
    let mut all: Vec<String> = ["-sS", "--max-time", "30"].map(str::to_owned).into();
    all.extend(arguments.iter().map(|a| (*a).to_owned()));
    run("curl", all).await
}

async fn two(bytes: &[u8]) -> (Relay, Vsftpd, Vsftpd) {
    let (a, b) = (Vsftpd::start("a", bytes).await, Vsftpd::start("b", bytes).await);
    let relay = Relay::before(link(), &[a.address, b.address]).await;
    (relay, a, b)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Each test starts servers, so one after the other.
#[tokio::test]
async fn real_clients_and_real_servers() {
    each_kind_of_client().await;
    a_killed_server_breaks_no_download().await;
}

async fn each_kind_of_client() {
    let bytes = file(100_000);
    let (relay, a, b) = two(&bytes).await;
    let url = format!("ftp://{}/pub/f", relay.address);
    let ways: &[&[&str]] =
        &[&[], &["--disable-epsv"], &["-P", "-"], &["-P", "-", "--disable-eprt"]];
    for way in ways {
        let got = curl(&[*way, &[&url]].concat()).await;
        assert!(got.status.success() && got.stdout == bytes, "{way:?}: {}", said(&got));
    }
    let got = curl(&["-C", "60000", &url]).await;
    assert!(got.status.success() && got.stdout == bytes[60_000..], "{}", said(&got));
    let got = run("wget", vec!["-q".into(), "-O".into(), "-".into(), url.clone()]).await;
    assert!(got.status.success() && got.stdout == bytes, "wget: {}", said(&got));
    let list = curl(&[&format!("ftp://{}/pub/", relay.address)]).await;
    assert!(String::from_utf8_lossy(&list.stdout).contains("100000"), "{list:?}");
    let missing = curl(&[&format!("ftp://{}/pub/none", relay.address)]).await;
    assert_eq!(missing.status.code(), Some(78), "{}", said(&missing));
    let from = a.folder.join("from");
    fs::write(&from, &bytes).unwrap();
    let to = format!("ftp://{}/incoming/up", relay.address);
    let sent = curl(&["-T", from.to_str().unwrap(), &to]).await;
    assert!(sent.status.success(), "{}", said(&sent));
    assert_eq!(a.stored("up").or(b.stored("up")), Some(bytes));
    assert_eq!(relay.count("bodies_broken"), 0);
}

async fn a_killed_server_breaks_no_download() {
    let bytes = file(LENGTH);
    let (relay, mut a, _b) = two(&bytes).await;
    let url = format!("ftp://{}/pub/f", relay.address);
    let mut clients = JoinSet::new();
    for _ in 0..DOWNLOADS {
        let url = url.clone();
        clients.spawn(async move { curl(&[&url]).await });
    }
    // Each server has some, and all are in the middle.
    until("all downloads run", async || {
        let all = relay.service.downloads.all();
        all.len() == DOWNLOADS && all.iter().all(|d| d.bytes() > 100_000)
    })
    .await;
    let had = relay.service.downloads.all().iter().filter(|d| d.backend() == a.address).count();
    a.kill();
    while let Some(got) = clients.join_next().await {
        let got = got.unwrap();
        assert!(got.status.success(), "{}", said(&got));
        assert!(got.stdout == bytes, "{} other bytes", got.stdout.len());
    }
    assert!(had > 0 && had < DOWNLOADS, "{had}");
    assert!(relay.count("bodies_resumed") >= had as u64);
}
