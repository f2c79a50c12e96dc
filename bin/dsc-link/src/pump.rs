//! The body of a backend's response on its way to the client. It counts what went, and when the backend fails it fetches the rest
//! from another one; if that cannot be had, the body ends so that the client can tell.

use crate::access_log::Ended;
use crate::backend::Active;
use crate::connection::Client;
use crate::downloads::Listed;
use crate::exchange::LOOK;
use crate::limits::Doing;
use crate::logged::Logged;
use crate::reply::Running;
use crate::rest::{Fetched, Order, fetch};
use crate::sender::Sender;
use crate::source::{Cause, Cut, Resume, Source};
use dsc_conf::Link;
use hyper::Version;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::time::{Duration, Instant, Sleep, sleep};

/// So often in a row a body may break without a byte between: then its backends do not work.
const BARREN_MAX: u32 = 8;

type Fetching = Pin<Box<dyn Future<Output = Fetched> + Send>>;

/// Those who are told of a response's end.
pub(crate) struct Told {
    pub _running: Running,
    pub listed: Option<Listed>,
    pub logged: Option<Logged>,
}

/// A body on its way.
pub(crate) struct Pump {
    client: Arc<Client>,
    version: Version,
    told: Told,
    resumes: u32,
    /// The backend that sent last.
    backend: SocketAddr,
    resume: Option<Box<Resume>>,
    /// Kept while the rest is fetched if it is only silent: it may wake up.
    source: Option<Source>,
    fetching: Option<Fetching>,
    sent: u64,
    /// Since when nothing came.
    waiting: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Silence of a backend that something can be done about, and of one that nothing can.
    patience: (Duration, Duration),
    /// Nobody has the rest: there is only the silent one.
    alone: bool,
    /// Nobody could be asked for the rest: when that is tried again.
    again: Option<Instant>,
    /// All has come.
    whole: bool,
}

impl Pump {
    #[expect(clippy::too_many_arguments, reason = "all that belongs to one response")]
    pub fn new(
        client: Arc<Client>,
        link: &Link,
        version: Version,
        told: Told,
        resume: Option<Resume>,
        body: Incoming,
        sender: Sender,
        active: Active,
    ) -> Pump {
        let left = resume.as_ref().and_then(|r| r.resumable.length());
        let backend = active.backend().address;
        let source = Source { body, sender: Some(sender), active, overlap: 0, left };
        Pump {
            client,
            version,
            told,
            resumes: 0,
            backend,
            resume: resume.map(Box::new),
            source: Some(source),
            fetching: None,
            sent: 0,
            waiting: None,
            pause: None,
            patience: (link.silence, link.idle.max(link.silence)),
            alone: false,
            again: None,
            whole: false,
        }
    }

    /// What its client's connection is doing.
    pub fn doing(&self) -> &Arc<Doing> {
        &self.client.doing
    }

    pub fn is_end_stream(&self) -> bool {
        self.fetching.is_none() && self.source.as_ref().is_none_or(Source::is_complete)
    }

