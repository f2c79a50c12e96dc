//! A server in a few lines, and every small download that there is: broken at every byte, continued with every overlap, by servers
//! that agree and by servers that do not.

use dsc_resume::{Asked, Field, Head, Refusal, Rest, Resumable};

const OBJECT: &[u8] = b"abcdefg";

/// One answer: its head as a list of fields, and its body.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn head(&self) -> Head<'_> {
        Head::read(self.status, self.fields.iter().map(|(n, v)| (*n, v.as_bytes())))
    }

    fn set(&mut self, name: &'static str, value: Option<&str>) {
        self.fields.retain(|(n, _)| *n != name);
        self.fields.extend(value.map(|v| (name, v.to_owned())));
    }
}

/// What an honest server says to a value of `Range`.
fn serve(object: &[u8], tag: &str, range: Option<&str>, chunked: bool) -> Answer {
    let total = object.len();
    let asked = Asked::read(range.map_or(Field::Absent, |r| Field::One(r.as_bytes())));
    let (first, end) = match asked {
        Asked::From { first, last } => {
            (first as usize, last.map_or(total, |l| total.min(l as usize + 1)))
        }
        Asked::Suffix(n) => (total - total.min(n as usize), total),
        Asked::All | Asked::Other => (0, total),
    };
    let mut fields = vec![("etag", tag.to_owned()), ("content-type", "text/plain".to_owned())];
    let partial = range.is_some();
    if partial && first >= end {
        fields.push(("content-range", format!("bytes */{total}")));
        return Answer { status: 416, fields, body: Vec::new() };
    }
    let body = object[first..end].to_vec();
    match chunked {
        true => fields.push(("transfer-encoding", "chunked".to_owned())),
        false => fields.push(("content-length", body.len().to_string())),
    }
    if partial {
        fields.push(("content-range", format!("bytes {first}-{}/{total}", end - 1)));
    }
    Answer { status: if partial { 206 } else { 200 }, fields, body }
}

fn ranges() -> Vec<Option<String>> {
    let len = OBJECT.len();
    let mut ranges = vec![None];
    for first in 0..len {
        ranges.push(Some(format!("bytes={first}-")));
        ranges.extend((first..len + 2).map(|last| Some(format!("bytes={first}-{last}"))));
    }
    ranges.extend((1..len + 2).map(|n| Some(format!("bytes=-{n}"))));
    ranges
}

