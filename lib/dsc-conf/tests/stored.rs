//! Which of two files is in force, and what is said about one that cannot be read.

use dsc_conf::Config;
use std::fs;
use std::path::PathBuf;

const SHOP: &str = r#"
[cluster]
name = "t"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1" }
[[node]]
name = "n2"
addresses = { ext = "10.1.0.2" }
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, "dsc.toml").unwrap_or_else(|p| panic!("{p}"))
}

/// What follows [`SHOP`].
fn successor(text: &str) -> Config {
    parse(SHOP).successor(parse(text)).unwrap_or_else(|p| panic!("{p}"))
}

/// A directory for one test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("dsc-conf-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn the_stored_one_is_in_force_if_it_is_of_the_cluster_and_of_a_higher_version() {
    let dir = Dir::new("stored");
    let file = dir.put("given.toml", SHOP);
    let in_force = || Config::in_force(&file, &dir.0).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!((in_force().path, in_force().file), (file.clone(), None), "there is no other");
    let next = successor(&SHOP.replace("n2", "n3"));
    let stored = dir.put("dsc.toml", &next.document());
    let found = in_force();
    assert_eq!((&found.config, &found.path), (&next, &stored));
    let other = found.file.expect("the file says something else");
    assert_eq!((other.path, other.version), (file.display().to_string(), 0));
    // The operator has copied it.
    dir.put("given.toml", &next.to_toml().replace("version = 1", "version = 0"));
    assert_eq!((in_force().config.version, in_force().file), (1, None), "both say the same");
    // The whole cluster was stopped to change what cannot be changed otherwise.
    dir.put("given.toml", &next.to_toml().replace("port = 7946", "port = 9000"));
    assert_eq!((in_force().path, in_force().config.port), (file.clone(), 9000));
    dir.put("given.toml", &SHOP.replace("name = \"t\"", "name = \"u\""));
    assert_eq!(in_force().config.name, "u", "of another cluster");
}

#[test]
fn a_stored_one_that_cannot_be_read_is_not_passed_over() {
    let dir = Dir::new("unreadable");
    let file = dir.put("given.toml", SHOP);
    let fails = |text: &str| {
        dir.put("dsc.toml", text);
        Config::in_force(&file, &dir.0).expect_err(text)
    };
    let problems = fails("[cluster]\nname = \"t\"\n");
    let [first, ..] = problems.list() else { panic!("{problems}") };
    assert!(first.message.contains("dsc.toml, the configuration in force, cannot be read"));
    assert!(first.help.as_ref().unwrap().contains("mv "), "{problems}");
    assert!(problems.to_string().contains("expected at least one [[subnet]]"), "{problems}");
    let written = successor(SHOP).document();
    let newer = written.replacen(env!("CARGO_PKG_VERSION"), "99.0.1", 1) + "[colours]\nred = 1\n";
    let problems = fails(&newer);
    assert!(
        problems.to_string().contains("it was written by dsc 99.0.1, a newer build"),
        "{problems}"
    );
    let older = newer.replacen("99.0.1", "0.0.1", 1);
    assert!(fails(&older).to_string().contains("mv "));
    fs::remove_file(dir.0.join("dsc.toml")).unwrap();
    fs::create_dir(dir.0.join("dsc.toml")).unwrap();
    let problems = Config::in_force(&file, &dir.0).unwrap_err();
    assert!(problems.to_string().contains("cannot be read"), "{problems}");
}
