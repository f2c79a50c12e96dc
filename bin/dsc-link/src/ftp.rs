//! The FTP relay (§B.5): one task for each client's control connection, with one control connection to a backend and one data
//! connection on each side at a time.
//!
//! ```text
//!   client ─ control ─ session ─ control ─ backend A ✕      commands and replies, one after the other
//!      │                  │
//!      └───── data ───── pump ─── data ─── backend A ✕      a download's bytes
//!                          └───── data ─── backend B        when A fails: login, TYPE, CWD, SIZE, MDTM, REST, RETR
//! ```
//!
//! Backends are always asked for passive data connections, and only their own addresses are connected to.

mod attach;
mod chunk;
mod control;
mod data;
mod download;
mod pump;
mod session;
mod tally;
mod upload;

use crate::service::{Connected, Service};
use dsc_resume::ftp::Reply;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Serves one client's control connection until it ends; without a place it is told that there are too many. `client` is where
/// it comes from; data connections are with that address only.
pub(crate) async fn serve(
    mut stream: TcpStream,
    client: SocketAddr,
    service: Arc<Service>,
    connected: Option<Connected>,
) {
    let Some(_connected) = connected else {
        let full = Reply::new(421, "There are too many connections.").to_bytes();
        // A client that has left need not be told.
        let _left = timeout(service.setup().link.client_head, stream.write_all(&full)).await;
        return;
    };
    let end = match session::Session::new(stream, client, service).await {
        Ok(mut session) => session.run().await,
        Err(e) => Err(session::Gone::Client(e)),
    };
    if let Err(gone) = end {
        tracing::debug!("ftp: {client}: {gone}");
    }
}
