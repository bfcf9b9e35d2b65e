//! Claims about a service under control: what becomes durable, and what a slow or broken disk, a pause and a race do.

use std::time::Duration;

use super::*;
use crate::control::setup::{Origin, TICK};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::{Gate, Policy, Verdict};
use crate::domain::rollout::{Entry, Plan, Schedule};
use crate::domain::start_order::Fate;
use crate::domain::version::Name;
use crate::seam::choice::Choice;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn version(name: &str) -> Version {
    Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()])
}

/// A world whose time passes only when the test or the disk says so.
#[derive(Default)]
struct World {
    now: Timestamp,
    broken: bool,
    write_takes: Duration,
    /// Trips this trial while something in this phase is written.
    trip_while: Option<(Phase, Arc<crate::seam::tripwire::Trial>)>,
    /// Trips what was published last while something in this phase is written.
    trip_published_while: Option<Phase>,
    written: Vec<(ServiceState, Entry)>,
    /// When what was written was decided.
    decided: Vec<Option<Timestamp>>,
    published: Vec<Arc<Epoch>>,
    rollbacks: u64,
    told: Vec<String>,
    offers: u32,
}

impl Shell for World {
    fn publish(&mut self, _: &Name, epoch: Arc<Epoch>) {
        self.published.push(epoch);
    }

    fn persist(&mut self, _: &Name, state: &ServiceState, lines: &[Dated]) -> Result<(), String> {
        self.now = self.now + self.write_takes;
        if let Some((phase, trial)) = &self.trip_while
            && lines.iter().any(|line| line.entry.phase == *phase)
        {
            trip(trial);
        }
        if lines.iter().any(|line| Some(line.entry.phase) == self.trip_published_while)
            && let Some(canary) = self.published.last().and_then(|epoch| epoch.canary.as_ref())
        {
            trip(&canary.trial);
        }
        if self.broken {
            return Err("the disk is broken".to_owned());
        }
        self.written.extend(lines.iter().map(|line| (state.clone(), line.entry.clone())));
        self.decided.extend(lines.iter().map(|line| line.decided));
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn offer_core(&mut self) {
        self.offers += 1;
    }

    fn rolled_back(&mut self, _: &Name) {
        self.rollbacks += 1;
    }

    fn notify(&mut self, _: &Name, sentence: String, _: bool) {
        self.told.push(sentence);
    }
}

/// How many breaches in a row trip any wire, whatever was good before.
const BREACHES_ENOUGH: usize = 1_000;

/// Breaches a trial until it trips.
fn trip(trial: &crate::seam::tripwire::Trial) {
    let tripped = (0..BREACHES_ENOUGH).any(|_| trial.breach(0, trial.begin(), 0, false));
    assert!(tripped, "the trial is not armed");
}

struct Desk {
    service: Service,
    world: World,
}

impl Desk {
    /// Begins a rollout of v2 to 10 %, then everything, ten seconds each; every trip is final and nothing is watched.
    fn begin(world: World) -> Self {
        Self::begin_under(world, Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() })
    }

    fn begin_under(world: World, policy: Policy) -> Self {
        Self::begin_with(world, policy, Gate::written("p95 < 1s".parse().unwrap()), Verdict::Pass)
    }

    /// Begins a rollout under a gate, with a file that always grades it like this.
    fn begin_with(world: World, policy: Policy, gate: Gate, grade: Verdict) -> Self {
        let setup = ServiceSetup {
            origin: Origin::default(),
            name: "carts".parse().unwrap(),
            rules: Vec::new(),
            choice: Some(Arc::new(Choice { others: vec![Arc::new(version("v9"))].into(), ..Choice::default() })),
            stable: version("v1"),
            canary: None,
            schedule: Schedule::Steps(Plan::ramp("10%".parse().unwrap(), 10, 10 * SECOND).unwrap()),
            gates: vec![gate],
            policy,
            grader: Some(Arc::new(move |measured, stable| {
                let stable = stable.map_or_else(String::new, |stable| format!(" against {} failed of stable", stable.classes[4]));
                (grade, format!("{} requests{stable}", measured.count))
            })),
            mutual: crate::domain::upkeep::Rules::default(),
            way_back: crate::domain::way_back::WayBack::default(),
            webhooks: Arc::default(),
            webhook_failure: crate::domain::gate::Inconclusive::Hold,
        };
        let state = ServiceState {
            owner: version("v1"),
            configured: "v1".parse().unwrap(),
            rollout: None,
            rejected: Vec::new(),
            tried: Vec::new(),
            asked: None,
        };
        let mut desk = Self { service: Service::new(setup, state), world };
        desk.service.begin(version("v2"), None, desk.world.now, &mut desk.world);
        desk
    }

    fn tick(&mut self) {
        let now = self.world.now;
        self.service.tick(now, now, &mut self.world);
    }

