//! Downloads through the highly available link, by HTTP, TLS and FTP, with real servers and real clients: whatever happens to
//! the server that sends one, it comes to its end and every byte is right. It stays with its node when its address moves,
//! and with the process that sends it when another takes that one's place.

use dsc_lab::error::Result;
use dsc_lab::fault::{self, Cut};
use dsc_lab::lab::Lab;
use dsc_lab::nginx::{self, PACED, PACED_BYTES};
use dsc_lab::program::{LINK, NGINX, VSFTPD};
use dsc_lab::services::{self, WEB_PORT, host_address};
use dsc_lab::topology::{Plan, host_machine};
use dsc_lab::transfers::{Tally, Transfers};
use dsc_lab::{change, cluster, links, program, wait};
use dsc_test_lab::TestLab;
use nix::sys::signal::Signal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;

/// Downloads at once.
const DOWNLOADS: usize = 200;
/// Those of what is only about their node.
const FEW: usize = 40;
/// Real clients of each kind.
const CLIENTS: usize = 3;
/// Port of the link with TLS.
const TLS_PORT: u16 = 8443;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// Longest wait until no download by HTTP waits for a dead server, which is found out after a second of silence, or by a check.
const FOUND_MS: u64 = 15_000;

fn up(hosts: usize) -> TestLab {
    let link = Some(", silence_ms = 1000".to_owned());
    let lab = TestLab::up(Plan { hosts, services: true, link, vips6: 0, ..Plan::default() });
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    lab
}

/// Waits until the link serves on all addresses.
fn answers(lab: &Lab) {
    for ends in services::link(&lab.plan) {
        let url = format!("http://{}/", ends.to);
        let ask = || lab.space("client").unwrap().run(&["curl", "-sf", "-m", "2", &url]).ok();
        wait::until("the link answers", LIMIT_MS, ask).unwrap();
    }
}

/// A link with TLS beside the others, with a certificate that is made for it.
fn add_tls(lab: &Lab) {
    let files = ["tls.pem", "tls.key"].map(|name| lab.dir().join(name));
    let [chain, key] = files.each_ref().map(|path| path.to_str().unwrap());
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    make.args(["-nodes", "-subj", "/CN=shop", "-days", "2", "-keyout", key, "-out", chain]);
    let made = make.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let servers: Vec<String> = (0..lab.plan.hosts)
        .map(|h| format!("{{ address = \"{}\", port = {WEB_PORT} }}", host_address(h, false)))
        .collect();
    let service = format!(
        "\n[[service]]\nname = \"tls\"\nvips = [\"{}\"]\nport = {TLS_PORT}\nkind = \"link\"\nbackends = [{}]\n\
         link = {{ speaks = \"http\", silence_ms = 1000, certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}] }}\n\
         \n[flows]",
        first(lab),
        servers.join(", ")
    );
    change::replace(lab, 0, "\n[flows]", &service).unwrap();
    change::wait_same(lab, &[0, 1, 2]).unwrap();
}

fn first(lab: &Lab) -> IpAddr {
    lab.plan.vip_list()[0].address
}

/// A client that downloads into a file.
struct Client {
    words: String,
    file: PathBuf,
    thread: JoinHandle<Result<std::process::Output>>,
}

impl Client {
    fn start(lab: &Lab, number: usize, words: &str, url: &str) -> Client {
        let file = lab.dir().join(format!("got-{number}"));
        let space = lab.space("client").unwrap().clone();
        let words = format!("{words} {} {url}", file.display());
        let argv = words.clone();
        let run = move || space.output(&argv.split(' ').collect::<Vec<_>>(), "");
        Client { words, file, thread: std::thread::spawn(run) }
    }

    /// It has ended well, with all bytes.
    fn ends(self, expected: &[u8]) {
        let output = self.thread.join().unwrap().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.words);
        let got = std::fs::read(&self.file).unwrap();
        assert!(got == expected, "{}: {} bytes, not the right ones", self.words, got.len());
    }
}

/// Real clients of every kind, one after the other.
fn clients(lab: &Lab) -> Vec<Client> {
    let vip = first(lab);
    let http = format!("http://{vip}:{}{PACED}", services::LINK_PORT);
    let tls = format!("https://{vip}:{TLS_PORT}{PACED}");
    let ftp = format!("ftp://{vip}{PACED}");
    let kinds = [
        ("timeout 60 curl -sSf -o", &http),
        ("timeout 60 wget -q --tries=1 -O", &http),
        ("timeout 60 curl -sSfk --http2 -o", &tls),
        ("timeout 60 curl -sSfk --http1.1 -o", &tls),
        ("timeout 60 curl -sSf -o", &ftp),
        ("timeout 60 wget -q --tries=1 -O", &ftp),
    ];
    let all = kinds.iter().cycle().take(kinds.len() * CLIENTS).enumerate();
    all.map(|(number, (words, url))| Client::start(lab, number, words, url)).collect()
}

