//! Servers behind the FTP relay that are slow, or answer wrongly or out of turn: no client takes that for a transfer, and other
//! servers take their place.

use crate::ftpd::client::all;
use crate::ftpd::server::{How, SILENCE, Script};
use crate::ftpd::{Relay, file, link};
use dsc_wire::{BackendId, BackendState, Light};
use tokio::time::Instant;

#[tokio::test]
async fn a_transfer_that_no_server_began_is_not_called_complete() {
    for line in ["RETR f", "STOR f", "LIST"] {
        for answer in ["226 done", "350 more"] {
            let (relay, mut client) = Relay::one(Script::of(b"abc").answers(line, answer)).await;
            assert_eq!(client.get(line).await.code, 451, "{line}: {answer}");
            assert_eq!(client.ask("NOOP").await, 200, "{line}: the session goes on");
            assert_eq!(relay.count("requests_failed"), 1);
        }
    }
    // It may have taken the place, or not.
    let (_relay, mut client) = Relay::one(Script { rest: "200 well", ..Script::of(b"abc") }).await;
    assert_eq!(client.ask("TYPE A").await, 200);
    assert_eq!(client.ask("REST 2").await, 200);
    assert_eq!(client.get("RETR f").await.code, 451);
}

#[tokio::test]
async fn a_server_that_is_not_ready_gets_no_session() {
    for greeting in ["530 not now", "230 welcome", "421 too many", "SSH-2.0-x", SILENCE, ""] {
        let first = Script::of(b"").answers("greeting", greeting);
        let relay = Relay::start(link(), vec![first, Script::of(b"abc")]).await;
        assert_eq!(relay.client().await.get("RETR f").await.bytes, b"abc", "{greeting:?}");
        assert!(relay.servers[0].heard().is_empty(), "{greeting:?}");
    }
    // One that will be ready is waited for.
    let slow = Script::of(b"").answers("greeting", "120 soon\r\n220 ready");
    let (_relay, mut client) = Relay::one(slow.answers("NOOP", "110 yes\r\n200 done")).await;
    assert_eq!((client.ask("NOOP").await, client.ask("PWD").await), (200, 257));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_replaced() {
    // Nothing, and the announcement of more that does not come.
    let rows = [("PWD", SILENCE), ("PWD", "120 wait"), ("EPSV", SILENCE), ("RETR", SILENCE)];
    for (line, answer) in rows {
        let first = Script::of(b"abc").answers(line, answer);
        let relay = Relay::start(link(), vec![first, Script::of(b"abc")]).await;
        let mut client = relay.client().await;
        assert_eq!(client.ask("PWD").await, 257, "{line} {answer}");
        assert_eq!(client.get("RETR f").await.bytes, b"abc", "{line} {answer}");
        assert!(relay.servers[1].times("USER joe") == 1, "{line} {answer}");
    }
}

#[tokio::test]
async fn a_session_leaves_a_server_whose_light_is_red() {
    let relay = Relay::start(link(), vec![Script::of(b""), Script::of(b"")]).await;
    let mut client = relay.client().await;
    relay.service.stands(BackendId(0), Light::Red, BackendState::Enabled);
    assert_eq!(client.ask("DELE f").await, 200);
    assert_eq!((relay.servers[0].times("DELE f"), relay.servers[1].times("DELE f")), (0, 1));
}

#[tokio::test]
async fn a_server_that_does_not_end_an_aborted_transfer_is_left() {
    let bytes = file(200_000);
    let first = Script::of(&bytes).breaks(100_000, How::Silent);
    let relay = Relay::start(link(), vec![first, Script::of(b"")]).await;
    let mut client = relay.client().await;
    let (data, _) = client.part("LIST", 100_000).await;
    client.say(b"ABOR\r\n").await;
    assert_eq!((client.reply().await.code, client.reply().await.code), (426, 226));
    assert!(!all(data).await.1);
    assert_eq!(client.ask("DELE f").await, 200, "it is not said to one that is out of step");
    assert_eq!(relay.servers[1].times("DELE f"), 1);
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_asked_of_no_other_server() {
    let long = format!("213-Files\r\n{}213 End", " a file\r\n".repeat(10_000)).leak();
    let scripts =
        vec![Script::of(b"").answers("STAT", long), Script::of(b"").answers("STAT", long)];
    let relay = Relay::start(link(), scripts).await;
    let mut client = relay.client().await;
    assert_eq!(client.ask("STAT /large").await, 451);
    assert_eq!(relay.servers[1].times("STAT /large"), 0);
    assert_eq!(client.ask("NOOP").await, 200, "the session goes on");
    let now = Instant::now();
    assert!(relay.service.setup().backends.iter().all(|b| !b.is_suspect(now)));
}