    /// Lets time pass, tick by tick.
    fn pass(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.world.now = self.world.now + TICK;
            self.tick();
        }
    }

    fn epoch(&self) -> &Epoch {
        self.service.epoch()
    }

    fn trial(&self) -> Arc<crate::seam::tripwire::Trial> {
        Arc::clone(&self.service.active.as_ref().unwrap().trial)
    }

    fn percent(&self) -> u16 {
        self.epoch().weight().basis_points() / 100
    }

    fn record(&self) -> &Record {
        self.service.active.as_ref().unwrap().machine.record()
    }

    /// Reports what a worker saw in one generation.
    fn see(&mut self, generation: u64, observations: &[Observation], marks: &[Mark]) {
        let (rollout, stable_marks) = (self.record().id, &StableMarks::default());
        self.service.observe(&Seen { rollout, generation, worker: 0, observations, marks, stable_marks }, &mut self.world);
    }

    /// Reports good requests of the canary in one generation.
    fn answer(&mut self, generation: u64, count: u64) {
        let trial = self.trial();
        let mut seen = Observation::new(Role::Canary);
        (seen.response_time.count, seen.response_time.sum_ns) = (count, count * 1_000_000);
        seen.response_time.cells = vec![(1_000, count)];
        let mut marks = Vec::new();
        for _ in 0..count {
            let seq = trial.begin();
            marks.push(Mark::Started(seq, self.world.now));
            marks.push(Mark::Answered(seq, MS));
            marks.push(Mark::Ended(seq, Fate::Measured { latency: MS, duration: MS, errors: ErrorKinds::NONE, unanswered: false }));
        }
        self.see(generation, &[seen], &marks);
    }

    fn answer_enough(&mut self) {
        self.answer(self.epoch().generation, 100);
    }

    fn reach_the_last_step(&mut self) {
        self.answer_enough();
        self.pass(11 * SECOND);
        assert_eq!(self.percent(), 100);
    }
}

#[test]
fn a_good_version_is_promoted_after_every_hold_and_not_before() {
    let mut desk = Desk::begin(World::default());
    desk.answer_enough();
    desk.pass(9 * SECOND);
    assert_eq!(desk.percent(), 10);
    desk.pass(2 * SECOND);
    assert_eq!(desk.percent(), 100);
    desk.pass(20 * SECOND);
    assert_eq!(desk.record().phase, Phase::Progressing, "evidence of the first step does not count for the second");
    desk.answer_enough();
    desk.pass(SECOND);
    assert_eq!((desk.record().phase, desk.service.state().owner.name.as_str()), (Phase::Promoted, "v2"));
    assert_eq!(desk.world.written[0].0.tried, ["v2".parse().unwrap()], "it is remembered before it gets anything");
    let generations: Vec<u64> = desk.world.published.iter().map(|e| e.generation).collect();
    assert!(generations.is_sorted_by(|a, b| a < b), "{generations:?}");
}

#[test]
fn a_step_is_held_from_its_publication_however_long_the_disk_took() {
    let mut desk = Desk::begin(World { write_takes: 5 * SECOND, ..World::default() });
    assert_eq!(desk.epoch().valid_until(), Timestamp::ZERO + 5 * SECOND + VALIDITY);
    desk.world.write_takes = Duration::ZERO;
    desk.answer_enough();
    desk.pass(9 * SECOND);
    assert_eq!(desk.percent(), 10, "it was published at 5 s and is held for 10 s, not until 10 s");
    desk.pass(2 * SECOND);
    assert_eq!(desk.percent(), 100);
}

#[test]
fn a_raise_that_cannot_be_written_is_not_made_and_is_tried_again() {
    let mut desk = Desk::begin(World::default());
    desk.answer_enough();
    desk.world.broken = true;
    desk.pass(15 * SECOND);
    assert_eq!((desk.percent(), desk.record().phase), (10, Phase::Progressing));
    desk.world.broken = false;
    desk.pass(TICK);
    assert_eq!(desk.percent(), 100);
}

#[test]
fn a_trip_while_a_promotion_is_written_leaves_the_owner_as_it_was() {
    let mut desk = Desk::begin(World::default());
    desk.reach_the_last_step();
    desk.world.trip_while = Some((Phase::Promoted, desk.trial()));
    desk.answer_enough();
    desk.pass(11 * SECOND);
    let phases: Vec<Phase> = desk.world.written.iter().map(|(_, e)| e.phase).collect();
    assert!(phases.ends_with(&[Phase::Promoted, Phase::RolledBack]), "{phases:?}");
    let (state, _) = desk.world.written.last().unwrap();
    assert_eq!((state.owner.name.as_str(), state.rejected.len()), ("v1", 1));
    assert_eq!((desk.service.status(desk.world.now).owner.name.as_str(), desk.epoch().stable.name.as_str()), ("v1", "v1"));
    assert!(desk.service.refusal(&version("v2"), false).unwrap().contains("rolled back before"));
}

#[test]
fn a_rollback_takes_effect_at_once_and_counts_once_however_often_it_is_written() {
    let mut desk = Desk::begin(World::default());
    desk.world.broken = true;
    trip(&desk.trial());
    desk.pass(SECOND);
    assert_eq!((desk.percent(), desk.record().phase, desk.world.rollbacks), (0, Phase::RolledBack, 1));
    assert!(!desk.service.status(desk.world.now).rollout.unwrap().durable);
    desk.world.broken = false;
    desk.pass(SECOND);
    assert_eq!((desk.world.rollbacks, desk.service.state().rejected.len()), (1, 1));
    assert!(desk.service.status(desk.world.now).rollout.unwrap().durable);
    assert_eq!(desk.world.written.iter().filter(|(_, e)| e.phase == Phase::RolledBack).count(), 1);
}

