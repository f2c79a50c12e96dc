//! Data connections: with the client, which listens or connects as it said before; with a server, which always listens.

use super::control::{Lost, Server};
use crate::limits::little_unsent;
use dsc_conf::FTP_DATA_PORTS;
use dsc_resume::ftp::{self, Command, Verb};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// So many ports are tried, from a random one on.
const PORTS_TRIED: u16 = 64;

/// How the client wants its next data connection.
pub(super) enum Wanted {
    /// It connects here.
    Passive(TcpListener),
    /// It listens there.
    Active(SocketAddr),
}

/// Listens on the VIP, at a port that nobody can guess.
pub(super) fn listen(vip: IpAddr) -> io::Result<TcpListener> {
    let mut random = [0; 2];
    dsc_sys::random::fill(&mut random)?;
    let random = u16::from_ne_bytes(random);
    let (first, last) = FTP_DATA_PORTS;
    let count = last - first + 1;
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for at in 0..PORTS_TRIED {
        let port = first + random.wrapping_add(at) % count;
        let socket = socket(vip)?;
        // A port whose last connection has not yet timed out may be used again: each connection has its own client port.
        socket.set_reuseaddr(true)?;
        match socket.bind(SocketAddr::new(vip, port)).and_then(|()| socket.listen(1)) {
            Ok(listener) => return Ok(listener),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn socket(address: IpAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

impl Wanted {
    /// The connection with the client, within `limit`. Whoever else connects is turned away (RFC 2577).
    pub(super) async fn open(
        self,
        vip: IpAddr,
        owners: [IpAddr; 2],
        limit: Duration,
    ) -> io::Result<TcpStream> {
        let opening = async {
            match self {
                Wanted::Active(to) => {
                    let socket = socket(vip)?;
                    socket.bind(SocketAddr::new(vip, 0))?;
                    socket.connect(to).await
                }
                Wanted::Passive(listener) => loop {
                    let (stream, from) = listener.accept().await?;
                    if owners.contains(&from.ip().to_canonical()) {
                        return Ok(stream);
                    }
                    tracing::warn!("ftp: {from} tried to take a data connection of {}", owners[0]);
                    reset(stream);
                },
            }
        };
        let opened = timeout(limit, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        opened.inspect(little_unsent)
    }
}

/// Ends a connection so that the other end can tell that something is missing.
pub(super) fn reset(stream: TcpStream) {
    may_break(&stream);
}

/// From now on the connection ends with a reset whoever ends it, be it the kernel after this process was killed.
pub(super) fn may_break(stream: &TcpStream) {
    // A connection that is no more needs no reset.
    let _gone = stream.set_zero_linger();
}

/// All was sent: the connection ends in good order.
pub(super) async fn close(stream: &mut TcpStream) -> io::Result<()> {
    #[expect(deprecated, reason = "a time to linger would block; this is none")]
    stream.set_linger(None)?;
    stream.shutdown().await
}

/// A data connection to the server, whatever address it names: only its own is connected to.
pub(super) async fn connect(
    server: &mut Server,
    answer: Duration,
    connect: Duration,
) -> Result<TcpStream, Lost> {
    let mut port = None;
    if !server.only_pasv {
        let reply = server.ask(&Command::bare(Verb::Epsv), answer).await?;
        port = (reply.code == 229).then(|| ftp::extended_passive(reply.text())).flatten();
        server.only_pasv = port.is_none();
    }
    if server.only_pasv {
        let reply = server.ask(&Command::bare(Verb::Pasv), answer).await?;
        port = (reply.code == 227).then(|| ftp::passive(reply.text())).flatten();
        if port.is_none() {
            return Err(Lost::Unready(reply.code));
        }
    }
    let to = SocketAddr::new(server.address().ip(), port.unwrap_or_default());
    let connecting = dsc_sys::connect::connect(None, to);
    Ok(timeout(connect, connecting).await.map_err(|_| Lost::Silent)??)
}
