//! Commands of a client: which the relay knows, and how they are printed again. A command that it does not know might open
//! a connection or change what bytes mean, so it goes nowhere.

use std::fmt;

/// Does a command have an argument?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument {
    No,
    May,
    Must,
}

macro_rules! verbs {
    ($($name:ident $word:literal $argument:ident $repeats:literal $what:literal)*) => {
        /// What a command asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb {
            $(#[doc = $what] $name,)*
        }

        /// Verb, its word, its argument, and whether it does the same when it is said twice.
        const VERBS: &[(Verb, &str, Argument, bool)] =
            &[$((Verb::$name, $word, Argument::$argument, $repeats),)*];
    };
}

verbs! {
    User "USER" Must true  "Log in: the name."
    Pass "PASS" May  true  "Log in: the password."
    Acct "ACCT" Must true  "Log in: the account."
    Cwd  "CWD"  Must true  "Go to a directory."
    Cdup "CDUP" No   true  "Go to the directory above."
    Type "TYPE" Must true  "Representation of data: text or image."
    Stru "STRU" Must true  "Structure of files; only F."
    Mode "MODE" Must true  "Mode of transfer; only S."
    Opts "OPTS" Must true  "Options of a command."
    Pasv "PASV" No   true  "The server listens for the data connection (IPv4)."
    Epsv "EPSV" May  true  "The server listens for the data connection."
    Port "PORT" Must true  "The client listens for the data connection (IPv4)."
    Eprt "EPRT" Must true  "The client listens for the data connection."
    Rest "REST" Must true  "The next transfer begins there."
    Retr "RETR" Must true  "Download."
    List "LIST" May  true  "A directory, for people, on a data connection."
    Nlst "NLST" May  true  "A directory's names, on a data connection."
    Mlsd "MLSD" May  true  "A directory, for programs, on a data connection."
    Stor "STOR" Must false "Upload."
    Stou "STOU" May  false "Upload under a new name."
    Appe "APPE" Must false "Upload behind what is there."
    Abor "ABOR" No   true  "End the transfer."
    Quit "QUIT" No   true  "End the session."
    Feat "FEAT" No   true  "What can the server do?"
    Size "SIZE" Must true  "Length of a file."
    Mdtm "MDTM" Must true  "When a file was changed."
    Mlst "MLST" May  true  "Facts about a file."
    Stat "STAT" May  true  "The state of the session, or a directory, on the control connection."
    Pwd  "PWD"  No   true  "Which directory is it?"
    Syst "SYST" No   true  "Which system is it?"
    Help "HELP" May  true  "Help."
    Noop "NOOP" No   true  "Nothing."
    Allo "ALLO" Must true  "Room for an upload."
    Rnfr "RNFR" Must true  "Rename: from."
    Rnto "RNTO" Must false "Rename: to."
    Dele "DELE" Must false "Delete a file."
    Mkd  "MKD"  Must false "Make a directory."
    Rmd  "RMD"  Must false "Remove a directory."
    Mfmt "MFMT" Must false "Set when a file was changed."
    Site "SITE" Must false "Something that only this server knows."
}

/// Words of the first time, and what they became (RFC 1123).
const OLD: &[(&str, &str)] =
    &[("XCWD", "CWD"), ("XCUP", "CDUP"), ("XPWD", "PWD"), ("XMKD", "MKD"), ("XRMD", "RMD")];

/// Words of RFC 2228 and RFC 4217: a connection that the relay could not read.
const SECURITY: &[&str] = &["AUTH", "ADAT", "PBSZ", "PROT", "CCC", "MIC", "CONF", "ENC"];

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCommand {
    /// It begins with no word of three or four letters.
    Malformed,
    /// A command that the relay does not know.
    Unknown,
    /// TLS or another protection of the connection.
    Security,
    /// An argument is missing, or one too many.
    Argument,
    /// An argument that the relay does not know: another type, structure or mode.
    Parameter,
}

/// A command with its argument, as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// What it asks for.
    pub verb: Verb,
    argument: Vec<u8>,
}

impl Command {
    /// Of the relay's own. The argument comes from another command or is a number.
    pub(super) fn new(verb: Verb, argument: &[u8]) -> Command {
        Command { verb, argument: argument.to_vec() }
    }

    /// One without an argument.
    pub fn bare(verb: Verb) -> Command {
        Command::new(verb, b"")
    }

    /// Reads a line without its end, as [`super::Lines`] gives it.
    ///
    /// # Errors
    /// It is none that may be passed on.
    pub fn parse(line: &[u8]) -> Result<Command, BadCommand> {
        let length = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
        let word = line[..length].to_ascii_uppercase();
        let argument = line.get(length + 1..).unwrap_or_default();
        if !(3..=4).contains(&word.len()) || !word.iter().all(u8::is_ascii_uppercase) {
            return Err(BadCommand::Malformed);
        }
        let word = OLD
            .iter()
            .find(|(old, _)| old.as_bytes() == word)
            .map_or(&word[..], |w| w.1.as_bytes());
        let Some((verb, _, needs, _)) = VERBS.iter().find(|v| v.1.as_bytes() == word) else {
            let is_security = SECURITY.iter().any(|s| s.as_bytes() == word);
            return Err(if is_security { BadCommand::Security } else { BadCommand::Unknown });
        };
        match needs {
            Argument::No if !argument.trim_ascii().is_empty() => Err(BadCommand::Argument),
            Argument::No => Ok(Command::new(*verb, b"")),
            Argument::Must if argument.is_empty() => Err(BadCommand::Argument),
            Argument::Must | Argument::May => Command::new(*verb, argument).checked(),
        }
    }

