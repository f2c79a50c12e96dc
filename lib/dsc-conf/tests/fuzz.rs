//! The reader never panics, whatever it is given; and what it accepts it can print and read again.

use bolero::check;
use dsc_conf::Config;

/// Iterations of the short run; `cargo bolero test` runs the same targets for as long as it is told.
const ROUNDS: usize = 4_000;

/// Reads a text, prints the outcome, and reads back what was accepted.
fn read(text: &str) {
    match Config::parse(text, "fuzz") {
        Ok(config) => {
            let printed = config.to_toml();
            let again = Config::parse(&printed, "printed").unwrap_or_else(|p| panic!("{p}"));
            assert_eq!(again, config);
            assert_eq!(again.digest(), config.digest());
            follows_itself(&config, again);
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(!problems.render(false).is_empty());
        }
    }
}

/// What says the same follows it, with the next version and nothing else.
fn follows_itself(config: &Config, again: Config) {
    let Ok(next) = config.successor(again) else {
        assert_eq!(config.version, i64::MAX as u64, "only a version may be missing");
        return;
    };
    assert_eq!((next.version, next.digest()), (config.version + 1, config.digest()));
    assert_eq!(config.changes(&next), []);
}

#[test]
fn any_bytes() {
    check!().with_iterations(ROUNDS).for_each(|bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            read(text);
        }
    });
}

/// Real files with lines exchanged between them and characters changed: this gets past the syntax, and now and
/// then past the checks.
#[test]
fn mutated_files() {
    let mut files: Vec<Vec<String>> = Vec::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(path).unwrap();
            files.push(text.lines().map(str::to_owned).collect());
        }
    }
    let all: Vec<String> = files.concat();
    type Changes = (u8, u8, Vec<(u16, u16)>, Vec<(u16, char)>);
    check!().with_iterations(ROUNDS).with_type::<Changes>().for_each(
        |(file, most, moves, marks)| {
            let most = usize::from(*most % 4);
            let mut lines = files[usize::from(*file) % files.len()].clone();
            for (to, from) in moves.iter().take(most) {
                let to = usize::from(*to) % lines.len();
                lines[to].clone_from(&all[usize::from(*from) % all.len()]);
            }
            let mut text: Vec<char> = lines.join("\n").chars().collect();
            for (at, c) in marks.iter().take(most) {
                let at = usize::from(*at) % text.len().max(1);
                if text.is_empty() {
                    text.push(*c);
                } else if at.is_multiple_of(2) {
                    text[at] = *c;
                } else {
                    text.remove(at);
                }
            }
            read(&text.into_iter().collect::<String>());
        },
    );
}

/// Files as large as they may be, each of one thing: bounded memory, bounded time, no deep recursion.
#[test]
fn large_files() {
    let fill = |unit: &str| unit.repeat(dsc_conf::TEXT_MAX / unit.len());
    let cluster = "[cluster]\nname = \"x\"\n";
    for unit in [
        "[",
        "a.",
        "{",
        "\"",
        "[[node]]\n",
        "[[subnet]]\n",
        "[[vip]]\n",
        "[[service]]\n",
        "[[service]]\n[[service.backends]]\n",
        "\n",
        "a=[{b=",
        "\u{1b}",
    ] {
        read(&fill(unit));
    }
    let half = |unit: &str| unit.repeat(dsc_conf::TEXT_MAX / 2 / unit.len() - 32);
    read(&format!("{cluster}{}{}", half("[[node]]\n"), half("[[subnet]]\n")));
    let many =
        |key: &str, values: &str| format!("{cluster}[[subnet]]\nname=\"s\"\n{key}=[{values}]\n");
    read(&many("networks", &half("\"10.0.0.0/24\",")));
    read(&many("networks", &half("1,")));
    read(&format!("{}pool=[{}]", many("networks", "\"10.0.0.0/24\""), half("\"10.0.1.1\",")));
    read(&format!("{}{}", cluster, half("[[vip]]\naddress=\"10.0.0.1\"\n")));
    let service = |key: &str, values: &str| {
        let pool = many("networks", "\"10.0.0.0/24\"") + "pool=[\"10.0.0.100-10.0.0.200\"]\n";
        format!("{pool}[[service]]\nname=\"s\"\nport=1\n{key}=[{values}]\n")
    };
    read(&service("vips", &half("\"10.0.0.100\",")));
    read(&service("backends", &half("{},")));
    let most = "{address=\"10.0.0.1\"},".repeat(1024);
    read(&service("vips=\"s\"\nbackends", &most));
    read(&format!("a{} = 1", half(".a")));
    let wide = "x".repeat(dsc_conf::TEXT_MAX + 1);
    assert_eq!(Config::parse(&wide, "wide").unwrap_err().count(), 1);
}
