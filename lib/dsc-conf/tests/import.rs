//! Old files: each folder below `imports/` has a set of them, and `imports/NAME.txt` is what becomes of it, or what the operator
//! reads. `BLESS=1 cargo test -p dsc-conf import::` writes the expected texts again; review the difference.

use bolero::check;
use dsc_conf::{Config, OldFile, OldKind, Problems, import};
use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<(OldKind, String, String)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let kind = OldKind::of(&name).unwrap_or_else(|| panic!("{name}"));
        (kind, name, fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

fn imported(files: &[(OldKind, String, String)]) -> Result<String, Vec<Problems>> {
    let files: Vec<OldFile> =
        files.iter().map(|(kind, name, text)| OldFile { kind: *kind, name, text }).collect();
    import("shop", &files)
}

#[test]
fn every_set_of_files_becomes_what_is_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    assert!(folders.len() > 8);
    let mut wrong = Vec::new();
    for folder in folders {
        let found = match imported(&files(&folder)) {
            Ok(text) => {
                let config = Config::parse(&text, "imported").unwrap_or_else(|p| panic!("{p}"));
                assert!(config.nodes.count() > 0 && config.vips.count() > 0);
                text
            }
            Err(problems) => problems.iter().map(Problems::to_string).collect(),
        };
        let expected = folder.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, found).unwrap();
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&found) {
            wrong.push(format!("{}:\n{found}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_is_known_by_its_name() {
    assert_eq!(OldKind::of("NODEMAP.CFG"), Some(OldKind::NodeMap));
    assert_eq!(OldKind::of("vip.cfg"), Some(OldKind::Vip));
    assert_eq!(OldKind::of("vip.cfg.old"), None);
}

/// What is accepted is a configuration, and whatever is not says why.
#[test]
fn no_old_file_harms() {
    const WORDS: &[&str] = &[
        "VIRTUAL_IP",
        "virtual IP Pool",
        "{",
        "}",
        "(",
        ")",
        ",",
        ";",
        "\n",
        "#",
        "//",
        "10.1.0.0",
        "10.1.0.0/24",
        "10.1.0.1",
        "10.1.0.2",
        "10.1.0.100",
        "10.1.0.101",
        "fd00::/64",
        "fd00::1",
        "enableMonitor",
        "disableMonitor()",
        "addMachine",
        "\u{e9}",
        "",
        " ",
    ];
    let mut accepted = 0;
    check!().with_iterations(1_000).with_type::<[Vec<u8>; 3]>().for_each(|texts| {
        let text = |bytes: &Vec<u8>| -> String {
            bytes.iter().map(|b| WORDS[usize::from(*b) % WORDS.len()]).collect::<Vec<_>>().join(" ")
        };
        let good = ["10.1.0.1", "VIRTUAL_IP 10.1.0.0/24 { 10.1.0.100 }", "enableMonitor()"];
        for only in 0..4 {
            let files: Vec<(OldKind, String, String)> = OldKind::NAMES
                .into_iter()
                .enumerate()
                .map(|(n, (name, kind))| {
                    let drawn = only == 3 || only == n;
                    let text = if drawn { text(&texts[n]) } else { good[n].to_owned() };
                    (kind, name.to_owned(), text)
                })
                .collect();
            match imported(&files) {
                Ok(text) => {
                    Config::parse(&text, "imported").unwrap_or_else(|p| panic!("{p}"));
                    accepted += 1;
                }
                Err(problems) => {
                    assert!(!problems.is_empty() && problems.iter().all(|p| !p.is_empty()))
                }
            }
        }
    });
    assert!(accepted > 0);
}

/// As many lines as may come.
#[test]
fn large_files_are_read_in_bounded_time() {
    for unit in
        ["10.1.0.1\n", "VIRTUAL_IP 10.1.0.0 {", "addMachine(10.1.0.1)\n", "(", "{\n", "#\n", "x"]
    {
        let text = unit.repeat(dsc_conf::TEXT_MAX / unit.len());
        let files: Vec<_> = OldKind::NAMES
            .into_iter()
            .map(|(name, kind)| (kind, name.to_owned(), text.clone()))
            .collect();
        assert!(imported(&files).is_err(), "{unit:?}");
    }
}
