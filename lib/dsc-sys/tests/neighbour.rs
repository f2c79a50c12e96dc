//! Neighbours are asked on a real cable: whoever is there says where it is, and who claims an address of ours is found. Needs
//! root and iproute2.

use dsc_sys::{echo, nic};
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest that an answer may take; a machine that is busy takes its time.
const PATIENCE: Duration = Duration::from_secs(5);
/// As long is waited for what must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn run(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{line}");
}

/// The far end of a cable; this end is in the network of the test's thread.
struct Far(String);

impl Far {
    fn new(test: &str) -> Far {
        // SAFETY: it changes this thread's network only.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "this test needs root");
        let far = Far(format!("nb{}{test}", std::process::id()));
        let name = &far.0;
        run(&format!("ip netns add {name}"));
        run(&format!("ip link add eth0 type veth peer name eth0 netns {name}"));
        run("ip address add 10.1.0.1/24 dev eth0");
        run("ip address add fd00:1::1/64 dev eth0 nodad");
        run("ip link set eth0 up");
        run(&format!("ip -n {name} address add 10.1.0.9/24 dev eth0"));
        run(&format!("ip -n {name} address add fd00:1::9/64 dev eth0 nodad"));
        run(&format!("ip -n {name} link set eth0 address 02:00:00:00:00:09 up"));
        far
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _best_effort = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn asked(from: &str, to: &str, limit: Duration) -> Option<[u8; 6]> {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let nics = nic::nics().unwrap();
    let own = nics.iter().find(|n| n.name == "eth0").unwrap();
    let number = nic::number("eth0").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = echo::neighbour(number, own.mac.unwrap(), ip(from), ip(to));
    let answer = runtime.block_on(async { tokio::time::timeout(limit, answer).await });
    answer.ok().map(Result::unwrap)
}

/// Asks again until there is an answer: an interface that has just come up loses what comes too early.
fn found(from: &str, to: &str) -> Option<[u8; 6]> {
    let end = Instant::now() + PATIENCE;
    loop {
        match asked(from, to, SILENCE) {
            None if Instant::now() < end => {}
            answer => return answer,
        }
    }
}

const THERE: Option<[u8; 6]> = Some([2, 0, 0, 0, 0, 9]);

#[test]
fn a_neighbour_says_where_it_is_and_nobody_else_does() {
    let _far = Far::new("a");
    assert_eq!(found("10.1.0.1", "10.1.0.9"), THERE);
    assert_eq!(asked("10.1.0.1", "10.1.0.8", SILENCE), None);
    assert_eq!(found("fd00:1::1", "fd00:1::9"), THERE);
    assert_eq!(asked("fd00:1::1", "fd00:1::8", SILENCE), None);
}

#[test]
fn another_machine_with_our_address_answers_who_asks_for_it() {
    let far = Far::new("b");
    assert_eq!(asked("0.0.0.0", "10.1.0.1", SILENCE), None, "our own kernel does not answer");
    run(&format!("ip -n {} address add 10.1.0.1/24 dev eth0", far.0));
    assert_eq!(found("0.0.0.0", "10.1.0.1"), THERE);
}
