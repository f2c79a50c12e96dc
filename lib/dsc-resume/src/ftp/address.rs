//! Where data connections go: what PASV, EPSV, PORT and EPRT say (RFC 959, RFC 2428), and whether a client may name that end
//! (RFC 2577).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The least port that a client may have connected to it.
const PORT_MIN: u16 = 1024;

/// Why a data connection does not go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// It is none.
    Malformed,
    /// An address family that does not exist, or is not the control connection's.
    Family,
    /// Not the client's own address: a server that connected there would attack it in the client's place.
    Bounce,
    /// A port below 1024: so would it here.
    LowPort,
}

/// What PORT says: `h1,h2,h3,h4,p1,p2`.
///
/// # Errors
/// It is no address.
pub fn port(argument: &[u8]) -> Result<SocketAddr, BadAddress> {
    let numbers = std::str::from_utf8(argument).map_err(|_| BadAddress::Malformed)?;
    six(numbers.trim()).ok_or(BadAddress::Malformed)
}

/// What EPRT says: `|1|192.0.2.1|6275|`, with any delimiter.
///
/// # Errors
/// It is no address, or of no known family.
pub fn extended_port(argument: &[u8]) -> Result<SocketAddr, BadAddress> {
    let [family, host, port] = fields(argument).ok_or(BadAddress::Malformed)?;
    let host = match family {
        "1" => Ipv4Addr::from_str(host).map(IpAddr::V4),
        "2" => Ipv6Addr::from_str(host).map(IpAddr::V6),
        _ if number::<u32>(family).is_some() => return Err(BadAddress::Family),
        _ => return Err(BadAddress::Malformed),
    };
    match (host, number(port)) {
        (Ok(host), Some(port)) => Ok(SocketAddr::new(host, port)),
        _ => Err(BadAddress::Malformed),
    }
}

/// May the client whose control connection comes from `client` and ends at `vip` have data sent to `to`?
///
/// # Errors
/// Not there.
pub fn active(client: IpAddr, vip: IpAddr, to: SocketAddr) -> Result<SocketAddr, BadAddress> {
    let client = client.to_canonical();
    if vip.to_canonical().is_ipv4() != to.is_ipv4() {
        return Err(BadAddress::Family);
    }
    if to.ip().to_canonical() != client {
        return Err(BadAddress::Bounce);
    }
    if to.port() < PORT_MIN {
        return Err(BadAddress::LowPort);
    }
    Ok(SocketAddr::new(client, to.port()))
}

/// The port that a reply 227 to PASV names. Its address is not used: data comes from the server that was asked.
pub fn passive(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let length = text[begin..].find(|c: char| !c.is_ascii_digit() && c != ',');
    let numbers = &text[begin..length.map_or(text.len(), |n| begin + n)];
    six(numbers.trim_end_matches(',')).map(|to| to.port()).filter(|port| *port != 0)
}

/// The port that a reply 229 to EPSV names: `(|||6446|)`, with any delimiter.
pub fn extended_passive(text: &[u8]) -> Option<u16> {
    let begin = text.iter().position(|b| *b == b'(')? + 1;
    let length = text[begin..].iter().position(|b| *b == b')')?;
    let [_, _, port] = fields(&text[begin..begin + length])?;
    number(port).filter(|port| *port != 0)
}

/// The text of a reply 227.
pub fn pasv_reply(host: Ipv4Addr, port: u16) -> String {
    let [a, b, c, d] = host.octets();
    format!("Entering Passive Mode ({a},{b},{c},{d},{},{}).", port >> 8, port & 255)
}

/// The text of a reply 229.
pub fn epsv_reply(port: u16) -> String {
    format!("Entering Extended Passive Mode (|||{port}|)")
}

/// Six numbers below 256.
fn six(text: &str) -> Option<SocketAddr> {
    let mut numbers = [0u8; 6];
    let mut parts = text.split(',');
    for place in &mut numbers {
        *place = number(parts.next()?)?;
    }
    let [a, b, c, d, high, low] = numbers;
    let to = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
    parts.next().is_none().then_some(to)
}

/// What stands between four equal delimiters.
fn fields(text: &[u8]) -> Option<[&str; 3]> {
    let text = std::str::from_utf8(text).ok()?;
    let delimiter = text.chars().next().filter(|c| c.is_ascii_graphic())?;
    let mut parts = text[1..].strip_suffix(delimiter)?.split(delimiter);
    let found = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(found)
}

