//! What clients of the FTP relay may not do: it is refused, and reaches no server and no third machine.

use crate::ftpd::client::{Client, all};
use crate::ftpd::server::{Script, Server};
use crate::ftpd::{Relay, link};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn what_is_refused_reaches_no_server() {
    let (relay, mut client) = Relay::one(Script::of(b"abc")).await;
    let before = relay.servers[0].heard();
    let long = "x".repeat(5000);
    let rows: Vec<(String, u16)> = [
        ("AUTH TLS", 502),
        ("PROT P", 502),
        ("SPSV", 502),
        ("LPRT 4,4,127,0,0,1,2,0,80", 502),
        ("XYZW", 502),
        ("\u{1}\u{2}\u{3}\u{4}", 500),
        ("", 500),
        ("RETR", 501),
        ("REST -1", 501),
        ("REST 99999999999999999999", 501),
        ("MODE Z", 504),
        ("STRU R", 504),
        ("TYPE E", 504),
        ("RETR a\0b", 500),
        ("DELE a\rDELE b", 500),
        ("PORT 127,0,0,2,200,1", 504),
        ("PORT 10,2,0,201,0,80", 504),
        ("PORT 127,0,0,1,0,80", 504),
        ("PORT 127,0,0,1,3,255", 504),
        ("PORT 1,2,3", 501),
        ("EPRT |1|127.0.0.2|8080|", 504),
        ("EPRT |2|::1|8080|", 522),
        ("EPRT |7|x|8080|", 522),
        ("EPRT nonsense", 501),
        ("EPSV 2", 522),
        ("RETR abc", 425),
        ("STOR abc", 425),
        ("ABOR", 225),
    ]
    .map(|(line, code)| (line.to_owned(), code))
    .into_iter()
    .chain([(format!("RETR {long}"), 500)])
    .collect();
    for (line, code) in rows {
        // Too many in one session end it.
        let mut client = relay.client().await;
        assert_eq!(client.ask(&line).await, code, "{}", line.escape_debug());
        assert_eq!(client.ask("NOOP").await, 200, "{}", line.escape_debug());
    }
    client.say(b"DELE \xff\xff\r\n").await;
    assert_eq!(client.reply().await.code, 500);
    let heard = relay.servers[0].heard();
    let passed: Vec<_> =
        heard.iter().filter(|h| !before.contains(h) && *h != "NOOP" && *h != "QUIT").collect();
    assert!(passed.is_empty(), "{passed:?}");
    assert!(relay.count("requests_refused") >= 20);
}

#[tokio::test]
async fn who_speaks_no_ftp_is_sent_away() {
    let (relay, mut client) = Relay::one(Script::of(b"abc")).await;
    client.say(&b"\x16\x03\x01\x00\r\n".repeat(1000)).await;
    let mut last = 0;
    while let Some(reply) = client.heard().await {
        last = reply.code;
    }
    assert_eq!(last, 421);
    let mut attacker = relay.client().await;
    let mut codes = Vec::new();
    for _ in 0..40 {
        attacker.stream.write_all(b"PORT 192,0,2,1,4,4\r\n").await.ok();
        match attacker.heard().await {
            Some(reply) => codes.push(reply.code),
            None => break,
        }
    }
    assert_eq!((codes.first(), codes.last(), codes.len() < 20), (Some(&504), Some(&421), true));
}

#[tokio::test]
async fn paths_are_passed_on_as_they_are() {
    let (relay, mut client) = Relay::one(Script::of(b"abc")).await;
    for path in ["../../etc/passwd", "/a//b/./c", " a  b ", "~joe/x", "-la", "a;b|c$(d)", "é", "*"]
    {
        let got = client.get(&format!("RETR {path}")).await;
        assert_eq!((got.code, &got.bytes[..]), (226, &b"abc"[..]), "{path}");
        let wanted = [format!("SIZE {path}"), format!("MDTM {path}"), format!("RETR {path}")];
        let heard = relay.servers[0].heard();
        assert!(wanted.iter().all(|w| heard.contains(w)), "{path}: {heard:?}");
    }
}

#[tokio::test]
async fn nothing_is_transferred_before_the_login() {
    let relay = Relay::start(link(), vec![Script::of(b"abc")]).await;
    let mut client = Client::connect(relay.address).await;
    assert_eq!(client.reply().await.code, 220);
    for line in ["EPSV", "PASV", "PORT 127,0,0,1,100,1", "RETR a", "LIST", "STOR a"] {
        assert_eq!(client.ask(line).await, 530, "{line}");
    }
    assert_eq!(client.ask("USER joe").await, 331);
    assert_eq!(client.ask("EPSV").await, 530);
}

#[tokio::test]
async fn nobody_else_gets_the_data_connection() {
    let (_relay, mut client) = Relay::one(Script::of(b"abc")).await;
    let to = client.passive().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let thief = socket.connect(to).await.unwrap();
    client.say(b"RETR f\r\n").await;
    assert_eq!(client.reply().await.code, 150);
    assert_eq!(all(thief).await, (Vec::new(), false));
    let own = TcpStream::connect(to).await.unwrap();
    assert_eq!(client.rest(own).await.bytes, b"abc");
}

