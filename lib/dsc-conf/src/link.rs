//! The values of a `link` service: what it speaks, and how patient it is with whom.

use crate::FTP_DATA_PORTS;
use std::path::PathBuf;
use std::time::Duration;

/// How the proxy of a `link` service treats its clients and its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What clients and backends speak.
    pub speaks: Speaks,
    /// With any, clients speak TLS; at most 64, the first for clients that ask for no name that another has. None with FTP.
    pub certificates: Vec<Certificate>,
    /// Do backends speak HTTP/2 without TLS, from the first byte on (RFC 9113, 3.3)? Not with `proxy_out`, nor with FTP.
    pub backend_http2: bool,
    /// Which backend gets the next request.
    pub balance: LinkBalance,
    /// Is a download whose backend fails continued from another one?
    pub resume: bool,
    /// A backend that sends nothing of a body for so long has failed; 100 ms to 10 min, whole milliseconds.
    pub silence: Duration,
    /// A backend that accepts no connection for so long has failed; 10 ms to a minute, whole milliseconds.
    pub connect: Duration,
    /// A backend whose answer has not begun for so long has failed; 100 ms to an hour, whole milliseconds.
    pub head: Duration,
    /// How long a client may take for the head of a request; 100 ms to 10 min, whole milliseconds.
    pub client_head: Duration,
    /// How long a connection without a request is kept, of a client or of a backend; 1 s to an hour, whole seconds.
    pub idle: Duration,
    /// Bytes before the break that are fetched again and compared; 0..=65536.
    pub verify_overlap: u32,
    /// How backends are told the client's address; means nothing with FTP.
    pub forwarded: Forwarded,
    /// Does every connection of a client begin with a PROXY header?
    pub proxy_in: bool,
    /// Does every connection to a backend begin with a PROXY header?
    pub proxy_out: bool,
    /// Most connections of clients at once on one node; 1..=1000000.
    pub connections: u32,
    /// Absolute path of the file that gets a line for each request.
    pub access_log: Option<PathBuf>,
}

/// What is spoken on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// FTP (RFC 959).
    Ftp,
}

/// A certificate and its key, as PEM files on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Absolute path of the certificate and those that lead to its root.
    pub chain: PathBuf,
    /// Absolute path of its private key.
    pub key: PathBuf,
}

/// Which backend of a link gets the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkBalance {
    /// In turn, each in proportion to its weight.
    Weight,
    /// The one with the fewest running requests for its weight.
    LeastRequests,
}

/// How backends are told the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// By `X-Forwarded-For`.
    XForwardedFor,
    /// By `Forwarded` (RFC 7239).
    Forwarded,
    /// By both.
    Both,
    /// Not at all.
    Off,
}

impl Link {
    /// Ports of its VIPs besides the service's own that its clients are told to connect to, both included.
    pub fn data_ports(&self) -> Option<(u16, u16)> {
        (self.speaks == Speaks::Ftp).then_some(FTP_DATA_PORTS)
    }

    /// With all that is usual.
    pub fn of(speaks: Speaks) -> Link {
        Link {
            speaks,
            certificates: Vec::new(),
            backend_http2: false,
            balance: LinkBalance::Weight,
            resume: true,
            silence: Duration::from_millis(3000),
            connect: Duration::from_millis(1000),
            head: Duration::from_millis(10_000),
            client_head: Duration::from_millis(10_000),
            idle: Duration::from_secs(60),
            verify_overlap: 0,
            forwarded: Forwarded::XForwardedFor,
            proxy_in: false,
            proxy_out: false,
            connections: 10_000,
            access_log: None,
        }
    }
}
