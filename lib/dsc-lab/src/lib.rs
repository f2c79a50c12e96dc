//! Clusters in network namespaces, for tests, demo and bench: real programs, a real kernel, real clients, and faults
//! on purpose.
//!
//! ```text
//!              switch: bridge ext                      switch: bridge int
//!   client ------+   +------ eth0  n1  eth1 --------------+   +----- h1 (nginx, echo: a backend)
//!   probe  ------+---+------ eth0  n2  eth1 --------------+---+
//!                    +------ eth0  n3  eth1 --------------+
//!     answers.rs <- probe.rs -> frames, UDP, "who has"  -> echo.rs, nginx on each node
//!     transfers.rs, links.rs -> whole downloads through the proxies on the nodes, and what those say
//!     downloads.rs, openings.rs -> live downloads, new connections, by the thousand; bulk.rs, packets.rs: as fast as they can
//!     flood.rs -> frames of clients that do not exist;  bpf.rs: what the kernel says of programs and tables
//!     fault.rs: power, processes, cables        scenario.rs, live.rs: fault, observation, figures
//! ```

pub mod answers;
pub mod bench;
pub mod bench_balance;
pub mod bench_config;
pub mod bench_flows;
pub mod bench_forward;
pub mod bench_link;
pub mod bench_measures;
pub mod bench_table;
pub mod bpf;
pub mod bulk;
pub mod change;
pub mod clock;
pub mod cluster;
pub mod demo;
mod demo_link;
mod demo_server;
mod demo_text;
pub mod downloads;
pub mod echo;
pub mod error;
pub mod fault;
pub mod figures;
pub mod flood;
pub mod frames;
pub mod http;
pub mod keepalived;
pub mod kept;
pub mod lab;
pub mod links;
pub mod live;
pub mod measures;
pub mod namespace;
pub mod netlink;
pub mod nginx;
pub mod openings;
pub mod pace;
pub mod packet;
pub mod packets;
pub mod peers;
pub mod probe;
pub mod process;
pub mod program;
pub mod proxies;
pub mod scenario;
pub mod segments;
pub mod services;
pub mod spread;
pub mod streams;
pub mod syn_flood;
pub mod system;
pub mod topology;
pub mod traffic;
pub mod transfers;
pub mod upgrade;
pub mod vsftpd;
pub mod wait;
pub mod wiring;
