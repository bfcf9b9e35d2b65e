//! A hot restart while artifacts are delivered: what is live runs on, nobody is refused, and what was on trial begins again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::eventually;
use crate::site::{Pipeline, SHIPYARD, Site, exchange, host};

const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";

/// Does not wait for somebody who reads (Linux).
const O_NONBLOCK: i32 = 0o4000;

/// A process that has succeeded another one; killed when dropped.
struct Heir(Pid);

impl Heir {
    fn id(&self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Ends it in good order.
    fn end(self) {
        kill_process(self.0, Signal::TERM).unwrap();
        eventually("it ends", || is_gone(self.id()).then_some(()));
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// Says whether a process is not there, or a mere remainder.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// Finds the process that runs this site beside the one of this number.
fn other(site: &Site, than: u32) -> Option<Pid> {
    let configuration = site.path("pipeline.yaml").display().to_string();
    let is_it = |pid: u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pid != than && !is_gone(pid) && command.split(|byte| *byte == 0).any(|word| word == configuration.as_bytes())
    };
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.into_iter().find(|pid| is_it(*pid)).and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap()))
}

fn ask_to_hand_over(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::USR2).unwrap();
}

/// Has a process succeeded by another one; returns that once the first one is gone.
fn succeed(site: &Site, pid: u32) -> Heir {
    ask_to_hand_over(pid);
    let heir = Heir(eventually("there is a successor", || other(site, pid)));
    eventually("the process before it ends", || is_gone(pid).then_some(()));
    heir
}

/// Sends users home when it is dropped, also by a failed claim.
struct Home<'a>(&'a AtomicBool);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has users ask for a stage all the while; returns how many were answered and what else they got.
fn among_users(pipeline: &Pipeline, stage: &str, act: impl FnOnce()) -> (u64, Vec<String>) {
    let listen = pipeline.listen;
    let (home, answered, failed) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !home.load(Ordering::Relaxed) {
                    match exchange(listen, &host(stage), "GET", "/", &[], b"") {
                        Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => failed.lock().unwrap().push(format!("{} {}", answer.status, answer.body)),
                        Err(error) => failed.lock().unwrap().push(error.to_string()),
                    }
                }
            });
        }
        let _home = Home(&home);
        act();
    });
    (answered.into_inner(), failed.into_inner().unwrap())
}

#[test]
fn what_is_live_is_taken_over_and_nobody_is_refused_meanwhile() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    pipeline.delivered("0.8.1");
    let before = site.deployed();
    let mut last = None;
    let (answered, failed) = among_users(&pipeline, "dev", || {
        let first = succeed(&site, pipeline.id());
        assert_eq!((site.deployed(), pipeline.live()), (before.clone(), vec!["0.8.1".to_owned()]), "it is the same deployment");
        let second = succeed(&site, first.id());
        assert_eq!((site.deployed(), pipeline.page("dev").0), (before, "v1".to_owned()));
        pipeline.delivered("0.8.3");
        assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.3".to_owned()], "v3".to_owned()), "it delivers");
        last = Some(second);
    });
    assert!(answered > 100 && failed.is_empty(), "{answered} answered, {}: {:?}", failed.len(), failed.first());
    last.unwrap().end();
    assert_eq!(site.deployed(), [], "what was taken over ends with who took it over");
}

#[test]
fn what_is_tested_begins_again_with_the_successor_and_comes_through() {
    let command = "[\"{portcullis}\", carts, --tag, \"{tag}\", --listen, \"127.0.0.1:{port}\", --delay, \"40\"]";
    let site = Site::with(&format!("process: {{command: {command}, ready: /health, grace: 5s}}"), &[]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    pipeline.delivered("0.8.1");
    let context = pipeline.deliver("0.8.3", false);
    let phase = || pipeline.service()["stages"][1]["run"]["phase"].clone();
    pipeline.until_soon("staging is tested", || (phase() == "testing").then_some(()));
    let heir = succeed(&site, pipeline.id());
    pipeline.idle();
    assert_eq!((pipeline.live(), pipeline.page("production").0), (vec!["0.8.3".to_owned(); 3], "v3".to_owned()));
    let story = pipeline.story(&context);
    let again = |entry: &&serde_json::Value| entry["stage"] == "staging" && entry["actor"] == "restart";
    assert_eq!(story.iter().filter(again).count(), 1, "{story:#?}");
    heir.end();
    assert_eq!(site.deployed(), []);
}

#[test]
fn a_successor_that_fails_leaves_the_delivery_where_it_was() {
    let site = Site::new(&["token_file: token"]);
    let token = site.write("token", "0123456789abcdef0123456789abcdef");
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    pipeline.delivered("0.8.1");
    let before = site.deployed();
    // Its configuration is good, and so the state is let go of; then it waits for its token, which is none.
    fs::remove_file(&token).unwrap();
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    ask_to_hand_over(pipeline.id());
    let waits = || OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&token).ok();
    let mut pipe = eventually("the successor reads its token", waits);
    assert_eq!((pipeline.get("/v1/projects").status, pipeline.page("dev").0), (409, "v1".to_owned()), "it is served meanwhile");
    pipe.write_all(b"short").unwrap();
    drop(pipe);
    eventually("it has given up", || other(&site, pipeline.id()).is_none().then_some(()));
    pipeline.idle();
    assert_eq!((site.deployed(), pipeline.page("dev").0), (before, "v1".to_owned()));
    pipeline.delivered("0.8.3");
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.3".to_owned()], "v3".to_owned()));
    pipeline.end();
    assert_eq!(site.deployed(), []);
}
