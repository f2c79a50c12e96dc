//! Probes: datagrams each millisecond that nodes echo with their number, and frames that ask for MAC addresses.

use super::{Machine, Node};
use dsc_sys::clock;
use dsc_sys::frames::FrameSender;
use dsc_wire::Time;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PORT: u16 = 7;

/// Echoes what comes to `vip` on `node`, with the node's number in front.
pub fn echo(node: &Node, vip: IpAddr) {
    let number = node.machine.mac[5];
    node.machine.space.run(move || {
        let socket = UdpSocket::bind((vip, PORT)).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((length, from)) = socket.recv_from(&mut buffer[1..]) {
                buffer[0] = number;
                // A client that has gone is no concern of the echo.
                let _gone = socket.send_to(&buffer[..=length], from);
            }
        });
    });
}

/// What became of probes that were sent each millisecond.
pub struct Probes {
    sent: Arc<AtomicBool>,
    sender: thread::JoinHandle<u64>,
    answers: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
}

/// Which node answered each probe; nobody, or two, is what tests are about.
#[derive(Debug)]
pub struct Report {
    pub sent: u64,
    pub lost: Vec<u64>,
    pub doubled: Vec<u64>,
    pub by_node: BTreeMap<u8, u64>,
}

impl Probes {
    pub fn start(client: &Machine, vip: IpAddr) -> Probes {
        let any: IpAddr = if vip.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        let socket = client.space.run(move || UdpSocket::bind((any, 0)).unwrap());
        let receiver = socket.try_clone().unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let answers = Arc::new(Mutex::new(BTreeMap::<u64, Vec<u8>>::new()));
        let kept = answers.clone();
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok(9) = receiver.recv(&mut buffer) {
                let number = u64::from_be_bytes(buffer[1..9].try_into().unwrap());
                kept.lock().unwrap().entry(number).or_default().push(buffer[0]);
            }
        });
        let sent = Arc::new(AtomicBool::new(false));
        let stop = sent.clone();
        let sender = thread::spawn(move || {
            let start = Instant::now();
            let mut number = 0u64;
            while !stop.load(Ordering::Relaxed) {
                // An unreachable client of a lost answer reports here; the probe is then lost anyway.
                let _refused = socket.send_to(&number.to_be_bytes(), SocketAddr::new(vip, PORT));
                number += 1;
                let next = start + Duration::from_millis(number);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            number
        });
        Probes { sent, sender, answers }
    }

    /// How many were answered so far.
    pub fn answered(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    /// Waits until `more` probes have been answered, and so the state of the nodes was in force for that long.
    pub fn go_on(&self, more: usize) {
        let before = self.answered();
        super::until("probes are answered", || self.answered() >= before + more);
    }

    /// Stops, and waits for the answers under way.
    pub fn stop(self) -> Report {
        self.sent.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let deadline = Instant::now() + Duration::from_secs(1);
        while (self.answers.lock().unwrap().len() as u64) < sent && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let answers = self.answers.lock().unwrap();
        let mut by_node = BTreeMap::new();
        answers.values().flatten().for_each(|node| *by_node.entry(*node).or_default() += 1);
        Report {
            sent,
            lost: (0..sent).filter(|n| !answers.contains_key(n)).collect(),
            doubled: answers.iter().filter(|(_, by)| by.len() > 1).map(|(n, _)| *n).collect(),
            by_node,
        }
    }
}

/// Asks for the MAC address of an IPv4 VIP, each time as another machine, so that an answer names its question.
pub struct Asker {
    sender: FrameSender,
    mac: [u8; 6],
    answers: Arc<Mutex<BTreeMap<u16, Vec<[u8; 6]>>>>,
    announced: Arc<AtomicU64>,
    sent: BTreeMap<u16, Time>,
}

impl Asker {
    pub fn new(client: &Machine) -> Asker {
        let nic = client.nic();
        let mac = client.mac;
        let answers = Arc::new(Mutex::new(BTreeMap::<u16, Vec<[u8; 6]>>::new()));
        let kept = answers.clone();
        let announced = Arc::new(AtomicU64::new(0));
        let counted = announced.clone();
        let sender = client.space.run(move || {
            let arp = Protocol::from(i32::from(0x0806u16.to_be()));
            let mut ear = Socket::new(Domain::PACKET, Type::RAW, Some(arp)).unwrap();
            thread::spawn(move || {
                let mut frame = [0; 2048];
                while let Ok(length) = ear.read(&mut frame) {
                    if length >= 42 && frame[28..32] == frame[38..42] {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    // Replies to us, by whom they claim to answer for.
                    if length >= 42 && frame[..6] == mac && frame[21] == 2 {
                        let question = u16::from_be_bytes([frame[40], frame[41]]);
                        let owner = frame[22..28].try_into().unwrap();
                        kept.lock().unwrap().entry(question).or_default().push(owner);
                    }
                }
            });
            FrameSender::open(nic).unwrap()
        });
        Asker { sender, mac, answers, announced, sent: BTreeMap::new() }
    }

    /// Asks once; `tagged`: with a VLAN tag 0, which carries a priority only.
    pub fn ask(&mut self, vip: Ipv4Addr, tagged: bool) -> u16 {
        let question = self.sent.len() as u16 + 1;
        let tag: &[u8] = if tagged { &[0x81, 0, 0, 0] } else { &[] };
        let frame = [
            &[0xFF; 6][..],
            &self.mac,
            tag,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &self.mac,
            &[10, 9],
            &question.to_be_bytes(),
            &[0; 6],
            &vip.octets(),
        ]
        .concat();
        self.sent.insert(question, clock::now());
        self.sender.send(&frame).unwrap();
        question
    }

    /// Who answered which question.
    pub fn answers(&self) -> BTreeMap<u16, Vec<[u8; 6]>> {
        self.answers.lock().unwrap().clone()
    }

    /// How many announcements were heard, of any VIP.
    pub fn announced(&self) -> u64 {
        self.announced.load(Ordering::Relaxed)
    }

    /// When a question was asked.
    pub fn asked_at(&self, question: u16) -> Time {
        self.sent[&question]
    }
}