    pub fn size_hint(&self) -> SizeHint {
        match &self.resume {
            Some(resume) => match resume.resumable.length() {
                Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent)),
                None => SizeHint::default(),
            },
            None => self.source.as_ref().map_or(SizeHint::default(), |s| s.body.size_hint()),
        }
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if let Some(step) = self.poll_source(cx) {
                match step {
                    Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                    Ok(None) if self.source.is_none() && self.fetching.is_none() => {
                        return Poll::Ready(None);
                    }
                    Ok(None) => continue,
                    // One that had been given up is not missed.
                    Err(_) if self.fetching.is_some() => self.source = None,
                    Err(cause) => {
                        if let Err(cut) = self.failed(cause) {
                            return Poll::Ready(Some(Err(cut)));
                        }
                    }
                }
            }
            match &mut self.fetching {
                Some(fetching) => {
                    let fetched = ready!(fetching.as_mut().poll(cx));
                    self.fetching = None;
                    if self.fetched(fetched).is_err() {
                        return Poll::Ready(Some(Err(self.cut())));
                    }
                }
                None if self.source.is_none() => return Poll::Ready(None),
                None => {
                    let cause = ready!(self.poll_pause(cx));
                    if let Err(cut) = self.failed(cause) {
                        return Poll::Ready(Some(Err(cut)));
                    }
                }
            }
        }
    }

    /// What comes from where the body comes from; none if nothing does now. A source that is silent is heard while the rest is
    /// being fetched: if it wakes up, it goes on.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Option<Result<Option<Frame<Bytes>>, Cause>> {
        let source = self.source.as_mut()?;
        if source.is_complete() {
            self.fetching = None;
            self.keep();
            return Some(Ok(None));
        }
        if source.active.backend().is_disabled() {
            return Some(Err(Cause::Disabled));
        }
        match Pin::new(&mut source.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = None;
                self.fetching = None;
                Some(self.take(frame))
            }
            Poll::Ready(Some(Err(e))) => Some(Err(Cause::Broken(e))),
            Poll::Ready(None) if source.left.unwrap_or(0) > 0 || source.is_cut() => {
                Some(Err(Cause::Short))
            }
            Poll::Ready(None) => {
                self.fetching = None;
                self.keep();
                Some(Ok(None))
            }
            Poll::Pending => None,
        }
    }

    /// A frame of the source: what of it goes to the client.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Cause> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let mut data = match frame.into_data() {
            Ok(data) => data,
            // A part of a response has no trailer that would be the whole one's.
            Err(other) => return Ok(source.left.is_none().then_some(other)),
        };
        if let Some(left) = &mut source.left {
            *left = left.checked_sub(data.len() as u64).ok_or(Cause::Long)?;
        }
        if let Some(resume) = &mut self.resume {
            if source.overlap > 0 {
                let known = data.split_to(source.overlap.min(data.len()));
                if !resume.tail.is(source.overlap, &known) {
                    return Err(Cause::Differs);
                }
                source.overlap -= known.len();
                if data.is_empty() {
                    return Ok(None);
                }
            }
            resume.tail.push(&data);
        }
        self.alone = false;
        self.again = None;
        self.sent += data.len() as u64;
        if let Some(listed) = &self.told.listed {
            listed.download.sent(self.sent);
        }
        Ok(Some(Frame::data(data)))
    }

    /// Nothing comes: ready when that has lasted for too long. The timer is left as it is while bytes flow.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let can_go_on = self.resume.is_some() && !self.alone;
        let over = since + self.patience.1;
        let due = match self.again {
            Some(again) => again.min(over),
            None if can_go_on => since + self.patience.0,
            None => over,
        };
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(self.patience.0.min(LOOK))));
        loop {
            ready!(pause.as_mut().poll(cx));
            let now = Instant::now();
            let backend = self.source.as_ref().map(|s| s.active.backend());
            if now >= over {
                return Poll::Ready(Cause::Dead);
            }
            if now >= due {
                return Poll::Ready(Cause::Silent);
            }
            if backend.is_some_and(|b| b.is_disabled()) {
                return Poll::Ready(Cause::Disabled);
            }
            let early = can_go_on && self.again.is_none() && now >= since + LOOK;
            if early && backend.is_some_and(|b| b.has_failed()) {
                return Poll::Ready(Cause::Red);
            }
            pause.as_mut().reset(due.min(now + LOOK));
        }
    }

    /// The source failed: asks for the rest, if that can be asked for.
    fn failed(&mut self, cause: Cause) -> Result<(), Cut> {
        let Some(source) = &self.source else { return Err(self.cut()) };
        let service = &self.client.service;
        let failed = source.active.backend().clone();
        service.counters.bodies_broken.add();
        let (name, address, sent) = (&service.name, failed.address, self.sent);
        tracing::info!("{name}: body from {address} after {sent} bytes: {cause}");
        let may_wake = matches!(cause, Cause::Silent | Cause::Red);
        if let Some(sender) = source.sender.as_ref().filter(|_| may_wake) {
            sender.retire();
        }
        if !matches!(cause, Cause::Differs | Cause::Disabled) {
            failed.suspect(Instant::now());
        }
        let lost = matches!(cause, Cause::Long | Cause::Dead);
        let Some(resume) = self.resume.as_mut().filter(|_| !lost) else { return Err(self.cut()) };
        if matches!(cause, Cause::Differs) {
            service.counters.overlaps_differed.add();
            resume.refused.push(failed.address);
        }
        let again = self.again.take().is_some();
        let since = match resume.barren {
            (sent, since) if sent == self.sent => since + u32::from(!again),
            _ => 0,
        };
        resume.barren = (self.sent, since);
        let rest = resume.resumable.rest(self.sent, resume.verify);
        let Some(rest) = rest.filter(|_| since < BARREN_MAX) else { return Err(self.cut()) };
        let order = Order {
            client: self.client.clone(),
            head: resume.head.clone(),
            resumable: resume.resumable.clone(),
            rest,
            failed,
            refused: resume.refused.clone(),
        };
        if !may_wake {
            self.source = None;
            if let Some(listed) = &self.told.listed {
                listed.download.searches();
            }
        }
        self.fetching = Some(Box::pin(fetch(order)));
        Ok(())
    }

    /// The rest was fetched, or not.
    fn fetched(&mut self, fetched: Fetched) -> Result<(), ()> {
        let Some(resume) = &mut self.resume else { return Err(()) };
        resume.refused = fetched.refused;
        if let Some((source, resumable)) = fetched.source {
            self.client.service.counters.bodies_resumed.add();
            let address = source.active.backend().address;
            let (name, sent) = (&self.client.service.name, self.sent);
            tracing::info!("{name}: body goes on from {address} after {sent} bytes");
            if let Some(listed) = &self.told.listed {
                listed.download.resumed(address);
            }
            resume.resumable = resumable;
            self.resumes += 1;
            self.backend = address;
            self.source = Some(source);
            self.waiting = None;
            return Ok(());
        }
        // Only the silent one is left; its silence has lasted since before.
        self.alone = fetched.hopeless;
        self.again = (!fetched.hopeless).then(|| Instant::now() + self.patience.0);
        self.source.as_ref().map(|_| ()).ok_or(())
    }

    /// The body ends here.
    fn cut(&mut self) -> Cut {
        let service = &self.client.service;
        service.counters.bodies_cut.add();
        let (name, peer, sent) = (&service.name, self.client.peer, self.sent);
        tracing::warn!("{name}: body to {peer} is cut after {sent} bytes");
        if self.version < Version::HTTP_11 {
            self.client.doing.reset();
        }
        self.source = None;
        self.fetching = None;
        Cut
    }

    /// The response is complete: its connection waits for the next request.
    fn keep(&mut self) {
        self.whole = true;
        if let Some(Source { sender: Some(sender), active, mut body, .. }) = self.source.take()
            && !self.client.service.setup().link.proxy_out
        {
            // After the last of the bytes there may be a last chunk; if it is not here yet, the connection is not needed.
            let mut now = Context::from_waker(Waker::noop());
            let ended = body.is_end_stream()
                || matches!(Pin::new(&mut body).poll_frame(&mut now), Poll::Ready(None));
            if ended {
                active.backend().pool.keep(self.client.worker, sender);
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.client.service.counters.bytes.add_all(self.sent);
        if let Some(logged) = self.told.logged.take() {
            let whole = match &self.source {
                Some(source) => source.is_complete(),
                None => self.whole,
            };
            let (status, sent, resumes) = (logged.status, self.sent, self.resumes);
            let backend = Some(self.backend);
            logged.ended(Ended { status, sent, whole, backend, resumes });
        }
        if self.source.as_ref().is_some_and(Source::is_complete) {
            self.keep();
        }
    }
}
