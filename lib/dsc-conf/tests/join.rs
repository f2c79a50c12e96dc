//! The file of a machine that joins: what it may say, and that it is no other file.

use dsc_conf::{Config, Join};
use std::path::Path;

#[test]
fn a_file_that_joins_says_where_to_ask_and_no_more() {
    let text = "[cluster]\njoin = \"10.1.0.1\"\n";
    let join = Join::parse(text, "test").unwrap().unwrap();
    assert_eq!(join.address.to_string(), "10.1.0.1");
    assert_eq!((join.port, join.key_file.as_path()), (7946, Path::new("/etc/dsc/key")));
    assert_eq!(join.node, None);
    let text =
        "[cluster]\njoin = \"fd00:1::1\"\nport = 9\nkey_file = \"/k\"\n[node]\nname = \"n4\"\n";
    let join = Join::parse(text, "test").unwrap().unwrap();
    assert_eq!((join.port, join.node.as_deref()), (9, Some("n4")));
    for (text, problem) in [
        ("[cluster]\njoin = \"n1\"\n", "\"n1\" is not an address"),
        ("[cluster]\njoin = 7\n", "`join` is an integer"),
        ("[cluster]\njoin = \"10.1.0.1\"\nname = \"c\"\n", "`name` is not a key"),
        ("[cluster]\njoin = \"10.1.0.1\"\n[[subnet]]\nname = \"x\"\n", "`subnet` is not a key"),
        ("[cluster]\njoin = \"10.1.0.1\"\n[[node]]\nname = \"x\"\n", "`node` is an array"),
    ] {
        let problems = Join::parse(text, "test").unwrap_err().to_string();
        assert!(problems.contains(problem), "{problems}");
    }
    assert_eq!(Join::parse("[cluster]\nname = \"c\"\n", "test"), Ok(None));
}

#[test]
fn until_it_has_joined_nothing_is_in_force() {
    let dir = std::env::temp_dir().join(format!("dsc-join-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("join.toml");
    std::fs::write(&file, "[cluster]\njoin = \"10.1.0.1\"\n").unwrap();
    let problems = Config::in_force(&file, &dir).unwrap_err().to_string();
    assert!(problems.contains("has not joined"), "{problems}");
    let ours = include_str!("../../../conf/dsc.toml");
    std::fs::write(dir.join("dsc.toml"), ours).unwrap();
    let in_force = Config::in_force(&file, &dir).unwrap();
    assert_eq!((in_force.path, in_force.file), (dir.join("dsc.toml"), None));
    std::fs::remove_dir_all(&dir).unwrap();
}
