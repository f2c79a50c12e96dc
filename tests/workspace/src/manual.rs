//! Compares a manual page with the program it describes: both are asked, the page through its mdoc source and
//! the program through `--help`. Each program's own tests call it, because only they know its binary.

use std::collections::BTreeSet;
use std::process::Command;

/// What a program offers, or a page says that it offers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Long options, without dashes.
    pub options: BTreeSet<String>,
    /// Commands, their words joined by spaces.
    pub commands: BTreeSet<String>,
}

/// Differences between `man/PROGRAM.8` and the program, one a line; none if they agree.
///
/// # Panics
/// The page cannot be read or the program cannot be run.
pub fn compare(program: &str, binary: &str) -> Vec<String> {
    let path = crate::root().join(format!("man/{program}.8"));
    let page = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let mut found = Offer::default();
    ask(binary, &[], &mut found);
    differences(program, &page, &found)
}

/// Asks a program, and each of its commands, for help.
fn ask(binary: &str, command: &[String], found: &mut Offer) {
    let run = Command::new(binary).args(command).arg("--help").output();
    let run = run.unwrap_or_else(|e| panic!("cannot run {binary}: {e}"));
    assert!(run.status.success(), "{binary} {command:?} --help: {}", run.status);
    let help = String::from_utf8_lossy(&run.stdout).into_owned();
    let (options, commands) = read_help(&help);
    found.options.extend(options);
    for word in commands {
        let below: Vec<String> = command.iter().cloned().chain([word]).collect();
        found.commands.insert(below.join(" "));
        ask(binary, &below, found);
    }
}

/// Options and commands of one help text. Descriptions are indented deeper than what they describe.
fn read_help(help: &str) -> (BTreeSet<String>, Vec<String>) {
    let mut options = BTreeSet::new();
    let mut commands = Vec::new();
    let mut in_commands = false;
    for line in help.lines() {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace();
        if line.ends_with(':') && indent == 0 {
            in_commands = line == "Commands:";
        } else if in_commands && indent == 2 {
            commands.extend(words.next().filter(|w| *w != "help").map(str::to_owned));
        } else if (1..=8).contains(&indent) {
            let first = words.next().unwrap_or_default();
            let long = if first.ends_with(',') { words.next() } else { Some(first) };
            options.extend(long.and_then(|w| w.strip_prefix("--")).map(option_name));
        }
    }
    (options, commands)
}

/// The name of an option, without what follows it.
fn option_name(word: &str) -> String {
    word.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect()
}

fn differences(program: &str, page: &str, found: &Offer) -> Vec<String> {
    let listed = read_page(page, true);
    let named = read_page(page, false);
    let mut wrong = Vec::new();
    let mut say = |what: &str, name: &str, text: &str| {
        wrong.push(format!("{program}: {what} {name} {text}"));
    };
    for option in found.options.iter().filter(|o| *o != "help") {
        if !listed.options.contains(option) {
            say("option", &format!("--{option}"), "has no .It in the page");
        }
    }
    for option in named.options.iter().filter(|o| !found.options.contains(*o)) {
        say("option", &format!("--{option}"), "is in the page, but --help does not know it");
    }
    for command in &found.commands {
        let below = format!("{command} ");
        let is_group = listed.commands.iter().any(|c| c.starts_with(&below));
        if !listed.commands.contains(command) && !is_group {
            say("command", command, "has no .It Cm in the page");
        }
    }
    for command in listed.commands.iter().filter(|c| !found.commands.contains(*c)) {
        say("command", command, "is in the page, but --help does not know it");
    }
    wrong
}

