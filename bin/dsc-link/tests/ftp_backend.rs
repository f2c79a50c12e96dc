//! Servers behind the FTP relay that are slow, or answer wrongly or out of turn: no client takes that for a transfer, and other
//! servers take their place.

mod ftpd;

use ftpd::client::Client;
use ftpd::server::Script;
use ftpd::{Relay, link};

/// A relay with one server, and a client that is logged in.
async fn one(script: Script) -> (Relay, Client) {
    let relay = Relay::start(link(), vec![script]).await;
    let client = relay.client().await;
    (relay, client)
}

#[tokio::test]
async fn a_transfer_that_no_server_began_is_not_called_complete() {
    for line in ["RETR f", "STOR f", "LIST"] {
        for answer in ["226 done", "350 more"] {
            let (relay, mut client) = one(Script::of(b"abc").answers(line, answer)).await;
            assert_eq!(client.get(line).await.code, 451, "{line}: {answer}");
            assert_eq!(client.ask("NOOP").await, 200, "{line}: the session goes on");
            assert_eq!(relay.count("requests_failed"), 1);
        }
    }
    // It may have taken the place, or not.
    let (_relay, mut client) = one(Script { rest: "200 well", ..Script::of(b"abc") }).await;
    assert_eq!(client.ask("TYPE A").await, 200);
    assert_eq!(client.ask("REST 2").await, 200);
    assert_eq!(client.get("RETR f").await.code, 451);
}