    /// Refuses what changes the meaning of the data's bytes.
    fn checked(self) -> Result<Command, BadCommand> {
        let argument = self.argument.trim_ascii().to_ascii_uppercase();
        let wanted: &[&[u8]] = match self.verb {
            Verb::Type => &[b"I", b"L 8", b"A", b"A N"],
            Verb::Stru => &[b"F"],
            Verb::Mode => &[b"S"],
            Verb::Rest => {
                return self.number().map(|_| self.clone()).ok_or(BadCommand::Argument);
            }
            _ => return Ok(self),
        };
        if wanted.contains(&&argument[..]) { Ok(self) } else { Err(BadCommand::Parameter) }
    }

    /// The argument; empty if there is none.
    pub fn argument(&self) -> &[u8] {
        &self.argument
    }

    /// The argument as a number.
    pub fn number(&self) -> Option<u64> {
        std::str::from_utf8(&self.argument).ok().and_then(|n| super::address::number(n.trim()))
    }

    /// The word that the command begins with.
    pub fn word(&self) -> &'static str {
        VERBS.iter().find(|v| v.0 == self.verb).map_or("", |v| v.1)
    }

    /// Does it do the same when it is said to another server because nobody knows whether the first one did it?
    pub fn repeats(&self) -> bool {
        VERBS.iter().any(|v| v.0 == self.verb && v.3)
    }

    /// The line as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.word().as_bytes().to_vec();
        if !self.argument.is_empty() {
            bytes.push(b' ');
            bytes.extend_from_slice(&self.argument);
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// For logs: without what is secret, and without bytes that a terminal obeys.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = matches!(self.verb, Verb::Pass | Verb::Acct);
        f.write_str(self.word())?;
        match &self.argument[..] {
            [] => Ok(()),
            _ if secret => f.write_str(" ..."),
            argument => write!(f, " {}", argument.escape_ascii()),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        type Row<'a> = (&'a [u8], Result<(Verb, &'a [u8]), BadCommand>);
        let rows: &[Row] = &[
            (b"NOOP", Ok((Verb::Noop, b"NOOP\r\n"))),
            (b"noop ", Ok((Verb::Noop, b"NOOP\r\n"))),
            (b"NOOP now", Err(BadCommand::Argument)),
            (b"User joe", Ok((Verb::User, b"USER joe\r\n"))),
            (b"USER", Err(BadCommand::Argument)),
            (b"PASS", Ok((Verb::Pass, b"PASS\r\n"))),
            (b"PASS  two words ", Ok((Verb::Pass, b"PASS  two words \r\n"))),
            (b"XCWD /pub", Ok((Verb::Cwd, b"CWD /pub\r\n"))),
            (b"XCUP", Ok((Verb::Cdup, b"CDUP\r\n"))),
            (b"RETR ../../etc/passwd", Ok((Verb::Retr, b"RETR ../../etc/passwd\r\n"))),
            (b"RETR a b", Ok((Verb::Retr, b"RETR a b\r\n"))),
            (b"TYPE i", Ok((Verb::Type, b"TYPE i\r\n"))),
            (b"TYPE A N", Ok((Verb::Type, b"TYPE A N\r\n"))),
            (b"TYPE L 8", Ok((Verb::Type, b"TYPE L 8\r\n"))),
            (b"TYPE L 7", Err(BadCommand::Parameter)),
            (b"TYPE E", Err(BadCommand::Parameter)),
            (b"MODE S", Ok((Verb::Mode, b"MODE S\r\n"))),
            (b"MODE Z", Err(BadCommand::Parameter)),
            (b"STRU R", Err(BadCommand::Parameter)),
            (b"REST 10", Ok((Verb::Rest, b"REST 10\r\n"))),
            (b"REST -1", Err(BadCommand::Argument)),
            (b"REST 18446744073709551616", Err(BadCommand::Argument)),
            (b"AUTH TLS", Err(BadCommand::Security)),
            (b"PROT P", Err(BadCommand::Security)),
            (b"SPSV", Err(BadCommand::Unknown)),
            (b"LPRT 6,16", Err(BadCommand::Unknown)),
            (b"GET / HTTP/1.1", Err(BadCommand::Unknown)),
            (b"\x16\x03\x01\x02", Err(BadCommand::Malformed)),
            (b"", Err(BadCommand::Malformed)),
            (b" USER joe", Err(BadCommand::Malformed)),
            (b"USER\tjoe", Err(BadCommand::Malformed)),
            (b"HE", Err(BadCommand::Malformed)),
        ];
        for (line, wanted) in rows {
            let found = Command::parse(line);
            let printed = found.as_ref().map(|c| (c.verb, c.to_bytes())).map_err(|e| *e);
            assert_eq!(printed, wanted.map(|(v, b)| (v, b.to_vec())), "{}", line.escape_ascii());
            if let Ok(command) = found {
                let again = command.to_bytes();
                assert_eq!(Command::parse(again.strip_suffix(b"\r\n").unwrap()), Ok(command));
            }
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let command = Command::parse(b"PASS geheim").unwrap();
        assert_eq!(format!("{command} {command:?}"), "PASS ... PASS ...");
        assert_eq!(Command::parse(b"ACCT geheim").unwrap().to_string(), "ACCT ...");
        assert_eq!(Command::parse(b"RETR a\x1b[2J").unwrap().to_string(), "RETR a\\x1b[2J");
    }

    #[test]
    fn what_changes_files_is_not_repeated() {
        let kept: Vec<&str> = VERBS.iter().filter(|v| !v.3).map(|v| v.1).collect();
        let wanted = ["STOR", "STOU", "APPE", "RNTO", "DELE", "MKD", "RMD", "MFMT", "SITE"];
        assert_eq!(kept, wanted);
    }
}
