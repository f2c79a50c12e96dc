//! Uploads by FTP that do not come to their end: no server is left with half a file that looks whole, and none is told twice.

use crate::ftpd::client::{Client, all};
use crate::ftpd::server::{SILENCE, Script};
use crate::ftpd::{Relay, link};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A relay with one server, and an upload of which half has been sent.
async fn half() -> (Relay, Client, TcpStream) {
    let mut link = link();
    link.idle = Duration::from_secs(1);
    let relay = Relay::start(link, vec![Script::of(b"")]).await;
    let mut client = relay.client().await;
    let (mut data, code) = client.begin("STOR f").await;
    assert_eq!(code, 150);
    data.write_all(b"half").await.unwrap();
    (relay, client, data)
}

/// The session goes on with the server that it had, and nothing was stored there.
async fn goes_on(relay: &Relay, client: &mut Client, what: &str) {
    assert_eq!(client.ask("NOOP").await, 200, "{what}");
    assert_eq!(client.put("STOR whole", b"whole").await, 226, "{what}");
    assert_eq!(relay.servers[0].stored(), [b"whole"], "{what}");
    assert_eq!(relay.servers[0].times("USER joe"), 1, "{what}");
}

#[tokio::test]
async fn half_a_file_is_not_stored() {
    let (relay, mut client, data) = half().await;
    client.say(b"ABOR\r\n").await;
    assert_eq!((client.reply().await.code, client.reply().await.code), (426, 226));
    drop(data);
    goes_on(&relay, &mut client, "ABOR").await;
    let (relay, mut client, data) = half().await;
    assert_eq!(client.reply().await.code, 426);
    assert!(!all(data).await.1);
    goes_on(&relay, &mut client, "nothing more comes").await;
    let (relay, client, data) = half().await;
    let backend = relay.service.setup().backends[0].clone();
    assert_eq!(backend.active(), 1);
    drop(client);
    let left = async {
        while backend.active() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), left).await.expect("the server is free again");
    assert!(!all(data).await.1);
    assert!(relay.servers[0].stored().is_empty());
}

#[tokio::test]
async fn an_upload_without_a_data_connection_is_no_empty_file() {
    let mut link = link();
    link.client_head = Duration::from_millis(300);
    let relay = Relay::start(link, vec![Script::of(b"")]).await;
    let mut client = relay.client().await;
    client.passive().await;
    assert_eq!(client.ask("STOR f").await, 150);
    assert_eq!(client.reply().await.code, 425);
    goes_on(&relay, &mut client, "no data connection").await;
}

#[tokio::test]
async fn a_server_that_wants_no_more_is_believed_but_not_that_it_has_all() {
    let rows = [
        ("150 send it\r\n552 full", 552),
        ("150 send it\r\n110 a marker\r\n552 full", 552),
        ("150 send it\r\n226 stored", 451),
    ];
    for (answer, wanted) in rows {
        let (relay, mut client) = Relay::one(Script::of(b"").answers("STOR", answer)).await;
        let (data, code) = client.begin("STOR f").await;
        assert_eq!((code, client.reply().await.code), (150, wanted));
        assert!(!all(data).await.1);
        assert_eq!(client.ask("NOOP").await, 200);
        assert_eq!(relay.servers[0].times("USER joe"), 1);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_more_may_say_why() {
    let mut link = link();
    link.silence = Duration::from_secs(60);
    let full = Script { room: Some(4), ..Script::of(b"") };
    let relay = Relay::start(link, vec![full, Script::of(b"")]).await;
    let mut client = relay.client().await;
    let (mut data, code) = client.begin("STOR f").await;
    assert_eq!(code, 150);
    data.write_all(b"four").await.unwrap();
    while relay.servers[0].times("(full)") == 0 {
        tokio::task::yield_now().await;
    }
    data.write_all(b"more").await.unwrap();
    let wait = timeout(Duration::from_millis(200), client.heard()).await;
    assert!(wait.is_err(), "{wait:?}");
    relay.servers[0].may_break();
    assert_eq!((client.reply().await.code, all(data).await.1), (552, false));
    assert_eq!(client.ask("NOOP").await, 200);
    assert_eq!(relay.servers[1].times("NOOP"), 0, "it has still the session");
}

#[tokio::test]
async fn an_upload_whose_server_says_nothing_is_told_to_no_other() {
    // When it is told to store, and when it has all.
    for answer in [SILENCE, "", "150 send it"] {
        let first = Script::of(b"").answers("STOR", answer);
        let relay = Relay::start(link(), vec![first, Script::of(b"")]).await;
        let mut client = relay.client().await;
        assert_eq!(client.put("STOR f", b"all").await, 451, "{answer:?}");
        assert_eq!(client.ask("DELE f").await, 200, "{answer:?}");
        let [first, second] = &relay.servers[..] else { panic!("two servers") };
        assert_eq!((first.times("STOR f"), second.times("STOR f")), (1, 0), "{answer:?}");
        assert_eq!((first.times("DELE f"), second.times("DELE f")), (0, 1), "{answer:?}");
    }
}

#[tokio::test]
async fn an_upload_that_was_not_yet_told_is_told_to_another() {
    // The relay prints the place without the zero.
    for line in ["EPSV", "REST 2"] {
        let scripts = vec![Script::of(b"").answers(line, ""), Script::of(b"")];
        let relay = Relay::start(link(), scripts).await;
        let mut client = relay.client().await;
        assert_eq!(client.ask("REST 02").await, 350);
        assert_eq!(client.put("STOR f", b"all").await, 226, "{line}");
        assert_eq!(relay.servers[0].times(line), 1);
        assert_eq!((relay.servers[1].times("REST 2"), relay.servers[1].stored().len()), (1, 1));
    }
}