/// A number of digits alone: no sign, no spaces.
pub(super) fn number<N: FromStr>(text: &str) -> Option<N> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ports() {
        let rows: &[(&str, Result<&str, BadAddress>)] = &[
            ("192,0,2,1,4,1", Ok("192.0.2.1:1025")),
            ("192,0,2,1,4", Err(BadAddress::Malformed)),
            ("192,0,2,1,4,1,0", Err(BadAddress::Malformed)),
            ("192,0,2,256,4,1", Err(BadAddress::Malformed)),
            ("192,0,2,1,+4,1", Err(BadAddress::Malformed)),
            ("192, 0,2,1,4,1", Err(BadAddress::Malformed)),
            ("", Err(BadAddress::Malformed)),
        ];
        for (text, wanted) in rows {
            assert_eq!(port(text.as_bytes()), wanted.map(at), "{text}");
        }
    }

    #[test]
    fn extended_ports() {
        let rows: &[(&str, Result<&str, BadAddress>)] = &[
            ("|1|192.0.2.1|6275|", Ok("192.0.2.1:6275")),
            ("|2|2001:db8::1|6275|", Ok("[2001:db8::1]:6275")),
            ("!1!192.0.2.1!6275!", Ok("192.0.2.1:6275")),
            ("|3|192.0.2.1|6275|", Err(BadAddress::Family)),
            ("|1|2001:db8::1|6275|", Err(BadAddress::Malformed)),
            ("|2|192.0.2.1|6275|", Err(BadAddress::Malformed)),
            ("|1|192.0.2.1|65536|", Err(BadAddress::Malformed)),
            ("|1|192.0.2.1|6275", Err(BadAddress::Malformed)),
            ("|1|192.0.2.1|6275||", Err(BadAddress::Malformed)),
            ("|||", Err(BadAddress::Malformed)),
            ("|", Err(BadAddress::Malformed)),
            ("", Err(BadAddress::Malformed)),
            ("é1é192.0.2.1é6275é", Err(BadAddress::Malformed)),
        ];
        for (text, wanted) in rows {
            assert_eq!(extended_port(text.as_bytes()), wanted.map(at), "{text}");
        }
    }

    #[test]
    fn only_the_client_itself_is_connected_to() {
        let rows: &[(&str, &str, &str, Result<&str, BadAddress>)] = &[
            ("192.0.2.1", "10.0.0.1", "192.0.2.1:1024", Ok("192.0.2.1:1024")),
            ("::ffff:192.0.2.1", "::ffff:10.0.0.1", "192.0.2.1:1024", Ok("192.0.2.1:1024")),
            ("2001:db8::1", "2001:db8::9", "[2001:db8::1]:9999", Ok("[2001:db8::1]:9999")),
            ("192.0.2.1", "10.0.0.1", "192.0.2.2:1024", Err(BadAddress::Bounce)),
            ("192.0.2.1", "10.0.0.1", "127.0.0.1:8080", Err(BadAddress::Bounce)),
            ("192.0.2.1", "10.0.0.1", "10.0.0.1:8080", Err(BadAddress::Bounce)),
            ("192.0.2.1", "10.0.0.1", "192.0.2.1:1023", Err(BadAddress::LowPort)),
            ("192.0.2.1", "10.0.0.1", "192.0.2.1:0", Err(BadAddress::LowPort)),
            ("192.0.2.1", "10.0.0.1", "[2001:db8::1]:9999", Err(BadAddress::Family)),
            ("2001:db8::1", "2001:db8::9", "192.0.2.1:9999", Err(BadAddress::Family)),
        ];
        for (client, vip, to, wanted) in rows {
            let found = active(client.parse().unwrap(), vip.parse().unwrap(), at(to));
            assert_eq!(found, wanted.map(at), "{client} {to}");
        }
    }

    #[test]
    fn passive_replies() {
        let rows: &[(&str, Option<u16>)] = &[
            ("Entering Passive Mode (192,0,2,1,4,1).", Some(1025)),
            ("Entering Passive Mode. 192,0,2,1,4,1", Some(1025)),
            ("=192,0,2,1,4,1", Some(1025)),
            ("Entering Passive Mode (192,0,2,1,0,0)", None),
            ("Entering Passive Mode (192,0,2,1,4)", None),
            ("Entering Passive Mode", None),
            ("", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(passive(text.as_bytes()), *wanted, "{text}");
        }
        assert_eq!(passive(pasv_reply([192, 0, 2, 1].into(), 50_001).as_bytes()), Some(50_001));
    }

    #[test]
    fn extended_passive_replies() {
        let rows: &[(&str, Option<u16>)] = &[
            ("Entering Extended Passive Mode (|||6446|)", Some(6446)),
            ("ok (!!!6446!) go", Some(6446)),
            ("Entering Extended Passive Mode (|||0|)", None),
            ("Entering Extended Passive Mode (|||65536|)", None),
            ("Entering Extended Passive Mode (|||6446)", None),
            ("Entering Extended Passive Mode |||6446|", None),
            ("()", None),
            ("(", None),
        ];
        for (text, wanted) in rows {
            assert_eq!(extended_passive(text.as_bytes()), *wanted, "{text}");
        }
        assert_eq!(extended_passive(epsv_reply(50_001).as_bytes()), Some(50_001));
    }
}
