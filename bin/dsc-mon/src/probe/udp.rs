//! A datagram that is answered.

use super::{http, reason};
use dsc_wire::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;

/// Most bytes of an answer that are looked at.
const ANSWER_MAX: usize = 2048;

/// Sends the text and waits for an answer, in which the other must appear.
pub async fn ask(
    from: Option<IpAddr>,
    to: SocketAddr,
    send: &str,
    expect: Option<&str>,
) -> Result<(), Reason> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = from.filter(|from| from.is_ipv4() == to.is_ipv4()).unwrap_or(any);
    let socket = UdpSocket::bind((from, 0)).await.map_err(reason)?;
    socket.connect(to).await.map_err(reason)?;
    socket.send(send.as_bytes()).await.map_err(reason)?;
    let mut bytes = [0; ANSWER_MAX];
    let length = socket.recv(&mut bytes).await.map_err(reason)?;
    let found = expect.is_none_or(|text| http::contains(&bytes[..length], text.as_bytes()));
    if found { Ok(()) } else { Err(Reason::NoText) }
}
