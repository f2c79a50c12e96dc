//! Asks ringd for its view, over and over, each time as soon as it differs. A ringd that is not there is asked again soon.

use dsc_sys::local::{AskError, Client, Context};
use dsc_wire::Incarnation;
use dsc_wire::local::{Reply, Request, View, socket};
use std::path::Path;
use std::time::Duration;

/// Longest that ringd keeps a question open. A ringd that is killed takes the question with it and nobody says so: until
/// this is over its successor is not heard, and what this node then takes over is announced late.
const WAIT_MS: u64 = 500;
/// ringd is given so much longer before it counts as gone.
const GRACE: Duration = Duration::from_millis(100);
/// Between two tries while there is no ringd.
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

    /// The next view; or why there is none, after a short wait.
    pub async fn next(mut self) -> (Views, Result<Box<View>, AskError>) {
        let request = Request::View { after: self.after, wait_ms: WAIT_MS };
        let timeout = Duration::from_millis(WAIT_MS) + GRACE;
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
