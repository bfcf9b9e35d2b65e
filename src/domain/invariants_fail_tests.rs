//! Sees each check of an invariant fail.
#![cfg(test)]

use super::*;
use crate::domain::rollout::event::Dated;
use crate::domain::rollout::record::Entry;
use crate::domain::way_back::Recession;

#[test]
fn every_check_can_fail() {
    let good = rollout().record().clone();
    let with = |change: fn(&mut Record)| {
        let mut record = good.clone();
        change(&mut record);
        record
    };
    let publish = |generation, owner, weight| Effect::Publish { generation, owner, weight, arming: Arming::Nothing };
    let share = publish(8, Role::Stable, Weight::FULL);
    let ended = with(|r| r.phase = Phase::RolledBack);
    assert!(i1_weights_are_valid(&with(|r| (r.phase, r.weight) = (Phase::Aborted, Weight::FULL))).is_err());
    assert!(i2_nothing_is_published_for_the_canary_after_its_end(&good, std::slice::from_ref(&share), &ended).is_err());
    assert!(i2_i12_a_canary_pick_is_allowed(true, Timestamp::NEVER, Timestamp::ZERO, Role::Canary).is_err());
    assert!(i2_i12_a_canary_pick_is_allowed(false, Timestamp::ZERO, Timestamp::from_nanos(1), Role::Canary).is_err());
    assert!(i3_one_request_one_decision((1, Role::Canary), (1, Role::Stable)).is_err());
    let probes = Effect::Publish { generation: 8, owner: Role::Stable, weight: Weight::ZERO, arming: Arming::Probes(Weight::FULL) };
    assert!(i2_nothing_is_published_for_the_canary_after_its_end(&good, &[probes], &with(|r| r.phase = Phase::Braked)).is_err());
    let stale = publish(7, Role::Stable, Weight::ZERO);
    assert!(i4_generations_strictly_increase(&good, &[stale], &good).is_err());
    assert!(i5_a_raise_needs_evidence(&rollout().view(), Timestamp::ZERO, &Event::Persisted, std::slice::from_ref(&share)).is_err());
    let promoted = publish(8, Role::Canary, Weight::FULL);
    assert!(i6_promotion_needs_the_whole_last_step(&rollout().view(), Timestamp::ZERO, &Event::Begin, &[promoted]).is_err());
    let half = with(|r| r.weight = "50%".parse().unwrap());
    assert!(i7_the_weight_is_monotone_until_it_is_zero(&half, &Event::Begin, &with(|r| r.weight = "10%".parse().unwrap())).is_err());
    assert!(i7_the_weight_is_monotone_until_it_is_zero(&ended, &Event::Begin, &half).is_err());
    assert!(i8_a_breach_latches(&View { record: &ended, ..rollout().view() }, &Event::Begin, &good).is_err());
    assert!(i8_a_breach_latches(&rollout().view(), &Event::Tripped(Box::new(evidence())), &good).is_err());
    let breach = Event::Judged { judgement: Box::new(judgement(Verdict::Fail)), file: None };
    assert!(i8_a_breach_latches(&View { unsaved: &unsaved(1), ..rollout().view() }, &breach, &good).is_err());
    assert!(i9_abort_dominates(&half, &Event::Abort { actor: "a".into(), reason: "b".into() }, &half).is_err());
    assert!(i9_abort_dominates(&with(|r| r.phase = Phase::Aborted), &Event::Begin, &good).is_err());
    assert!(i11_unknown_is_safe(None, "1%".parse().unwrap()).is_err());
    assert!(i11_unknown_is_safe(Some(&half), Weight::FULL).is_err());
    let (fresh, record) = (rollout(), with(|r| r.phase = Phase::Braked));
    let braked = View { record: &record, ..fresh.view() };
    assert!(i24_every_wait_ends(&braked, second(99), &undecided(), &braked).is_err());
    let waiting = with(|r| r.phase = Phase::AwaitingApproval);
    let waits = View { record: &waiting, ..fresh.view() };
    let writes = |record| Effect::Persist { record: Box::new(record), entry: Box::new(silent()), decided: None, earlier: Vec::new() };
    let goes_on = writes(with(|r| r.phase = Phase::Watching));
    assert!(i5_an_approval_is_somebodys_word(&waits, &undecided(), &[goes_on], &waits).is_err());
    assert!(i5_an_approval_is_somebodys_word(&waits, &Event::Begin, &[], &View { approved: true, ..waits }).is_err());
    assert!(i24_every_wait_ends(&waits, second(1), &undecided(), &waits).is_err());
    assert!(i24_every_wait_ends(&View { unsaved: &unsaved(1), ..waits }, second(1), &undecided(), &waits).is_err());
    assert!(i26_changes_explain_themselves(&[writes(good.clone())]).is_err());
    assert!(i5_a_waiver_ends_with_a_brake(&View { waived: true, ..braked }).is_err());
    let waived = View { waived: true, ..waits };
    assert!(i5_a_waiver_ends_with_a_brake(&waived).is_ok(), "what waits for an approval keeps it");
    assert!(i14_requests_are_conserved(3, 1, 0, 0, 1).is_err());
}