#[tokio::test]
async fn data_connections_have_the_vip_at_one_end() {
    // Each address of 127.0.0.0/8 is the machine's.
    let vip = "127.0.0.7".parse::<IpAddr>().unwrap();
    let server = Server::start(Script::of(b"abc")).await;
    let relay = Relay::at("127.0.0.7:0", link(), &[server.address]).await;
    let mut client = relay.client().await;
    client.say(b"PASV\r\n").await;
    let text = String::from_utf8(client.reply().await.to_bytes()).unwrap();
    assert!(text.contains("(127,0,0,7,"), "{text}");
    let to = client.passive().await;
    assert!(to.port() >= 49152, "{to}");
    let elsewhere = TcpStream::connect(("127.0.0.1", to.port())).await;
    assert!(elsewhere.is_err(), "another address of the machine");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = client.stream.local_addr().unwrap().ip();
    assert_eq!(own, listener.local_addr().unwrap().ip());
    let port = listener.local_addr().unwrap().port();
    assert_eq!(client.ask(&format!("EPRT |1|{own}|{port}|")).await, 200);
    assert_eq!(client.ask("RETR f").await, 150);
    let (data, from) = listener.accept().await.unwrap();
    assert_eq!((from.ip(), client.rest(data).await.bytes), (vip, b"abc".to_vec()));
}

#[tokio::test]
async fn behind_a_proxy_the_client_and_the_proxy_may_connect() {
    let mut link = link();
    link.proxy_in = true;
    link.client_head = Duration::from_millis(500);
    let relay = Relay::start(link, vec![Script::of(b"abc")]).await;
    let mut client = Client::connect(relay.address).await;
    client.say(b"PROXY TCP4 127.0.0.8 127.0.0.1 5000 21\r\n").await;
    assert_eq!(client.reply().await.code, 220);
    assert_eq!((client.ask("USER joe").await, client.ask("PASS x").await), (331, 230));
    for (address, is_let_in) in [("127.0.0.8", true), ("127.0.0.1", true), ("127.0.0.9", false)] {
        let to = client.passive().await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let data = socket.connect(to).await.unwrap();
        assert_eq!(client.ask("RETR f").await, 150);
        let got = client.rest(data).await;
        let wanted = if is_let_in { (226, &b"abc"[..]) } else { (425, &b""[..]) };
        assert_eq!((got.code, &got.bytes[..]), wanted, "{address}");
    }
    let mut mute = Client::connect(relay.address).await;
    assert!(mute.heard().await.is_none(), "it does not say who it is");
}

#[tokio::test]
async fn who_takes_no_replies_is_cut_off() {
    // More than all buffers on the way hold.
    let long = format!("214-Help\r\n{} x\r\n214 End", " x".repeat(2000));
    let mut link = link();
    link.client_head = Duration::from_millis(300);
    let relay = Relay::start(link, vec![Script::of(b"").answers("HELP", long.leak())]).await;
    let mut client = relay.client().await;
    client.say(&b"HELP\r\n".repeat(4000)).await;
    let ended = async {
        while relay.service.connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), ended).await.expect("an end of the session");
}

#[tokio::test]
async fn passwords_are_not_tried_without_end() {
    let wrong = Script::of(b"").answers("PASS", "530 wrong");
    let relay = Relay::start(link(), vec![wrong.clone(), wrong]).await;
    let mut client = Client::connect(relay.address).await;
    assert_eq!(client.reply().await.code, 220);
    for _ in 0..5 {
        assert_eq!(client.ask("USER joe").await, 331);
        assert_eq!(client.ask("PASS x").await, 530);
    }
    assert_eq!(client.reply().await.code, 421);
    assert!(client.heard().await.is_none());
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let mut link = link();
    link.idle = Duration::from_millis(200);
    let relay = Relay::start(link, vec![Script::of(b"")]).await;
    let mut client = relay.client().await;
    assert_eq!(client.reply().await.code, 421);
    assert!(client.heard().await.is_none());
}

#[tokio::test]
async fn too_many_are_told() {
    let mut link = link();
    link.connections = 1;
    let relay = Relay::start(link, vec![Script::of(b"")]).await;
    let _first = relay.client().await;
    let mut second = Client::connect(relay.address).await;
    assert_eq!(second.reply().await.code, 421);
    assert!(second.heard().await.is_none());
}

#[tokio::test]
async fn features_that_the_relay_has_not_are_not_told() {
    let (_relay, mut client) = Relay::one(Script::of(b"")).await;
    client.say(b"FEAT\r\n").await;
    let reply = String::from_utf8(client.reply().await.to_bytes()).unwrap();
    assert_eq!(reply, "211-Features:\r\n SIZE\r\n EPSV\r\n211 End\r\n");
}
