//! Daemons that answer on real sockets in a directory of their own, from a case that the test may change meanwhile, and
//! the program run against them. Used by `program.rs`.

use crate::answer::Case;
use dsc_conf::Config;
use dsc_sys::local::{Access, Asker, Context, Server};
use dsc_wire::local::{Command, FwdRequest, LinkRequest, Reply, Request, socket};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Names two directories of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// How often the fake daemons look whether the case was changed.
const LOOK: Duration = Duration::from_millis(10);

/// A directory that goes away with its test.
pub struct Dir(pub PathBuf);

impl Dir {
    /// An empty one.
    pub fn new() -> Dir {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("dscctl-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What a fake ringd does with a command and how long it may wait; none: it never answers.
pub type Obey = fn(&mut Case, Command, u64) -> Option<Reply>;

/// ringd and, if the case has counters, fwd; dsc-link if it has downloads.
pub struct Daemons {
    case: Arc<Mutex<Case>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Daemons {
    /// Serves `case` in `dir`; returns once all sockets are there.
    pub fn start(dir: &Path, case: Case, obey: Obey) -> Daemons {
        let (case, stop) = (Arc::new(Mutex::new(case)), Arc::new(AtomicBool::new(false)));
        let (ready, started) = std::sync::mpsc::channel();
        let (shared, stopped, dir) = (case.clone(), stop.clone(), dir.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(&dir, &shared, &stopped, obey, || ready.send(()).unwrap()));
        });
        started.recv().unwrap();
        Daemons { case, stop, thread: Some(thread) }
    }

    /// What they know, to be changed.
    pub fn case(&self) -> MutexGuard<'_, Case> {
        self.case.lock().unwrap()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn serve(dir: &Path, case: &Mutex<Case>, stop: &AtomicBool, obey: Obey, ready: impl Fn()) {
    let context = Context::new();
    let open = |name, access| Server::open(&context, &dir.join(name), access).unwrap();
    let mut ringd = [open(socket::STATUS, Access::Read), open(socket::CONTROL, Access::Change)];
    let mut fwd = case.lock().unwrap().fwd.is_some().then(|| open(socket::FWD, Access::Read));
    let mut link = case.lock().unwrap().link.is_some().then(|| open(socket::LINK, Access::Read));
    ready();
    let mut kept: Vec<(Asker, Request, Instant)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (index, server) in ringd.iter_mut().enumerate() {
            while let Some((asker, body)) = server.take().unwrap() {
                let request: Request = serde_json::from_slice(&body).unwrap();
                match request {
                    Request::Command { command, wait_ms } => {
                        assert_eq!(index, 1, "a command on the status socket");
                        let reply = obey(&mut case.lock().unwrap(), command, wait_ms);
                        if let Some(reply) = reply {
                            server.answer(&asker, serde_json::to_vec(&reply).unwrap());
                        }
                    }
                    Request::Apply { ref document, wait_ms, .. } => {
                        assert_eq!(index, 1, "a change on the status socket");
                        let mut case = case.lock().unwrap();
                        let mut reply = case.reply(&request);
                        if matches!(reply, Reply::Done { .. }) {
                            case.config = Config::parse(document, "document").ok();
                            if wait_ms == 0 {
                                reply = Reply::Pending { text: "not asked to wait".into() };
                            }
                        }
                        server.answer(&asker, serde_json::to_vec(&reply).unwrap());
                    }
                    Request::View { wait_ms, .. } | Request::Events { wait_ms, .. } => {
                        assert_eq!(index, 0, "a question on the control socket");
                        let until = Instant::now() + Duration::from_millis(wait_ms);
                        kept.push((asker, request, until));
                    }
                    Request::Config => {
                        assert_eq!(index, 0, "a question on the control socket");
                        kept.push((asker, request, Instant::now()));
                    }
                }
            }
        }
        kept.retain(|(asker, request, until)| {
            let case = case.lock().unwrap();
            let news = match request {
                Request::View { after, .. } => case.view.number != *after,
                Request::Events { after, .. } => case.events.iter().any(|e| e.number > *after),
                Request::Config => true,
                Request::Command { .. } | Request::Apply { .. } => {
                    unreachable!("answered above")
                }
            };
            let due = news || Instant::now() >= *until;
            if due {
                ringd[0].answer(asker, serde_json::to_vec(&case.reply(request)).unwrap());
            }
            !due
        });
        if let Some(fwd) = &mut fwd {
            while let Some((asker, body)) = fwd.take().unwrap() {
                let case = case.lock().unwrap();
                let answer = match serde_json::from_slice(&body).unwrap() {
                    FwdRequest::Counters => serde_json::to_vec(case.fwd.as_ref().unwrap()),
                    FwdRequest::Services => serde_json::to_vec(&case.services),
                    FwdRequest::Flows { filter, limit } => {
                        serde_json::to_vec(&case.listed(&filter, limit))
                    }
                };
                fwd.answer(&asker, answer.unwrap());
            }
        }
        if let Some(link) = &mut link {
            while let Some((asker, body)) = link.take().unwrap() {
                let request: LinkRequest = serde_json::from_slice(&body).unwrap();
                let answer = case.lock().unwrap().downloads(&request).unwrap();
                link.answer(&asker, serde_json::to_vec(&answer).unwrap());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The program, told where the daemons are.
pub fn dscctl(dir: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dscctl"));
    command.arg("--run-dir").arg(dir).args(arguments);
    command
}

/// Runs it to its end: exit code, standard output, standard error.
pub fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    told(dscctl(dir, arguments).output().unwrap())
}

/// The parts of a finished program's output.
pub fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
