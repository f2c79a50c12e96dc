//! Downloads by FTP whose server breaks: the client gets every byte from another server that has the same file, or can tell
//! that it has not.

use crate::ftpd::client::all;
use crate::ftpd::server::{BREAKS, How, SILENCE, Script};
use crate::ftpd::{Relay, file, link};
use dsc_wire::{BackendId, BackendState, Light};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

/// Longer than what is read at once, and no multiple of it.
const LENGTH: usize = 200_001;

#[tokio::test]
async fn each_kind_of_break_at_each_kind_of_place_is_mended() {
    let bytes = file(LENGTH);
    let places = [0, 1, 65_535, 65_536, 65_537, LENGTH / 2, LENGTH - 1, LENGTH];
    let mut cases = JoinSet::new();
    for how in BREAKS {
        for at in places {
            cases.spawn(is_mended(bytes.clone(), how, at));
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

async fn is_mended(bytes: Vec<u8>, how: How, at: usize) {
    let scripts = vec![Script::of(&bytes).breaks(at, how).held(), Script::of(&bytes)];
    let relay = Relay::start(link(), scripts).await;
    let mut client = relay.client().await;
    assert_eq!(client.ask("CWD pub").await, 250);
    let got = relay.broken(&mut client, "RETR f", at).await;
    // Who sent all and says that it failed knows something.
    let is_whole = !(how == How::SayFailed && at == bytes.len());
    let code = if is_whole { 226 } else { 426 };
    assert_eq!((got.code, got.is_closed), (code, is_whole), "{how:?} at {at}");
    assert!(!is_whole || got.bytes == bytes, "{how:?} at {at}: other bytes");
    let is_short = at < bytes.len();
    assert_eq!(relay.count("bodies_resumed"), u64::from(is_short), "{how:?} at {at}");
    assert_eq!(client.ask("NOOP").await, 200, "the session goes on");
    if is_short {
        let mut wanted = vec!["USER joe", "PASS x", "TYPE I", "CWD pub", "SIZE f", "MDTM f"];
        let rest = format!("REST {at}");
        wanted.extend(if at == 0 { vec!["EPSV"] } else { vec!["EPSV", &rest] });
        wanted.extend(["RETR f", "NOOP"]);
        assert_eq!(relay.servers[1].heard(), wanted, "{how:?} at {at}");
    }
}

#[tokio::test]
async fn a_client_s_own_restart_is_honoured() {
    let bytes = file(LENGTH);
    let scripts = vec![Script::of(&bytes).breaks(150_000, How::Reset).held(), Script::of(&bytes)];
    let relay = Relay::start(link(), scripts).await;
    let mut client = relay.client().await;
    assert_eq!(client.ask("REST 100000").await, 350);
    let got = relay.broken(&mut client, "RETR f", 50_000).await;
    assert_eq!((got.code, got.bytes == bytes[100_000..]), (226, true));
    assert!(relay.servers[1].heard().contains(&"REST 150000".to_owned()));
    let got = client.get("RETR f").await;
    assert_eq!((got.code, got.bytes == bytes), (226, true), "REST is of one transfer");
}

#[tokio::test]
async fn servers_that_disagree_are_never_mixed() {
    let bytes = file(LENGTH);
    let other = || Script::of(&file(LENGTH));
    let rows: Vec<(&str, Script)> = vec![
        ("another length", Script::of(&file(LENGTH + 1))),
        ("another length is said", Script { size: Some("213 9"), ..other() }),
        ("no SIZE", Script { size: Some("502 no"), ..other() }),
        ("another time", Script { mdtm: "213 20261127230301", ..other() }),
        ("no MDTM", Script { mdtm: "500 no", ..other() }),
        ("no REST", Script { rest: "502 no", ..other() }),
        ("REST is not obeyed", Script { rest: "200 whatever", ..other() }),
        ("no file", other().answers("RETR", "550 no such file")),
        ("no directory", other().answers("CWD", "550 no such directory")),
        ("no login", other().answers("PASS", "530 no")),
        ("no binary", other().answers("TYPE", "504 no")),
        ("no data connection", other().answers("EPSV", "500 no").answers("PASV", "500 no")),
        ("garbage", other().answers("SIZE", "hello")),
        ("another protocol", other().answers("greeting", "SSH-2.0-x")),
        ("it leaves", other().answers("MDTM", "")),
    ];
    for (what, script) in rows {
        // The first server is asked again when no other will do; it breaks as often.
        let mut first = Script::of(&bytes).held();
        first.breaks = vec![(100_000, How::Reset); 8];
        let relay = Relay::start(link(), vec![first, script]).await;
        let mut client = relay.client().await;
        assert_eq!(client.ask("CWD pub").await, 250);
        let got = relay.broken(&mut client, "RETR f", 100_000).await;
        assert_eq!((got.code, got.is_closed, got.bytes.len()), (426, false, 100_000), "{what}");
        assert!(bytes.starts_with(&got.bytes), "{what}: a wrong byte");
        assert_eq!(relay.count("bodies_cut"), 1, "{what}");
        let is_other = what.starts_with("another ");
        assert!(!is_other || relay.servers[1].times("SIZE f") <= 1, "{what}: asked again");
    }
}

#[tokio::test]
async fn the_third_server_goes_on_when_the_second_disagrees() {
    let bytes = file(LENGTH);
    let second = Script { mdtm: "213 19991231235959", ..Script::of(&file(LENGTH)) };
    let scripts = vec![Script::of(&bytes).breaks(9, How::Silent), second, Script::of(&bytes)];
    let relay = Relay::start(link(), scripts).await;
    let got = relay.client().await.get("RETR f").await;
    assert_eq!((got.code, got.is_closed, got.bytes == bytes), (226, true, true));
    assert_eq!((relay.count("bodies_resumed"), relay.count("rests_refused")), (1, 1));
}

#[tokio::test]
async fn the_same_server_goes_on_when_there_is_no_other() {
    let bytes = file(LENGTH);
    let script = Script::of(&bytes).breaks(70_000, How::Reset).breaks(140_000, How::Close);
    let relay = Relay::start(link(), vec![script.breaks(190_000, How::CloseData)]).await;
    let got = relay.client().await.get("RETR f").await;
    assert_eq!((got.code, got.is_closed, got.bytes == bytes), (226, true, true));
    assert_eq!(relay.count("bodies_resumed"), 3);
}

#[tokio::test]
async fn what_cannot_be_compared_does_not_go_on() {
    let bytes = file(LENGTH);
    let broken = || Script::of(&bytes).breaks(100_000, How::Close).held();
    let rows: Vec<(&str, Script, bool)> = vec![
        ("RETR f", broken(), true),
        ("RETR f", Script { size: Some("502 no"), ..broken() }, false),
        ("RETR f", Script { mdtm: "502 no", ..broken() }, false),
        ("RETR f", Script { mdtm: "213 19700101000001", ..broken() }, false),
        ("LIST", broken(), false),
        // It says that it is done, but it is not.
        ("RETR f", Script::of(&bytes).breaks(100_000, How::SayDone).held(), false),
        // It sends more than it said.
        ("RETR f", Script { size: Some("213 50000"), ..broken() }, false),
    ];
    for (line, script, goes_on) in rows {
        let what = format!("{line} {:?} {} {:?}", script.size, script.mdtm, script.breaks);
        let second = Script { size: script.size, mdtm: script.mdtm, ..Script::of(&bytes) };
        let relay = Relay::start(link(), vec![script, second]).await;
        let mut client = relay.client().await;
        let got = relay.broken(&mut client, line, 100_000).await;
        assert_eq!((got.code == 226, got.is_closed), (goes_on, goes_on), "{what}");
        assert!(bytes.starts_with(&got.bytes), "{what}: a wrong byte");
        assert_eq!(relay.count("bodies_resumed"), u64::from(goes_on), "{what}");
    }
    // Text, and a service that is told not to.
    for is_text in [true, false] {
        let mut link = link();
        link.resume = is_text;
        let relay = Relay::start(link, vec![broken(), Script::of(&bytes)]).await;
        let mut client = relay.client().await;
        if is_text {
            assert_eq!(client.ask("TYPE A").await, 200);
        }
        let got = relay.broken(&mut client, "RETR f", 100_000).await;
        assert_eq!((got.code, got.is_closed), (426, false));
        assert_eq!(relay.count("bodies_resumed"), 0);
        assert!(!is_text || !relay.servers[0].heard().contains(&"SIZE f".to_owned()));
    }
    // A session that changed something on its server.
    let relay = Relay::start(link(), vec![broken(), Script::of(&bytes)]).await;
    let mut client = relay.client().await;
    assert_eq!(client.ask("SITE UMASK 0").await, 200);
    let got = relay.broken(&mut client, "RETR f", 100_000).await;
    assert_eq!((got.code, got.is_closed), (426, false));
}

#[tokio::test]
async fn a_list_that_has_not_begun_is_asked_for_again() {
    let scripts = vec![Script::of(b"a\r\n").breaks(0, How::Reset), Script::of(b"a\r\n")];
    let relay = Relay::start(link(), scripts).await;
    let got = relay.client().await.get("LIST").await;
    assert_eq!((got.code, &got.bytes[..]), (226, &b"a\r\n"[..]));
}

#[tokio::test]
async fn an_overlap_finds_what_size_and_time_do_not() {
    let bytes = file(LENGTH);
    let mut other = bytes.clone();
    other[99_999] ^= 1;
    for (overlap, code) in [(0, 226), (1, 426), (65_536, 426)] {
        let mut link = link();
        link.verify_overlap = overlap;
        let mut first = Script::of(&bytes).held();
        first.breaks = vec![(100_000, How::Reset); 8];
        let relay = Relay::start(link.clone(), vec![first, Script::of(&other)]).await;
        let got = relay.broken(&mut relay.client().await, "RETR f", 100_000).await;
        assert_eq!((got.code, got.is_closed), (code, code == 226), "{overlap}");
        assert!(bytes.starts_with(&got.bytes) || overlap == 0);
        assert_eq!(relay.servers[1].times("RETR f"), 1, "who has other bytes is not asked again");
        let first = Script::of(&bytes).breaks(100_000, How::Reset).held();
        let relay = Relay::start(link, vec![first, Script::of(&bytes)]).await;
        let got = relay.broken(&mut relay.client().await, "RETR f", 100_000).await;
        assert_eq!((got.code, got.bytes == bytes), (226, true), "{overlap}");
        let rest = format!("REST {}", 100_000 - overlap);
        assert!(relay.servers[1].heard().contains(&rest), "{overlap}");
    }
}

#[tokio::test]
async fn a_red_light_ends_a_server_s_part_and_so_does_disabling_it() {
    let rows = [(Light::Red, BackendState::Enabled), (Light::Green, BackendState::Disabled)];
    for (light, state) in rows {
        let bytes = file(LENGTH);
        let mut link = link();
        link.silence = std::time::Duration::from_secs(60);
        let scripts = vec![Script::of(&bytes).breaks(100_000, How::Silent), Script::of(&bytes)];
        let relay = Relay::start(link, scripts).await;
        let mut client = relay.client().await;
        let (data, begin) = client.part("RETR f\u{1b}[2J", 100_000).await;
        let listed = relay.service.downloads.all();
        assert_eq!((listed.len(), &listed[0].object[..], listed[0].bytes()), (1, "f?[2J", 100_000));
        relay.service.stands(BackendId(0), light, state);
        let got = client.rest(data).await;
        assert_eq!((got.code, [begin, got.bytes].concat() == bytes), (226, true));
        assert_eq!((listed[0].resumes(), listed[0].backend()), (1, relay.servers[1].address));
        assert!(relay.service.downloads.all().is_empty());
        assert_eq!((relay.count("requests"), relay.count("bytes")), (1, LENGTH as u64));
    }
}

#[tokio::test]
async fn a_server_that_is_disabled_sends_no_more_even_if_nobody_goes_on() {
    let bytes = file(LENGTH);
    let relay = Relay::start(link(), vec![Script::of(&bytes).breaks(100_000, How::Silent)]).await;
    let mut client = relay.client().await;
    let (data, _) = client.part("LIST", 100_000).await;
    relay.service.stands(BackendId(0), Light::Green, BackendState::Disabled);
    let got = client.rest(data).await;
    assert_eq!((got.code, got.is_closed), (426, false));
}

#[tokio::test]
async fn a_download_waits_for_a_server_that_is_well_again() {
    let bytes = file(LENGTH);
    let first = Script::of(&bytes).breaks(100_000, How::Silent);
    let relay = Relay::start(link(), vec![first, Script::of(&bytes)]).await;
    let mut client = relay.client().await;
    let (data, begin) = client.part("RETR f", 100_000).await;
    relay.service.stands(BackendId(1), Light::Red, BackendState::Enabled);
    relay.servers[0].kill();
    while relay.count("bodies_broken") == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(relay.count("bodies_resumed"), 0);
    let listed = relay.service.downloads.all();
    assert!(listed[0].is_searching());
    relay.service.stands(BackendId(1), Light::Green, BackendState::Enabled);
    let got = client.rest(data).await;
    assert_eq!((got.code, [begin, got.bytes].concat() == bytes), (226, true));
    assert!(!listed[0].is_searching());
}

#[tokio::test]
async fn a_pause_ends_nothing_where_nobody_can_go_on() {
    let bytes = file(LENGTH);
    let mut link = link();
    link.silence = std::time::Duration::from_millis(100);
    let quiet = || Script::of(&bytes).breaks(100_000, How::SayDone).held();
    let two = || vec![quiet(), Script::of(&bytes)];
    let rows = [("LIST", two(), true), ("RETR f", vec![quiet()], true), ("RETR f", two(), false)];
    for (line, scripts, resume) in rows {
        link.resume = resume;
        let relay = Relay::start(link.clone(), scripts).await;
        let mut client = relay.client().await;
        let (mut data, _) = client.part(line, 100_000).await;
        let wait = tokio::time::timeout(link.silence * 5, data.read_u8()).await;
        assert!(wait.is_err(), "{line}: {wait:?}");
        relay.servers[0].may_break();
        let code = client.rest(data).await.code;
        assert_eq!(code, if line == "LIST" { 226 } else { 426 }, "{line}");
    }
}

#[tokio::test]
async fn a_relay_that_dies_does_not_look_like_an_end() {
    let bytes = file(LENGTH);
    let relay = Relay::start(link(), vec![Script::of(&bytes).breaks(100_000, How::Silent)]).await;
    let mut client = relay.client().await;
    let (data, _) = client.part("RETR f", 100_000).await;
    relay.kill();
    assert_eq!(all(data).await, (Vec::new(), false));
    assert!(client.heard().await.is_none());
}

#[tokio::test]
async fn a_pause_ends_when_another_server_may_be_asked() {
    let bytes = file(LENGTH);
    let mut link = link();
    link.silence = std::time::Duration::from_millis(100);
    let scripts = vec![Script::of(&bytes).breaks(100_000, How::Silent), Script::of(&bytes)];
    let relay = Relay::start(link.clone(), scripts).await;
    relay.service.stands(BackendId(1), Light::Red, BackendState::Enabled);
    let mut client = relay.client().await;
    let (mut data, begin) = client.part("RETR f", 100_000).await;
    let wait = tokio::time::timeout(link.silence * 5, data.read_u8()).await;
    assert!(wait.is_err(), "{wait:?}");
    assert_eq!(relay.count("bodies_broken"), 0, "a red light is nobody who may be asked");
    relay.service.stands(BackendId(1), Light::Green, BackendState::Enabled);
    let got = client.rest(data).await;
    assert_eq!((got.code, [begin, got.bytes].concat() == bytes), (226, true));
}

#[tokio::test]
async fn a_server_that_is_silent_when_it_should_go_on_is_passed_over() {
    let bytes = file(LENGTH);
    let mut link = link();
    // Who was silent is not waited for as long as a reply may take.
    (link.silence, link.head) = (link.connect, std::time::Duration::from_secs(60));
    let silent = Script::of(&bytes).answers("SIZE", SILENCE);
    let scripts = vec![Script::of(&bytes).breaks(9, How::Reset), silent, Script::of(&bytes)];
    let relay = Relay::start(link, scripts).await;
    let got = relay.client().await.get("RETR f").await;
    assert_eq!((got.code, got.bytes == bytes, relay.count("rests_failed")), (226, true, 1));
}

#[tokio::test]
async fn a_download_that_nobody_can_go_on_with_is_cut() {
    let bytes = file(LENGTH);
    let relay = Relay::start(link(), vec![Script::of(&bytes).breaks(100_000, How::Silent)]).await;
    let mut client = relay.client().await;
    let (data, _) = client.part("RETR f", 100_000).await;
    relay.servers[0].kill();
    let got = client.rest(data).await;
    assert_eq!((got.code, got.is_closed, got.bytes.len()), (426, false, 0));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_when_it_is_idle_and_not_before() {
    // More than all buffers on the way hold.
    let bytes = vec![7; 64 << 20];
    let mut link = link();
    (link.silence, link.idle) = (std::time::Duration::from_millis(100), link.head);
    let relay = Relay::start(link.clone(), vec![Script::of(&bytes), Script::of(&bytes)]).await;
    let mut client = relay.client().await;
    let (data, code) = client.begin("RETR f").await;
    assert_eq!(code, 150);
    let wait = tokio::time::timeout(link.silence * 5, client.heard()).await;
    assert!(wait.is_err(), "{wait:?}");
    assert_eq!(client.reply().await.code, 426);
    assert!(!all(data).await.1);
    assert_eq!(relay.count("bodies_broken"), 0, "its server did nothing wrong");
}
