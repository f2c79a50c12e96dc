//! The terminal: taken for the screen, and given back as it was, whether the screen ends, fails, or panics, or the program
//! is told to end. Turns what the terminal sends into keys.

use super::state::Key;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, terminal};
use ratatui::backend::CrosstermBackend;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io::{self, Stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What a program is told to end by.
const ENDS: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// What the terminal sent.
pub enum Input {
    /// Nothing yet.
    Nothing,
    /// A key that means something.
    Key(Key),
    /// Another key, or that it has another size.
    Other,
}

/// The terminal while it shows the screen.
pub struct Terminal {
    /// What is drawn on.
    pub drawn: ratatui::Terminal<CrosstermBackend<Stdout>>,
    told: Arc<AtomicUsize>,
}

impl Terminal {
    /// Takes the terminal.
    pub fn take() -> io::Result<Terminal> {
        let told = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in ENDS {
            // A terminal that takes nothing keeps us from looking: the second time ends the program at once.
            flag::register_conditional_default(signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&told), signal as usize)?;
        }
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            give_back();
            before(panicked);
        }));
        terminal::enable_raw_mode()?;
        let taken = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(drawn) => Ok(Terminal { drawn, told }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// What comes next within `patience`.
    pub fn read(&self, patience: Duration) -> io::Result<Input> {
        if !event::poll(patience)? {
            return Ok(Input::Nothing);
        }
        Ok(match event::read()? {
            Event::Key(pressed) if pressed.kind != KeyEventKind::Release => {
                key(pressed.code, pressed.modifiers).map_or(Input::Other, Input::Key)
            }
            _ => Input::Other,
        })
    }

    /// Is the program told to end?
    pub fn told_to_end(&self) -> bool {
        self.told.load(Ordering::Relaxed) != 0
    }

    /// Gives the terminal back; if the program was told to end, it ends as if nobody had listened.
    pub fn end(self) -> io::Result<()> {
        let told = self.told.load(Ordering::Relaxed);
        drop(self);
        match i32::try_from(told) {
            Ok(signal) if signal != 0 => low_level::emulate_default_handler(signal),
            _ => Ok(()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// As it was. There is nobody to tell if the terminal has gone.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    if modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        let interrupt = code == KeyCode::Char('c') && modifiers == KeyModifiers::CONTROL;
        return interrupt.then_some(Key::Interrupt);
    }
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::Left | KeyCode::Char('h') | KeyCode::BackTab => Key::Left,
        KeyCode::Right | KeyCode::Char('l') | KeyCode::Tab => Key::Right,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Char(letter) => Key::Char(letter),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_meaning_with_their_modifiers_only() {
        for (code, modifiers, expected) in [
            (KeyCode::Char('k'), KeyModifiers::NONE, Some(Key::Up)),
            (KeyCode::BackTab, KeyModifiers::SHIFT, Some(Key::Left)),
            (KeyCode::Char('Y'), KeyModifiers::SHIFT, Some(Key::Char('Y'))),
            (KeyCode::Char('c'), KeyModifiers::NONE, Some(Key::Char('c'))),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Interrupt)),
            (KeyCode::Char('d'), KeyModifiers::CONTROL, None),
            (KeyCode::Char('y'), KeyModifiers::ALT, None),
            (KeyCode::F(1), KeyModifiers::NONE, None),
        ] {
            assert_eq!(key(code, modifiers), expected, "{code:?}");
        }
    }
}
