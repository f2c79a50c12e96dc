//! Sessions of the FTP relay: data connections, uploads, what is said meanwhile, and what becomes of a session whose server fails
//! or leaves while nothing is on its way.

use crate::ftpd::client::{Client, all};
use crate::ftpd::server::{How, Script, Server};
use crate::ftpd::{Relay, file, link};
use dsc_resume::ftp::passive;
use dsc_wire::{BackendId, BackendState, Light};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn each_way_to_a_data_connection() {
    let bytes = file(100_000);
    let (_relay, mut client) = Relay::one(Script::of(&bytes)).await;
    client.say(b"PASV\r\n").await;
    let reply = client.reply().await;
    assert_eq!(reply.code, 227);
    let data = TcpStream::connect(("127.0.0.1", passive(reply.text()).unwrap())).await.unwrap();
    assert_eq!(client.ask("RETR f").await, 150);
    assert_eq!(client.rest(data).await.bytes, bytes);
    for extended in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = if extended {
            format!("EPRT |1|127.0.0.1|{port}|")
        } else {
            format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255)
        };
        assert_eq!(client.ask(&line).await, 200);
        assert_eq!(client.ask("RETR f").await, 150);
        let (data, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), client.stream.peer_addr().unwrap().ip());
        assert_eq!(client.rest(data).await.bytes, bytes);
        // One PORT is for one transfer.
        assert_eq!(client.ask("RETR f").await, 425);
    }
    assert_eq!(client.ask("EPSV ALL").await, 200);
    for line in ["PASV", "PORT 127,0,0,1,200,1", "EPRT |1|127.0.0.1|9999|"] {
        assert_eq!(client.ask(line).await, 503, "{line}");
    }
    assert_eq!(client.get("RETR f").await.bytes, bytes);
}

#[tokio::test]
async fn clients_of_ipv6() {
    let bytes = file(100_000);
    let server = Server::start(Script::of(&bytes)).await;
    let relay = Relay::at("[::1]:0", link(), &[server.address]).await;
    let mut client = relay.client().await;
    assert_eq!(client.get("RETR f").await.bytes, bytes);
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let rows = [
        ("PASV".to_owned(), 425),
        ("PORT 127,0,0,1,200,1".to_owned(), 522),
        ("EPRT |1|127.0.0.1|9999|".to_owned(), 522),
        ("EPRT |2|::2|9999|".to_owned(), 504),
        (format!("EPRT |2|::1|{port}|"), 200),
    ];
    for (line, code) in rows {
        assert_eq!(client.ask(&line).await, code, "{line}");
        if code != 200 {
            assert_eq!(client.ask("RETR f").await, 425, "{line}");
        }
    }
    assert_eq!(client.ask("RETR f").await, 150);
    let (data, _) = listener.accept().await.unwrap();
    assert_eq!(client.rest(data).await.bytes, bytes);
}

#[tokio::test]
async fn a_server_that_is_drained_is_left_between_two_commands() {
    let relay = Relay::start(link(), vec![Script::of(b""), Script::of(b"")]).await;
    let mut client = relay.client().await;
    assert_eq!(client.ask("RNFR a").await, 350);
    relay.service.stands(BackendId(0), Light::Green, BackendState::Draining);
    assert_eq!(client.ask("RNTO b").await, 200);
    assert_eq!(relay.servers[0].heard().last().unwrap(), "RNTO b");
    assert_eq!(client.ask("NOOP").await, 200);
    assert_eq!(relay.servers[0].heard().last().unwrap(), "QUIT");
    relay.service.stands(BackendId(1), Light::Green, BackendState::Draining);
    assert_eq!(client.ask("NOOP").await, 200, "better than nothing");
    let wanted = ["USER joe", "PASS x", "TYPE I", "NOOP", "NOOP"];
    assert_eq!(relay.servers[1].heard(), wanted);
}

#[tokio::test]
async fn a_server_that_knows_only_pasv_is_asked_for_that() {
    let script = Script::of(b"abc").answers("EPSV", "500 unknown (|||9|)");
    let (relay, mut client) = Relay::one(script).await;
    assert_eq!(client.get("RETR f").await.bytes, b"abc");
    assert_eq!(client.get("RETR f").await.bytes, b"abc");
    let heard = relay.servers[0].heard();
    let asked = |line: &str| heard.iter().filter(|h| *h == line).count();
    assert_eq!((asked("EPSV"), asked("PASV")), (1, 2));
}

