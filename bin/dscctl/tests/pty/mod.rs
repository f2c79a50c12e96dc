//! A program in a terminal of its own: what it draws is read off as a person would, keys are typed, and the settings of the
//! terminal are compared with those before. Used by `terminal.rs`.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{FlowArg, Termios, tcflow, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);
const SIZE: (usize, usize) = (100, 30);

/// What stands on the screen.
#[derive(Default)]
struct Screen {
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    /// The part of an escape sequence or a letter that has come so far.
    part: Vec<u8>,
    /// Shows the screen beside that of the shell.
    alternate: bool,
    hidden_cursor: bool,
    ended: bool,
}

/// The program; it does not outlive a test that failed.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended if all is well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No program may have the terminal of another test.
static OPENING: Mutex<()> = Mutex::new(());

/// The terminal and the program in it.
pub struct Pty {
    /// The program.
    pub program: Program,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    keyboard: File,
    program_end: OwnedFd,
    before: Termios,
    reader: Option<JoinHandle<()>>,
}

impl Pty {
    /// Runs `program` with this terminal as its controlling one.
    pub fn run(program: &Command) -> Pty {
        let (columns, rows) = SIZE;
        let size =
            Winsize { ws_row: rows as u16, ws_col: columns as u16, ws_xpixel: 0, ws_ypixel: 0 };
        let opening = OPENING.lock().unwrap();
        let pty = openpty(Some(&size), None).unwrap();
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let before = tcgetattr(&pty.slave).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop((command, opening));
        let screen = Screen { cells: vec![vec![' '; columns]; rows], ..Screen::default() };
        let screen = Arc::new((Mutex::new(screen), Condvar::new()));
        let keyboard = File::from(pty.master);
        let (mut output, drawn) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                // The last one to close the other end is an error here.
                let count = output.read(&mut bytes).unwrap_or(0);
                let (screen, changed) = &*drawn;
                let mut screen = screen.lock().unwrap();
                bytes[..count].iter().for_each(|byte| screen.take(*byte));
                screen.ended = count == 0;
                changed.notify_all();
                if screen.ended {
                    return;
                }
            }
        });
        Pty {
            program: Program(child),
            screen,
            keyboard,
            program_end: pty.slave,
            before,
            reader: Some(reader),
        }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text stands on the screen.
    pub fn see(&self, text: &str) {
        self.wait(text, |screen| screen.text().contains(text));
    }

    /// Waits until the program has the terminal for itself.
    pub fn see_taken(&self) {
        self.wait("the screen", |screen| screen.alternate && screen.hidden_cursor);
        assert!(tcgetattr(&self.program_end).unwrap() != self.before, "keys need a raw terminal");
    }

    /// Lets the terminal take nothing more: whoever writes to it waits.
    pub fn stall(&self) {
        tcflow(&self.program_end, FlowArg::TCOOFF).unwrap();
    }

    /// Waits for the program's end; the terminal must be as it was.
    pub fn end(mut self) -> ExitStatus {
        let status = self.program.0.wait().unwrap();
        assert!(tcgetattr(&self.program_end).unwrap() == self.before, "the terminal is still raw");
        drop(self.program_end);
        self.reader.take().unwrap().join().unwrap();
        let screen = self.screen.0.lock().unwrap();
        assert!(!screen.alternate && !screen.hidden_cursor, "the screen is still there");
        status
    }

    fn wait(&self, what: &str, seen: impl Fn(&Screen) -> bool) {
        let (screen, changed) = &*self.screen;
        let screen = screen.lock().unwrap();
        let still = |screen: &mut Screen| !seen(screen) && !screen.ended;
        let (screen, _) = changed.wait_timeout_while(screen, PATIENCE, still).unwrap();
        assert!(seen(&screen), "no {what} on\n{}", screen.text());
    }
}

impl Screen {
    fn text(&self) -> String {
        let line = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned() + "\n";
        self.cells.iter().map(line).collect()
    }

    fn take(&mut self, byte: u8) {
        self.part.push(byte);
        if self.part.starts_with(b"\x1b") {
            let letter = byte.is_ascii_alphabetic() && self.part.len() > 2;
            if letter || (self.part.len() == 2 && byte != b'[') {
                let sequence = std::mem::take(&mut self.part);
                self.obey(std::str::from_utf8(&sequence).unwrap());
            }
            return;
        }
        let Ok(text) = std::str::from_utf8(&self.part) else {
            assert!(self.part.len() < 4, "no text: {:?}", self.part);
            return;
        };
        let letter = text.chars().next().unwrap();
        self.part.clear();
        match letter {
            '\r' => self.at.0 = 0,
            '\n' => self.at.1 = (self.at.1 + 1).min(SIZE.1 - 1),
            letter => {
                if let Some(cell) = self.cells[self.at.1].get_mut(self.at.0) {
                    *cell = letter;
                }
                self.at.0 += 1;
            }
        }
    }

    /// As much as the program uses: where to draw, what to clear, and whose screen it is; colours are not looked at.
    fn obey(&mut self, sequence: &str) {
        match sequence {
            "\x1b[?1049h" => self.alternate = true,
            "\x1b[?1049l" => self.alternate = false,
            "\x1b[?25l" => self.hidden_cursor = true,
            "\x1b[?25h" => self.hidden_cursor = false,
            "\x1b[2J" => self.cells.iter_mut().for_each(|line| line.fill(' ')),
            _ => {
                if let Some(place) =
                    sequence.strip_prefix("\x1b[").and_then(|s| s.strip_suffix('H'))
                {
                    let mut numbers = place.split(';').map(|n| n.parse::<usize>().unwrap_or(1));
                    let row = numbers.next().unwrap_or(1);
                    self.at = (numbers.next().unwrap_or(1) - 1, (row - 1).min(SIZE.1 - 1));
                }
            }
        }
    }
}