/// Downloads by HTTP that a server sends now.
fn sent_by(lab: &Lab, host: usize) -> usize {
    let server = SocketAddr::new(host_address(host, false), WEB_PORT);
    let all = links::all_running(lab).unwrap();
    all.iter().filter(|download| download.backend == Some(server)).count()
}

fn all_right(what: &str, tally: &Tally, asked: usize) {
    let expected = Tally { asked, complete: asked, ..Tally::default() };
    assert_eq!(*tally, expected, "{what}");
}

#[test]
fn downloads_outlive_the_servers_that_send_them() {
    type Fault = fn(&Lab, usize) -> Result<u64>;
    let faults: [(&str, Fault); 4] = [
        ("SIGKILL", |lab, host| {
            let machine = host_machine(host).name;
            fault::kill_on(lab, &machine, VSFTPD)?;
            fault::kill_on(lab, &machine, NGINX)
        }),
        ("link down", |lab, host| fault::cut_host(lab, host, Cut::Carrier)),
        ("SIGSTOP", |lab, host| {
            let machine = host_machine(host).name;
            fault::freeze_on(lab, &machine, VSFTPD)?;
            fault::freeze_on(lab, &machine, NGINX)
        }),
        ("silence", |lab, host| fault::cut_host(lab, host, Cut::Silent)),
    ];
    let lab = up(faults.len() + 1);
    add_tls(&lab);
    answers(&lab);
    let real = clients(&lab);
    let downloads = Transfers::start(&lab, &services::link(&lab.plan), DOWNLOADS).unwrap();
    downloads.wait_running(LIMIT_MS).unwrap();
    wait::until("the real clients run too", LIMIT_MS, || {
        (links::all_running(&lab).ok()?.len() == DOWNLOADS + real.len()).then_some(())
    })
    .unwrap();
    let mut moved = 0;
    for (host, (what, fault)) in faults.iter().enumerate() {
        let sent = sent_by(&lab, host);
        assert!(sent > 0, "{what}: the server sends nothing");
        fault(&lab, host).unwrap();
        let found = wait::until("nothing waits for the server", FOUND_MS, || {
            (sent_by(&lab, host) == 0).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{what}: {error}"));
        moved += sent as u64;
    }
    let tally = downloads.wait_ended(LIMIT_MS).unwrap();
    all_right("all servers but one are dead", &tally, DOWNLOADS);
    let expected = &nginx::slow_bytes()[..PACED_BYTES];
    real.into_iter().for_each(|client| client.ends(expected));
    let (resumes, broken) = links::resumes(&lab).unwrap();
    assert!(resumes >= moved, "{resumes} resumes of {moved}");
    assert_eq!(broken, 0);
}

#[test]
fn downloads_stay_with_their_node() {
    let lab = up(2);
    answers(&lab);
    let to = &services::link(&lab.plan)[..1];
    let old = cluster::host_of(&lab, 0).unwrap();
    let new = (old + 1) % lab.plan.nodes;
    let begun = |downloads: &Transfers| downloads.wait_running(LIMIT_MS).unwrap();
    let running = |node| links::running(&lab, node).unwrap().len();

    let before = Transfers::start(&lab, to, FEW).unwrap();
    begun(&before);
    cluster::move_vip(&lab, 0, new).unwrap();
    wait::until("the address has moved", LIMIT_MS, || {
        (cluster::host_of(&lab, 0) == Some(new)).then_some(())
    })
    .unwrap();
    let after = Transfers::start(&lab, to, FEW).unwrap();
    begun(&after);
    assert_eq!((running(old), running(new)), (FEW, FEW));
    all_right("begun before the move", &before.wait_ended(LIMIT_MS).unwrap(), FEW);
    all_right("begun after it", &after.wait_ended(LIMIT_MS).unwrap(), FEW);

    let before = Transfers::start(&lab, to, FEW).unwrap();
    begun(&before);
    let elder = program::find(&lab, new, LINK).unwrap();
    elder.signal(Signal::SIGUSR2);
    wait::until("another process has its place", LIMIT_MS, || {
        links::running(&lab, new).ok().filter(Vec::is_empty)
    })
    .unwrap();
    assert!(elder.alive(), "it has downloads to finish");
    let after = Transfers::start(&lab, to, FEW).unwrap();
    begun(&after);
    assert_eq!(running(new), FEW);
    all_right("begun before the replacement", &before.wait_ended(LIMIT_MS).unwrap(), FEW);
    all_right("begun after it", &after.wait_ended(LIMIT_MS).unwrap(), FEW);
    wait::until("the old process ends", LIMIT_MS, || (!elder.alive()).then_some(())).unwrap();
    assert_eq!(links::resumes(&lab).unwrap(), (0, 0), "no server was to blame");
}
