//! How long the work by the clock takes with 50 gates: the workers' reports, the controller's reading of them, and its verdicts.
//!
//! Two workers' books and the real controller, fed with ten thousand requests a second as they would come, a tenth of them to the
//! canary of a rollout that is in its first step. Once all gates belong to one service, once each to a service of its own. A tick
//! comes every tenth of a second, so that each finds its memory as cold as in production.
//!
//! `cargo bench --bench ticks -- --ticks 600 --report FILE`; exit code 1 unless every goal is met.

#[path = "support/sheet.rs"]
#[expect(dead_code, reason = "what only the bench of rollbacks uses")]
mod sheet;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Parser;
use portcullis::control::command::Commands;
use portcullis::control::controller::{Controller, Inputs};
use portcullis::control::setup::{Origin, ServiceSetup, TICK};
use portcullis::control::status::Board;
use portcullis::domain::gate::{Gate, Inconclusive, Policy};
use portcullis::domain::outcome::Role;
use portcullis::domain::rollout::{Phase, Plan, Schedule};
use portcullis::domain::time::Timestamp;
use portcullis::domain::upkeep::Rules;
use portcullis::domain::version::{Name, Version};
use portcullis::domain::way_back::WayBack;
use portcullis::seam::clock::Clock;
use portcullis::seam::recorder::Recorder;
use portcullis::seam::report::{self, Report};
use portcullis::seam::routes::{Reader, Routes};
use portcullis::seam::sample::Sample;
use portcullis::store::Store;
use sheet::{Goal, Sheet, Times};

/// Requests a second, over all services and both versions.
const RATE: u32 = 10_000;
const WORKERS: usize = 2;
const GATES: usize = 50;
/// One request in so many goes to the canary.
const SHARE: u64 = 10;
/// How long the shortest and the longest request take.
const LATENCIES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];
/// Ticks that are not measured: as long as until blocks of the confirming test are counted and forgotten again.
const WARM_UP: usize = 200;
/// A tick takes no longer than this, in 9 of 10 cases: one in ten may find its core taken by others.
const PROMISED: Goal = Goal { share: 0.9, most: Duration::from_millis(1) };

