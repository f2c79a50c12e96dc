//! `top`: a live screen of the whole cluster. One thread draws and takes keys; one watches dsc-ringd; each change has a
//! thread of its own, one at a time, so that neither ever keeps the screen waiting.
//!
//! ```text
//!   terminal --keys--> state --order--> change (as the commands)
//!      ^                 |
//!   screen, columns <----+---- picture <---- watch (views, events)
//! ```

mod columns;
pub mod order;
pub mod picture;
pub mod screen;
pub mod state;
pub mod terminal;
mod thermometer;

use crate::arguments::Options;
use crate::ask::{self, Ask};
use crate::change;
use crate::failure::{DONE, Failure, reason};
use crate::world::World;
use dsc_wire::Incarnation;
use dsc_wire::local::Event;
use order::Order;
use picture::Picture;
use state::{Effect, State};
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;
use terminal::{Input, Terminal};

/// How late a picture, an answer or a signal may be noticed.
const LOOK: Duration = Duration::from_millis(50);
/// A lease changes without a new view.
const WATCH: Duration = Duration::from_secs(1);
/// How late dsc-ringd may be before the screen says that it is old.
const LATE: Duration = Duration::from_secs(1);
/// Between two tries to reach a daemon that may be restarting, and between two pictures: more would be no use to eyes.
const PAUSE: Duration = Duration::from_millis(200);
/// What dsc-ringd itself remembers.
const EVENTS_MAX: usize = 1000;

/// What the other threads tell the screen.
enum News {
    Picture(Box<Picture>),
    Lost(String),
    Answer(String),
}

/// Shows the screen until somebody leaves it.
pub fn run(options: &Options) -> Result<u8, Failure> {
    if options.json {
        return Err(Failure::Usage("top is a screen: there is none in JSON".into()));
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let text = "top needs a terminal: in a pipe, use dscctl status --watch";
        return Err(Failure::Usage(text.into()));
    }
    let world = World { run_dir: options.run_dir.clone() };
    // A daemon that is not there at the start is told as by any command.
    let mut seen = Seen::default();
    let first = seen.look(&world, Duration::ZERO, options.timeout)?;
    let (news, told) = mpsc::sync_channel(1);
    let (watched, timeout) = (news.clone(), options.timeout);
    thread::spawn(move || watch(&world, seen, &watched, timeout));
    let terminal = Terminal::take().map_err(no_terminal)?;
    show(terminal, first, &told, |order| {
        let (options, news) = (options.clone(), news.clone());
        thread::spawn(move || {
            // The screen may have ended meanwhile: the change goes on, and nobody waits for its answer.
            let _ = news.send(News::Answer(carry_out(&options, &order)));
        });
    })
    .map_err(no_terminal)?;
    Ok(DONE)
}

/// Draws and takes keys.
fn show(
    mut terminal: Terminal,
    mut picture: Picture,
    told: &Receiver<News>,
    begin: impl Fn(Order),
) -> io::Result<()> {
    let mut state = State::default();
    let (mut fits, mut changed) = (true, true);
    while !terminal.told_to_end() {
        if changed {
            terminal.drawn.draw(|frame| {
                let area = frame.area();
                fits = screen::fits(area);
                screen::draw(frame.buffer_mut(), area, &picture, &state);
            })?;
        }
        let input = terminal.read(LOOK)?;
        changed = !matches!(input, Input::Nothing);
        if let Input::Key(key) = input {
            match state.step(key, &picture, fits) {
                Effect::None => {}
                Effect::Quit => break,
                Effect::Do(order) => begin(order),
            }
        }
        match told.try_recv() {
            Ok(News::Picture(new)) => picture = *new,
            Ok(News::Lost(why)) => picture.lost = Some(why),
            Ok(News::Answer(text)) => state.answered(text),
            Err(TryRecvError::Empty) => continue,
            Err(TryRecvError::Disconnected) => return Err(io::Error::other("a thread has ended")),
        }
        changed = true;
    }
    terminal.end()
}

/// Pictures as they change, and one a second, for as long as there is a screen.
fn watch(world: &World, mut seen: Seen, news: &SyncSender<News>, timeout: Duration) {
    loop {
        let told = match seen.look(world, WATCH, LATE.min(timeout)) {
            Ok(picture) => News::Picture(Box::new(picture)),
            Err(failure) => News::Lost(failure.to_string()),
        };
        if news.send(told).is_err() {
            return;
        }
        world.pause(PAUSE);
    }
}

/// What dsc-ringd has told: it is asked for news only.
#[derive(Default)]
struct Seen {
    view: u64,
    life: Option<Incarnation>,
    events: Vec<Event>,
}

impl Seen {
    /// The picture once there is another view, or after `wait`.
    fn look(
        &mut self,
        world: &World,
        wait: Duration,
        timeout: Duration,
    ) -> Result<Picture, Failure> {
        let view = ask::view(world, self.view, wait, timeout)?;
        if self.life != Some(view.incarnation) {
            // A new life of the daemon counts its events from 1 again.
            self.events.clear();
        }
        let last = self.events.last().map_or(0, |event| event.number);
        self.events.extend(ask::events(world, last, Duration::ZERO, timeout)?);
        self.events.drain(..self.events.len().saturating_sub(EVENTS_MAX));
        (self.view, self.life) = (view.number, Some(view.incarnation));
        Ok(Picture::new(&view, &self.events, world.now(), world.wall_ms()))
    }
}

/// As the command of that name; what it would print.
fn carry_out(options: &Options, order: &Order) -> String {
    let world = World { run_dir: options.run_dir.clone() };
    match change::run(&world, order.wish(), !options.no_wait, options.timeout) {
        Ok((change, _)) => change.text,
        Err(failure) => failure.to_string(),
    }
}

fn no_terminal(error: io::Error) -> Failure {
    Failure::Refused(format!("cannot use the terminal: {}", reason(&error)))
}
