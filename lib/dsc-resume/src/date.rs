//! The dates of HTTP (RFC 9110, 5.6.7), in the one form that is sent today.

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`; none of another form, or of a day that there is not.
pub fn http_date(text: &[u8]) -> Option<u64> {
    if text.len() != 29 || &text[3..5] != b", " || &text[25..] != b" GMT" {
        return None;
    }
    let blanks = [7, 11, 16].iter().all(|&at| text[at] == b' ');
    if !blanks || text[19] != b':' || text[22] != b':' {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0u64, |n, c| c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0')))
    };
    let month = MONTHS.iter().position(|m| *m == &text[8..11])? as u64 + 1;
    let (day, year) = (number(5, 7)?, number(12, 16)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => 31,
    };
    // A leap second is written as 60.
    let legal = (1..=longest).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if year < 1970 || !legal {
        return None;
    }
    // Years that begin in March have their odd day at the end.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_are_counted_from_1970() {
        let rows: [(&[u8], Option<u64>); 14] = [
            (b"Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            (b"Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799)),
            (b"Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
            (b"Thu, 31 Dec 2099 23:59:60 GMT", Some(4_102_444_800)),
            (b"Mon, 29 Feb 2100 00:00:00 GMT", None),
            (b"Sun, 31 Apr 1994 08:49:37 GMT", None),
            (b"Sun, 06 Nov 1994 24:49:37 GMT", None),
            (b"Sun, 06 Nov 1994 08:49:37 UTC", None),
            (b"Sun, 06 Nov 1994 08-49-37 GMT", None),
            (b"Sun, 6 Nov 1994 08:49:37 GMT", None),
            (b"Sunday, 06-Nov-94 08:49:37 GMT", None),
            (b"Sun Nov  6 08:49:37 1994", None),
            (b"", None),
        ];
        for (text, seconds) in rows {
            assert_eq!(http_date(text), seconds, "{}", String::from_utf8_lossy(text));
        }
    }
}
