//! Tests of one transfer, in rows: what is asked, whose answers agree, how a part ends.

use super::*;

const TIME: &str = "20261127230300";

fn transfer(line: &str, rest: u64, overlap: u32) -> Transfer {
    let command = Command::parse(line.as_bytes()).unwrap();
    Transfer::new(command, rest, Representation::Image, overlap)
}

/// What is said to a server that holds no place, with `|` for the data connection.
fn asked(transfer: &mut Transfer) -> String {
    steps(transfer.begin(false))
}

fn steps(steps: VecDeque<Step>) -> String {
    let text = |step: Step| match step {
        Step::Say(command) => command.to_string(),
        Step::Connect => "|".to_owned(),
    };
    steps.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Answers SIZE, MDTM, REST and RETR; nothing for REST if it is not asked.
fn answer(
    transfer: &mut Transfer,
    size: &str,
    time: &str,
    rest: u16,
    retr: u16,
) -> Result<(), Refusal> {
    for step in transfer.begin(false) {
        let Step::Say(said) = step else { continue };
        let reply = match said.verb {
            Verb::Size => size.split_once(' ').map(|(c, t)| Reply::new(c.parse().unwrap(), t)),
            Verb::Mdtm => time.split_once(' ').map(|(c, t)| Reply::new(c.parse().unwrap(), t)),
            Verb::Rest => Some(Reply::new(rest, "")),
            _ => Some(Reply::new(retr, "")),
        };
        transfer.heard(&said, &reply.unwrap())?;
    }
    Ok(())
}

/// A download of 10 bytes, so many of them sent.
fn running(sent: usize, overlap: u32) -> Transfer {
    let mut transfer = transfer("RETR f", 0, overlap);
    answer(&mut transfer, "213 10", &format!("213 {TIME}"), 350, 150).unwrap();
    assert_eq!(transfer.received(&b"0123456789"[..sent]).unwrap().len(), sent);
    transfer
}

#[test]
fn what_is_asked() {
    assert_eq!(asked(&mut transfer("RETR f", 0, 0)), "SIZE f, MDTM f, |, RETR f");
    assert_eq!(asked(&mut transfer("RETR f", 7, 0)), "SIZE f, MDTM f, |, REST 7, RETR f");
    assert_eq!(asked(&mut transfer("STOR f", 7, 0)), "|, REST 7, STOR f");
    assert_eq!(asked(&mut transfer("STOR f", 0, 0)), "|, STOR f");
    assert_eq!(asked(&mut transfer("LIST", 7, 0)), "|, LIST");
    assert_eq!(asked(&mut running(4, 0)), "SIZE f, MDTM f, |, REST 4, RETR f");
    assert_eq!(asked(&mut running(4, 3)), "SIZE f, MDTM f, |, REST 1, RETR f");
    assert_eq!(asked(&mut running(4, 8)), "SIZE f, MDTM f, |, RETR f");
    assert_eq!(asked(&mut running(0, 8)), "SIZE f, MDTM f, |, RETR f");
    let text = Command::parse(b"RETR f").unwrap();
    assert_eq!(asked(&mut Transfer::new(text, 0, Representation::Ascii, 0)), "|, RETR f");
}

#[test]
fn a_place_that_a_server_holds_is_taken_from_it() {
    let rows = [
        ("RETR f", 0, "SIZE f, MDTM f, |, REST 0, RETR f"),
        ("RETR f", 7, "SIZE f, MDTM f, |, REST 7, RETR f"),
        ("STOR f", 0, "|, REST 0, STOR f"),
        ("STOU", 7, "|, REST 0, STOU"),
        ("LIST", 7, "|, REST 0, LIST"),
    ];
    for (line, rest, wanted) in rows {
        assert_eq!(steps(transfer(line, rest, 0).begin(true)), wanted, "{line} {rest}");
    }
}

#[test]
fn another_server_has_the_same_file_or_is_refused() {
    let time = &format!("213 {TIME}");
    type Row<'a> = (&'a str, &'a str, u16, u16, Result<(), Refusal>);
    let rows: &[Row] = &[
        ("213 10", time, 350, 150, Ok(())),
        ("213 10", time, 350, 125, Ok(())),
        ("213 10 ", "213 20261127230300.00", 350, 150, Ok(())),
        ("213 11", time, 350, 150, Err(Refusal::OtherSize)),
        ("213 9", time, 350, 150, Err(Refusal::OtherSize)),
        ("550 no", time, 350, 150, Err(Refusal::NoSize)),
        ("213 ten", time, 350, 150, Err(Refusal::NoSize)),
        ("200 10", time, 350, 150, Err(Refusal::NoSize)),
        ("213 10", "213 20261127230301", 350, 150, Err(Refusal::OtherTime)),
        ("213 10", "213 20261127230300.5", 350, 150, Err(Refusal::OtherTime)),
        ("213 10", "502 no", 350, 150, Err(Refusal::NoTime)),
        ("213 10", "200 20261127230300", 350, 150, Err(Refusal::NoTime)),
        ("213 10", "213 2026112723030", 350, 150, Err(Refusal::NoTime)),
        ("213 10", "213 yesterday", 350, 150, Err(Refusal::NoTime)),
        ("213 10", time, 502, 150, Err(Refusal::Restart(502))),
        ("213 10", time, 200, 150, Err(Refusal::Restart(200))),
        ("213 10", time, 350, 550, Err(Refusal::Transfer(550))),
        ("213 10", time, 350, 226, Err(Refusal::Transfer(226))),
    ];
    for (size, time, rest, retr, wanted) in rows {
        let found = answer(&mut running(4, 0), size, time, *rest, *retr);
        assert_eq!(found, *wanted, "{size} {time} {rest} {retr}");
    }
    // Before the first byte any server's file is the file.
    let mut none = running(0, 0);
    assert_eq!(answer(&mut none, "213 11", "502 no", 350, 150), Ok(()));
    assert_eq!((none.length(), none.may_go_on()), (Some(11), Ok(())));
}

#[test]
fn what_may_go_on() {
    let rows: &[(&str, &str, &str, Result<(), Refusal>)] = &[
        ("RETR f", "213 10", TIME, Ok(())),
        ("RETR f", "550 no", TIME, Err(Refusal::NoSize)),
        ("RETR f", "213 10", "19700101000001", Err(Refusal::NoTime)),
        ("RETR f", "213 3", TIME, Err(Refusal::Longer)),
        ("LIST f", "", "", Err(Refusal::NotAFile)),
    ];
    for (line, size, time, wanted) in rows {
        let mut transfer = transfer(line, 0, 0);
        answer(&mut transfer, size, &format!("213 {time}"), 350, 150).unwrap();
        assert_eq!(transfer.may_go_on(), Ok(()), "{line}: before the first byte");
        transfer.received(b"0123").unwrap();
        assert_eq!(transfer.may_go_on(), *wanted, "{line} {size} {time}");
        let is_known =
            !matches!(wanted, Err(Refusal::NoSize | Refusal::NoTime | Refusal::NotAFile));
        assert_eq!(transfer.resumes(), is_known, "{line} {size} {time}");
    }
    for (rest, length) in [(0, Some(10)), (4, Some(6)), (10, Some(0)), (11, None)] {
        let mut transfer = transfer("RETR f", rest, 0);
        answer(&mut transfer, "213 10", &format!("213 {TIME}"), 350, 150).unwrap();
        assert_eq!(transfer.length(), length, "{rest}");
    }
    assert_eq!(transfer("STOR f", 0, 0).may_go_on(), Err(Refusal::NotAFile));
    let mut text = Transfer::new(Command::parse(b"RETR f").unwrap(), 0, Representation::Ascii, 0);
    text.received(b"0").unwrap();
    assert_eq!(text.may_go_on(), Err(Refusal::Ascii));
}

#[test]
fn how_a_part_ends() {
    use End::{Broken, Complete, Failed};
    // Sent of 10, closed in good order?, what the server said.
    let rows: &[(usize, bool, Option<u16>, End)] = &[
        (10, true, Some(226), Complete),
        (10, true, Some(250), Complete),
        (10, true, None, Complete),
        (10, false, None, Complete),
        (10, false, Some(421), Complete),
        (10, true, Some(451), Failed(Refusal::Transfer(451))),
        (4, true, None, Broken),
        (4, false, None, Broken),
        (4, true, Some(426), Broken),
        (4, true, Some(421), Broken),
        (4, false, Some(451), Broken),
        (4, true, Some(226), Failed(Refusal::Shorter)),
        (4, false, Some(226), Failed(Refusal::Shorter)),
        (0, true, None, Broken),
        (0, true, Some(226), Failed(Refusal::Shorter)),
    ];
    for (sent, closed, code, wanted) in rows {
        assert_eq!(running(*sent, 0).end(*closed, *code), *wanted, "{sent} {closed} {code:?}");
    }
    // Of unknown length only the server's word makes it whole.
    let rows: &[(bool, Option<u16>, End)] = &[
        (true, Some(226), Complete),
        (true, None, Failed(Refusal::NotAFile)),
        (false, Some(226), Failed(Refusal::NotAFile)),
        (true, Some(426), Failed(Refusal::NotAFile)),
    ];
    for (closed, code, wanted) in rows {
        let mut list = transfer("LIST", 0, 0);
        list.received(b"a").unwrap();
        assert_eq!(list.end(*closed, *code), *wanted, "{closed} {code:?}");
    }
    assert_eq!(transfer("LIST", 0, 0).end(true, None), Broken);
    assert_eq!(transfer("STOR f", 0, 0).end(true, None), Failed(Refusal::NotAFile));
    // A file that grew while it was sent is whole when its server says so, and nobody else goes on with it.
    let mut grown = running(10, 0);
    grown.received(b"more").unwrap();
    assert_eq!(grown.end(true, Some(226)), Complete);
    assert_eq!(grown.end(true, None), Failed(Refusal::Longer));
}

#[test]
fn bytes_sent_again_are_compared() {
    let resumed = |sent: usize, overlap: u32| {
        let mut transfer = running(sent, overlap);
        answer(&mut transfer, "213 10", &format!("213 {TIME}"), 350, 150).unwrap();
        transfer
    };
    let mut same = resumed(4, 3);
    assert_eq!(same.end(true, Some(226)), End::Failed(Refusal::Shorter));
    assert_eq!(same.received(b"1"), Ok(&b""[..]));
    assert_eq!(same.end(true, None), End::Broken);
    assert_eq!(same.received(b"2345"), Ok(&b"45"[..]));
    assert_eq!(same.received(b"6789"), Ok(&b"6789"[..]));
    assert_eq!((same.sent(), same.end(true, Some(226))), (10, End::Complete));
    let mut other = resumed(4, 3);
    assert_eq!(other.received(b"1x3456789"), Err(Refusal::OtherBytes));
    assert_eq!(other.sent(), 4);
    // Nothing beyond the file's end comes from a server that did not begin it.
    assert_eq!(resumed(4, 0).received(b"456789x"), Err(Refusal::Longer));
    assert_eq!(resumed(10, 2).received(b"89x"), Err(Refusal::Longer));
    // All sent, but the overlap is still owed.
    assert_eq!(resumed(10, 2).end(false, None), End::Broken);
    assert_eq!(resumed(10, 2).end(true, Some(226)), End::Failed(Refusal::Shorter));
}
