//! Real servers of HTTP/2 and real clients: two nginx, of which one is killed while it sends to curl.

use crate::net::hyper_client::{HyperClient, Way};
use crate::net::object::bytes;
use crate::net::tls::Dir;
use crate::net::{self, Running, link};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

/// Bytes of the file, and what one response is sent in a second.
const LENGTH: usize = 6 << 20;
const RATE: usize = 2 << 20;
/// Downloads at once, one half of them by HTTP/2.
const DOWNLOADS: usize = 12;

struct Nginx {
    address: SocketAddr,
    process: Child,
}

impl Nginx {
    fn start(dir: &Path, bytes: &[u8]) -> Nginx {
        fs::create_dir_all(dir).expect("a directory");
        let path = dir.join("f");
        fs::write(&path, bytes).expect("a file");
        // Its entity tag is made of time and length.
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let file = fs::File::options().write(true).open(&path).expect("a file");
        file.set_modified(changed).expect("a time");
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
        let root = dir.display();
        let text = format!(
            "daemon off; master_process off; user root; pid {root}/pid; error_log {root}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {root}/t1; proxy_temp_path {root}/t2;\n\
             fastcgi_temp_path {root}/t3; uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;\n\
             server {{ listen {address} http2; root {root}; limit_rate {RATE}; }} }}\n"
        );
        let config = dir.join("nginx.conf");
        fs::write(&config, text).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-e").arg(dir.join("error.log")).arg("-c").arg(&config);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("nginx is installed");
        let server = Nginx { address, process };
        net::until("nginx answers", || TcpStream::connect(address).is_ok());
        server
    }

    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ended");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn downloads_from_a_killed_nginx_go_on_from_the_other() {
    let dir = Dir::new("nginx");
    let bytes = bytes(LENGTH, 7);
    let mut servers =
        [Nginx::start(&dir.0.join("a"), &bytes), Nginx::start(&dir.0.join("b"), &bytes)];
    let mut link = link();
    link.backend_http2 = true;
    link.verify_overlap = 4096;
    let run = Running::of_plans(link, &net::plans_of(servers.iter().map(|s| s.address)));
    let curl = |number: usize| {
        let mut command = Command::new("curl");
        if number.is_multiple_of(2) {
            command.arg("--http2-prior-knowledge");
        }
        command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--output"]);
        command.arg(dir.0.join(format!("got-{number}")));
        command.arg(format!("http://{}/f", run.address)).spawn().expect("curl is installed")
    };
    let clients: Vec<Child> = (0..DOWNLOADS).map(curl).collect();
    let dead = servers[0].address;
    net::until("all are on their way", || {
        let listed = run.service.downloads.all();
        listed.len() == DOWNLOADS && listed.iter().all(|d| d.bytes() > RATE as u64 / 4)
    });
    let of_dead = run.service.downloads.all().iter().filter(|d| d.backend() == dead).count() as u64;
    assert_eq!(of_dead, DOWNLOADS as u64 / 2);
    servers[0].kill();
    for (number, mut client) in clients.into_iter().enumerate() {
        assert!(client.wait().expect("curl").success(), "{number}");
        let got = fs::read(dir.0.join(format!("got-{number}"))).expect("a file");
        assert!(got == bytes, "{number}");
    }
    assert_eq!((run.count("bodies_resumed"), run.count("bodies_cut")), (of_dead, 0));
    // Who is left serves many requests of one client, and small ones as well.
    let mut client =
        HyperClient::connect(run.address, Way { tls: false, h2: true }, "shop.example");
    for response in client.get_all(&["/f"; 40], Some("bytes=1000-1999")) {
        let response = response.expect("a response");
        assert!(response.status == 206 && response.body == bytes[1000..2000]);
    }
}
