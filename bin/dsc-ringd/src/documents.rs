//! Documents of configurations: the one in force and those that are prepared, for whoever asks, and the one that this node
//! gets from others, piece by piece. Nothing is remembered of who asks. Pure: time is an argument. Called by `member`.

use dsc_wire::local::{Counter, DOCUMENT_MAX};
use dsc_wire::packet::{ASK_MAX, Body, PIECE_MAX};
use dsc_wire::{Cluster, NodeId, NodeSet, Time};
use std::sync::Arc;
use std::time::Duration;

/// Configurations that may be prepared at a time.
const PREPARED_MAX: usize = 3;
/// Asked so often without an answer, a document is given up.
const TRIES_MAX: u32 = 40;
/// Most questions that are answered in one span, each with up to [`ASK_MAX`] pieces: sealing them takes less than a tenth of
/// it. Who is not answered asks again, for longer than a span.
const ANSWERS_MAX: u32 = 128;
const ANSWERS_SPAN: Duration = Duration::from_millis(125);
/// Stands in a piece that is none: only version, digest and size are news.
pub(crate) const NO_PIECE: u16 = u16::MAX;

/// A configuration, as the ring needs it and as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// For the ring.
    pub cluster: Cluster,
    /// As stored: the text of a `dsc.toml`.
    pub document: Arc<[u8]>,
}

impl Configuration {
    /// Bytes of the document.
    pub fn size(&self) -> u32 {
        self.document.len() as u32
    }
}

/// All documents of one node.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    pub in_force: Configuration,
    prepared: Vec<Configuration>,
    fetch: Option<Fetch>,
    retry: Duration,
    /// Questions that may still be answered before `until`.
    left: u32,
    until: Time,
    answered: u64,
    refused: u64,
    unanswered: u64,
}

/// A document on its way here.
#[derive(Clone, Debug)]
struct Fetch {
    version: u64,
    digest: u64,
    from: Vec<NodeId>,
    /// Whom to ask, counted on with every try.
    turn: usize,
    pieces: Vec<Option<Vec<u8>>>,
    /// Those below were asked for.
    asked: usize,
    size: Option<u32>,
    due: Time,
    tries: u32,
}

/// What to do about a document.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Ask this node; none: whoever told of it, when it does so again.
    Ask(Option<NodeId>, Body),
    /// It is here.
    Whole { version: u64, digest: u64, document: Arc<[u8]> },
    /// Nobody gave it.
    Failed { digest: u64 },
}

impl Documents {
    pub fn new(in_force: Configuration) -> Documents {
        let retry = in_force.cluster.timing.removal / 2;
        let (prepared, fetch) = (Vec::new(), None);
        let (left, until) = (0, Time::ZERO);
        let (answered, refused, unanswered) = (0, 0, 0);
        Documents { in_force, prepared, fetch, retry, left, until, answered, refused, unanswered }
    }

    /// One more is stored here. The oldest one is forgotten if they are too many, but not `pinned`, which may come into force.
    pub fn prepare(&mut self, configuration: Configuration, pinned: Option<u64>) {
        let digest = configuration.cluster.digest;
        self.prepared.retain(|c| c.cluster.digest != digest);
        if self.prepared.len() == PREPARED_MAX {
            let oldest = self.prepared.iter().position(|c| Some(c.cluster.digest) != pinned);
            self.prepared.remove(oldest.unwrap_or(0));
        }
        self.prepared.push(configuration);
    }

    /// One that is stored here and not in force.
    pub fn prepared(&self, digest: u64) -> Option<&Configuration> {
        self.prepared.iter().find(|c| c.cluster.digest == digest)
    }

    /// The configuration of this digest is in force from now on; false if it is not here.
    pub fn switch(&mut self, version: u64, digest: u64) -> bool {
        if let Some(at) = self.prepared.iter().position(|c| c.cluster.digest == digest) {
            self.in_force = self.prepared.swap_remove(at);
        }
        self.in_force.cluster.version = version;
        self.prepared.retain(|c| c.cluster.version > version);
        if self.fetch.as_ref().is_some_and(|f| f.version <= version) {
            self.fetch = None;
        }
        self.in_force.cluster.digest == digest
    }

