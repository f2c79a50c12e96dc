//! Random breaks of downloads by FTP: servers that have the same file and servers that have not, breaking anywhere in any way.
//! What a client gets is one server's file, or the begin of it and a clean error. `DSC_FTP_BREAKS` sets how many, and
//! `DSC_FTP_SEED` where to begin.

use crate::ftpd::server::{BREAKS, Script};
use crate::ftpd::{Relay, file, link};
use std::time::Duration;
use tokio::task::JoinSet;

/// Downloads at once.
const PARALLEL: u64 = 16;

/// A small generator: the same seed, the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 8) as usize % end
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |v| v.parse().expect("a number"))
}

/// One download; says whether it was whole, and how often it went on.
async fn download(seed: u64) -> (bool, u64) {
    let mut random = Random(seed);
    let length = [1, 1000, 65_536, 200_001, 1 << 20][random.below(5)];
    let bytes = file(length);
    let mut files = Vec::new();
    let mut scripts = Vec::new();
    for at in 0..2 + random.below(3) {
        let mut own = bytes.clone();
        let mut mdtm = "213 20261127230300";
        // The first is the measure; others may have another file, and say so.
        if at > 0 && random.below(4) == 0 {
            own.iter_mut().for_each(|b| *b ^= 0x55);
            if random.below(2) == 0 {
                own.push(0);
            } else {
                mdtm = "213 20261127230301";
            }
        }
        let mut script = Script { mdtm, ..Script::of(&own) };
        for _ in 0..random.below(4) {
            // Silence costs time.
            let kinds = if random.below(10) == 0 { BREAKS.len() } else { 4 };
            script = script.breaks(random.below(length + 1), BREAKS[random.below(kinds)]);
        }
        files.push(own);
        scripts.push(script);
    }
    let mut link = link();
    link.silence = Duration::from_millis(500);
    link.verify_overlap = [0, 1, 1000, 65_536][random.below(4)];
    let relay = Relay::start(link, scripts).await;
    let mut client = relay.client().await;
    let rest = if random.below(3) == 0 { random.below(length) } else { 0 };
    if rest > 0 {
        assert_eq!(client.ask(&format!("REST {rest}")).await, 350);
    }
    let got = client.get("RETR f").await;
    let whole = files.iter().any(|file| file[rest..] == got.bytes);
    let begins = files.iter().any(|file| file[rest..].starts_with(&got.bytes));
    assert!(begins, "seed {seed}: a wrong byte among {}", got.bytes.len());
    let is_whole = got.code == 226;
    assert_eq!(is_whole, got.is_closed, "seed {seed}: {} and the connection disagree", got.code);
    assert!(whole || !is_whole, "seed {seed}: {} bytes are called complete", got.bytes.len());
    assert!([226, 425, 426, 421].contains(&got.code), "seed {seed}: {}", got.code);
    (is_whole, relay.count("bodies_resumed"))
}

#[tokio::test]
async fn no_random_break_makes_a_wrong_byte() {
    let (count, first) = (setting("DSC_FTP_BREAKS", 120), setting("DSC_FTP_SEED", 1));
    let mut running = JoinSet::new();
    let (mut whole, mut resumed) = (0, 0);
    for seed in first..first + count {
        if seed >= first + PARALLEL {
            let (is_whole, resumes) = running.join_next().await.unwrap().unwrap();
            whole += u64::from(is_whole);
            resumed += resumes;
        }
        // Whatever panics, the seed that repeats it is told.
        running.spawn(async move {
            let ended = tokio::spawn(download(seed)).await;
            ended.unwrap_or_else(|e| panic!("DSC_FTP_SEED={seed} DSC_FTP_BREAKS=1: {e}"))
        });
    }
    while let Some(ended) = running.join_next().await {
        let (is_whole, resumes) = ended.unwrap();
        whole += u64::from(is_whole);
        resumed += resumes;
    }
    println!("{count} downloads: {whole} whole, {resumed} times gone on with");
    assert!(count < 100 || whole > count / 2 && resumed > count / 4, "{whole} {resumed}");
}
