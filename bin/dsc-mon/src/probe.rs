//! One probe: of a backend, or of something that a check of nodes names. Bounded in time and in what it reads; it decides nothing.

mod filter;
mod http;
mod place;
mod tls;
mod udp;

pub use place::Errors;

use dsc_conf::{Check, CheckKind};
use dsc_sys::connect::connect;
use dsc_sys::script::{self, Ended};
use dsc_wire::Reason;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Most bytes that a script may print.
const PRINT_MAX: usize = 64 * 1024;

/// What is tried, and from where.
#[derive(Clone)]
pub struct Target {
    /// Leaves from here, where that is an address of the node.
    pub from: Option<IpAddr>,
    /// What is tried; the node itself if nothing is named.
    pub to: Option<IpAddr>,
    /// Its port, unless the check has one.
    pub port: u16,
    /// For a script: what the check is called.
    pub name: String,
    /// The node's addresses, by subnet.
    pub own: Arc<[Option<IpAddr>]>,
    /// For an interface: what it counted before.
    pub errors: Arc<Errors>,
}

/// Tries it once.
///
/// # Errors
/// Why it failed.
pub async fn probe(check: &Check, target: &Target) -> Result<(), Reason> {
    let tried = tokio::time::timeout(check.timeout, once(check, target)).await;
    tried.unwrap_or(Err(Reason::TimedOut))
}

async fn once(check: &Check, target: &Target) -> Result<(), Reason> {
    let address = target.to.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let to = SocketAddr::new(address, check.port.unwrap_or(target.port));
    // Its own address is none of a subnet's.
    let from = target.from.filter(|_| !address.is_loopback());
    match &check.kind {
        CheckKind::Tcp => connect(from, to).await.map(drop).map_err(reason),
        CheckKind::Http { path, host, status, body } => {
            let mut stream = connect(from, to).await.map_err(reason)?;
            http::ask(&mut stream, to, path, host.as_deref(), status, body.as_deref()).await
        }
        CheckKind::Tls { host, days } => {
            let stream = connect(from, to).await.map_err(reason)?;
            tls::shake(stream, to, host.as_deref(), *days).await
        }
        CheckKind::Udp { send, expect } => udp::ask(from, to, send, expect.as_deref()).await,
        CheckKind::Script { command } => run(command, target).await,
        CheckKind::Ping => dsc_sys::echo::echo(address).await.map_err(reason),
        CheckKind::Neighbour => place::neighbour(&target.own, address).await,
        CheckKind::Nic { errors } => {
            let own = target.from.ok_or(Reason::Down)?;
            place::interface(own, *errors, &target.errors).await
        }
        CheckKind::Filter { from, protocol, pass } => {
            let (from, protocol, pass, port) = (*from, *protocol, *pass, to.port());
            let plan = filter::Plan { from, to: target.to, protocol, port, pass };
            filter::through(&plan, &target.own, check.timeout / 2).await
        }
    }
}

async fn run(command: &[String], target: &Target) -> Result<(), Reason> {
    let mut variables = vec![("DSC_CHECK", target.name.clone())];
    if let Some(to) = target.to {
        variables.push(("DSC_ADDRESS", to.to_string()));
        variables.push(("DSC_PORT", target.port.to_string()));
    }
    let whose = format!("{} {:?} {}", target.name, target.to, target.port);
    match script::run(&whose, command, &variables, PRINT_MAX).await {
        Ok(Ended::Exit(0)) => Ok(()),
        Ok(Ended::Exit(status)) => Err(Reason::Exit { status: status as u16 }),
        Ok(Ended::Signal(number)) => Err(Reason::Signal { number: number as u16 }),
        Ok(Ended::TooMuch) => Err(Reason::TooMuch),
        Ok(Ended::Stuck) => Err(Reason::Stuck),
        Err(error) => {
            Err(Reason::CannotRun { errno: error.raw_os_error().map_or(0, |n| n as u16) })
        }
    }
}