    /// Answers a question for pieces.
    pub fn answer(&mut self, now: Time, digest: u64, at: u16, count: u8) -> Vec<Body> {
        if now >= self.until {
            (self.left, self.until) = (ANSWERS_MAX, now + ANSWERS_SPAN);
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.unanswered += 1;
            return Vec::new();
        };
        self.left = left;
        let all = std::iter::once(&self.in_force).chain(&self.prepared);
        let wanted = all.into_iter().find(|c| digest == 0 || c.cluster.digest == digest);
        let Some(Configuration { cluster, document }) = wanted else {
            self.refused += 1;
            return vec![self.news()];
        };
        self.answered += 1;
        let pieces = document.chunks(PIECE_MAX).zip(0u16..);
        let pieces = pieces.skip(usize::from(at)).take(usize::from(count.min(ASK_MAX)));
        pieces
            .map(|(bytes, at)| Body::Piece {
                version: cluster.version,
                digest: cluster.digest,
                size: document.len() as u32,
                at,
                bytes: bytes.to_vec(),
            })
            .collect()
    }

    /// What is in force here, for who has something else.
    pub fn news(&self) -> Body {
        let Configuration { cluster, .. } = &self.in_force;
        let (version, digest) = (cluster.version, cluster.digest);
        Body::Piece { version, digest, size: self.in_force.size(), at: NO_PIECE, bytes: Vec::new() }
    }

    /// Gets a document from one of the nodes, or, if they are none, from who has no number here and tells of it: see
    /// [`Documents::question`]. One at a time: the latest.
    pub fn fetch(&mut self, now: Time, version: u64, digest: u64, from: NodeSet) -> Option<Step> {
        if let Some(there) = self.prepared.iter().find(|c| c.cluster.digest == digest) {
            let document = there.document.clone();
            return Some(Step::Whole { version, digest, document });
        }
        let from: Vec<NodeId> = from.iter().collect();
        if let Some(fetch) = self.fetch.as_mut().filter(|f| f.digest == digest) {
            fetch.from = from;
            return None;
        }
        let (pieces, size, asked) = (Vec::new(), None, 0);
        let (turn, tries) = (0, 0);
        let fetch = Fetch { version, digest, from, turn, pieces, asked, size, due: now, tries };
        self.fetch = Some(fetch);
        self.tick(now)
    }

    /// Asks again for what has not come.
    pub fn tick(&mut self, now: Time) -> Option<Step> {
        let retry = self.retry;
        let fetch = self.fetch.as_mut().filter(|f| now >= f.due)?;
        fetch.tries += 1;
        fetch.turn += 1;
        if fetch.tries > TRIES_MAX {
            let digest = fetch.digest;
            self.fetch = None;
            return Some(Step::Failed { digest });
        }
        fetch.due = now + retry;
        Some(fetch.ask())
    }

    /// What to ask of somebody who has this document, if it is on its way here.
    pub fn question(&mut self, digest: u64) -> Option<Body> {
        Some(self.fetch.as_mut().filter(|f| f.digest == digest)?.window())
    }

    pub fn deadline(&self) -> Time {
        self.fetch.as_ref().map_or(Time::NEVER, |f| f.due)
    }

    /// A piece came; one of a document that is not on its way here is of no use.
    pub fn take(
        &mut self,
        now: Time,
        (version, digest): (u64, u64),
        size: u32,
        at: u16,
        bytes: Vec<u8>,
    ) -> Option<Step> {
        let retry = self.retry;
        let fetch = self.fetch.as_mut().filter(|f| f.digest == digest)?;
        if fetch.size != Some(size) {
            fetch.size = Some(size);
            fetch.pieces = vec![None; (size as usize).min(DOCUMENT_MAX).div_ceil(PIECE_MAX)];
        }
        if let Some(place) = fetch.pieces.get_mut(usize::from(at)) {
            *place = Some(bytes);
        }
        let Some(missing) = fetch.pieces.iter().position(Option::is_none) else {
            let document: Vec<u8> = fetch.pieces.iter().flatten().flatten().copied().collect();
            self.fetch = None;
            return Some(Step::Whole { version, digest, document: document.into() });
        };
        if missing < fetch.asked {
            return None;
        }
        fetch.due = now + retry;
        fetch.tries = 0;
        Some(fetch.ask())
    }

    pub fn counters(&self) -> [Counter; 3] {
        let counter = |name: &str, count| Counter { name: name.to_owned(), count };
        [
            counter("documents_answered", self.answered),
            counter("documents_unknown", self.refused),
            counter("documents_asked_too_often", self.unanswered),
        ]
    }
}

impl Fetch {
    fn window(&mut self) -> Body {
        let at = self.pieces.iter().position(Option::is_none).unwrap_or(0);
        self.asked = at + usize::from(ASK_MAX);
        Body::Ask { digest: self.digest, at: at as u16, count: ASK_MAX }
    }

