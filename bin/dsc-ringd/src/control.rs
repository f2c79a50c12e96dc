//! Answers to the node's people and daemons: views, events, commands. A question may wait for its answer; how many wait
//! at one door is bounded, so that those who only look cannot keep out those who change. The loop hands it every
//! request, and every event and result of the ring. Pure: time is an argument.

use dsc_sys::local::Asker;
use dsc_wire::Time;
use dsc_wire::local::{Command, Event, Reply, Request, View, WAIT_MAX_MS};
use std::collections::VecDeque;
use std::time::Duration;

/// Most questions that wait at one door; one more is answered at once with what there is.
pub const WAITING_MAX: usize = 64;
/// Most events that are remembered.
pub const EVENTS_MAX: usize = 1000;

/// The socket a question came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// For questions.
    Status,
    /// For questions and commands.
    Control,
}

/// An answer to send.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// By which socket.
    pub door: Door,
    /// To whom.
    pub asker: Asker,
    /// JSON.
    pub body: Vec<u8>,
}

/// What an operator wants to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By the ring.
    Command {
        /// Names it in [`Control::done`].
        id: u64,
        /// What.
        command: Command,
    },
    /// The configuration.
    Apply {
        /// Names it in [`Control::done`].
        id: u64,
        /// Version and digest of what it was made from.
        base: (u64, u64),
        /// The new file.
        document: String,
    },
}

/// Questions that wait, and what they wait for.
#[derive(Default)]
pub struct Control {
    waiting: Vec<Waiting>,
    events: VecDeque<Event>,
    last_event: u64,
    last_command: u64,
    view_number: u64,
    refused: u64,
}

struct Waiting {
    door: Door,
    asker: Asker,
    until: Time,
    question: Question,
}

enum Question {
    View { after: u64 },
    Events { after: u64 },
    Command { id: u64, result: Option<Result<String, String>> },
    Config,
    Answered(String),
}

impl Control {
    /// Nothing asked, nothing happened.
    pub fn new() -> Control {
        // A number of 0 asks for any view.
        Control { view_number: 1, ..Control::default() }
    }

    /// Takes one request; [`Control::answers`] has the answer, now or later. Returns what is to be carried out,
    /// whose end is told with [`Control::done`].
    pub fn ask(&mut self, now: Time, door: Door, asker: Asker, request: &[u8]) -> Option<Wanted> {
        let mut asked = None;
        let full = self.waiting.iter().filter(|w| w.door == door).count() >= WAITING_MAX;
        let (question, wait_ms) = match (serde_json::from_slice(request), door) {
            (Err(e), _) => (self.refuse(format!("cannot understand the request: {e}")), 0),
            (Ok(Request::View { after, wait_ms }), _) => (Question::View { after }, wait_ms),
            (Ok(Request::Events { after, wait_ms }), _) => (Question::Events { after }, wait_ms),
            (Ok(Request::Command { .. } | Request::Apply { .. }), Door::Status) => {
                (self.refuse("changes are asked for at the control socket".to_owned()), 0)
            }
            (Ok(Request::Command { .. }), Door::Control) if full => {
                let reason = format!("{WAITING_MAX} questions are waiting already: try again");
                (self.refuse(reason), 0)
            }
            (Ok(Request::Command { command, wait_ms }), Door::Control) => {
                self.last_command += 1;
                let id = self.last_command;
                asked = Some(Wanted::Command { id, command });
                (Question::Command { id, result: None }, wait_ms)
            }
            (Ok(Request::Config), _) => (Question::Config, 0),
            (Ok(Request::Apply { .. }), Door::Control) if full => {
                let reason = format!("{WAITING_MAX} questions are waiting already: try again");
                (self.refuse(reason), 0)
            }
            (Ok(Request::Apply { base_version, base_digest, document, wait_ms }), _) => {
                self.last_command += 1;
                let id = self.last_command;
                let base = (base_version, base_digest);
                asked = Some(Wanted::Apply { id, base, document });
                (Question::Command { id, result: None }, wait_ms)
            }
        };
        let wait_ms = if full { 0 } else { wait_ms.min(WAIT_MAX_MS) };
        let until = now + Duration::from_millis(wait_ms);
        self.waiting.push(Waiting { door, asker, until, question });
        asked
    }

    fn refuse(&mut self, reason: String) -> Question {
        self.refused += 1;
        Question::Answered(reason)
    }

    /// The view changed in something a reader cares about.
    pub fn view_changed(&mut self) {
        self.view_number += 1;
    }

    /// Number of the present view.
    pub fn view_number(&self) -> u64 {
        self.view_number
    }