#[test]
fn nothing_begins_until_the_last_end_is_durable_so_that_no_rejection_is_lost() {
    let mut desk = Desk::begin(World::default());
    desk.world.broken = true;
    trip(&desk.trial());
    desk.pass(SECOND);
    for canary in ["v2", "v3"] {
        let refusal = desk.service.refusal(&version(canary), false);
        assert!(refusal.as_ref().is_some_and(|why| why.contains("not durable")), "{refusal:?}");
    }
    desk.world.broken = false;
    desk.pass(TICK);
    assert_eq!(desk.service.refusal(&version("v3"), false), None);
    assert!(desk.service.refusal(&version("v2"), false).is_some());
    let beside = desk.service.refusal(&version("v9"), true);
    assert!(beside.is_some_and(|why| why.contains("one of the others")), "a token could lead past its trip");
}

#[test]
fn late_answers_of_a_step_are_graded_after_the_end() {
    let mut desk = Desk::begin(World::default());
    let step = desk.epoch().generation;
    desk.answer(step, 7);
    trip(&desk.trial());
    desk.tick();
    assert_eq!(desk.record().phase, Phase::RolledBack);
    desk.answer(step, 5);
    desk.answer(step + 1, 1);
    desk.tick();
    assert_eq!(desk.service.status(desk.world.now).rollout.unwrap().file.unwrap().reason, "12 requests");
}

#[test]
fn a_step_is_graded_against_stable_of_the_same_step_and_at_the_end_of_the_one_before() {
    let mut desk = Desk::begin(World::default());
    let of_stable = |desk: &mut Desk, failed: u64| {
        let mut seen = Observation::new(Role::Stable);
        (seen.failed, seen.classes[4]) = (failed, failed);
        desk.see(desk.epoch().generation, &[seen], &[]);
    };
    let graded = |desk: &mut Desk| {
        desk.tick();
        desk.service.status(desk.world.now).rollout.unwrap().file.unwrap().reason
    };
    of_stable(&mut desk, 3);
    of_stable(&mut desk, 2);
    desk.answer_enough();
    assert_eq!(graded(&mut desk), "100 requests against 5 failed of stable");
    desk.pass(11 * SECOND);
    assert_eq!(
        (desk.percent(), graded(&mut desk).as_str()),
        (100, "0 requests against 5 failed of stable"),
        "nothing of stable is seen now"
    );
    of_stable(&mut desk, 7);
    assert_eq!(graded(&mut desk), "0 requests against 7 failed of stable");
}

#[test]
fn a_canary_lives_no_longer_than_its_workers_are_heard_of() {
    let mut desk = Desk::begin(World::default());
    desk.pass(SECOND);
    let heard = desk.world.now;
    for _ in 0..50 {
        desk.world.now = desk.world.now + TICK;
        desk.service.tick(desk.world.now, heard, &mut desk.world);
        assert!(desk.epoch().valid_until() <= heard + VALIDITY, "a verdict without reports renews nothing");
    }
}

#[test]
fn a_step_begins_again_when_its_canary_was_without_a_verdict() {
    let mut desk = Desk::begin(World::default());
    desk.answer_enough();
    desk.pass(5 * SECOND);
    // The process was stopped for a minute and goes on.
    desk.world.now = desk.world.now + 60 * SECOND;
    desk.tick();
    assert_eq!(desk.percent(), 10, "the hold is not over because time passed while nothing ran");
    desk.answer_enough();
    desk.pass(9 * SECOND);
    assert_eq!(desk.percent(), 10);
    desk.pass(2 * SECOND);
    assert_eq!(desk.percent(), 100);
    let lapses = desk.world.told.iter().filter(|t| t.contains("begins again")).count();
    assert_eq!(lapses, 1, "{:?}", desk.world.told);
}

#[test]
fn the_times_of_a_trip_are_those_of_the_data_plane_also_when_a_tick_came_first() {
    let mut desk = Desk::begin(World::default());
    desk.pass(SECOND);
    trip(&desk.trial());
    desk.tick();
    let (evident, at) = (Timestamp::ZERO + 900 * MS, Timestamp::ZERO + 901 * MS);
    for (evident, at) in [(evident, at), (at, at + SECOND)] {
        desk.service.tripped(desk.record().id, evident, at, desk.world.now, &mut desk.world);
        desk.tick();
    }
    let trip = desk.service.status(desk.world.now).rollout.unwrap().trip.unwrap();
    assert_eq!((trip.evident_ns, trip.tripped_ns), (evident.as_nanos(), at.as_nanos()));
}

#[path = "brake_tests.rs"]
mod brakes;
#[path = "disk_tests.rs"]
mod disk;
#[path = "observe_tests.rs"]
mod observe;
#[path = "orders_tests.rs"]
mod orders;
