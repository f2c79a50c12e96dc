//! What a session has told its server, and another has to be told before it can take its place.

use super::command::{Command, Verb};
use super::refusal::Refusal;
use super::reply::Reply;
use std::collections::VecDeque;

/// Most steps from the last absolute directory that are remembered.
const STEPS_MAX: usize = 64;
/// Most commands whose options are remembered.
const OPTIONS_MAX: usize = 8;

/// What bytes of a data connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// Text: each system writes the ends of lines its own way, so a byte has no fixed place.
    Ascii,
    /// The file's bytes.
    Image,
}

/// The state of a session, as its server acknowledged it.
#[derive(Clone, Debug)]
pub struct Session {
    /// USER, PASS, ACCT: as many as were wanted.
    login: Vec<Command>,
    is_logged_in: bool,
    representation: Representation,
    options: Vec<Command>,
    directory: Vec<Command>,
    /// Something was done that cannot be done again elsewhere.
    is_bound: bool,
    /// It has named what is renamed, and not yet how.
    is_renaming: bool,
    rest: u64,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            login: Vec::new(),
            is_logged_in: false,
            representation: Representation::Ascii,
            options: Vec::new(),
            directory: Vec::new(),
            is_bound: false,
            is_renaming: false,
            rest: 0,
        }
    }
}

impl Session {
    /// The server answered `command` with `code`.
    pub fn heard(&mut self, command: &Command, code: u16) {
        let is_done = code / 100 == 2;
        self.is_renaming = command.verb == Verb::Rnfr && code == 350;
        match command.verb {
            // RFC 959: a new user begins anew. One that is refused leaves the old one.
            Verb::User if is_done || code / 100 == 3 => {
                self.login = vec![command.clone()];
                self.is_logged_in = is_done;
                self.directory.clear();
                self.rest = 0;
            }
            Verb::Pass | Verb::Acct if is_done || code / 100 == 3 => {
                self.login.retain(|said| said.verb != command.verb);
                self.login.push(command.clone());
                self.is_logged_in = is_done;
            }
            Verb::Pass | Verb::Acct => self.is_logged_in = false,
            Verb::Type if is_done => {
                let first = command.argument().trim_ascii().first();
                let is_text = first.is_some_and(|b| b.eq_ignore_ascii_case(&b'A'));
                self.representation =
                    if is_text { Representation::Ascii } else { Representation::Image };
            }
            Verb::Opts if is_done => {
                let of = |c: &Command| {
                    c.argument().split(|b| *b == b' ').next().map(<[u8]>::to_ascii_uppercase)
                };
                self.options.retain(|said| of(said) != of(command));
                self.options.push(command.clone());
                self.is_bound |= self.options.len() > OPTIONS_MAX;
                self.options.truncate(OPTIONS_MAX);
            }
            Verb::Cwd | Verb::Cdup if is_done => self.step(command),
            Verb::Site if is_done => self.is_bound = true,
            // One that is refused is no place, nor is the one before it.
            Verb::Rest => {
                let place = command.number().filter(|_| code == 350);
                self.rest = place.unwrap_or_default();
            }
            _ => {}
        }
    }

    fn step(&mut self, command: &Command) {
        if command.argument().first() == Some(&b'/') {
            self.directory.clear();
        }
        // A directory too many is counted, not kept: an absolute one makes all well again.
        if self.directory.len() <= STEPS_MAX {
            self.directory.push(command.clone());
        }
    }

    /// Is a user logged in?
    pub fn is_logged_in(&self) -> bool {
        self.is_logged_in
    }

    /// Who: the argument of USER.
    pub fn user(&self) -> &[u8] {
        self.login.first().map(Command::argument).unwrap_or_default()
    }

    /// What bytes of a data connection are.
    pub fn representation(&self) -> Representation {
        self.representation
    }

    /// Where the transfer starts that is asked for now; only that one, whatever comes of it (RFC 3659, 5.3, leaves to the
    /// server what a REST does that no transfer took).
    pub fn take_rest(&mut self) -> u64 {
        std::mem::take(&mut self.rest)
    }

    /// Can it change its server between two commands, with nothing lost?
    pub fn may_move(&self) -> bool {
        !self.is_renaming && self.replay().is_ok()
    }

    /// What another server has to be told.
    ///
    /// # Errors
    /// It cannot be told everything.
    pub fn replay(&self) -> Result<Replay, Refusal> {
        if self.is_bound || self.directory.len() > STEPS_MAX {
            return Err(Refusal::Bound);
        }
        let mut commands: VecDeque<Command> = self.login.iter().cloned().collect();
        if self.is_logged_in {
            commands.extend(self.options.iter().cloned());
            if self.representation == Representation::Image {
                commands.push_back(Command::new(Verb::Type, b"I"));
            }
            commands.extend(self.directory.iter().cloned());
        }
        Ok(Replay { commands, wants_login: self.is_logged_in })
    }
}

