//! What becomes of a request's head on its way to a backend, and which requests go no way at all.

use crate::connection::Client;
use crate::sender::authority;
use crate::strip::{names, strip};
use dsc_conf::{Forwarded, Link};
use dsc_resume::{Asked, Field};
use hyper::body::{Body, Incoming};
use hyper::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Uri, Version};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request as a backend gets it.
pub(crate) struct Wanted {
    /// Its head.
    pub head: Parts,
    /// May it be sent again, for nothing changes by it and it has no body?
    pub repeatable: bool,
    /// Which part of an object it asks for.
    pub asked: Asked,
    /// What the client would go on with instead of HTTP.
    pub upgrade: Option<HeaderValue>,
    /// What the client speaks.
    pub version: Version,
}

/// A request that is refused: the answer, and what is wrong.
pub(crate) type Refused = (StatusCode, &'static str);

impl Wanted {
    /// From a client.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read(
        mut head: Parts,
        body: &Incoming,
        client: &Client,
        link: &Link,
    ) -> Result<Wanted, Refused> {
        let bad = |what| (StatusCode::BAD_REQUEST, what);
        if head.method == Method::CONNECT {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here"));
        }
        let version = head.version;
        framing(&head.headers)?;
        let host = host(&head, client.local)?;
        let wants = names(&head.headers, &header::CONNECTION, "upgrade");
        let upgrade = head.headers.get(header::UPGRADE).filter(|_| wants);
        let can = version == Version::HTTP_11 && !link.backend_http2;
        let upgrade = upgrade.filter(|_| can).cloned();
        if link.backend_http2 && authority(host.as_bytes()).is_none() {
            return Err(bad("an odd Host"));
        }
        if !strip(&mut head.headers) {
            return Err(bad("Connection names too much"));
        }
        if let Some(protocol) = &upgrade {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(header::UPGRADE, protocol.clone());
        }
        // Whether it goes on is for the client and this end to know: a backend gets the body at once.
        head.headers.remove(header::EXPECT);
        head.headers.insert(header::HOST, host);
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        head.version = Version::HTTP_11;
        one_cookie(&mut head.headers);
        forward(&mut head.headers, client, link.forwarded);
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method);
        let asked = match head.headers.get_all(header::RANGE).iter().collect::<Vec<_>>()[..] {
            [] => Asked::read(Field::Absent),
            [one] => Asked::read(Field::One(one.as_bytes())),
            _ => Asked::read(Field::Many),
        };
        let repeatable = safe && body.is_end_stream() && upgrade.is_none();
        Ok(Wanted { head, repeatable, asked, upgrade, version })
    }

    /// What is asked for: path and query.
    pub fn object(&self) -> String {
        self.head.uri.to_string()
    }
}

/// Two ends that disagree about where a request ends see different requests.
fn framing(headers: &HeaderMap) -> Result<(), Refused> {
    let bad = |what| (StatusCode::BAD_REQUEST, what);
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err((StatusCode::NOT_IMPLEMENTED, "no transfer coding but chunked"));
        }
        if codings.next().is_some() || headers.contains_key(header::CONTENT_LENGTH) {
            return Err(bad("contradictory framing"));
        }
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(bad("Content-Length twice"));
    }
    Ok(())
}

/// Whose the object is: the authority of HTTP/2 and of an absolute target goes before `Host` (RFC 9112, 3.2.2).
fn host(head: &Parts, local: SocketAddr) -> Result<HeaderValue, Refused> {
    let bad = |what| (StatusCode::BAD_REQUEST, what);
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("Host twice"));
    }
    if let Some(authority) = head.uri.authority() {
        if authority.as_str().contains('@') {
            return Err(bad("a name in the authority"));
        }
        return HeaderValue::from_str(authority.as_str()).map_err(|_| bad("an odd authority"));
    }
    match named {
        Some(host) => {
            let odd = |c: &u8| c.is_ascii_whitespace() || b"/\\@,?#".contains(c);
            match host.as_bytes().iter().any(odd) {
                true => Err(bad("an odd Host")),
                false => Ok(host.clone()),
            }
        }
        None if head.version < Version::HTTP_11 => {
            HeaderValue::from_str(&local.to_string()).map_err(|_| bad("no Host"))
        }
        None => Err(bad("no Host")),
    }
}

/// Tells the backend who asks.
fn forward(headers: &mut HeaderMap, client: &Client, how: Forwarded) {
    let scheme = if client.tls { "https" } else { "http" };
    let address = client.peer.ip().to_canonical();
    if matches!(how, Forwarded::XForwardedFor | Forwarded::Both) {
        append(headers, X_FORWARDED_FOR, &address.to_string());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if matches!(how, Forwarded::Forwarded | Forwarded::Both) {
        let own = match address {
            IpAddr::V4(four) => format!("for={four};proto={scheme}"),
            IpAddr::V6(six) => format!("for=\"[{six}]\";proto={scheme}"),
        };
        append(headers, header::FORWARDED, &own);
    }
}

/// HTTP/2 may have one field for each cookie, HTTP/1 has one for all (RFC 9113, 8.2.3).
fn one_cookie(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut all = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(header::COOKIE, all);
    }
}

/// Adds to a list: several lines of it become one.
fn append(headers: &mut HeaderMap, name: HeaderName, own: &str) {
    let Entry::Occupied(before) = headers.entry(&name) else {
        headers.extend(HeaderValue::from_str(own).ok().map(|value| (name, value)));
        return;
    };
    let mut list = Vec::new();
    for value in before.iter() {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(own.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}
