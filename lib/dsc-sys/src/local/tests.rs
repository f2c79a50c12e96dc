//! The local sockets: questions and answers, modes of their files, stolen paths, messages too large.

use super::*;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("dsc-local-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Answers each number with its successor, zero with silence.
async fn count_up(server: &mut Server) {
    loop {
        while let Some((asker, body)) = server.take().unwrap() {
            let number: u64 = serde_json::from_slice(&body).unwrap();
            if number > 0 {
                server.answer(&asker, serde_json::to_vec(&(number + 1)).unwrap());
            }
        }
        server.news().await.unwrap();
    }
}

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn questions_are_answered_and_a_late_answer_is_not_taken_for_the_next() {
    let dir = Dir::new("ask");
    let path = dir.0.join("status");
    runtime().block_on(async {
        let context = Context::new();
        let mut server = Server::open(&context, &path, Access::Root).unwrap();
        let mut client = Client::new(&context, &path);
        let asking = async {
            for n in 1..50u64 {
                assert_eq!(client.ask::<_, u64>(&n, LIMIT).await.unwrap(), n + 1);
            }
            let silent = client.ask::<u64, u64>(&0, Duration::from_millis(20)).await;
            assert!(matches!(silent, Err(AskError::TimedOut { .. })), "{silent:?}");
            assert_eq!(client.ask::<u64, u64>(&7, LIMIT).await.unwrap(), 8);
            let wrong = client.ask::<u64, String>(&7, LIMIT).await;
            assert!(matches!(wrong, Err(AskError::BadAnswer { .. })), "{wrong:?}");
        };
        tokio::select! { () = asking => {}, () = count_up(&mut server) => {} }
    });
}

#[test]
fn a_program_without_a_loop_gets_its_answer_and_clear_errors() {
    let dir = Dir::new("blocking");
    let path = dir.0.join("status");
    let absent = ask_blocking::<u64, u64>(&path, &1, LIMIT).unwrap_err();
    assert!(absent.to_string().contains("is dsc-ringd running?"), "{absent}");
    let asked = path.clone();
    let asking = std::thread::spawn(move || {
        let until = std::time::Instant::now() + LIMIT;
        loop {
            match ask_blocking::<u64, u64>(&asked, &41, LIMIT) {
                Err(AskError::NoDaemon { .. }) if std::time::Instant::now() < until => {
                    std::thread::yield_now();
                }
                other => return other,
            }
        }
    });
    runtime().block_on(async {
        let context = Context::new();
        let mut server = Server::open(&context, &path, Access::Root).unwrap();
        let asked = tokio::task::spawn_blocking(move || asking.join().unwrap());
        tokio::select! {
            answer = asked => assert_eq!(answer.unwrap().unwrap(), 42),
            () = count_up(&mut server) => {}
        }
    });
    // The daemon is gone, its socket's file perhaps not.
    let gone = ask_blocking::<u64, u64>(&path, &1, LIMIT).unwrap_err();
    assert!(matches!(gone, AskError::NoDaemon { .. }), "{gone}");
}

#[test]
fn of_untold_states_only_the_newest_is_kept() {
    let dir = Dir::new("tell");
    let path = dir.0.join("facts");
    runtime().block_on(async {
        let context = Context::new();
        let mut teller = Teller::new(&context, &path).unwrap();
        for n in 0..1000u64 {
            teller.tell(&n).unwrap();
        }
        let mut server = Server::open(&context, &path, Access::Root).unwrap();
        let mut told = Vec::new();
        while told.last() != Some(&999) {
            while let Some((_, body)) = server.take().unwrap() {
                told.push(serde_json::from_slice::<u64>(&body).unwrap());
            }
            if told.last() != Some(&999) {
                tokio::time::timeout(LIMIT, server.news()).await.expect("told").unwrap();
            }
        }
        assert!(told.len() <= 2, "{} states were kept", told.len());
    });
}

#[test]
fn a_served_path_is_not_stolen_and_the_file_is_closed_to_others() {
    let dir = Dir::new("lock");
    let path = dir.0.join("control");
    runtime().block_on(async {
        let context = Context::new();
        let server = Server::open(&context, &path, Access::Root).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        let other = Context::new();
        let second = Server::open(&other, &path, Access::Root).err().unwrap();
        assert!(matches!(second, OpenError::Taken { .. }), "{second}");
        drop((server, context));
        Server::open(&other, &path, Access::Root).unwrap();
    });
}

#[test]
fn an_oversized_request_is_refused_on_both_sides() {
    let dir = Dir::new("size");
    let path = dir.0.join("status");
    runtime().block_on(async {
        let context = Context::new();
        let _server = Server::open(&context, &path, Access::Root).unwrap();
        let mut client = Client::new(&context, &path);
        let long = "x".repeat(REQUEST_MAX);
        let refused = client.ask::<_, u64>(&long, LIMIT).await.unwrap_err();
        assert!(refused.to_string().contains("at most"), "{refused}");
    });
    let long = "x".repeat(CHANGE_MAX);
    let refused = ask_blocking::<_, u64>(&path, &long, LIMIT).unwrap_err();
    assert!(refused.to_string().contains("at most"), "{refused}");
    let long = dir.0.join("x".repeat(200));
    assert!(endpoint(&long).is_err());
}

#[test]
fn a_door_for_changes_takes_a_whole_configuration_and_others_do_not() {
    let dir = Dir::new("change");
    let taken = |access| {
        let path = dir.0.join(format!("{access:?}"));
        runtime().block_on(async {
            let context = Context::new();
            let mut server = Server::open(&context, &path, access).unwrap();
            let document = "x".repeat(DOCUMENT_MAX);
            let asking = tokio::task::spawn_blocking(move || {
                ask_blocking::<_, usize>(&path, &document, Duration::from_millis(500))
            });
            let count = async {
                loop {
                    while let Some((asker, body)) = server.take().unwrap() {
                        server.answer(&asker, serde_json::to_vec(&body.len()).unwrap());
                    }
                    server.news().await.unwrap();
                }
            };
            tokio::select! { answer = asking => answer.unwrap(), () = count => unreachable!() }
        })
    };
    assert_eq!(taken(Access::Change).unwrap(), DOCUMENT_MAX + 2);
    assert!(matches!(taken(Access::Read), Err(AskError::TimedOut { .. })));
}
