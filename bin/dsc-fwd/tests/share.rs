//! Sharing over real sockets: a few nodes of one process on addresses of loopback, each with a table in memory.

use dsc_conf::Config;
use dsc_flow::share::supersedes;
use dsc_fwd::share::{Sharing, Todo};
use dsc_sys::clock::{self, Alarm};
use dsc_sys::nic::Nic;
use dsc_sys::random;
use dsc_wire::seal::{Key, Keyring};
use dsc_wire::{Flow, FlowKey, FlowKind, FlowState, NodeId, Protocol, Time};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 77, 0, 1 + node as u8)
}

/// Each test has its own ports.
fn config(nodes: usize, test: u16) -> Config {
    let port = 10_000 + std::process::id() as u16 % 2_500 * 8 + test * 2;
    let mut text = format!(
        "[cluster]\nname = \"t\"\nport = {port}\n\n\
         [[subnet]]\nname = \"lo\"\nnetworks = [\"10.77.0.0/24\"]\npool = [\"10.77.0.100\"]\n"
    );
    for n in 0..nodes {
        text +=
            &format!("\n[[node]]\nname = \"n{n}\"\naddresses = {{ lo = \"10.77.0.{}\" }}\n", n + 1);
    }
    let mut config = Config::parse(&text, "test").unwrap_or_else(|problems| panic!("{problems}"));
    // A file may not say so, for no two machines share it.
    for (id, node) in config.nodes.iter_mut() {
        node.addresses = vec![Some(address(id.index()).into())];
    }
    config
}

fn open(config: &Config, node: usize, key: u8) -> Result<Sharing, String> {
    let addresses = vec![(address(node).into(), 8)];
    let nics = [Nic { name: "lo".into(), addresses, mac: None }];
    let incarnation = random::incarnation().unwrap();
    let keyring = Keyring::for_flows(&Key::new([key; 32]), None);
    Sharing::open(config, NodeId(node as u8), keyring, &nics, incarnation, clock::now())
}

fn flow(n: u16, state: FlowState) -> Flow {
    let end = |a, b, c, d, port| SocketAddr::from(([a, b, c, d], port));
    let (client, vip) = (end(10, 1, 0, 250, n), end(10, 1, 0, 100, 80));
    let key = FlowKey { protocol: Protocol::Tcp, client, vip };
    Flow { key, backend: end(10, 2, 0, 101, 8_080), state, kind: FlowKind::Nat }
}

/// A daemon's loop and a table, without the kernel.
struct Node {
    sharing: Sharing,
    table: BTreeMap<FlowKey, Flow>,
    walk: Vec<FlowKey>,
    ready: bool,
}

impl Node {
    fn new(config: &Config, node: usize, members: &[NodeId]) -> Node {
        Node::with_key(config, node, 1, members)
    }

    fn with_key(config: &Config, node: usize, key: u8, members: &[NodeId]) -> Node {
        let sharing = open(config, node, key).unwrap();
        let mut node = Node { sharing, table: BTreeMap::new(), walk: Vec::new(), ready: false };
        node.sharing.members(clock::now(), members);
        node
    }

    fn change(&mut self, flow: Flow) {
        self.table.insert(flow.key, flow);
        self.sharing.changed(clock::now(), flow);
    }

    fn turn(&mut self, now: Time) {
        for todo in self.sharing.turn(now) {
            match todo {
                Todo::Apply(flows) => {
                    for flow in flows {
                        if self.table.get(&flow.key).is_none_or(|known| supersedes(&flow, known)) {
                            self.table.insert(flow.key, flow);
                        }
                    }
                }
                Todo::Entered { flows, made } => {
                    self.sharing.entered(clock::now(), flows, made);
                }
                Todo::NeedCopy { to, copy, part, flows_max } => {
                    if part == 0 {
                        self.walk = self.table.keys().copied().collect();
                    }
                    let keys = self.walk.split_off(self.walk.len().saturating_sub(flows_max));
                    let flows = keys.iter().map(|key| self.table[key]).collect();
                    self.sharing.copy_part(now, to, copy, flows, self.walk.is_empty());
                }
                Todo::Ready => self.ready = true,
            }
        }
    }
}

