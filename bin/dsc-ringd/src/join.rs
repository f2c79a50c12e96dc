//! Gets the configuration from another node before this one takes part: with a file that only says where to ask, and with a
//! stored one that this machine is not in. Questions are sealed and nobody keeps anything about who asks.

use crate::store;
use dsc_conf::Config;
use dsc_sys::random;
use dsc_wire::packet::{ASK_MAX, Body, Header, PIECE_MAX, Packet};
use dsc_wire::seal::Keyring;
use dsc_wire::{Incarnation, NodeId, SubnetId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two questions to who does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// Between two looks at whether this machine is in the configuration by now.
const AGAIN: Duration = Duration::from_secs(1);

/// Where to ask, and how to seal the questions.
pub struct Asker<'a> {
    /// Nodes' addresses.
    pub at: Vec<IpAddr>,
    /// Their port.
    pub port: u16,
    /// The cluster's keys.
    pub keys: &'a Keyring,
}

/// What is on its way.
struct Pieces {
    from: SocketAddr,
    mark: (u64, u64),
    size: usize,
    list: Vec<Option<Vec<u8>>>,
}

impl Asker<'_> {
    /// Asks until a configuration comes that `fits`, and stores it; no longer than `patience`, if there is one.
    ///
    /// # Errors
    /// Text for people: none came in time, or the system's reason.
    pub fn get(
        &self,
        state_dir: &Path,
        patience: Option<Duration>,
        fits: impl Fn(&Config) -> Result<(), String>,
    ) -> Result<(), String> {
        let end = patience.map(|p| Instant::now() + p);
        let mut told = String::new();
        loop {
            let got = self.ask(end)?;
            let reason = match got {
                Some(config) => match fits(&config) {
                    Ok(()) => return store::keep(state_dir, &config),
                    Err(reason) => reason,
                },
                None => {
                    let at: Vec<String> = self.at.iter().map(IpAddr::to_string).collect();
                    format!(
                        "no answer from {}: does dsc-ringd run there, with the same key?",
                        at.join(", ")
                    )
                }
            };
            if end.is_some_and(|end| Instant::now() >= end) {
                return Err(reason);
            }
            if reason != told {
                tracing::warn!("{reason}");
                told = reason;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// One whole document from whoever answers first.
    ///
    /// # Errors
    /// The system's, or a document that cannot be read.
    pub fn ask(&self, end: Option<Instant>) -> Result<Option<Config>, String> {
        let system = |e| format!("cannot ask another node: {e}");
        let v4 = self.at.iter().any(IpAddr::is_ipv4);
        let any =
            if v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let socket = UdpSocket::bind((any, 0)).map_err(system)?;
        socket.set_read_timeout(Some(RETRY)).map_err(system)?;
        let incarnation =
            random::incarnation().map_err(|e| format!("cannot get random numbers: {e}"))?;
        let mut counter = 0;
        let mut pieces: Option<Pieces> = None;
        let give_up = Instant::now() + 10 * RETRY;
        let give_up = end.map_or(give_up, |end| end.min(give_up));
        let mut buffer = [0; 2048];
        while Instant::now() < give_up {
            let missing = pieces.as_ref().and_then(|p| p.list.iter().position(Option::is_none));
            let (at, digest) = (missing.unwrap_or(0), pieces.as_ref().map_or(0, |p| p.mark.1));
            let known = pieces.as_ref().map(|p| p.from);
            let all = || self.at.iter().map(|a| SocketAddr::new(*a, self.port)).collect();
            let to: Vec<SocketAddr> = known.map_or_else(all, |from| vec![from]);
            for to in to {
                counter += 1;
                self.send(&socket, to, incarnation, counter, digest, at);
            }
            // Until nothing comes any more, or all that was asked for is here.
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if Instant::now() >= give_up {
                    break;
                }
                let Ok(packet) = self.keys.open(&mut buffer[..length]) else { continue };
                let Body::Piece { version, digest, size, at, bytes } = packet.body else {
                    continue;
                };
                let mark = (version, digest);
                let size = size as usize;
                let here = pieces.get_or_insert_with(|| Pieces {
                    from,
                    mark,
                    size,
                    list: vec![None; size.div_ceil(PIECE_MAX)],
                });
                if (here.from, here.mark, here.size) != (from, mark, size) {
                    continue;
                }
                if let Some(place) = here.list.get_mut(usize::from(at)) {
                    *place = Some(bytes);
                }
                if here.list.iter().all(Option::is_some) {
                    let bytes: Vec<u8> = here.list.iter().flatten().flatten().copied().collect();
                    return read(bytes, mark).map(Some);
                }
                let missing = here.list.iter().position(Option::is_none).unwrap_or(0);
                if missing.is_multiple_of(usize::from(ASK_MAX)) && usize::from(at) + 1 == missing {
                    break;
                }
            }
        }
        Ok(None)
    }

    fn send(
        &self,
        socket: &UdpSocket,
        to: SocketAddr,
        incarnation: Incarnation,
        counter: u64,
        digest: u64,
        at: usize,
    ) {
        // Nobody looks at the numbers.
        let (node, path) = (NodeId(0), SubnetId(0));
        let receiver = Incarnation(0);
        let header = Header { from: node, to: node, path, incarnation, receiver, counter };
        let body = Body::Ask { digest, at: at as u16, count: ASK_MAX };
        let mut sealed = Vec::new();
        if self.keys.seal(&Packet { header, body }, &mut sealed).is_ok()
            && let Err(e) = socket.send_to(&sealed, to)
        {
            tracing::debug!("cannot ask {to}: {e}");
        }
    }
}

fn read(bytes: Vec<u8>, (version, digest): (u64, u64)) -> Result<Config, String> {
    let text = String::from_utf8(bytes).map_err(|e| e.to_string())?;
    let mut config =
        Config::parse(&text, "the configuration in force").map_err(|p| p.to_string())?;
    if config.digest() != digest {
        return Err(
            "this build reads the configuration in another way than the one in force".to_owned()
        );
    }
    config.version = version;
    Ok(config)
}
