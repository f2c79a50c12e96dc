//! Compiles the kernel programs with the system's clang and lists their verdicts for the loader. Everything comes
//! from `src/bpf/`, so that a verdict's name exists once.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    compile(&out.join("dsc.bpf.o"));
    let lists = fs::read_to_string("src/bpf/verdicts.h").expect("src/bpf/verdicts.h is missing");
    fs::write(out.join("verdicts.rs"), verdicts(&lists)).expect("cannot write to OUT_DIR");
}

fn fail(text: &str) -> ! {
    eprintln!("cannot compile the kernel programs: {text}");
    exit(1)
}

fn compile(object: &Path) {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let headers = format!("/usr/include/{arch}-linux-gnu");
    if !Path::new("/usr/include/bpf/bpf_helpers.h").exists() {
        fail("/usr/include/bpf/bpf_helpers.h is missing: apt-get install libbpf-dev");
    }
    let result = Command::new(&clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3"])
        .arg(format!("-I{headers}"))
        .args(["-c", "src/bpf/dsc.bpf.c", "-o"])
        .arg(object)
        .status();
    match result {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("{clang} failed ({status}); its messages are above")),
        Err(e) => fail(&format!("cannot run {clang}: {e}: apt-get install clang")),
    }
}

/// The names in the lists of `verdicts.h`, in their order, as a Rust array.
fn verdicts(lists: &str) -> String {
    let names: Vec<&str> = lists
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("X(")?.split_once(')'))
        .map(|(name, _)| name)
        .collect();
    let mut text = format!("pub(crate) const VERDICTS: [&str; {}] = [", names.len());
    for name in names {
        write!(text, "\"{name}\",").expect("writing to a string");
    }
    text + "];"
}
