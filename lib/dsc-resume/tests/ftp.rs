//! The FTP protocol, whatever a client or a server sends: no panic, bounded memory, the same outcome however the bytes are cut,
//! nothing that is passed on could be read as two commands, and no download is put together of two files.

use bolero::check;
use dsc_resume::ftp::{self, Command, End, Lines, Refusal, Replies, Representation, Transfer};
use dsc_resume::ftp::{REPLY_MAX, Reply, Session, Step, Verb};

/// Iterations of the short run; `cargo bolero test` runs the same targets for as long as it is told.
const ROUNDS: usize = 4_000;

/// The commands and bad lines of a client's bytes, which come in pieces of this size.
fn commands(bytes: &[u8], piece: usize) -> Vec<Option<Command>> {
    let mut lines = Lines::of_client();
    let mut found = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let (count, line) = lines.take(piece);
            assert!(count > 0, "no progress");
            piece = &piece[count..];
            found.extend(line.map(|l| l.ok().and_then(|l| Command::parse(&l).ok())));
        }
    }
    found
}

/// The replies of a server's bytes, up to the first that is none.
fn replies(bytes: &[u8], piece: usize) -> (Vec<Reply>, bool) {
    let mut reader = Replies::default();
    let mut found = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let (count, reply) = reader.take(piece);
            assert!(count > 0, "no progress");
            piece = &piece[count..];
            match reply {
                Some(Ok(reply)) => found.push(reply),
                Some(Err(_)) => return (found, false),
                None => {}
            }
        }
    }
    (found, true)
}

/// Bytes, and so many of these words among them, each at its place.
fn with_words(bytes: &[u8], words: &[&str], inserted: &[(u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, word) in inserted.iter().take(8) {
        let at = usize::from(*at) % (bytes.len() + 1);
        bytes.splice(at..at, words[usize::from(*word) % words.len()].bytes());
    }
    bytes
}

#[test]
fn any_client() {
    let words = [
        "RETR a\r\n",
        "USER \u{ff}\r\n",
        "PORT 1,2,3,4,5,6\n",
        "REST 9\r\n",
        "\r\r\n",
        "CWD /x\r\n",
    ];
    check!().with_iterations(ROUNDS).with_type::<(Vec<u8>, Vec<(u8, u8)>, u8)>().for_each(
        |(bytes, inserted, piece)| {
            let bytes = with_words(bytes, &words, inserted);
            let whole = commands(&bytes, bytes.len().max(1));
            assert_eq!(whole, commands(&bytes, usize::from(*piece).max(1)));
            let mut session = Session::default();
            for command in whole.into_iter().flatten() {
                let line = command.to_bytes();
                assert_eq!(commands(&line, line.len()), [Some(command.clone())]);
                assert_eq!(line.iter().filter(|b| matches!(b, b'\r' | b'\n')).count(), 2);
                assert!(!line.iter().any(|b| matches!(b, 0 | 255)));
                let _ = ftp::port(command.argument());
                let _ = ftp::extended_port(command.argument());
                session.heard(&command, u16::from(*piece) + 200);
                let _ = session.replay();
            }
        },
    );
}

#[test]
fn any_server() {
    let words = [
        "226 ok\r\n",
        "220-a\r\n",
        "220 b\n",
        "213 12\r\n",
        "227 (1,2,3,4,5,6)\r\n",
        "229 (|||1|)\r\n",
    ];
    check!().with_iterations(ROUNDS).with_type::<(Vec<u8>, Vec<(u8, u8)>, u8)>().for_each(
        |(bytes, inserted, piece)| {
            let bytes = with_words(bytes, &words, inserted);
            let whole = replies(&bytes, bytes.len().max(1));
            assert_eq!(whole, replies(&bytes, usize::from(*piece).max(1)));
            for reply in whole.0 {
                let printed = reply.to_bytes();
                assert!((100..600).contains(&reply.code) && printed.len() <= REPLY_MAX);
                assert_eq!(replies(&printed, printed.len()), (vec![reply.clone()], true));
                let _ = ftp::passive(reply.text());
                let _ = ftp::extended_passive(reply.text());
            }
        },
    );
}

/// The file that is downloaded, two that are as long, and a fourth that is not.
fn file(which: u8, length: u8) -> Vec<u8> {
    let own = if which == 3 { length.wrapping_add(1) } else { length };
    (0..own).map(|at| at.wrapping_mul(7) ^ which).collect()
}

/// Servers with the same file, another with the same SIZE, others that break anywhere: what the client has got is always a
/// beginning of the first server's file, and only the whole of it is called complete.
#[test]
fn any_servers_one_after_the_other() {
    type Server = (u8, u8, u8, bool, Option<u8>);
    type Servers = (u8, u8, u8, bool, Vec<Server>);
    check!().with_iterations(ROUNDS).with_type::<Servers>().for_each(
        |(length, rest, overlap, has_time, servers)| {
            let rest = usize::from(*rest).min(usize::from(*length));
            let command = Command::parse(b"RETR f").unwrap();
            let representation = Representation::Image;
            let mut transfer =
                Transfer::new(command, rest as u64, representation, (*overlap).into());
            let mut got: Vec<u8> = Vec::new();
            let mut first = None;
            for (which, many, piece, closed, code) in servers.iter().take(6) {
                let which = which % 4;
                let own = file(which, *length);
                let mut from = 0;
                let mut run = |transfer: &mut Transfer| -> Result<(), Refusal> {
                    for step in transfer.begin(false) {
                        let Step::Say(said) = step else { continue };
                        let reply = match said.verb {
                            Verb::Size => Reply::new(213, &own.len().to_string()),
                            Verb::Mdtm if !has_time => Reply::new(502, "no"),
                            Verb::Mdtm => Reply::new(213, &format!("2026112723030{which}")),
                            Verb::Rest => {
                                from = said.number().unwrap() as usize;
                                Reply::new(350, "go on")
                            }
                            _ => Reply::new(150, "now"),
                        };
                        transfer.heard(&said, &reply)?;
                    }
                    Ok(())
                };
                if run(&mut transfer).is_err() {
                    continue;
                }
                let sends = own.get(from..).unwrap_or_default();
                for piece in
                    sends[..sends.len().min((*many).into())].chunks(usize::from(*piece).max(1))
                {
                    let new = transfer.received(piece).expect("the same file");
                    if !new.is_empty() {
                        first.get_or_insert(which);
                    }
                    got.extend_from_slice(new);
                }
                let wanted = file(first.unwrap_or(which), *length);
                assert!(wanted.get(rest..).unwrap_or_default().starts_with(&got), "a wrong byte");
                match transfer.end(*closed, code.map(u16::from)) {
                    End::Complete => {
                        assert_eq!(rest + got.len(), wanted.len().max(rest));
                        return;
                    }
                    End::Failed(_) => return,
                    End::Broken => assert!(got.is_empty() || *has_time),
                }
            }
        },
    );
}
