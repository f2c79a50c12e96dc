//! Asks ringd for its view, over and over, each time as soon as it differs. A ringd that is not there is asked again soon.

use super::{AskError, Client, Context};
use dsc_wire::Incarnation;
use dsc_wire::local::{Reply, Request, View, socket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest that ringd keeps a question open. A ringd that is killed takes the question with it and nobody says so: until
/// this is over its successor is not heard, and what this node then takes over is announced late.
const WAIT_MS: u64 = 500;
/// ringd is given so much longer before it counts as gone.
const GRACE: Duration = Duration::from_millis(100);
/// Between two tries while there is no ringd, or while it has no room to keep a question open and answers at once.
const RETRY: Duration = Duration::from_millis(50);

/// The asker; it is handed from one question to the next.
pub struct Views {
    client: Client,
    after: u64,
    incarnation: Option<Incarnation>,
}

impl Views {
    /// Of the ringd whose sockets are in `run_dir`.
    pub fn new(context: &Context, run_dir: &Path) -> Views {
        let client = Client::new(context, &run_dir.join(socket::STATUS));
        Views { client, after: 0, incarnation: None }
    }

    /// Asks for the view again that was there already.
    pub fn again(&mut self) {
        self.after = 0;
    }

    /// The next view; or why there is none, after a short wait.
    pub async fn next(mut self) -> (Views, Result<Box<View>, AskError>) {
        let request = Request::View { after: self.after, wait_ms: WAIT_MS };
        let timeout = Duration::from_millis(WAIT_MS) + GRACE;
        let asked = Instant::now();
        let result = match self.client.ask(&request, timeout).await {
            Ok(Reply::View { view }) => Ok(view),
            Ok(other) => Err(AskError::BadAnswer {
                path: socket::STATUS.into(),
                problem: format!("not a view: {other:?}"),
            }),
            Err(e) => Err(e),
        };
        match &result {
            Ok(view) => {
                let same = self.after == view.number && self.incarnation == Some(view.incarnation);
                if same {
                    tokio::time::sleep(RETRY.saturating_sub(asked.elapsed())).await;
                }
                self.after = view.number;
                // A new ringd counts from the start, and might be at our number by chance.
                if self.incarnation.replace(view.incarnation) != Some(view.incarnation) {
                    tracing::info!("following dsc-ringd, incarnation {:x}", view.incarnation.0);
                }
            }
            Err(_) => {
                self.after = 0;
                tokio::time::sleep(RETRY).await;
            }
        }
        (self, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{Access, Server};
    use serde_json::json;

    #[test]
    fn a_ringd_that_keeps_no_question_open_is_not_asked_without_pause() {
        let dir = std::env::temp_dir().join(format!("dsc-sys-views-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let context = Context::new();
            let status = dir.join(socket::STATUS);
            let mut server = Server::open(&context, &status, Access::Root).unwrap();
            let view = json!({
                "number": 5, "incarnation": 7, "me": 0, "state": "alone",
                "key": {"epoch": {"counter": 1, "proposer": 0, "incarnation": 7}, "seq": 1},
                "members": [0], "quorum": true, "partition": "serve", "lease_end": 0,
                "lease_ms": 95, "rotation_us": 0, "nodes": [], "vips": [], "config_digest": 1,
            });
            let reply = json!({"answer": "view", "view": view}).to_string().into_bytes();
            let answering = async {
                loop {
                    while let Some((asker, _)) = server.take().unwrap() {
                        server.answer(&asker, reply.clone());
                    }
                    server.news().await.unwrap();
                }
            };
            let asking = async {
                let (mut views, first) = Views::new(&context, &dir).next().await;
                assert_eq!(first.unwrap().number, 5);
                let start = Instant::now();
                for _ in 0..3 {
                    let (asker, same) = views.next().await;
                    assert_eq!(same.unwrap().number, 5);
                    views = asker;
                }
                assert!(start.elapsed() >= 3 * RETRY, "{:?}", start.elapsed());
            };
            tokio::select! { () = asking => {}, () = answering => {} }
        });
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