#[test]
fn a_share_that_recedes_wrongly_is_noticed() {
    let fresh = rollout();
    let with = |phase, share: &str| Record { phase, weight: share.parse().unwrap(), ..fresh.record().clone() };
    let recession = |within: u64| Recession {
        from: "80%".parse().unwrap(),
        began: second(10),
        within: Duration::from_secs(within),
        reason: "enough".to_owned(),
    };
    let (half, minute) = (recession(30), recession(61));
    let prospect = |within| Prospect { within: Some(Duration::from_secs(within)), ..Prospect::default() };
    let (in_time, too_long) = (prospect(30), prospect(61));
    let view = |record, recession| View { record, recession, prospect: &in_time, ..fresh.view() };
    let [at_80, at_40, at_20, none] = ["80%", "40%", "20%", "0%"].map(|share| with(Phase::Receding, share));
    let (on, over, held) = (with(Phase::Progressing, "80%"), with(Phase::Aborted, "0%"), with(Phase::Paused, "40%"));
    let falls =
        |before, at, event: &Event, effects: &[Effect], after| i7_a_receding_share_only_falls(&before, second(at), event, effects, &after);
    let [whole, forty, twenty] = [&at_80, &at_40, &at_20].map(|record| view(record, Some(&half)));

    assert_eq!(falls(whole, 19, &undecided(), &[], whole), Ok(()));
    assert_eq!(falls(whole, 20, &undecided(), &[], forty), Ok(()));
    assert_eq!(falls(forty, 21, &undecided(), &[], view(&over, None)), Ok(()));
    assert!(falls(whole, 20, &undecided(), &[], whole).is_err(), "a third of the time is over");
    assert!(falls(forty, 30, &undecided(), &[], forty).is_err(), "two thirds are");
    assert!(falls(twenty, 11, &undecided(), &[], forty).is_err(), "it grows");
    let grows = Effect::Publish { generation: 8, owner: Role::Stable, weight: Weight::FULL, arming: Arming::Held };
    assert!(falls(forty, 11, &undecided(), &[grows], forty).is_err(), "more is published");
    assert!(falls(forty, 11, &undecided(), &[], view(&held, None)).is_err(), "it goes on");
    assert!(falls(forty, 11, &undecided(), &[], view(&at_40, Some(&minute))).is_err(), "its time is longer than it was");
    assert!(falls(view(&on, None), 10, &undecided(), &[], view(&none, Some(&half))).is_err(), "nothing recedes");
    assert!(i24_every_wait_ends(&twenty, second(41), &undecided(), &twenty).is_err());
    assert!(i24_every_wait_ends(&View { unsaved: &unsaved(1), ..twenty }, second(41), &undecided(), &twenty).is_err(), "no disk delays it");

    let recede = Event::Recede { actor: "ann".to_owned(), reason: "enough".to_owned() };
    let enters = |before: View<'_>, event: &Event, after: View<'_>| only_what_is_not_known_to_be_bad_recedes(&before, event, &after);
    let progresses = view(&on, None);
    assert_eq!(enters(progresses, &recede, forty), Ok(()));
    let braked = Event::Judged { judgement: Box::new(judgement(Verdict::Fail)), file: None };
    for event in [braked, confirmed(), Event::Tripped(Box::new(evidence())), Event::Lapsed] {
        assert!(enters(progresses, &event, forty).is_err(), "{event:?}");
    }
    assert!(enters(View { canary: Standing::Failed, ..progresses }, &recede, forty).is_err());
    assert!(enters(View { warming: true, ..progresses }, &recede, forty).is_err());
    assert!(enters(View { prospect: &Prospect::default(), ..progresses }, &recede, forty).is_err(), "that is not configured");
    assert!(enters(View { prospect: &too_long, ..progresses }, &recede, view(&at_40, Some(&minute))).is_err(), "it takes too long");
    let trip = Event::Tripped(Box::new(evidence()));
    assert!(i8_a_breach_ends_what_recedes(&at_40, &trip, &with(Phase::Braked, "0%")).is_err(), "it is to be confirmed");
    assert!(i8_a_breach_ends_what_recedes(&at_40, &trip, &at_20).is_err());
    assert_eq!(i8_a_breach_ends_what_recedes(&at_40, &trip, &with(Phase::RolledBack, "0%")), Ok(()));
}

#[test]
fn a_change_that_is_forgotten_or_not_tried_is_noticed() {
    let (fresh, [one, two]) = (rollout(), [unsaved(1), unsaved(2)]);
    let [none, first, both] = [&[], &one[..], &two[..]].map(|unsaved| View { unsaved, ..fresh.view() });
    let record = Box::new(fresh.record().clone());
    let tries =
        |earlier: &[Dated]| Effect::Persist { record: record.clone(), entry: Box::new(silent()), decided: None, earlier: earlier.to_vec() };
    assert_eq!(i26_no_change_is_forgotten(&first, &undecided(), &[tries(&[])], &first), Ok(()));
    assert_eq!(i26_no_change_is_forgotten(&first, &Event::Persisted, &[], &none), Ok(()));
    assert!(i26_no_change_is_forgotten(&first, &undecided(), &[], &none).is_err(), "it is forgotten");
    assert!(i26_no_change_is_forgotten(&first, &undecided(), &[], &first).is_err(), "it is not tried");
    assert!(i26_no_change_is_forgotten(&first, &Event::Lapsed, &[tries(&[])], &both).is_err(), "the earlier one is not");
}

/// Brakes that explain nothing and are not written, one after another.
fn unsaved(count: u64) -> Vec<Dated> {
    let line = |at| Dated { decided: Some(second(at)), entry: Entry { generation: 8 + at, ..silent() } };
    (0..count).map(line).collect()
}

/// A brake that explains nothing.
fn silent() -> Entry {
    Entry {
        service: "carts".parse().unwrap(),
        rollout: 1,
        at: None,
        stable: None,
        canary: None,
        actor: "gate".to_owned(),
        phase: Phase::Braked,
        owner: Role::Stable,
        from: Weight::FULL,
        to: Weight::ZERO,
        generation: 8,
        reason: "because".to_owned(),
        evidence: None,
        gates: Vec::new(),
    }
}
