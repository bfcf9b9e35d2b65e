//! `portcullis demo` from outside: both stories as the README tells them, and that nothing is ever left behind.
#![cfg(test)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a whole demo may take.
const WHOLE: Duration = Duration::from_secs(90);

/// One demo at a time: each promises times, and two of them would share the cores.
static STAGE: Mutex<()> = Mutex::new(());

/// A running demo with a folder of its own for temporary files; killed when dropped.
struct Demo {
    child: Child,
    events: Receiver<String>,
    told: Vec<String>,
    folder: tempfile::TempDir,
    begun: Instant,
    _stage: MutexGuard<'static, ()>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("demo").args(arguments).arg("--report").arg(folder.path().join("report.json"));
        command.env("TMPDIR", folder.path().join("tmp")).env_remove("PORTCULLIS_CONFIG");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, events) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, events, told: Vec::new(), folder, begun: Instant::now(), _stage: stage }
    }

    /// Reads events until one contains `part`.
    fn until(&mut self, part: &str) {
        while !self.told.last().is_some_and(|event| event.contains(part)) {
            let left = WHOLE.saturating_sub(self.begun.elapsed());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no {part:?} in {:#?}", self.told));
            self.told.push(event);
        }
    }

    /// Returns the processes the demo has told of so far, by what it calls them.
    fn processes(&self) -> Vec<(String, u32)> {
        let process = |event: &String| {
            let (before, after) = event.split_once("(process ")?;
            let (_, name) = before.split_once(" s  ")?;
            Some((name.to_owned(), after.split_once(')')?.0.parse().unwrap()))
        };
        self.told.iter().filter_map(process).collect()
    }

    /// Returns the processes that the pipeline has deployed and that still run.
    fn deployments(&self) -> Vec<u32> {
        let folder = self.folder.path().join("tmp").display().to_string();
        let numbers = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_ours = |process: &u32| {
            let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            let mark = environment.split(|byte| *byte == 0).find(|one| one.starts_with(b"PORTCULLIS_DEPLOYMENT="));
            mark.is_some_and(|mark| String::from_utf8_lossy(mark).contains(&folder))
        };
        numbers.filter(is_ours).collect()
    }

    fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits for the end and returns the exit code and the table.
    fn end(&mut self) -> (Option<i32>, String) {
        let status = eventually(WHOLE.saturating_sub(self.begun.elapsed()), "the demo ends", || self.child.try_wait().unwrap());
        let mut table = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
        self.told.extend(self.events.iter());
        (status.code(), table)
    }

    fn report(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.folder.path().join("report.json")).unwrap()).unwrap()
    }

    fn leaves_no_file(&self) -> bool {
        std::fs::read_dir(self.folder.path().join("tmp")).unwrap().next().is_none()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(sent.success());
}

fn eventually<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says whether a process still runs; one that only waits for its parent to notice its end does not.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn all_end(processes: &[(String, u32)]) {
    assert!(processes.len() >= 2, "{processes:?}");
    for (name, process) in processes {
        eventually(Duration::from_secs(10), &format!("{name} ends"), || (!runs(*process)).then_some(()));
    }
}