    fn ask(&mut self) -> Step {
        let node = self.from.get(self.turn % self.from.len().max(1)).copied();
        Step::Ask(node, self.window())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::{Balance, NodePlan, Partition, SubnetSet, Timing};

    fn configuration(version: u64, document: &[u8]) -> Configuration {
        let cluster = Cluster {
            nodes: vec![NodePlan { subnets: SubnetSet(1), witness: false }; 2],
            vips: Vec::new(),
            backends: Vec::new(),
            partition: Partition::Serve,
            rejoin: dsc_wire::Rejoin::Auto,
            timing: Timing::DEFAULT,
            balance: Balance::DEFAULT,
            digest: 100 + version,
            version,
        };
        Configuration { cluster, document: document.into() }
    }

    /// Lets one get from the other what it has prepared; `lost` pieces do not arrive at first.
    fn fetch(size: usize, lost: usize) -> (Vec<u8>, usize) {
        let document: Vec<u8> = (0..size).map(|i| (i / 7) as u8).collect();
        let mut has = Documents::new(configuration(0, b"old"));
        has.prepare(configuration(1, &document), None);
        let mut wants = Documents::new(configuration(0, b"old"));
        let from = [NodeId(1)].into_iter().collect();
        let mut now = Time::from_ms(1);
        let mut step = wants.fetch(now, 1, 101, from);
        let (mut asked, mut left) = (0, lost);
        loop {
            match step {
                Some(Step::Whole { document, .. }) => return (document.to_vec(), asked),
                Some(Step::Failed { .. }) => panic!("given up after {asked} questions"),
                Some(Step::Ask(_, Body::Ask { digest, at, count })) => {
                    asked += 1;
                    step = None;
                    for piece in has.answer(now, digest, at, count) {
                        let Body::Piece { version, digest, size, at, bytes } = piece else {
                            panic!("not a piece")
                        };
                        if left > 0 {
                            left -= 1;
                            continue;
                        }
                        let next = wants.take(now, (version, digest), size, at, bytes);
                        step = next.or(step);
                    }
                }
                Some(Step::Ask(..)) => panic!("no question"),
                None => {
                    now = wants.deadline();
                    step = wants.tick(now);
                }
            }
        }
    }

    #[test]
    fn a_document_comes_whole_in_as_few_questions_as_it_has_windows() {
        for (size, questions) in [(1, 1), (PIECE_MAX, 1), (16 * PIECE_MAX, 1), (40_000, 3)] {
            let (document, asked) = fetch(size, 0);
            assert_eq!((document.len(), asked), (size, questions));
            assert!(document.iter().enumerate().all(|(i, b)| *b == (i / 7) as u8));
        }
    }

    #[test]
    fn what_is_lost_is_asked_for_again() {
        let (document, asked) = fetch(40_000, 5);
        assert_eq!(document.len(), 40_000);
        assert!(asked > 3, "{asked}");
    }

    #[test]
    fn what_may_come_into_force_is_not_forgotten_for_what_came_later() {
        let mut has = Documents::new(configuration(0, b"old"));
        has.prepare(configuration(1, b"one"), None);
        for version in 2..=6 {
            has.prepare(configuration(version, b"more"), Some(101));
        }
        assert!(has.prepared(101).is_some() && has.prepared(106).is_some());
        assert_eq!(has.prepared.len(), PREPARED_MAX);
        assert!(has.switch(1, 101));
        assert_eq!(&*has.in_force.document, b"one");
    }

    #[test]
    fn who_has_something_else_says_what_is_in_force_and_nobody_is_asked_for_ever() {
        let mut has = Documents::new(configuration(7, b"seven"));
        let Some(Body::Piece { version: 7, at: NO_PIECE, .. }) =
            has.answer(Time::ZERO, 5, 0, 1).pop()
        else {
            panic!("no news")
        };
        let mut wants = Documents::new(configuration(0, b"old"));
        let mut step = wants.fetch(Time::from_ms(1), 1, 101, [NodeId(1)].into_iter().collect());
        while let Some(Step::Ask(..)) = step {
            step = wants.tick(wants.deadline());
        }
        assert_eq!(step, Some(Step::Failed { digest: 101 }));
        assert_eq!(wants.deadline(), Time::NEVER);
    }

    #[test]
    fn only_so_many_questions_are_answered_in_a_span() {
        let mut has = Documents::new(configuration(0, b"old"));
        let ask = |has: &mut Documents, ms| !has.answer(Time::from_ms(ms), 0, 0, 1).is_empty();
        let answered = (0..200).filter(|n| ask(&mut has, 5_000 + n / 2)).count();
        assert_eq!(answered, ANSWERS_MAX as usize);
        assert!(!ask(&mut has, 5_124) && ask(&mut has, 5_125));
        let counted = has.counters().map(|c| c.count);
        assert_eq!(counted, [u64::from(ANSWERS_MAX) + 1, 0, 200 - u64::from(ANSWERS_MAX) + 1]);
    }
}