#[derive(Parser)]
struct Arguments {
    /// How many ticks of each kind are measured.
    #[arg(long, default_value_t = 600)]
    ticks: usize,
    /// Where the figures are written as JSON, in microseconds.
    #[arg(long)]
    report: Option<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The gates, of every kind in turn, no two with the same limit.
fn gates() -> impl Iterator<Item = Gate> {
    (0..GATES).map(|index| {
        let text = match index % 6 {
            0 => format!("p95 < {}ms", 1_000 + index),
            1 => format!("errors < {}%", 1 + index / 6),
            2 => format!("mean < {}ms", 300 + index),
            3 => format!("apdex({}ms) > 0.85", 200 + index),
            4 => format!("p95 <= stable * 1.{}", 10 + index),
            _ => format!("errors <= stable + {}pp", 1 + index / 6),
        };
        Gate::written(text.parse().expect("a criterion"))
    })
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn setup(service: &str, gates: Vec<Gate>) -> ServiceSetup {
    let nobody = ([127, 0, 0, 1], 9).into();
    let plan = Plan::ramp("10%".parse().expect("a share"), 3, Duration::from_secs(3600));
    ServiceSetup {
        origin: Origin::default(),
        name: name(service),
        rules: Vec::new(),
        choice: None,
        stable: Version::at(name("v1"), vec![nobody]),
        canary: Some(Version::at(name("v2"), vec![nobody])),
        schedule: Schedule::Steps(plan.expect("a plan")),
        gates,
        policy: Policy::default(),
        grader: None,
        mutual: Rules::default(),
        way_back: WayBack::default(),
        webhooks: Arc::default(),
        webhook_failure: Inconclusive::Hold,
    }
}

/// Requests that begin and end as those of workers would.
struct Traffic {
    clock: Clock,
    recorders: Vec<Recorder>,
    reader: Reader,
    /// When each ends, with which status; the next one first.
    open: VecDeque<(Timestamp, u16, Sample)>,
    begun: u64,
}

impl Traffic {
    /// Begins the next request at this moment.
    fn begin(&mut self, at: Timestamp) {
        let number = self.begun;
        self.begun += 1;
        let table = self.reader.load();
        let workers = self.recorders.len() as u64;
        let services = table.routes.len() as u64;
        let turn = |of: u64| usize::try_from(of).unwrap_or_default();
        let (worker, service, round) = (turn(number % workers), turn(number / workers % services), number / workers / services);
        let epoch = &table.routes.get(service).expect("the service's route").epoch;
        let books = self.recorders.get_mut(worker).expect("the worker's books").open(epoch);
        let role = epoch.pick(if round.is_multiple_of(SHARE) { Role::Canary } else { Role::Stable }, at);
        let [least, most] = LATENCIES;
        let takes = least + (most - least) * u32::try_from(number * 97 % 1_000).unwrap_or_default() / 1_000;
        let due = at + takes;
        let place = self.open.partition_point(|(known, ..)| *known <= due);
        let status = if number.is_multiple_of(1_009) { 503 } else { 200 };
        self.open.insert(place, (due, status, Sample::begin(&books, self.clock, role, at, number + 1)));
    }

    /// Ends what is due; about one of a thousand has failed.
    fn end(&mut self, now: Timestamp) {
        while self.open.front().is_some_and(|(due, ..)| *due <= now) {
            if let Some((_, status, mut sample)) = self.open.pop_front() {
                sample.head(status);
                sample.complete();
            }
        }
    }

    /// Lets requests come and go until this moment.
    fn run(&mut self, until: Timestamp) {
        let spacing = Duration::from_secs(1) / RATE;
        let mut next = self.clock.now();
        while next < until {
            let now = self.clock.now();
            while next <= now && next < until {
                self.begin(next);
                next = next + spacing;
            }
            self.end(now);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What was measured, one time for each tick.
#[derive(Default)]
struct Measured {
    /// A worker's handing over of what it saw; the time of each worker by itself.
    report: Times,
    /// The controller's taking it in, of all workers.
    take: Times,
    /// Its tick: judge, decide, show.
    tick: Times,
}

fn measure(setups: Vec<ServiceSetup>, ticks: usize) -> Measured {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(Store::open(&folder.path().join("state")).expect("a store").store);
    let (clock, routes, board) = (Clock::start(), Routes::default(), Board::default());
    let (reports, inbox) = report::channel();
    let (commands, requests) = Commands::channel(reports.clone());
    let (nobody, unread) = report::channel();
    let inputs = Inputs { workers: WORKERS, reports: unread, requests, inquiries: std::sync::mpsc::channel().0, bequests: Vec::new() };
    let mut controller = Controller::start(setups, store, clock, routes.clone(), board.clone(), inputs);
    let recorders = (0..WORKERS).map(|index| Recorder::new(index, reports.clone())).collect();
    let mut traffic = Traffic { clock, recorders, reader: routes.reader(), open: VecDeque::new(), begun: 0 };
    let mut measured = Measured::default();
    for tick in 0..WARM_UP + ticks {
        traffic.run(clock.now() + TICK);
        if tick == WARM_UP {
            measured = Measured::default();
        }
        one_tick(&mut traffic, &inbox, &mut controller, &mut measured);
    }
    for service in &board.snapshot().services {
        let rollout = service.rollout.as_ref().expect("a rollout");
        assert_eq!((rollout.phase, rollout.step), (Phase::Progressing, 0), "{}: {}", service.name, rollout.reason);
        let expected = u64::from(RATE) * (WARM_UP + ticks) as u64 / 10 / SHARE / board.snapshot().services.len() as u64;
        assert!(rollout.canary_requests > expected / 2, "{} canary requests, of {expected}", rollout.canary_requests);
    }
    drop((nobody, commands));
    measured
}

fn one_tick(traffic: &mut Traffic, inbox: &Receiver<Report>, controller: &mut Controller, measured: &mut Measured) {
    let clock = traffic.clock;
    for recorder in &mut traffic.recorders {
        let begun = clock.now();
        assert!(recorder.report(begun), "the controller takes all of it");
        measured.report.add(begun, clock.now());
    }
    let reports: Vec<Report> = inbox.try_iter().collect();
    let begun = clock.now();
    for report in reports {
        controller.take(report);
    }
    let taken = clock.now();
    controller.tick(taken);
    measured.take.add(begun, taken);
    measured.tick.add(taken, clock.now());
}

fn main() -> ExitCode {
    let Arguments { ticks, report, bench: _ } = Arguments::parse();
    let mut sheet = Sheet::begin();
    let apart = gates().enumerate().map(|(index, gate)| setup(&format!("service-{index}"), vec![gate])).collect();
    let cases = [
        ("one_service", "one service with 50 gates", vec![setup("service", gates().collect())]),
        ("many_services", "50 services with one gate", apart),
    ];
    for (key, case, setups) in cases {
        let Measured { report, take, tick } = measure(setups, ticks);
        sheet.judge(&format!("{key}.worker"), &format!("{case}: a worker's report"), report, &[PROMISED]);
        sheet.judge(&format!("{key}.controller"), &format!("{case}: the controller's tick"), tick, &[PROMISED]);
        sheet.show(&format!("{key}.reports_taken_in"), &format!("{case}: its reading of a tick's reports"), take);
    }
    sheet.end(report.as_deref())
}
