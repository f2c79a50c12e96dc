//! The rest of a body whose backend failed: asked of one backend after the other, until one gives an exact answer.

use crate::backend::Backend;
use crate::connection::Client;
use crate::exchange::{Answer, Question, exchange};
use crate::service::Setup;
use crate::source::Source;
use dsc_resume::{Head, Rest, Resumable};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::{Duration, Instant};

/// Between two rounds over all backends, when none of them could be asked.
const PAUSE: Duration = Duration::from_millis(100);

/// What is to be fetched.
pub(crate) struct Order {
    pub client: Arc<Client>,
    /// The client's request.
    pub head: Parts,
    pub resumable: Resumable,
    pub rest: Rest,
    /// It is asked again, after all others.
    pub failed: Arc<Backend>,
    /// They have something else: they are not asked again.
    pub refused: Vec<SocketAddr>,
}

/// How it ended.
pub(crate) struct Fetched {
    /// The rest, and what is known of the whole now; none if nobody has it.
    pub source: Option<(Source, Resumable)>,
    /// All have something else.
    pub hopeless: bool,
    /// Those that have something else.
    pub refused: Vec<SocketAddr>,
}

impl Order {
    /// Have all refused?
    fn is_hopeless(&self, setup: &Setup) -> bool {
        setup.backends.iter().all(|b| self.refused.contains(&b.address))
    }

    fn fetched(self, source: Option<(Source, Resumable)>) -> Fetched {
        let hopeless = self.is_hopeless(&self.client.service.setup());
        Fetched { source, hopeless, refused: self.refused }
    }
}

/// What of a response's head decides.
pub(crate) fn head_of(status: StatusCode, headers: &HeaderMap) -> Head<'_> {
    Head::read(status.as_u16(), headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())))
}

/// Asks until there is an exact answer, all have refused, or the time for an answer is over.
pub(crate) async fn fetch(mut order: Order) -> Fetched {
    conditions(&mut order.head.headers, &order.rest);
    let setup = order.client.service.setup();
    let until = Instant::now() + setup.link.head;
    loop {
        let mut tried: Vec<usize> = Vec::new();
        for (at, backend) in setup.backends.iter().enumerate() {
            if order.refused.contains(&backend.address) || Arc::ptr_eq(backend, &order.failed) {
                tried.push(at);
            }
        }
        while let Some(at) = setup.choose(&tried) {
            tried.push(at);
            if let Some(source) = attempt(&mut order, &setup, &setup.backends[at]).await {
                return order.fetched(Some(source));
            }
        }
        let failed = order.failed.clone();
        let may_again = failed.is_open() && !order.refused.contains(&failed.address);
        if may_again && let Some(source) = attempt(&mut order, &setup, &failed).await {
            return order.fetched(Some(source));
        }
        if order.is_hopeless(&setup) || Instant::now() + PAUSE >= until {
            return order.fetched(None);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The client's own conditions were met by the first answer; now there is one: that nothing has changed since.
fn conditions(headers: &mut HeaderMap, rest: &Rest) {
    for name in [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ] {
        headers.remove(name);
    }
    if let (Ok(range), Ok(validator)) =
        (HeaderValue::from_str(&rest.range), HeaderValue::from_bytes(&rest.if_range))
    {
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, validator);
    }
}

async fn attempt(
    order: &mut Order,
    setup: &Setup,
    backend: &Arc<Backend>,
) -> Option<(Source, Resumable)> {
    let counters = &order.client.service.counters;
    let (name, address) = (&order.client.service.name, backend.address);
    // Who serves a file has its head at once; a backend that does not is as silent as the one before.
    let limit = setup.link.silence.max(setup.link.connect).min(setup.link.head);
    let question = Question { head: &order.head, repeatable: true, limit };
    let answer = exchange(&order.client, &setup.link, backend, &question, &mut None).await;
    let Answer { response, sender, active } = match answer {
        Ok(answer) => answer,
        Err(failed) => {
            counters.rests_failed.add();
            tracing::info!("{name}: the rest from {address}: {failed}");
            return None;
        }
    };
    let (head, body) = response.into_parts();
    let mut resumable = order.resumable.clone();
    match resumable.judge(&order.rest, &head_of(head.status, &head.headers)) {
        Ok(goes_on) => {
            let overlap = order.rest.overlap as usize;
            Some((Source::rest(body, sender, active, overlap, goes_on.length), resumable))
        }
        Err(refusal) => {
            counters.rests_refused.add();
            tracing::warn!("{name}: {address} has not the rest: {refusal}");
            order.refused.push(address);
            None
        }
    }
}