/// Every download that can break: the request's range, the first answer, what it says, and how many bytes were sent.
fn breaks(mut each: impl FnMut(&Answer, &Resumable, usize, u32)) {
    let mut seen = 0;
    for range in ranges() {
        for chunked in [false, true] {
            let answer = serve(OBJECT, "\"1\"", range.as_deref(), chunked);
            let asked =
                Asked::read(range.as_ref().map_or(Field::Absent, |r| Field::One(r.as_bytes())));
            let download = Resumable::of(true, asked, &answer.head()).expect("fit");
            for sent in 0..=answer.body.len() {
                for verify in [0, 1, 3, 100] {
                    each(&answer, &download, sent, verify);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 1_000, "{seen}");
}

#[test]
fn what_an_agreeing_server_adds_makes_the_body_whole() {
    breaks(|answer, download, sent, verify| {
        let mut download = download.clone();
        let known = download.length().is_some();
        assert!(known || answer.status == 200);
        let Some(rest) = download.rest(sent as u64, verify) else {
            assert!(known && sent == answer.body.len());
            return;
        };
        let overlap = rest.overlap as usize;
        assert!(overlap <= sent && overlap <= verify.max(1) as usize);
        for chunked in [false, true] {
            let more = serve(OBJECT, "\"1\"", Some(&rest.range), chunked);
            let goes_on = download.judge(&rest, &more.head()).expect("exact");
            assert_eq!(goes_on.length, more.body.len() as u64);
            let mut whole = answer.body[..sent].to_vec();
            assert_eq!(whole[sent - overlap..], more.body[..overlap]);
            whole.extend_from_slice(&more.body[overlap..]);
            assert_eq!(whole, answer.body);
            // Now the end is known, even if it was not.
            assert_eq!(download.length(), Some(answer.body.len() as u64));
        }
    });
}

#[test]
fn a_server_that_disagrees_in_anything_is_refused() {
    let longer = [OBJECT, b"h"].concat();
    breaks(|_, download, sent, verify| {
        let Some(rest) = download.rest(sent as u64, verify) else { return };
        let judge = |answer: &Answer| download.clone().judge(&rest, &answer.head());
        let good = serve(OBJECT, "\"1\"", Some(&rest.range), false);
        assert!(judge(&good).is_ok());
        assert_eq!(
            judge(&serve(OBJECT, "\"2\"", Some(&rest.range), false)),
            Err(Refusal::Validator)
        );
        assert_eq!(
            judge(&serve(OBJECT, "W/\"1\"", Some(&rest.range), false)),
            Err(Refusal::Validator)
        );
        assert_eq!(judge(&serve(OBJECT, "\"1\"", None, false)), Err(Refusal::Status(200)));
        for object in [&longer[..], &OBJECT[..OBJECT.len() - 1]] {
            let other = serve(object, "\"1\"", Some(&rest.range), false);
            // Where nobody knows the length, a longer object with the same strong validator is the same object.
            if download.length().is_some() {
                assert!(judge(&other).is_err(), "{rest:?} {other:?}");
            }
        }
        let changed = |name, value: Option<&str>| {
            let mut answer = good.clone();
            answer.set(name, value);
            judge(&answer)
        };
        let (first, last) = (rest.from, OBJECT.len() as u64 - 1);
        let range = |a: u64, b: u64, total: &str| format!("bytes {a}-{b}/{total}");
        assert_eq!(changed("etag", None), Err(Refusal::Validator));
        assert_eq!(changed("content-range", None), Err(Refusal::Range));
        assert!(changed("content-range", Some(&range(first + 1, last + 1, "9"))).is_err());
        assert!(changed("content-range", Some(&range(first, last + 1, "9"))).is_err());
        assert!(changed("content-range", Some(&range(first, last, "99"))).is_err());
        assert!(changed("content-range", Some(&range(first, last, "*"))).is_err());
        assert_eq!(changed("content-length", Some("0")), Err(Refusal::Framing));
        assert_eq!(changed("content-length", Some("+1")), Err(Refusal::Framing));
        assert_eq!(changed("transfer-encoding", Some("chunked")), Err(Refusal::Framing));
        assert_eq!(changed("content-encoding", Some("gzip")), Err(Refusal::Encoding));
        assert_eq!(changed("content-type", Some("text/html")), Err(Refusal::Kind));
        assert!(changed("content-type", None).is_ok());
        let mut twice = good.clone();
        twice.fields.push(("etag", "\"1\"".to_owned()));
        assert_eq!(judge(&twice), Err(Refusal::Validator));
    });
}

/// Any answer at all that is taken has exactly the bytes that are missing.
#[test]
fn no_range_but_the_right_one_is_taken() {
    breaks(|answer, download, sent, verify| {
        let Some(rest) = download.rest(sent as u64, verify) else { return };
        let Rest { from, overlap, .. } = rest;
        for first in 0..9u64 {
            for last in first..9 {
                for total in [None, Some(OBJECT.len() as u64), Some(9)] {
                    let total_text = total.map_or("*".to_owned(), |t| t.to_string());
                    let text = format!("bytes {first}-{last}/{total_text}");
                    let fields = [("etag", "\"1\""), ("content-type", "text/plain")];
                    let fields = fields.into_iter().chain([("content-range", text.as_str())]);
                    let head = Head::read(206, fields.map(|(n, v)| (n, v.as_bytes())));
                    let mut download = download.clone();
                    if download.judge(&rest, &head).is_ok() {
                        let at = download.place(0);
                        assert_eq!(first, from);
                        assert_eq!(from, at + sent as u64 - u64::from(overlap));
                        let whole = last + 1 - at;
                        if answer.status == 206 || total == Some(OBJECT.len() as u64) {
                            assert_eq!(whole, answer.body.len() as u64);
                        }
                    }
                }
            }
        }
    });
}