#[tokio::test]
async fn a_proxy_header_tells_the_client_and_is_passed_on() {
    let bytes = file(1000);
    let mut link = link();
    (link.proxy_in, link.proxy_out) = (true, true);
    let script = Script { is_behind: true, ..Script::of(&bytes) };
    let relay = Relay::start(link, vec![script]).await;
    let mut client = Client::connect(relay.address).await;
    client.say(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 21\r\nUSER joe\r\n").await;
    assert_eq!((client.reply().await.code, client.reply().await.code), (220, 331));
    assert_eq!(client.ask("PASS x").await, 230);
    assert_eq!(client.ask("TYPE I").await, 200);
    assert_eq!(client.ask("PORT 127,0,0,1,200,1").await, 504, "not the client's address");
    assert_eq!(client.ask("PORT 192,0,2,7,200,1").await, 200);
    assert_eq!(client.get("RETR f").await.bytes, bytes, "by way of the proxy");
    assert_eq!(relay.servers[0].heard()[0], "PROXY [192, 0, 2, 7]");
    let mut client = Client::connect(relay.address).await;
    client.say(b"USER joe\r\n").await;
    assert!(client.heard().await.is_none(), "a client without a header");
}

#[tokio::test]
async fn each_transfer_is_a_line_of_the_access_log() {
    let path = std::env::temp_dir().join(format!("dsc-link-ftp-{}.log", std::process::id()));
    let mut link = link();
    link.access_log = Some(path.clone());
    let bytes = file(100_000);
    let scripts = vec![Script::of(&bytes).breaks(50_000, How::Close).held(), Script::of(&bytes)];
    let relay = Relay::start(link, scripts).await;
    let mut client = relay.client().await;
    assert_eq!(relay.broken(&mut client, "RETR pub/f", 50_000).await.code, 226);
    assert_eq!(client.put("STOR new", &bytes).await, 226);
    let (_data, _) = client.part("RETR f", 1000).await;
    drop(client);
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    while lines().lines().count() < 3 {
        tokio::task::yield_now().await;
    }
    let text = lines();
    let _left = std::fs::remove_file(&path);
    let seen = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].to_string();
        let names = ["method", "path", "version", "status", "sent", "whole", "resumes", "backend"];
        names.map(field).join(" ")
    };
    let rows: Vec<String> = text.lines().map(seen).collect();
    let second = format!("\"{}\"", relay.servers[1].address);
    assert_eq!(rows[0], format!(r#""RETR" "pub/f" "FTP" 226 100000 true 1 {second}"#));
    assert_eq!(rows[1], format!(r#""STOR" "new" "FTP" 226 0 true 0 {second}"#));
    assert!(rows[2].starts_with(r#""RETR" "f" "FTP" "#), "{}", rows[2]);
}

#[tokio::test]
async fn a_client_that_does_not_connect_is_told() {
    let (relay, mut client) = Relay::one(Script::of(b"abc")).await;
    client.passive().await;
    assert_eq!(client.ask("RETR f").await, 150);
    assert_eq!(client.reply().await.code, 425);
    assert_eq!(client.get("RETR f").await.bytes, b"abc");
    assert_eq!(relay.servers[0].times("USER joe"), 1, "its server has still the session");
}

#[tokio::test]
async fn uploads_are_relayed() {
    let bytes = file(300_000);
    let (relay, mut client) = Relay::one(Script::of(b"")).await;
    assert_eq!(client.put("STOR f", &bytes).await, 226);
    assert_eq!(client.put("APPE f", b"").await, 226);
    let (data, code) = client.begin("STOR f").await;
    assert_eq!(code, 150);
    data.set_zero_linger().unwrap();
    drop(data);
    assert_eq!(client.reply().await.code, 426, "what broke is not stored");
    assert_eq!(relay.servers[0].stored(), [bytes, Vec::new()]);
    assert_eq!(client.ask("NOOP").await, 200);
}

#[tokio::test]
async fn a_rest_that_no_transfer_took_does_not_move_the_bytes_of_a_later_one() {
    let bytes = b"0123456789";
    // What is said between REST and the transfer, and where that begins then.
    let rows: &[(&[&str], usize)] = &[
        (&[], 4),
        (&["NOOP", "SIZE f"], 4),
        (&["RETR f"], 0),
        (&["STOR f"], 0),
        (&["EPSV", "RETR none"], 0),
        (&["REST 0"], 0),
        (&["USER joe", "PASS x"], 0),
    ];
    for (said, from) in rows {
        let (relay, mut client) =
            Relay::one(Script::of(bytes).answers("RETR none", "550 no")).await;
        // Text has no SIZE that could tell a wrong begin.
        assert_eq!(client.ask("TYPE A").await, 200);
        assert_eq!(client.ask("REST 4").await, 350);
        for line in *said {
            client.ask(line).await;
        }
        let got = client.get("RETR f").await;
        assert_eq!((got.code, &got.bytes[..]), (226, &bytes[*from..]), "{said:?}");
        assert_eq!(client.get("RETR f").await.bytes, bytes, "{said:?}: the next one");
        assert_eq!(client.ask("REST 4").await, 350);
        for line in *said {
            client.ask(line).await;
        }
        assert_eq!(client.put("STOR f", b"").await, 226);
        let heard = relay.servers[0].heard();
        let last = heard.iter().rfind(|h| h.starts_with("REST"));
        assert_eq!(last, Some(&format!("REST {from}")), "{said:?}: an upload");
    }
    let (_relay, mut client) = Relay::one(Script::of(bytes)).await;
    assert_eq!(client.ask("REST 4").await, 350);
    assert_eq!(client.get("LIST").await.bytes, bytes, "a list begins at its begin");
}

#[tokio::test]
async fn an_upload_is_not_repeated() {
    let relay = Relay::start(link(), vec![Script::of(b""), Script::of(b"")]).await;
    let mut client = relay.client().await;
    let (mut data, code) = client.begin("STOR f").await;
    assert_eq!(code, 150);
    data.write_all(b"half").await.unwrap();
    relay.servers[0].kill();
    assert_eq!(client.reply().await.code, 426);
    assert_eq!(client.ask("NOOP").await, 200, "the session goes on");
    assert!(relay.servers[1].stored().is_empty());
    let scripts = vec![Script::of(b"").answers("DELE", ""), Script::of(b"")];
    let relay = Relay::start(link(), scripts).await;
    let mut client = relay.client().await;
    assert_eq!(client.ask("DELE f").await, 451);
    assert_eq!(client.ask("NOOP").await, 200);
    assert!(!relay.servers[1].heard().contains(&"DELE f".to_owned()));
}

#[tokio::test]
async fn a_session_whose_server_left_goes_on_elsewhere() {
    let bytes = file(1000);
    let relay = Relay::start(link(), vec![Script::of(&bytes), Script::of(&bytes)]).await;
    let mut client = Client::connect(relay.address).await;
    assert_eq!(client.reply().await.code, 220);
    assert_eq!(client.ask("USER joe").await, 331);
    relay.servers[0].kill();
    assert_eq!(client.ask("PASS x").await, 230, "half a login is told as well");
    assert_eq!(client.ask("TYPE I").await, 200);
    assert_eq!(client.ask("CWD /pub").await, 250);
    assert_eq!(client.ask("CWD sub").await, 250);
    relay.servers[1].restart();
    let got = client.get("RETR f").await;
    assert_eq!((got.code, got.bytes), (226, bytes));
    let heard = relay.servers[1].heard();
    let again = ["USER joe", "PASS x", "TYPE I", "CWD /pub", "CWD sub", "SIZE f"];
    assert!(heard.windows(again.len()).any(|w| w == again), "{heard:?}");
    relay.servers[1].kill();
    assert_eq!(client.ask("NOOP").await, 421);
    assert!(client.heard().await.is_none());
}

#[tokio::test]
async fn what_was_not_sent_is_not_lost() {
    // The first server leaves, or says something that nobody asked, while nothing is on its way.
    for says in [None, Some("226 late")] {
        let relay = Relay::start(link(), vec![Script::of(b""), Script::of(b"")]).await;
        let mut client = relay.client().await;
        match says {
            Some(line) => relay.servers[0].say(line).await,
            None => relay.servers[0].kill(),
        }
        assert_eq!(client.ask("DELE f").await, 200, "{says:?}");
        assert!(relay.servers[1].heard().contains(&"DELE f".to_owned()), "{says:?}");
        assert!(!relay.servers[0].heard().contains(&"DELE f".to_owned()), "{says:?}");
    }
}

#[tokio::test]
async fn a_reply_that_nobody_asked_is_no_answer_before_it_is_complete() {
    // The begin of another reply comes with the answer, and is read before the next command.
    for begin in ["226-late", "226-late\r\n226-more"] {
        let answer = format!("200 done\r\n{begin}").leak();
        let first = Script::of(b"").answers("NOOP", answer);
        let relay = Relay::start(link(), vec![first, Script::of(b"")]).await;
        let mut client = relay.client().await;
        assert_eq!(client.ask("NOOP").await, 200);
        assert_eq!(client.ask("DELE f").await, 200, "{begin:?}");
        assert!(!relay.servers[0].heard().contains(&"DELE f".to_owned()), "{begin:?}");
    }
}

#[tokio::test]
async fn a_command_whose_server_fails_is_asked_of_another() {
    for answer in ["", "421 going down", "garbage"] {
        let scripts = vec![Script::of(b"").answers("PWD", answer), Script::of(b"")];
        let relay = Relay::start(link(), scripts).await;
        let mut client = relay.client().await;
        assert_eq!(client.ask("XPWD").await, 257, "{answer:?}");
        assert_eq!(relay.count("requests_repeated"), 1);
    }
}

#[tokio::test]
async fn a_transfer_can_be_aborted() {
    // More than all buffers on the way hold.
    let bytes = vec![7; 64 << 20];
    let (relay, mut client) = Relay::one(Script::of(&bytes)).await;
    for abort in [&b"ABOR\r\n"[..], b"\xff\xf4\xff\xf2ABOR\r\n"] {
        let (data, _) = client.part("RETR f", 1000).await;
        // The rest is not read: the relay cannot send, and hears all the same.
        client.say(abort).await;
        assert_eq!(client.reply().await.code, 426);
        assert_eq!(client.reply().await.code, 226);
        assert!(!all(data).await.1, "what was aborted looks whole");
    }
    assert_eq!(client.get("RETR f").await.bytes.len(), bytes.len());
    assert_eq!((relay.count("bodies_broken"), relay.servers[0].times("USER joe")), (0, 1));
}

#[tokio::test]
async fn what_is_said_during_a_transfer_waits_for_its_end() {
    let bytes = file(8 << 20);
    let (_relay, mut client) = Relay::one(Script::of(&bytes)).await;
    let (data, code) = client.begin("RETR f").await;
    assert_eq!(code, 150);
    client.say(b"NOOP\r\nRETR\r\nQUIT\r\n").await;
    let got = client.rest(data).await;
    assert_eq!((got.code, got.bytes == bytes), (226, true));
    let codes = [client.reply().await.code, client.reply().await.code, client.reply().await.code];
    assert_eq!(codes, [200, 501, 221]);
    assert!(client.heard().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_server() {
    let bytes = file(8 << 20);
    let (relay, mut client) = Relay::one(Script::of(&bytes).breaks(1000, How::Silent)).await;
    let (data, code) = client.begin("RETR f").await;
    assert_eq!(code, 150);
    let backend = relay.service.setup().backends[0].clone();
    assert_eq!(backend.active(), 1);
    drop(client);
    let (_, is_closed) = all(data).await;
    assert!(!is_closed);
    while backend.active() > 0 || relay.service.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_service_that_closes_finishes_its_transfers() {
    let bytes = file(100_000);
    let script = Script::of(&bytes).breaks(50_000, How::Reset).held();
    let relay = Relay::start(link(), vec![script]).await;
    let (mut idle, mut busy) = (relay.client().await, relay.client().await);
    let mut next = relay.client().await;
    let (data, code) = busy.begin("RETR f").await;
    assert_eq!(code, 150);
    relay.service.close();
    assert_eq!(next.get("RETR g").await.code, 226, "one file after the other is no rest");
    assert_eq!(idle.reply().await.code, 421);
    relay.servers[0].may_break();
    let got = busy.rest(data).await;
    assert_eq!((got.code, got.bytes == bytes), (226, true));
    assert_eq!(busy.reply().await.code, 421);
}
