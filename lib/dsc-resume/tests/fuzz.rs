//! Any bytes as fields of heads: nothing panics, what is read is what is written, and an answer that is taken has the place and
//! the length that is missing, at the far end of the numbers too.

use bolero::{TypeGenerator, check};
use dsc_resume::{Asked, ContentRange, Field, Head, Resumable, http_date};

const SHORT: usize = 50_000;

#[test]
fn any_text_is_read_without_harm() {
    check!().with_iterations(SHORT).with_max_len(80).for_each(|bytes: &[u8]| {
        http_date(bytes);
        Asked::read(Field::One(bytes));
        if let Some(part) = ContentRange::read(bytes) {
            assert_eq!(ContentRange::read(part.to_string().as_bytes()), Some(part));
        }
        // With the right word before it, or nothing would get past it.
        let after = |word: &[u8]| [word, bytes].concat();
        let range = after(b"bytes=");
        Asked::read(Field::One(&range));
        let range = after(b"bytes ");
        if let Some(part) = ContentRange::read(&range) {
            assert!(part.first <= part.last && part.total.is_none_or(|t| part.last < t));
        }
    });
}

#[derive(Clone, Debug, TypeGenerator)]
struct Case {
    length: Option<u64>,
    part: Option<(u64, u64, Option<u64>)>,
    sent: u64,
    verify: u32,
    near: u8,
    answer: (u64, u64, Option<u64>),
    /// Takes that much from the exact answer instead: first, last, total.
    off: Option<(i8, i8, i8)>,
}

fn range(part: (u64, u64, Option<u64>)) -> String {
    let total = part.2.map_or("*".to_owned(), |t| t.to_string());
    format!("bytes {}-{}/{total}", part.0, part.1)
}

/// Numbers that are near each other, or no two would ever meet.
fn closer(case: &mut Case) {
    if case.near.is_multiple_of(4) {
        return;
    }
    let base = if case.near % 4 == 1 { 0 } else { u64::MAX - 300 };
    let near = |n: &mut u64| *n = base + *n % 300;
    case.length.as_mut().map(near);
    if let Some((first, last, total)) = &mut case.part {
        near(first);
        near(last);
        total.as_mut().map(near);
    }
    case.sent %= 300;
}

#[test]
fn arithmetic_holds_for_all_numbers() {
    let mut taken = 0u32;
    check!().with_iterations(SHORT).with_type::<Case>().cloned().for_each(|mut case: Case| {
        closer(&mut case);
        let length = case.length.map(|l| l.to_string());
        let part = case.part.map(range);
        let asked = match case.part {
            Some((first, last, _)) => Asked::From { first, last: Some(last) },
            None => Asked::All,
        };
        let mut fields = vec![("etag", "\"x\"")];
        if let Some(part) = &part {
            fields.push(("content-range", part));
        } else if let Some(length) = &length {
            fields.push(("content-length", length));
        }
        let status = if part.is_some() { 206 } else { 200 };
        let head = Head::read(status, fields.iter().map(|(n, v)| (*n, v.as_bytes())));
        let Ok(mut download) = Resumable::of(true, asked, &head) else { return };
        let before = download.length();
        let Some(rest) = download.rest(case.sent, case.verify) else { return };
        let at = download.place(0);
        assert_eq!(rest.from + u64::from(rest.overlap), at + case.sent);
        assert!(u64::from(rest.overlap) <= case.sent);
        let end = before.map(|length| at + length);
        let answer = match case.off {
            None => case.answer,
            Some((a, b, c)) => {
                let last = end.unwrap_or(rest.from.saturating_add(100)) - 1;
                let total = case.part.map_or(Some(last.saturating_add(1)), |p| p.2);
                // One time in two exact.
                let less = |n: u64, d: i8| n.saturating_add_signed(i64::from(d % 2));
                (less(rest.from, a), less(last, b), total.map(|t| less(t, c)))
            }
        };
        let text = range(answer);
        let fields = [("etag", "\"x\""), ("content-range", text.as_str())];
        let head = Head::read(206, fields.iter().map(|(n, v)| (*n, v.as_bytes())));
        if let Ok(goes_on) = download.judge(&rest, &head) {
            taken += 1;
            assert_eq!(answer.0, rest.from);
            let length = download.length().expect("known now");
            assert_eq!(goes_on.length - u64::from(rest.overlap), length - case.sent);
            assert!(before.is_none_or(|before| before == length));
        }
    });
    assert!(taken > 100, "only {taken} answers were taken: the cases are too far from the truth");
}