/// Plays a whole story and checks the figures the issue asks for.
fn play(arguments: &[&str]) -> Value {
    let mut demo = Demo::start(arguments);
    let (code, table) = demo.end();
    let report = demo.report();
    assert_eq!(code, Some(0), "{:#?}\n{table}\n{report:#}", demo.told);
    assert!(demo.begun.elapsed() < WHOLE);
    assert_eq!((&report["ok"], &report["problems"]), (&Value::Bool(true), &serde_json::json!([])));
    assert_eq!((&report["rolled_back"], &report["promoted"]), (&Value::Bool(true), &Value::Bool(true)));
    let verdict = report["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("rolled back after ") && table.contains(verdict), "{verdict}\n{table}");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {report:#}"));
    assert!((1.0..=20.0).contains(&number("breaches_at_trip")), "{report:#}");
    assert!((1000.0..=3000.0).contains(&number("first_slow_sent_to_trip_ms")), "{report:#}");
    assert!((0.0..1e6).contains(&number("breach_to_trip_us")), "{report:#}");
    assert!(number("trip_to_last_canary_request_us") <= 0.0, "{report:#}");
    for none in ["canary_requests_started_after_trip", "canary_requests_arrived_after_trip", "requests_failed"] {
        assert_eq!(number(none), 0.0, "{none} in {report:#}");
    }
    assert_eq!(number("canary_requests"), number("canary_requests_arrived"), "{report:#}");
    assert!(number("requests_sent") > 2000.0 && number("requests_harmed") >= number("breaches_at_trip"), "{report:#}");
    // What the users who POST can have at once: more would mean that some came back after the trip.
    assert!(number("requests_harmed") <= 20.0, "{report:#}");
    // The ramp has three steps, each with an event of its own.
    for share in ["10%", "30%", "100%"] {
        assert!(demo.told.iter().any(|event| event.contains(&format!("0.8.3 gets {share}"))), "{:#?}", demo.told);
    }
    let served = serde_json::json!({"dev": ["0.8.1", "0.8.2", "0.8.3"], "staging": ["0.8.1", "0.8.1", "0.8.3"], "production": ["0.8.1", "0.8.1", "0.8.3"]});
    assert_eq!(report["stages"], served, "{report:#}");
    for (stage, users) in report["pipeline"]["users"].as_object().unwrap() {
        assert!(users["requests"].as_u64() > Some(100) && users["failed"] == 0, "{stage}: {users}");
    }
    assert!(report["pipeline"]["test_requests_saved"].as_u64() > Some(4000), "{report:#}");
    all_end(&demo.processes());
    assert_eq!(demo.deployments(), Vec::<u32>::new());
    assert!(demo.leaves_no_file());
    report
}

#[test]
fn the_slow_version_is_taken_back_and_the_mended_one_promoted() {
    let report = play(&[]);
    assert_eq!((report["mode"].as_str(), report["requests_lost_to_hang"].as_u64()), (Some("slow"), Some(0)));
    assert!(report["canary_posts_answered"].as_u64() <= report["requests_harmed"].as_u64(), "{report:#}");
}

#[test]
fn the_version_that_never_answers_is_taken_back_just_as_fast() {
    let report = play(&["--hang"]);
    assert_eq!((report["mode"].as_str(), report["canary_posts_answered"].as_u64()), (Some("hang"), Some(0)));
    assert_eq!(report["breaches_unanswered_at_trip"], report["breaches_at_trip"], "{report:#}");
    assert!(report["requests_lost_to_hang"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["requests_lost_to_hang"].as_u64() <= report["requests_harmed"].as_u64(), "{report:#}");
}

#[test]
fn an_interrupt_ends_everything_with_130() {
    let mut demo = Demo::start(&[]);
    demo.until("0.8.2 gets 10%");
    let processes = demo.processes();
    assert_eq!(processes.len(), 3, "{processes:?}");
    demo.signal("INT");
    let (code, _) = demo.end();
    assert_eq!(code, Some(130), "{:#?}", demo.told);
    assert!(processes.iter().all(|(_, process)| !runs(*process)), "a child outlived the demo");
    assert!(demo.leaves_no_file());
    assert_eq!(demo.report()["problems"][0], "the demo was stopped by SIGINT");
}

#[test]
fn nothing_outlives_a_demo_that_is_killed() {
    let mut demo = Demo::start(&["--hang"]);
    demo.until("0.8.2 gets 10%");
    demo.signal("KILL");
    all_end(&demo.processes());
}

#[test]
fn no_deployment_outlives_a_demo_that_is_killed() {
    let mut demo = Demo::start(&[]);
    demo.until("0.8.1 has the traffic of staging");
    assert!(demo.deployments().len() >= 2);
    demo.signal("KILL");
    all_end(&demo.processes());
    eventually(Duration::from_secs(10), "every deployment ends", || demo.deployments().is_empty().then_some(()));
}

#[test]
fn a_proxy_that_dies_is_named_and_ends_the_demo_with_1() {
    let mut demo = Demo::start(&[]);
    demo.until("test users");
    let processes = demo.processes();
    let proxy = processes.iter().find(|(name, _)| name.starts_with("the proxy")).unwrap();
    signal("KILL", proxy.1);
    let (code, table) = demo.end();
    assert_eq!(code, Some(1), "{table}");
    assert!(table.contains("NOT rolled back"), "{table}");
    assert!(demo.told.iter().any(|line| line.contains("error: the proxy ended with signal: 9")), "{:#?}", demo.told);
    let report = demo.report();
    assert_eq!(report["ok"], false);
    assert!(report["problems"][0].as_str().unwrap().starts_with("the proxy ended with signal: 9"), "{report:#}");
    all_end(&processes);
    assert!(demo.leaves_no_file());
}
