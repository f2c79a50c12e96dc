//! The header of the PROXY protocol, by which one proxy tells the next who the client is: read in versions 1 and 2, written in
//! version 2. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1.
const LINE_MAX: usize = 107;
/// Longest addresses and additions of version 2 that are read.
const REST_MAX: usize = 2048;

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// So many bytes it has.
    pub len: usize,
    /// Client, and the end that it came to; none if the other proxy speaks for itself, or does not know.
    pub ends: Option<(SocketAddr, SocketAddr)>,
}

/// Reads the header at the begin of `bytes`; none if it is not complete.
///
/// # Errors
/// There is no legal one.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Header>, ()> {
    let begins = |with: &[u8]| {
        let count = bytes.len().min(with.len());
        bytes[..count] == with[..count]
    };
    if begins(SIGNATURE) {
        return if bytes.len() < 16 { Ok(None) } else { binary(bytes) };
    }
    if begins(b"PROXY ") { line(bytes) } else { Err(()) }
}

fn binary(bytes: &[u8]) -> Result<Option<Header>, ()> {
    let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let (len, family) = (16 + rest, bytes[13]);
    if bytes[12] >> 4 != 2 || rest > REST_MAX {
        return Err(());
    }
    if bytes.len() < len {
        return Ok(None);
    }
    let body = &bytes[16..len];
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let ends = match (bytes[12] & 0xf, family) {
        (0, _) => None,
        (1, 0x11) if rest >= 12 => {
            let four =
                |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
            Some(((four(0), port(8)).into(), (four(4), port(10)).into()))
        }
        (1, 0x21) if rest >= 36 => {
            let six = |at: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&body[at..at + 16]);
                Ipv6Addr::from(octets)
            };
            Some(((six(0), port(32)).into(), (six(16), port(34)).into()))
        }
        (1, 0x11 | 0x21) => return Err(()),
        // Datagrams and Unix sockets: a stream of TCP is not one of them.
        (1, _) => None,
        _ => return Err(()),
    };
    Ok(Some(Header { len, ends }))
}

fn line(bytes: &[u8]) -> Result<Option<Header>, ()> {
    let Some(at) = bytes.windows(2).take(LINE_MAX).position(|w| w == b"\r\n") else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(()) };
    };
    let text = std::str::from_utf8(&bytes[..at]).map_err(|_| ())?;
    let len = at + 2;
    if len > LINE_MAX {
        return Err(());
    }
    let words: Vec<&str> = text.split(' ').collect();
    let ends = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let end = |address: &str, port: &str| {
                let address: IpAddr = address.parse().map_err(|_| ())?;
                let digits = port.bytes().all(|b| b.is_ascii_digit());
                if address.is_ipv4() != (family == "TCP4") || !digits {
                    return Err(());
                }
                Ok(SocketAddr::new(address, port.parse().map_err(|_| ())?))
            };
            Some((end(from, from_port)?, end(to, to_port)?))
        }
        _ => return Err(()),
    };
    Ok(Some(Header { len, ends }))
}

/// A header of version 2 for a client that came to `to`.
pub(crate) fn write(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.push(0x21);
    match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            bytes.extend_from_slice(&[0x11, 0, 12]);
            bytes.extend_from_slice(&a.octets());
            bytes.extend_from_slice(&b.octets());
        }
        (a, b) => {
            let six = |ip: IpAddr| match ip {
                IpAddr::V4(four) => four.to_ipv6_mapped(),
                IpAddr::V6(six) => six,
            };
            bytes.extend_from_slice(&[0x21, 0, 36]);
            bytes.extend_from_slice(&six(a).octets());
            bytes.extend_from_slice(&six(b).octets());
        }
    }
    bytes.extend_from_slice(&from.port().to_be_bytes());
    bytes.extend_from_slice(&to.port().to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(from: &str, to: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((from.parse().expect("an end"), to.parse().expect("an end")))
    }

    /// Every part of it is incomplete, the whole is read, and what follows is not touched.
    fn whole(bytes: &[u8], expected: Option<(SocketAddr, SocketAddr)>) {
        for at in 1..bytes.len() {
            assert_eq!(read(&bytes[..at]), Ok(None), "{at}");
        }
        let more = [bytes, b"GET"].concat();
        assert_eq!(read(&more), Ok(Some(Header { len: bytes.len(), ends: expected })));
    }

    #[test]
    fn both_versions_are_read() {
        let four = ends("192.0.2.1:56324", "10.1.0.100:443");
        whole(b"PROXY TCP4 192.0.2.1 10.1.0.100 56324 443\r\n", four);
        whole(b"PROXY TCP6 2001:db8::1 ::2 1 65535\r\n", ends("[2001:db8::1]:1", "[::2]:65535"));
        whole(b"PROXY UNKNOWN\r\n", None);
        let six = ends("[2001:db8::1]:1", "[::2]:443");
        for both in [four, six] {
            let (from, to) = both.expect("ends");
            let header = write(from, to);
            whole(&header, both);
            let mut local = header.clone();
            local[12] = 0x20;
            whole(&local, None);
            let mut longer = header;
            longer[15] += 3;
            longer.extend_from_slice(&[4, 0, 0]);
            whole(&longer, both);
        }
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        let bad: [&[u8]; 10] = [
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"PROXY TCP4 192.0.2.1 10.1.0.100 56324\r\n",
            b"PROXY TCP4 ::1 10.1.0.100 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.1.0.100 1 65536\r\n",
            b"PROXY TCP4 192.0.2.1 10.1.0.100 +1 2\r\n",
            b"PROXY SCTP 192.0.2.1 10.1.0.100 1 2\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c0123456789ab",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b0123456789a",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        ];
        for bytes in bad {
            assert_eq!(read(bytes), Err(()), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(read(&[&b"PROXY "[..], &[b'x'; LINE_MAX]].concat()), Err(()));
    }

    #[test]
    fn any_bytes_are_read_without_harm() {
        bolero::check!().with_iterations(50_000).with_max_len(200).for_each(|bytes: &[u8]| {
            let signed = [&SIGNATURE[..], bytes].concat();
            let line = [b"PROXY TCP4 ", bytes].concat();
            for bytes in [bytes, &signed, &line] {
                if let Ok(Some(header)) = read(bytes) {
                    assert!((8..=bytes.len()).contains(&header.len));
                    // What was read is what is written.
                    if let Some((from, to)) = header.ends {
                        let own = write(from, to);
                        let again = read(&own).expect("legal").expect("complete").ends;
                        let plain = |e: SocketAddr| (e.ip().to_canonical(), e.port());
                        let (a, b) = again.expect("ends");
                        assert_eq!((plain(a), plain(b)), (plain(from), plain(to)));
                    }
                }
            }
        });
    }
}