    /// Requests that were not understood or not allowed.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Remembers an event and gives it the next number.
    pub fn happened(&mut self, mut event: Event) {
        self.last_event += 1;
        event.number = self.last_event;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// A command came to its end. Nobody may be waiting for it any more.
    pub fn done(&mut self, id: u64, outcome: Result<String, String>) {
        for waiting in &mut self.waiting {
            if let Question::Command { id: asked, result } = &mut waiting.question
                && *asked == id
            {
                *result = Some(outcome);
                return;
            }
        }
    }

    /// Is somebody owed a view now?
    pub fn wants_view(&self, now: Time) -> bool {
        self.waiting.iter().any(|w| self.is_view_due(w, now))
    }

    fn is_view_due(&self, waiting: &Waiting, now: Time) -> bool {
        match waiting.question {
            Question::View { after } => after != self.view_number || now >= waiting.until,
            _ => false,
        }
    }

    /// The answers that are due. `view` is the present one, needed if [`Control::wants_view`]; `config` makes the answer to
    /// who asks for the configuration in force.
    pub fn answers(
        &mut self,
        now: Time,
        view: Option<View>,
        config: impl Fn() -> Reply,
        out: &mut Vec<Answer>,
    ) {
        if self.waiting.is_empty() {
            return;
        }
        let view = view.map(|view| encode(&Reply::View { view: Box::new(view) }));
        for waiting in std::mem::take(&mut self.waiting) {
            let over = now >= waiting.until;
            let body = match &waiting.question {
                Question::Config => Some(encode(&config())),
                Question::View { .. } if !self.is_view_due(&waiting, now) => None,
                Question::View { .. } => view.clone(),
                Question::Events { after } => {
                    let events = self.events_after(*after);
                    (over || !events.is_empty()).then(|| encode(&Reply::Events { events }))
                }
                Question::Command { result: Some(Ok(text)), .. } => {
                    Some(encode(&Reply::Done { text: text.clone() }))
                }
                Question::Command { result: Some(Err(reason)), .. }
                | Question::Answered(reason) => {
                    Some(encode(&Reply::Refused { reason: reason.clone() }))
                }
                Question::Command { result: None, .. } => over.then(|| {
                    let text = "not every member's view shows it yet".to_owned();
                    encode(&Reply::Pending { text })
                }),
            };
            match body {
                Some(body) => out.push(Answer { door: waiting.door, asker: waiting.asker, body }),
                None => self.waiting.push(waiting),
            }
        }
    }

    fn events_after(&self, after: u64) -> Vec<Event> {
        // A number that was not given yet comes from an earlier life of this daemon: all is new to its holder.
        let after = if after > self.last_event { 0 } else { after };
        // Numbers have no gaps, so the position follows from the number.
        let first = self.last_event + 1 - self.events.len() as u64;
        let skip = (after + 1).saturating_sub(first);
        self.events.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).cloned().collect()
    }

    /// When the next question has waited long enough.
    pub fn deadline(&self) -> Time {
        self.waiting.iter().map(|w| w.until).min().unwrap_or(Time::NEVER)
    }
}