/// What a page offers: in its lists only, or wherever it names an option. Commands are items of the
/// sections COMMANDS and DESCRIPTION; elsewhere an item may be anything.
fn read_page(page: &str, lists_only: bool) -> Offer {
    let mut offer = Offer::default();
    let mut in_commands = false;
    for line in page.lines().filter(|l| l.starts_with('.') && !l.starts_with(".\\\"")) {
        let words: Vec<&str> = line[1..].split_whitespace().collect();
        if words[0] == "Sh" {
            in_commands = line.contains("COMMANDS") || line.contains("DESCRIPTION");
        }
        let is_item = words[0] == "It";
        if is_item || !lists_only {
            offer.options.extend(options(&words));
        }
        if is_item && in_commands && matches!(words.get(1), Some(&"Cm" | &"Ic")) {
            offer.commands.extend(commands(&words[1..]));
        }
    }
    offer.commands.remove("help");
    offer
}

/// A word of mdoc that is called inside a line, such as `Ar`.
fn is_macro(word: &str) -> bool {
    let mut letters = word.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_uppercase());
    first && (2..=3).contains(&word.len()) && letters.all(|c| c.is_ascii_lowercase())
}

/// The long options of a line: the words after `Fl` that begin with the second dash.
fn options(words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_flags = false;
    for (at, word) in words.iter().enumerate() {
        if is_macro(word) {
            in_flags = *word == "Fl";
        } else if in_flags {
            let twice = at > 1 && words[at - 1] == "Fl" && words[at - 2] == "Fl";
            let long = if twice { Some(*word) } else { word.strip_prefix('-') };
            found.extend(long.map(option_name).filter(|n| !n.is_empty()));
        }
    }
    found
}

/// The commands of a list item: `Cm node close | open Ar NODE` has two.
fn commands(words: &[&str]) -> Vec<String> {
    let own: Vec<&str> = words
        .iter()
        .take_while(|w| !is_macro(w) || **w == "Cm" || **w == "Ic")
        .filter(|w| !is_macro(w))
        .flat_map(|w| w.split_inclusive('|'))
        .collect();
    let mut done: Vec<String> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut instead = false;
    for word in own {
        let name = word.trim_end_matches('|');
        if !name.is_empty() {
            if instead {
                done.push(path.join(" "));
                path.pop();
            }
            path.push(name);
        }
        instead = word.ends_with('|');
    }
    done.push(path.join(" "));
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
Shows things

Usage: x [OPTIONS] [COMMAND]

Commands:
  status  Show
  node    Change
  help    Print this message

Options:
      --json               Print JSON
      --timeout <SECONDS>  Longest wait
                           --json is not meant here
  -H, --host <NODE>        Elsewhere
  -h, --help               Print help
";

    fn found() -> Offer {
        let (options, commands) = read_help(HELP);
        Offer { options, commands: commands.into_iter().collect() }
    }

    #[test]
    fn help_is_understood() {
        let found = found();
        assert_eq!(found.options.iter().collect::<Vec<_>>(), ["help", "host", "json", "timeout"]);
        assert_eq!(found.commands.iter().collect::<Vec<_>>(), ["node", "status"]);
    }

    #[test]
    fn pages_are_understood() {
        let page = ".Sh COMMANDS\n.It Cm node close | open Ar NODE\n.It Cm node Cm a|b\n\
             .It Fl j , -json Ar X\n.Fl Fl quiet\n.Sh ELSE\n.It Cm word";
        let listed = read_page(page, true);
        let commands: Vec<_> = listed.commands.iter().collect();
        assert_eq!(commands, ["node a", "node b", "node close", "node open"]);
        assert_eq!(listed.options.iter().collect::<Vec<_>>(), ["json"]);
        assert_eq!(read_page(page, false).options.iter().collect::<Vec<_>>(), ["json", "quiet"]);
    }

    #[test]
    fn each_difference_is_told() {
        let good = ".Sh COMMANDS\n.It Cm node\n.It Cm status\n.It Fl -json\n.It Fl -timeout Ar S\n\
             .It Fl H , Fl -host\n";
        assert_eq!(differences("x", good, &found()), Vec::<String>::new());
        let bad = ".Sh COMMANDS\n.It Cm node\n.It Cm state\n.It Fl -jason\n.It Fl -timeout Ar S\n.It Fl -host\n";
        assert_eq!(differences("x", bad, &found()).len(), 4);
    }
}
