//! A service under the default policy: brakes, probes, confirmation, resumes and the watch, by the real judge in virtual time.
#![cfg(test)]

use super::*;
use crate::domain::gate::Origin;

impl Desk {
    /// Under the default policy.
    fn cautious() -> Self {
        Self::begin_under(World::default(), Policy::default())
    }

    /// Lets time pass with a canary request every half second; each takes `latency`, counted by the wires as the data plane does.
    fn probe(&mut self, time: Duration, latency: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.request(latency);
            self.pass(500 * MS);
        }
    }

    /// A canary request that began `latency` ago and ends now.
    fn request(&mut self, latency: Duration) {
        let (trial, generation) = (self.trial(), self.epoch().generation);
        let seq = trial.begin();
        if latency > SECOND {
            trial.breach(0, seq, 0, false);
        }
        let began = Timestamp::from_nanos(self.world.now.as_nanos().saturating_sub(crate::domain::time::nanos(latency)));
        let end = Fate::Measured { latency, duration: latency, errors: ErrorKinds::NONE, unanswered: false };
        let marks = [Mark::Started(seq, began), Mark::Answered(seq, latency), Mark::Ended(seq, end)];
        self.see(generation, &[], &marks);
    }

    fn brake(&mut self) {
        for _ in 0..BREACHES_ENOUGH {
            if self.trial().is_tripped() {
                break;
            }
            self.request(1_100 * MS);
        }
        self.tick();
        assert_eq!((self.record().phase, self.percent()), (Phase::Braked, 0));
    }
}

#[test]
fn a_version_that_stays_slow_is_confirmed_by_its_probes() {
    let mut desk = Desk::cautious();
    desk.pass(5 * SECOND);
    desk.brake();
    assert!(desk.epoch().is_probing(), "a braked canary gets probes");
    let braked = desk.world.now;
    while desk.record().phase == Phase::Braked {
        desk.probe(500 * MS, 1_100 * MS);
        assert!(desk.world.now.since(braked) < 6 * SECOND, "not confirmed");
    }
    assert_eq!((desk.record().phase, desk.percent()), (Phase::RolledBack, 0));
    let evidence = desk.record().evidence.clone().unwrap();
    assert!(evidence.sentence.contains("separate moments"), "{}", evidence.sentence);
    assert_eq!(evidence.verify(), Ok(()));
    println!("confirmed {:?} after the brake: {}", desk.world.now.since(braked), evidence.sentence);
}

#[test]
fn a_gate_derived_from_a_file_only_brakes_and_the_files_own_grade_decides() {
    for (grade, phase) in [(Verdict::Fail, Phase::RolledBack), (Verdict::Pass, Phase::Progressing)] {
        let derived = Gate::new("p95 < 1s".parse().unwrap(), Origin::Derived { indicator: "rt".to_owned() });
        let mut desk = Desk::begin_with(World::default(), Policy::default(), derived, grade);
        desk.pass(5 * SECOND);
        desk.brake();
        desk.probe(9 * SECOND, 1_100 * MS);
        assert_eq!(desk.record().phase, Phase::Braked, "{grade}");
        desk.probe(2 * SECOND, 1_100 * MS);
        assert_eq!(desk.record().phase, phase, "{grade}");
    }
}

#[test]
fn a_pause_brakes_and_the_rollout_resumes_from_its_first_share() {
    let mut desk = Desk::cautious();
    desk.pass(5 * SECOND);
    desk.brake();
    desk.probe(9 * SECOND, 5 * MS);
    assert_eq!(desk.record().phase, Phase::Braked);
    desk.probe(2 * SECOND, 5 * MS);
    assert_eq!((desk.record().phase, desk.percent(), desk.record().brakes), (Phase::Progressing, 10, 1));
    assert!(!desk.epoch().is_probing() && !desk.trial().is_tripped());
    assert_eq!(desk.service.status(desk.world.now).rollout.unwrap().trip, None, "the trip is over");
    desk.answer_enough();
    desk.pass(11 * SECOND);
    assert_eq!(desk.percent(), 100, "it goes on as before");
}

#[test]
fn pauses_again_and_again_hold_the_rollout_until_an_operator_resumes_it() {
    let mut desk = Desk::cautious();
    for _ in 0..4 {
        desk.pass(20 * SECOND);
        desk.brake();
        desk.probe(11 * SECOND, 5 * MS);
    }
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Paused, 0));
    let now = desk.world.now;
    desk.service.drive(Event::Resume { actor: "ann".to_owned(), reason: "it was the disk".to_owned() }, now, &mut desk.world);
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Progressing, 10));
}

#[test]
fn a_version_that_passed_every_step_is_watched_and_then_owns_the_traffic() {
    let mut desk = Desk::cautious();
    desk.reach_the_last_step();
    desk.answer_enough();
    desk.pass(11 * SECOND);
    assert_eq!((desk.record().phase, desk.percent()), (Phase::Watching, 100));
    assert_eq!(desk.epoch().stable.name.as_str(), "v1", "the way back is open");
    desk.pass(57 * SECOND);
    assert_eq!(desk.record().phase, Phase::Watching);
    desk.pass(4 * SECOND);
    assert_eq!((desk.record().phase, desk.epoch().stable.name.as_str()), (Phase::Promoted, "v2"));
}