/// Runs all nodes until `done`.
async fn until(nodes: &mut [Node], what: &str, done: impl Fn(&[Node]) -> bool) {
    let mut alarm = Alarm::new().unwrap();
    let end = clock::now() + PATIENCE;
    loop {
        let now = clock::now();
        nodes.iter_mut().for_each(|node| node.turn(now));
        if done(nodes) {
            return;
        }
        assert!(now < end, "{what}: not within {PATIENCE:?}");
        let due = nodes.iter().map(|n| n.sharing.deadline()).min().unwrap_or(end);
        alarm.set(due.min(end)).unwrap();
        poll_fn(|cx| {
            let mut ready = alarm.poll_rang(cx).is_ready();
            for node in nodes.iter() {
                ready |= node.sharing.poll_readable(cx).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn same(nodes: &[Node], flows: usize) -> bool {
    nodes.iter().all(|n| n.table.len() == flows && n.table == nodes[0].table)
}

fn count(node: &Node, name: &str) -> u64 {
    let counters = node.sharing.counters();
    let found: Vec<_> = counters.iter().filter(|c| c.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    found[0].count
}

#[test]
fn flows_reach_all_members_and_a_restarted_one_takes_a_copy_first() {
    run(async {
        let config = config(3, 0);
        let members = [NodeId(0), NodeId(1), NodeId(2)];
        let mut nodes: Vec<Node> = (0..3).map(|n| Node::new(&config, n, &members)).collect();
        until(&mut nodes, "ready", |nodes| nodes.iter().all(|n| n.ready)).await;
        for n in 0..5_000 {
            nodes[usize::from(n % 3)].change(flow(n, FlowState::Opening));
            if n % 100 == 0 {
                let now = clock::now();
                nodes.iter_mut().for_each(|node| node.turn(now));
            }
        }
        until(&mut nodes, "new flows", |nodes| same(nodes, 5_000)).await;
        for n in 0..100 {
            nodes[0].change(flow(n, FlowState::Open));
        }
        until(&mut nodes, "changes", |nodes| same(nodes, 5_000)).await;

        nodes.pop();
        nodes.push(Node::new(&config, 2, &members));
        until(&mut nodes, "ready again", |nodes| nodes[2].ready).await;
        assert!(same(&nodes, 5_000), "ready, with {} flows", nodes[2].table.len());
        nodes[2].change(flow(6_000, FlowState::Opening));
        nodes[1].change(flow(6_001, FlowState::Opening));
        until(&mut nodes, "flows after the restart", |nodes| same(nodes, 5_002)).await;
        let status = nodes[2].sharing.status(clock::now());
        assert!(status.ready && status.peers.len() == 2, "{status:?}");
        assert!(status.peers.iter().all(|peer| peer.missing == 0), "{status:?}");
        assert!(nodes.iter().all(|n| count(n, "share_malformed") == 0));
        let sent = (count(&nodes[2], "records_sent"), status.told);
        assert_eq!(sent, (1, 1));
    });
}

#[test]
fn the_lag_is_the_wait_at_both_ends() {
    run(async {
        let config = config(2, 3);
        let members = [NodeId(0), NodeId(1)];
        let mut nodes: Vec<Node> = (0..2).map(|n| Node::new(&config, n, &members)).collect();
        until(&mut nodes, "ready", |nodes| nodes.iter().all(|n| n.ready)).await;
        let made = clock::now();
        nodes[0].table.insert(flow(1, FlowState::Opening).key, flow(1, FlowState::Opening));
        nodes[0].sharing.made(made, flow(1, FlowState::Opening), made);
        // The one is late to tell, the other late to look.
        for node in &mut nodes {
            let mut alarm = Alarm::new().unwrap();
            alarm.set(clock::now() + Duration::from_millis(30)).unwrap();
            alarm.rang().await.unwrap();
            node.turn(clock::now());
        }
        until(&mut nodes, "the flow", |nodes| same(nodes, 1)).await;
        let lag = nodes[1].sharing.status(clock::now()).lag.unwrap();
        let all = clock::now().since(made).as_micros();
        assert!(lag.flows == 1 && lag.max_us >= 59_000 && u128::from(lag.max_us) <= all, "{lag:?}");
        assert_eq!(nodes[0].sharing.status(clock::now()).lag, None);
    });
}

#[test]
fn who_has_another_key_is_not_heard() {
    run(async {
        let config = config(2, 1);
        let members = [NodeId(0), NodeId(1)];
        let mut nodes =
            vec![Node::new(&config, 0, &members), Node::with_key(&config, 1, 2, &members)];
        nodes[1].change(flow(1, FlowState::Open));
        let strange = "share_datagrams_not_sealed_with_our_key";
        until(&mut nodes, "ready", |nodes| nodes.iter().all(|n| n.ready && count(n, strange) > 0))
            .await;
        assert!(nodes[0].table.is_empty());
        assert_eq!(count(&nodes[0], "copies_forgone"), 1);
    });
}

#[test]
fn a_taken_port_is_named() {
    run(async {
        let config = config(2, 2);
        let _first = open(&config, 0, 1).unwrap();
        let error = open(&config, 0, 1).err().expect("the port is taken");
        let port = format!("{}:{}", address(0), config.port + 1);
        assert!(error.contains(&port) && error.contains("another program"), "{error}");
    });
}
