//! Fields of a head that are meant for the next hop alone (RFC 9110, 7.6.1).

use hyper::header::{self, HeaderMap, HeaderName};

const ALWAYS: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Naming them in `Connection` would take from a message what it is.
const NEVER: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::RANGE,
    header::IF_RANGE,
];

/// Most names that `Connection` may have; a head has not more fields either.
const NAMED_MAX: usize = 100;

/// Takes them away. False if `Connection` names more than a head can have; then of the names only the first are gone.
pub(crate) fn strip(headers: &mut HeaderMap) -> bool {
    let mut is_all = true;
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|c| *c == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| !NEVER.contains(name))
            .take(NAMED_MAX + 1)
            .collect();
        is_all = named.len() <= NAMED_MAX;
        for name in named {
            headers.remove(name);
        }
    }
    for name in &ALWAYS {
        headers.remove(name);
    }
    is_all
}

/// Does a list of words, such as `Connection`'s, have this one?
pub(crate) fn names(headers: &HeaderMap, list: &HeaderName, word: &str) -> bool {
    let mut words = headers.get_all(list).iter().flat_map(|v| v.as_bytes().split(|c| *c == b','));
    words.any(|w| w.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(n, v): &(&'static str, &'static str)| {
            (HeaderName::from_static(n), HeaderValue::from_static(v))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn what_is_for_the_next_hop_goes_no_further() {
        let mut headers = map(&[
            ("connection", "close, X-Own"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-own", "1"),
            ("x-other", "2"),
            ("host", "a"),
        ]);
        headers.append("connection", HeaderValue::from_static("host,content-length"));
        headers.insert("content-length", HeaderValue::from_static("3"));
        assert!(strip(&mut headers));
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-other"]);
    }

    #[test]
    fn too_many_names_are_told_and_what_frames_a_message_goes_all_the_same() {
        let mut headers = map(&[("x-1", "1"), ("transfer-encoding", "chunked")]);
        let names: Vec<String> = (0..NAMED_MAX).map(|n| format!("x-{n}")).collect();
        headers.insert("connection", HeaderValue::from_str(&names.join(",")).expect("a value"));
        assert!(strip(&mut headers.clone()), "so many may be");
        headers.append("connection", HeaderValue::from_static("x-more"));
        assert!(!strip(&mut headers));
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn words_of_a_list_are_whole_words() {
        let headers = map(&[("connection", "keep-alive, Upgrade")]);
        assert!(names(&headers, &header::CONNECTION, "upgrade"));
        assert!(!names(&headers, &header::CONNECTION, "grade"));
    }
}