fn encode(reply: &Reply) -> Vec<u8> {
    serde_json::to_vec(reply).expect("a reply has only string keys and plain values")
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_wire::local::{EventKind, RingState};
    use dsc_wire::{Incarnation, Key, NodeId, Partition, VipId};

    fn view(number: u64) -> View {
        View {
            number,
            incarnation: Incarnation(1),
            me: NodeId(0),
            state: RingState::Alone,
            key: Key::ZERO,
            members: vec![],
            quorum: true,
            partition: Partition::Serve,
            lease_end: Time::ZERO,
            lease_ms: 95,
            rotation_us: 0,
            nodes: vec![],
            vips: vec![],
            config_digest: 0,
            config_version: 0,
            config_file: None,
            backends: vec![],
            health: vec![],
            switches: vec![],
            names: Default::default(),
            counters: vec![],
            heard: Default::default(),
            paths_down: vec![],
            keys: vec![],
        }
    }

    fn ask(control: &mut Control, door: Door, request: &Request) -> Option<u64> {
        let text = serde_json::to_vec(request).unwrap();
        let wanted = control.ask(Time::ZERO, door, Asker::new(vec![1]), &text)?;
        let (Wanted::Command { id, .. } | Wanted::Apply { id, .. }) = wanted;
        Some(id)
    }

    /// As many questions wait at `door` as may.
    fn full(door: Door) -> Control {
        let mut control = Control::new();
        for _ in 0..WAITING_MAX {
            ask(&mut control, door, &Request::Events { after: 0, wait_ms: 9_000 });
        }
        control
    }

    fn answers(control: &mut Control, now: Time) -> Vec<Reply> {
        let mut out = Vec::new();
        let view = control.wants_view(now).then(|| view(control.view_number()));
        let config = || Reply::Done { text: "the configuration".to_owned() };
        control.answers(now, view, config, &mut out);
        out.iter().map(|a| serde_json::from_slice(&a.body).unwrap()).collect()
    }

    fn numbers(replies: &[Reply]) -> Vec<u64> {
        let Some(Reply::Events { events }) = replies.first() else { panic!("{replies:?}") };
        events.iter().map(|e| e.number).collect()
    }

    const MOVE: Request = Request::Command {
        command: Command::MoveVip { vip: VipId(0), node: NodeId(1) },
        wait_ms: 1_000,
    };

    #[test]
    fn a_view_comes_at_once_or_when_it_changed_or_when_the_wait_is_over() {
        let mut control = Control::new();
        ask(&mut control, Door::Status, &Request::View { after: 0, wait_ms: 500 });
        let number = |replies: Vec<Reply>| match replies.as_slice() {
            [Reply::View { view }] => view.number,
            other => panic!("{other:?}"),
        };
        assert_eq!(number(answers(&mut control, Time::ZERO)), 1);
        let next = Request::View { after: 1, wait_ms: 500 };
        ask(&mut control, Door::Status, &next);
        assert_eq!(answers(&mut control, Time::ZERO), []);
        control.view_changed();
        assert_eq!(number(answers(&mut control, Time::ZERO)), 2);
        ask(&mut control, Door::Status, &Request::View { after: 2, wait_ms: 500 });
        assert_eq!(control.deadline(), Time::from_ms(500));
        assert_eq!(answers(&mut control, Time::from_ms(499)), []);
        assert_eq!(number(answers(&mut control, Time::from_ms(500))), 2);
        assert_eq!(control.deadline(), Time::NEVER);
    }

    #[test]
    fn a_command_ends_done_or_refused_or_pending() {
        let mut control = Control::new();
        let id = ask(&mut control, Door::Control, &MOVE).unwrap();
        control.done(id, Ok("moved".to_owned()));
        assert_eq!(answers(&mut control, Time::ZERO), [Reply::Done { text: "moved".to_owned() }]);
        let id = ask(&mut control, Door::Control, &MOVE).unwrap();
        control.done(id, Err("closed".to_owned()));
        let refused = Reply::Refused { reason: "closed".to_owned() };
        assert_eq!(answers(&mut control, Time::ZERO), [refused]);
        let id = ask(&mut control, Door::Control, &MOVE).unwrap();
        assert_eq!(answers(&mut control, Time::from_ms(999)), []);
        let late = answers(&mut control, Time::from_ms(1_000));
        assert!(matches!(late[..], [Reply::Pending { .. }]), "{late:?}");
        control.done(id, Ok("too late for anybody".to_owned()));
        assert_eq!(answers(&mut control, Time::from_ms(1_000)), []);
    }

    #[test]
    fn the_status_door_takes_no_command_and_nonsense_is_refused() {
        let mut control = Control::new();
        assert_eq!(ask(&mut control, Door::Status, &MOVE), None);
        control.ask(Time::ZERO, Door::Control, Asker::new(vec![2]), b"{\"do\":\"reboot\"}");
        control.ask(Time::ZERO, Door::Control, Asker::new(vec![2]), b"\xff");
        let replies = answers(&mut control, Time::ZERO);
        assert_eq!(replies.len(), 3);
        assert!(replies.iter().all(|r| matches!(r, Reply::Refused { .. })), "{replies:?}");
        assert_eq!(control.refused(), 3);
    }

    #[test]
    fn one_question_too_many_is_answered_at_once() {
        let mut control = full(Door::Control);
        assert_eq!(ask(&mut control, Door::Control, &MOVE), None);
        ask(&mut control, Door::Control, &Request::View { after: 1, wait_ms: 9_000 });
        let replies = answers(&mut control, Time::ZERO);
        assert!(matches!(replies[..], [Reply::Refused { .. }, Reply::View { .. }]), "{replies:?}");
    }

    #[test]
    fn who_fills_one_door_does_not_close_the_other() {
        let mut control = full(Door::Status);
        ask(&mut control, Door::Status, &Request::View { after: 1, wait_ms: 9_000 });
        let replies = answers(&mut control, Time::ZERO);
        assert!(matches!(replies[..], [Reply::View { .. }]), "{replies:?}");
        let id = ask(&mut control, Door::Control, &MOVE).expect("the command is carried out");
        assert_eq!(answers(&mut control, Time::ZERO), [], "it waits for its end");
        control.done(id, Ok("moved".to_owned()));
        assert_eq!(answers(&mut control, Time::ZERO), [Reply::Done { text: "moved".to_owned() }]);
        let mut control = full(Door::Control);
        ask(&mut control, Door::Status, &Request::View { after: 1, wait_ms: 9_000 });
        assert_eq!(answers(&mut control, Time::ZERO), [], "it waits for the next view");
    }

    #[test]
    fn events_are_numbered_bounded_and_found_by_number() {
        let mut control = Control::new();
        let event = || Event { number: 0, wall_ms: 5, node: NodeId(0), kind: EventKind::Founded };
        for _ in 0..EVENTS_MAX + 10 {
            control.happened(event());
        }
        let last = EVENTS_MAX as u64 + 10;
        let mut after = |after| {
            ask(&mut control, Door::Status, &Request::Events { after, wait_ms: 0 });
            numbers(&answers(&mut control, Time::ZERO))
        };
        assert_eq!(after(0), (11..=last).collect::<Vec<_>>());
        assert_eq!(after(last - 2), [last - 1, last]);
        assert_eq!(after(last), [0; 0]);
        assert_eq!(after(u64::MAX).len(), EVENTS_MAX);
    }
}
