//! Which responses can be continued, row by row: methods, states, validators, framing.

use dsc_resume::{Asked, ContentRange, Field, Head, Resumable, Unfit, Validator, Weakness};

fn head(status: u16, fields: &'static [(&'static str, &'static str)]) -> Head<'static> {
    Head::read(status, fields.iter().map(|(n, v)| (*n, v.as_bytes())))
}

fn unfit(
    asked: &str,
    status: u16,
    fields: &'static [(&'static str, &'static str)],
) -> Option<Unfit> {
    let asked = match asked {
        "" => Asked::All,
        range => Asked::read(Field::One(range.as_bytes())),
    };
    Resumable::of(true, asked, &head(status, fields)).err()
}

const DATE: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

#[test]
fn only_a_strong_validator_counts() {
    let weak = |w| Some(Unfit::Validator(w));
    assert_eq!(unfit("", 200, &[("ETag", "\"x\""), ("content-length", "7")]), None);
    assert_eq!(unfit("", 200, &[("content-length", "7")]), weak(Weakness::Absent));
    assert_eq!(unfit("", 200, &[("etag", "W/\"x\"")]), weak(Weakness::Weak));
    assert_eq!(unfit("", 200, &[("etag", "w/\"x\"")]), weak(Weakness::Odd));
    assert_eq!(unfit("", 200, &[("etag", "x")]), weak(Weakness::Odd));
    assert_eq!(unfit("", 200, &[("etag", "\"")]), weak(Weakness::Odd));
    assert_eq!(unfit("", 200, &[("etag", "\"a\"b\"")]), weak(Weakness::Odd));
    assert_eq!(unfit("", 200, &[("etag", "\"a\""), ("etag", "\"a\"")]), weak(Weakness::Odd));
    assert_eq!(unfit("", 200, &[("etag", "\"\"")]), None);
    // The date of a response with a weak tag does not count.
    type Row = (&'static [(&'static str, &'static str)], Option<Unfit>);
    let rows: [Row; 6] = [
        (&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("date", DATE)], None),
        (
            &[("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT"), ("date", DATE)],
            weak(Weakness::Young),
        ),
        (
            &[("last-modified", "Sun, 06 Nov 1994 09:49:38 GMT"), ("date", DATE)],
            weak(Weakness::Young),
        ),
        (&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], weak(Weakness::Young)),
        (&[("last-modified", "yesterday"), ("date", DATE)], weak(Weakness::Odd)),
        (
            &[
                ("etag", "W/\"x\""),
                ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("date", DATE),
            ],
            weak(Weakness::Weak),
        ),
    ];
    for (fields, expected) in rows {
        assert_eq!(unfit("", 200, fields), expected, "{fields:?}");
    }
}

#[test]
fn a_date_is_the_validator_only_where_no_answer_has_a_tag() {
    const MODIFIED: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let first = head(200, const { &[MODIFIED, ("date", DATE)] });
    let validator = Validator::of(&first).expect("strong");
    assert_eq!(validator.text(), MODIFIED.1.as_bytes());
    assert!(validator.is_of(&head(206, const { &[MODIFIED] })));
    assert!(!validator.is_of(&head(206, const { &[MODIFIED, ("etag", "\"x\"")] })));
    assert!(!validator.is_of(&head(206, &[("last-modified", "Sun, 06 Nov 1994 08:49:36 GMT")])));
    assert!(!validator.is_of(&head(206, &[])));
}

#[test]
fn other_methods_states_and_ranges_are_not_continued() {
    let of = |is_get, asked, head: &Head<'_>| Resumable::of(is_get, asked, head).err();
    let ok = head(200, &[("etag", "\"x\""), ("content-length", "7")]);
    assert_eq!(of(false, Asked::All, &ok), Some(Unfit::Method));
    assert_eq!(of(true, Asked::Other, &ok), None, "a server may send everything");
    for status in [100, 201, 203, 204, 304, 404, 416, 500] {
        assert_eq!(unfit("", status, &[("etag", "\"x\"")]), Some(Unfit::Status), "{status}");
    }
    const PART: &[(&str, &str)] = &[("etag", "\"x\""), ("content-range", "bytes 2-4/7")];
    assert_eq!(unfit("bytes=2-4", 206, PART), None);
    assert_eq!(unfit("bytes=2-4", 206, &[("etag", "\"x\"")]), Some(Unfit::Range));
    for asked in
        ["", "bytes=2-", "bytes=1-4", "bytes=2-3", "bytes=-3", "bytes=2-5", "bytes=2-4,6-6"]
    {
        assert_eq!(unfit(asked, 206, PART), Some(Unfit::Range), "{asked}");
    }
}

#[test]
fn framing_must_be_plain() {
    let framing = Some(Unfit::Framing);
    assert_eq!(unfit("", 200, &[("etag", "\"x\""), ("content-length", "7, 7")]), framing);
    assert_eq!(unfit("", 200, &[("etag", "\"x\""), ("content-length", "")]), framing);
    let both = &[("etag", "\"x\""), ("content-length", "7"), ("transfer-encoding", "chunked")];
    assert_eq!(unfit("", 200, both), framing);
    let coded = &[("etag", "\"x\""), ("transfer-encoding", "gzip, chunked")];
    assert_eq!(unfit("", 200, coded), framing);
    assert_eq!(unfit("", 200, &[("etag", "\"x\""), ("transfer-encoding", "Chunked")]), None);
    let other = &[("etag", "\"x\""), ("content-range", "bytes 2-4/7"), ("content-length", "4")];
    assert_eq!(unfit("bytes=2-4", 206, other), framing);
}

#[test]
fn ranges_are_read_as_they_are_written() {
    let asked = |text: &str| Asked::read(Field::One(text.as_bytes()));
    let from = |first, last| Asked::From { first, last };
    assert_eq!(asked("bytes=0-0"), from(0, Some(0)));
    assert_eq!(asked("Bytes= 3- "), from(3, None));
    assert_eq!(asked("bytes=-5"), Asked::Suffix(5));
    for text in [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=4-3",
        "bytes=a-3",
        "bytes=1-2,4-5",
        "items=0-1",
        "bytes=+1-",
        "bytes=0-18446744073709551616",
        "bytes=0--1",
        "",
    ] {
        assert_eq!(asked(text), Asked::Other, "{text}");
    }
    assert_eq!(Asked::read(Field::Many), Asked::Other);
    let part = |text: &str| ContentRange::read(text.as_bytes());
    let (first, last) = (2, 4);
    assert_eq!(part("bytes 2-4/7"), Some(ContentRange { first, last, total: Some(7) }));
    assert_eq!(part("bytes 2-4/*"), Some(ContentRange { first, last, total: None }));
    for text in [
        "bytes */7",
        "bytes 4-2/7",
        "bytes 2-7/7",
        "bytes=2-4/7",
        "bytes 2-4",
        "bytes 2-4/",
        "items 2-4/7",
        "bytes 2-4/7 ",
        "bytes 0-18446744073709551615/*",
        "",
    ] {
        assert_eq!(part(text), None, "{text}");
    }
}
