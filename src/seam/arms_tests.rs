//! What stable requests beside a canary tell, and what a canary gets that is guarded by clients or probed.
#![cfg(test)]

use super::*;
use crate::domain::start_order::Stage;

#[test]
fn stable_requests_beside_a_canary_are_reported_with_what_befell_them() {
    let mut bench = Bench::with_deadline(&KINDS);
    let mut good = bench.begin(Role::Stable);
    good.head(404);
    good.complete();
    bench.begin(Role::Stable).fail(Failure::ConnectionRefused);
    drop(bench.begin(Role::Stable));
    drop(bench.begin_earlier(Role::Stable));
    let courses = bench.stable_courses();
    let told: Vec<_> = courses.iter().map(|(number, course)| (*number, course.stage, course.errors)).collect();
    let ended = |unanswered| Stage::Ended { unanswered };
    let wanted = [
        (1, ended(false), ErrorKinds::CLIENT),
        (2, ended(true), ErrorKinds::CONNECT),
        (3, Stage::Excluded, ErrorKinds::NONE),
        // The outcome deadline holds for both arms.
        (4, ended(true), ErrorKinds::TIMEOUT),
    ];
    assert_eq!((told.as_slice(), bench.breaches()), (wanted.as_slice(), vec![0, 0, 0]));
    assert!(courses.iter().all(|(_, course)| course.latency <= course.duration), "{courses:?}");
}

#[test]
fn stable_numbers_are_dense_in_a_rollout_whatever_its_epochs() {
    let mut bench = Bench::new();
    let begun = |bench: &mut Bench, epoch: Arc<Epoch>| {
        bench.epoch = epoch;
        drop(bench.begin(Role::Stable));
        bench.stable_courses().iter().map(|(number, _)| *number).collect::<Vec<_>>()
    };
    let on_trial = |rollout| epoch_of(rollout, Some(canary(&KINDS)));
    let first = on_trial(1);
    assert_eq!(begun(&mut bench, Arc::clone(&first)), [1]);
    assert_eq!(begun(&mut bench, on_trial(1)), [2], "the next step");
    assert!(begun(&mut bench, epoch_of(1, None)).is_empty(), "nothing on trial");
    assert_eq!(begun(&mut bench, on_trial(1)), [3]);
    assert_eq!(begun(&mut bench, on_trial(2)), [1], "the next rollout");
    assert_eq!(begun(&mut bench, on_trial(2)), [2]);
}

#[test]
fn an_epoch_of_probes_gives_one_request_per_spacing_and_shows_no_share() {
    let epoch = epoch_of(1, Some(Canary { probe_spacing: Some(LIMIT), ..canary(&KINDS) }));
    assert_eq!((epoch.is_probing(), epoch.weight()), (true, Weight::ZERO));
    let picked = |ms| epoch.pick(Role::Canary, Timestamp::ZERO + Duration::from_millis(ms));
    let probes: Vec<u64> = (3..160).filter(|ms| picked(*ms) == Role::Canary).collect();
    assert_eq!(probes, [3, 53, 103, 153]);
    assert_eq!(epoch.pick(Role::Stable, Timestamp::NEVER), Role::Stable, "only what was drawn for the canary takes a turn");
    epoch.renew(Timestamp::ZERO);
    assert_eq!(picked(400), Role::Stable, "an expired epoch gives no probes either");
    assert!(!self::epoch().is_probing());
}

#[test]
fn breaches_of_one_client_do_not_trip_where_two_must_be_concerned() {
    let tables = vec![Tables::without_step(n_max_table(Share::FIVE_PERCENT, 0.001))];
    let guarded = Canary { trial: Arc::new(Trial::new(tables, 2)), ..canary(&[Watch::Errors(ErrorKinds::DEFAULT)]) };
    let mut bench = Bench::of(epoch_of(1, Some(guarded)));
    for _ in 0..5 {
        bench.begin_by(Role::Canary, 7).fail(Failure::ConnectionRefused);
    }
    assert_eq!((bench.drain().2, bench.breaches()), (0, vec![5]));
    bench.begin_by(Role::Canary, 8).fail(Failure::ConnectionRefused);
    assert_eq!(bench.drain().2, 1);
}
