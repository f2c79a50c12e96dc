//! FTP servers that follow a script, a relay in front of them, and a client: all on loopback, in one process.

pub mod client;
pub mod server;

use client::{Client, Got};
use dsc_conf::{Link, Speaks};
use dsc_link::connection;
use dsc_link::counters::Counters;
use dsc_link::downloads::Downloads;
use dsc_link::seats::Seats;
use dsc_link::service::{BackendPlan, Service};
use dsc_wire::BackendId;
use server::{Script, Server};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A relay with its servers.
pub struct Relay {
    pub address: SocketAddr,
    pub service: Arc<Service>,
    pub servers: Vec<Server>,
    sessions: Sessions,
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.kill();
    }
}

type Sessions = Arc<Mutex<Vec<JoinHandle<()>>>>;

/// What the tests want: short waits.
pub fn link() -> Link {
    let mut link = Link::of(Speaks::Ftp);
    link.silence = Duration::from_secs(1);
    link.connect = Duration::from_millis(500);
    link.head = Duration::from_secs(2);
    link.client_head = Duration::from_secs(2);
    link
}

impl Relay {
    /// In front of servers that follow these scripts; they get sessions in this order.
    pub async fn start(link: Link, scripts: Vec<Script>) -> Relay {
        let mut servers = Vec::new();
        for script in scripts {
            servers.push(Server::start(script).await);
        }
        let addresses: Vec<SocketAddr> = servers.iter().map(|s| s.address).collect();
        let mut relay = Relay::before(link, &addresses).await;
        relay.servers = servers;
        relay
    }

    /// In front of one server, and a client that is logged in.
    pub async fn one(script: Script) -> (Relay, Client) {
        let relay = Relay::start(link(), vec![script]).await;
        let client = relay.client().await;
        (relay, client)
    }

    /// In front of servers at these addresses.
    pub async fn before(link: Link, servers: &[SocketAddr]) -> Relay {
        Relay::at("127.0.0.1:0", link, servers).await
    }

    /// The same, at this address.
    pub async fn at(own: &str, link: Link, servers: &[SocketAddr]) -> Relay {
        let one = |(id, address): (u16, &SocketAddr)| BackendPlan {
            id: BackendId(id),
            address: *address,
            weight: 1,
        };
        let plans: Vec<BackendPlan> = (0..).zip(servers).map(one).collect();
        let (counters, downloads) = (Arc::new(Counters::default()), Arc::new(Downloads::default()));
        let service = Arc::new(Service::new("files", link, &plans, 1, counters, downloads));
        let listener = TcpListener::bind(own).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, sessions) = (service.clone(), Sessions::default());
        let (seats, _) = Seats::new(1);
        let running = sessions.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, from) = listener.accept().await.unwrap();
                let accepted = seats.seat(0, stream, from, shared.clone()).unwrap();
                let session = tokio::spawn(connection::serve(accepted, 0));
                running.lock().unwrap().push(session);
            }
        });
        Relay { address, service, servers: Vec::new(), sessions, accepting }
    }

    /// Ends all sessions where they are.
    pub fn kill(&self) {
        self.sessions.lock().unwrap().drain(..).for_each(|s| s.abort());
    }

    /// A client that is logged in and wants images.
    pub async fn client(&self) -> Client {
        let mut client = Client::connect(self.address).await;
        assert_eq!(client.reply().await.code, 220);
        for (line, code) in [("USER joe", 331), ("PASS x", 230), ("TYPE I", 200)] {
            assert_eq!(client.ask(line).await, code, "{line}");
        }
        client
    }

    /// A download that breaks on the first server when the client has got so many bytes.
    pub async fn broken(&self, client: &mut Client, line: &str, bytes: usize) -> Got {
        let (data, begin) = client.part(line, bytes).await;
        self.servers[0].may_break();
        let rest = client.rest(data).await;
        Got { bytes: [begin, rest.bytes].concat(), ..rest }
    }

    /// How often something happened.
    pub fn count(&self, name: &str) -> u64 {
        let counts = self.service.counters.list();
        counts.iter().find(|(n, _)| *n == name).expect("a counter").1
    }
}

/// A file whose every stretch is different from every other.
pub fn file(length: usize) -> Vec<u8> {
    (0..length as u64)
        .flat_map(|word| (word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .take(length)
        .collect()
}