/// What another server is told, one command after the other, each when the one before is answered.
#[derive(Clone, Debug)]
pub struct Replay {
    commands: VecDeque<Command>,
    wants_login: bool,
}

impl Replay {
    /// The next command; none when the server is where the other was.
    pub fn next(&self) -> Option<&Command> {
        self.commands.front()
    }

    /// The server answered the next command.
    ///
    /// # Errors
    /// It cannot take the other's place.
    pub fn heard(&mut self, reply: &Reply) -> Result<(), Refusal> {
        let Some(said) = self.commands.pop_front() else { return Ok(()) };
        let is_login = |c: &Command| matches!(c.verb, Verb::Pass | Verb::Acct);
        match said.verb {
            Verb::User | Verb::Pass | Verb::Acct => {
                let goes_on = self.commands.front().is_some_and(is_login);
                match reply.code / 100 {
                    // One that asks for less is content with less.
                    2 => {
                        while self.commands.front().is_some_and(is_login) {
                            self.commands.pop_front();
                        }
                        Ok(())
                    }
                    3 if goes_on || !self.wants_login => Ok(()),
                    _ => Err(Refusal::Login(reply.code)),
                }
            }
            _ if reply.is_done() => Ok(()),
            Verb::Cwd | Verb::Cdup => Err(Refusal::Directory(reply.code)),
            _ => Err(Refusal::Command(reply.code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(said: &[(&str, u16)]) -> Session {
        let mut session = Session::default();
        for (line, code) in said {
            session.heard(&Command::parse(line.as_bytes()).unwrap(), *code);
        }
        session
    }

    /// Replays a session to a server that answers with these codes; says what was told, and the outcome.
    fn replay(session: &Session, codes: &[u16]) -> (Vec<String>, Result<(), Refusal>) {
        let mut told = Vec::new();
        let mut replay = match session.replay() {
            Ok(replay) => replay,
            Err(refusal) => return (told, Err(refusal)),
        };
        let mut codes = codes.iter();
        while let Some(command) = replay.next() {
            told.push(String::from_utf8(command.to_bytes()).unwrap().trim_end().to_owned());
            let code = codes.next().unwrap_or_else(|| panic!("no answer to {told:?}"));
            if let Err(refusal) = replay.heard(&Reply::new(*code, "")) {
                return (told, Err(refusal));
            }
        }
        assert_eq!(codes.next(), None);
        (told, Ok(()))
    }

    #[test]
    fn what_was_acknowledged_is_told_again() {
        let login = [("USER joe", 331), ("PASS x", 230)];
        type Row<'a> = (&'a str, Vec<(&'a str, u16)>, Vec<&'a str>);
        let with = |more: &[(&'static str, u16)]| [&login[..], more].concat();
        let told = |more: &[&'static str]| [&["USER joe", "PASS x"][..], more].concat();
        let rows: Vec<Row> = vec![
            ("nothing yet", vec![], vec![]),
            ("refused user", vec![("USER joe", 530)], vec![]),
            ("half a login", vec![("USER joe", 331)], vec!["USER joe"]),
            ("wrong password", vec![("USER joe", 331), ("PASS y", 530)], vec!["USER joe"]),
            ("password not wanted", vec![("USER joe", 230)], vec!["USER joe"]),
            ("logged in", with(&[]), told(&[])),
            ("binary", with(&[("TYPE I", 200)]), told(&["TYPE I"])),
            ("text in a small letter", with(&[("TYPE I", 200), ("TYPE a", 200)]), told(&[])),
            ("text again", with(&[("TYPE I", 200), ("TYPE A", 200)]), told(&[])),
            ("binary refused", with(&[("TYPE I", 500)]), told(&[])),
            (
                "directories",
                with(&[("CWD a", 250), ("CWD b", 250), ("CDUP", 200)]),
                told(&["CWD a", "CWD b", "CDUP"]),
            ),
            (
                "absolute",
                with(&[("CWD a", 250), ("CWD /b", 250), ("CWD c", 250)]),
                told(&["CWD /b", "CWD c"]),
            ),
            ("refused directory", with(&[("CWD a", 250), ("CWD /b", 550)]), told(&["CWD a"])),
            (
                "options",
                with(&[("OPTS utf8 on", 200), ("OPTS UTF8 off", 200), ("OPTS MLST size", 200)]),
                told(&["OPTS UTF8 off", "OPTS MLST size"]),
            ),
            ("another user", with(&[("CWD a", 250), ("USER ann", 230)]), vec!["USER ann"]),
            ("another user refused", with(&[("CWD a", 250), ("USER ann", 530)]), told(&["CWD a"])),
        ];
        for (what, said, wanted) in rows {
            let session = session(&said);
            let codes: Vec<u16> = wanted
                .iter()
                .map(
                    |line| {
                        if line.starts_with("USER") && !session.is_logged_in { 331 } else { 250 }
                    },
                )
                .collect();
            // A server that wants the password, and so gets it.
            let codes = if wanted.get(1) == Some(&"PASS x") {
                [&[331], &codes[1..]].concat()
            } else {
                codes
            };
            assert_eq!(
                replay(&session, &codes),
                (wanted.iter().map(|w| (*w).to_owned()).collect(), Ok(())),
                "{what}"
            );
        }
    }

    #[test]
    fn answers_are_judged() {
        let session =
            session(&[("USER joe", 331), ("PASS x", 230), ("TYPE I", 200), ("CWD a", 250)]);
        let rows: &[(&[u16], usize, Result<(), Refusal>)] = &[
            (&[331, 230, 200, 250], 4, Ok(())),
            (&[331, 202, 200, 200], 4, Ok(())),
            (&[230, 200, 250], 3, Ok(())),
            (&[530], 1, Err(Refusal::Login(530))),
            (&[331, 530], 2, Err(Refusal::Login(530))),
            (&[331, 332], 2, Err(Refusal::Login(332))),
            (&[331, 421], 2, Err(Refusal::Login(421))),
            (&[331, 230, 504], 3, Err(Refusal::Command(504))),
            (&[331, 230, 200, 550], 4, Err(Refusal::Directory(550))),
            (&[331, 230, 200, 150], 4, Err(Refusal::Directory(150))),
        ];
        for (codes, told, wanted) in rows {
            let (lines, outcome) = replay(&session, codes);
            assert_eq!((lines.len(), outcome), (*told, *wanted), "{codes:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not() {
        let login = [("USER joe", 230)];
        assert_eq!(
            session(&[&login[..], &[("SITE UMASK 0", 200)]].concat()).replay().err(),
            Some(Refusal::Bound)
        );
        assert!(session(&[&login[..], &[("SITE UMASK 0", 500)]].concat()).replay().is_ok());
        let mut deep = session(&login);
        let step = Command::parse(b"CWD a").unwrap();
        for _ in 0..STEPS_MAX {
            deep.heard(&step, 250);
        }
        assert!(deep.replay().is_ok());
        for _ in 0..1000 {
            deep.heard(&step, 250);
        }
        assert_eq!(deep.replay().err(), Some(Refusal::Bound));
        assert_eq!(deep.directory.len(), STEPS_MAX + 1);
        deep.heard(&Command::parse(b"CWD /").unwrap(), 250);
        assert!(deep.replay().is_ok());
        for n in 0..100 {
            deep.heard(&Command::parse(format!("OPTS a{n}").as_bytes()).unwrap(), 200);
        }
        assert_eq!((deep.options.len(), deep.replay().err()), (OPTIONS_MAX, Some(Refusal::Bound)));
    }

    #[test]
    fn what_is_renamed_is_named_on_one_server() {
        let mut session = session(&[("USER joe", 230), ("RNFR a", 350)]);
        assert!(!session.may_move() && session.replay().is_ok());
        session.heard(&Command::parse(b"RNTO b").unwrap(), 250);
        assert!(session.may_move());
        session.heard(&Command::parse(b"RNFR none").unwrap(), 550);
        assert!(session.may_move());
        session.heard(&Command::parse(b"SITE UMASK 0").unwrap(), 200);
        assert!(!session.may_move(), "what was done is done on one server");
    }

    #[test]
    fn who_is_logged_in() {
        let rows: &[(&[(&str, u16)], bool)] = &[
            (&[], false),
            (&[("USER joe", 331)], false),
            (&[("USER joe", 230)], true),
            (&[("USER joe", 331), ("PASS x", 530)], false),
            (&[("USER joe", 331), ("PASS x", 332)], false),
            (&[("USER joe", 331), ("PASS x", 332), ("ACCT a", 230)], true),
            (&[("USER joe", 230), ("USER ann", 331)], false),
            (&[("USER joe", 230), ("USER ann", 530)], true),
        ];
        for (said, wanted) in rows {
            assert_eq!(session(said).is_logged_in(), *wanted, "{said:?}");
        }
        let mut often = session(&[("USER joe", 331)]);
        for _ in 0..1000 {
            often.heard(&Command::parse(b"PASS x").unwrap(), 230);
        }
        assert_eq!(often.login.len(), 2, "one password is kept");
    }

    #[test]
    fn a_restart_is_of_one_transfer() {
        let said = [("USER joe", 230), ("REST 10", 350), ("NOOP", 200)];
        let mut kept = session(&said);
        assert_eq!((kept.take_rest(), kept.take_rest()), (10, 0));
        for then in [("REST 12", 501), ("REST 0", 350), ("USER ann", 331)] {
            assert_eq!(session(&[&said[..], &[then]].concat()).take_rest(), 0, "{then:?}");
        }
    }
}
