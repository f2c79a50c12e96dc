//! What comes after HTTP: bytes in both directions, as they come (WebSocket and the like).

use crate::connection::Client;
use crate::limits::Activity;
use crate::reply::Running;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::Duration;

/// A tunnel that carries nothing for so long is closed: its ends would have asked after each other.
const IDLE: Duration = Duration::from_secs(3600);
/// Bytes on their way in one direction.
const BUFFER: usize = 16 << 10;

/// Carries bytes until both sides have ended, or one has failed.
pub(crate) async fn tunnel(
    client: Arc<Client>,
    running: Running,
    of_client: OnUpgrade,
    of_backend: OnUpgrade,
) {
    let (name, peer) = (&client.service.name, client.peer);
    let ends = tokio::try_join!(of_client, of_backend);
    let (down, up) = match ends {
        Ok(ends) => ends,
        Err(e) => return tracing::debug!("{name}: tunnel of {peer}: {e}"),
    };
    let (down_read, down_write) = split(TokioIo::new(down));
    let (up_read, up_write) = split(TokioIo::new(up));
    let activity = Activity::default();
    let both = async {
        tokio::try_join!(
            carry(down_read, up_write, &activity),
            carry(up_read, down_write, &activity)
        )
    };
    tokio::select! {
        result = both => if let Err(e) = result {
            tracing::debug!("{name}: tunnel of {peer}: {e}");
        },
        () = activity.over(IDLE) => tracing::debug!("{name}: tunnel of {peer}: nothing passes"),
    }
    drop(running);
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        activity.now();
    }
}