fn reason(error: io::Error) -> Reason {
    match error.kind() {
        ErrorKind::ConnectionRefused => Reason::Refused,
        ErrorKind::TimedOut => Reason::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Reason::Unreachable,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Reason::Closed,
        _ => Reason::CannotRun { errno: error.raw_os_error().map_or(0, |n| n as u16) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Somebody there, tried from here.
    fn at(from: IpAddr, to: SocketAddr) -> Target {
        let (name, own) = ("shop".to_owned(), Arc::from([]));
        let errors = Arc::new(Errors::new());
        Target { from: Some(from), to: Some(to.ip()), port: to.port(), name, own, errors }
    }

    fn tried(kind: CheckKind, to: SocketAddr) -> Result<(), Reason> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let check = Check { kind, ..check(None) };
        runtime.block_on(probe(&check, &at(HERE, to)))
    }

    fn check(body: Option<&str>) -> Check {
        Check {
            kind: CheckKind::Http {
                path: "/health".to_owned(),
                host: Some("shop".to_owned()),
                status: vec![(200, 299), (404, 404)],
                body: body.map(str::to_owned),
            },
            port: None,
            every: Duration::from_secs(1),
            timeout: Duration::from_millis(300),
            rise: 1,
            fall: 1,
        }
    }

    /// What becomes of a probe whose server reads the request and says this, then closes or stays.
    fn against(check: &Check, said: &'static [u8], stays: bool) -> Result<(), Reason> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind((HERE, 0)).await.unwrap();
            let to = listener.local_addr().unwrap();
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                assert!(request.starts_with(b"GET /health HTTP/1.1\r\nHost: shop\r\n"));
                // The prober may have enough before all is said.
                let _ = stream.write_all(said).await;
                if stays {
                    std::future::pending::<()>().await;
                }
                drop(stream);
                std::future::pending::<()>().await;
            };
            let target = at(HERE, to);
            tokio::select! { result = probe(check, &target) => result, () = serve => panic!() }
        })
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        let any = check(None);
        assert_eq!(against(&any, b"HTTP/1.1 204 No Content\r\n\r\n", true), Ok(()));
        assert_eq!(against(&any, b"HTTP/1.0 404 \r\n", true), Ok(()));
        let wrong = Err(Reason::Status { status: 503 });
        assert_eq!(against(&any, b"HTTP/1.1 503 Busy\r\n\r\n", false), wrong);
        assert_eq!(against(&any, b"SSH-2.0-x\r\n", false), Err(Reason::NotHttp));
        assert_eq!(against(&any, b"HTTP/1.1 20 x\r\n", false), Err(Reason::NotHttp));
        assert_eq!(against(&any, &[b'x'; 1000], true), Err(Reason::NotHttp));
        assert_eq!(against(&any, b"HTTP/1.1 2", false), Err(Reason::Closed));
    }

    #[test]
    fn a_text_must_appear_in_the_body() {
        let well = check(Some("well"));
        assert_eq!(against(&well, b"HTTP/1.1 200 OK\r\n\r\nall well", true), Ok(()));
        let only_above = b"HTTP/1.1 200 well\r\nX: well\r\n\r\nwel";
        assert_eq!(against(&well, only_above, false), Err(Reason::NoText));
    }

    #[test]
    fn a_server_that_says_nothing_or_never_ends_is_cut_off() {
        static ENDLESS: [u8; 1 << 20] = {
            let mut bytes = [b'x'; 1 << 20];
            let line = b"HTTP/1.1 200 OK\r\n\r\n";
            let mut n = 0;
            while n < line.len() {
                bytes[n] = line[n];
                n += 1;
            }
            bytes
        };
        assert_eq!(against(&check(Some("well")), &ENDLESS, true), Err(Reason::TooLong));
        let start = Instant::now();
        assert_eq!(against(&check(None), b"", true), Err(Reason::TimedOut));
        let slow = b"HTTP/1.1 200 OK\r\n\r\nnot yet";
        assert_eq!(against(&check(Some("well")), slow, true), Err(Reason::TimedOut));
        assert!(start.elapsed() >= 2 * Duration::from_millis(300));
    }

    #[test]
    fn nobody_listens_and_an_address_that_is_not_ours() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tcp = Check { kind: CheckKind::Tcp, ..check(None) };
        let to = std::net::TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap();
        assert_eq!(runtime.block_on(probe(&tcp, &at(HERE, to))), Err(Reason::Refused));
        let foreign = "192.0.2.1".parse().unwrap();
        let cannot = Err(Reason::CannotRun { errno: 99 });
        assert_eq!(
            runtime.block_on(probe(
                &tcp,
                &at(foreign, SocketAddr::new("192.0.2.9".parse().unwrap(), 9))
            )),
            cannot
        );
    }

    #[test]
    fn a_datagram_must_be_answered_with_the_text() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let against = |expect: Option<&str>, answers: bool| {
            let udp = CheckKind::Udp { send: "hi".into(), expect: expect.map(str::to_owned) };
            let check = Check { kind: udp, ..check(None) };
            runtime.block_on(async {
                let server = UdpSocket::bind((HERE, 0)).await.unwrap();
                let to = server.local_addr().unwrap();
                let serve = async {
                    let mut bytes = [0; 16];
                    let (length, client) = server.recv_from(&mut bytes).await.unwrap();
                    assert_eq!(&bytes[..length], b"hi");
                    if answers {
                        server.send_to(b"all well", client).await.unwrap();
                    }
                    std::future::pending::<()>().await;
                };
                let target = at(HERE, to);
                tokio::select! { result = probe(&check, &target) => result, () = serve => panic!() }
            })
        };
        assert_eq!(against(Some("well"), true), Ok(()));
        assert_eq!(against(None, true), Ok(()));
        assert_eq!(against(Some("ill"), true), Err(Reason::NoText));
        assert_eq!(against(None, false), Err(Reason::TimedOut));
        let nobody = std::net::UdpSocket::bind((HERE, 0)).unwrap().local_addr().unwrap();
        let udp = CheckKind::Udp { send: "hi".into(), expect: None };
        assert_eq!(tried(udp, nobody), Err(Reason::Refused));
    }

    #[test]
    fn a_script_is_judged_by_its_end() {
        // Else what is killed has not ended before another process has waited for it.
        script::adopt_orphans().unwrap();
        let sh = |script: &str| CheckKind::Script {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        };
        let to = SocketAddr::new(HERE, 81);
        assert_eq!(
            tried(sh("test $DSC_ADDRESS:$DSC_PORT/$DSC_CHECK = 127.0.0.1:81/shop"), to),
            Ok(())
        );
        assert_eq!(tried(sh("exit 7"), to), Err(Reason::Exit { status: 7 }));
        assert_eq!(tried(sh("kill -9 $$"), to), Err(Reason::Signal { number: 9 }));
        assert_eq!(tried(sh("sleep 60"), to), Err(Reason::TimedOut));
        assert_eq!(tried(sh("yes; exit 0"), to), Err(Reason::TooMuch));
        let nothing = CheckKind::Script { command: vec!["/nowhere".to_owned()] };
        assert_eq!(tried(nothing, to), Err(Reason::CannotRun { errno: 2 }));
    }

    #[test]
    fn an_address_of_the_other_family_is_not_bound() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let to = listener.local_addr().unwrap();
        let tcp = Check { kind: CheckKind::Tcp, ..check(None) };
        assert_eq!(runtime.block_on(probe(&tcp, &at("10.9.9.9".parse().unwrap(), to))), Ok(()));
    }

    #[test]
    fn an_echo_is_answered_and_what_speaks_no_tls_is_found_out() {
        assert_eq!(tried(CheckKind::Ping, SocketAddr::new(HERE, 0)), Ok(()));
        let listener = std::net::TcpListener::bind((HERE, 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, b"220 mail ready\r\n").unwrap();
            let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        });
        assert_eq!(tried(CheckKind::Tls { host: None, days: 0 }, to), Err(Reason::NoTls));
        server.join().unwrap();
    }
}
