//! What goes on, what ends and what begins when the services are configured anew.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::control::setup::Origin;
use crate::domain::gate::{Gate, Policy};
use crate::domain::rollout::{Dated, Entry, Phase, Plan, Schedule, ServiceState};
use crate::seam::table::Epoch;

#[derive(Default)]
struct World {
    broken: bool,
    written: Vec<Entry>,
    told: Vec<String>,
}

impl Shell for World {
    fn publish(&mut self, _: &Name, _: Arc<Epoch>) {}

    fn persist(&mut self, _: &Name, _: &ServiceState, lines: &[Dated]) -> Result<(), String> {
        if self.broken {
            return Err("the disk is broken".to_owned());
        }
        self.written.extend(lines.iter().map(|line| line.entry.clone()));
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    fn rolled_back(&mut self, _: &Name) {}

    fn notify(&mut self, _: &Name, sentence: String, _: bool) {
        self.told.push(sentence);
    }
}

fn version(name: &str) -> Version {
    Version::new(name.parse().unwrap(), vec![([127, 0, 0, 1], 80).into()])
}

fn setup(name: &str, canary: &str) -> ServiceSetup {
    ServiceSetup {
        origin: Origin::default(),
        name: name.parse().unwrap(),
        rules: Vec::new(),
        choice: None,
        stable: version("v1"),
        canary: Some(version(canary)),
        schedule: Schedule::Steps(Plan::ramp("10%".parse().unwrap(), 10, Duration::from_secs(10)).unwrap()),
        gates: vec![Gate::written("p95 < 1s".parse().unwrap())],
        policy: Policy { burst_tolerance: Duration::ZERO, watch: Duration::ZERO, ..Policy::default() },
        grader: None,
        mutual: crate::domain::upkeep::Rules::default(),
        way_back: crate::domain::way_back::WayBack::default(),
        webhooks: Arc::default(),
        webhook_failure: crate::domain::gate::Inconclusive::Hold,
    }
}

fn wanted(name: &str, canary: &str, anew: bool) -> Wanted {
    Wanted { setup: setup(name, canary), anew }
}

/// Two services, each with a rollout of v2.
fn running(world: &mut World) -> Vec<Service> {
    let all = replace(Vec::new(), vec![wanted("a", "v2", true), wanted("b", "v2", true)], world, |_| Known::Nothing);
    let mut services = Vec::new();
    for (mut service, canary) in all {
        service.begin(canary.expect("a new service begins its rollout"), None, Timestamp::ZERO, world);
        services.push(service);
    }
    assert!(services.iter().all(|service| service.progressing().is_some()));
    services
}

fn phase(service: &Service) -> Option<Phase> {
    service.state().rollout.as_ref().map(|record| record.phase)
}

#[test]
fn what_is_unchanged_goes_on_and_what_is_judged_otherwise_ends() {
    let mut world = World::default();
    let mut services = running(&mut world);
    let generations: Vec<u64> = services.iter().map(|service| service.epoch().generation).collect();
    let wanted = vec![wanted("b", "v3", true), wanted("a", "v2", false), wanted("c", "v2", true)];
    end(&mut services, &wanted, "reload", Timestamp::ZERO, &mut world).unwrap();
    let all = replace(services, wanted, &mut world, |_| Known::Nothing);
    let names: Vec<&str> = all.iter().map(|(service, _)| service.setup().name.as_str()).collect();
    assert_eq!(names, ["b", "a", "c"], "in the order of the configuration");
    let [(b, of_b), (a, of_a), (_, of_c)] = &all[..] else { panic!() };
    assert!(a.progressing().is_some() && of_a.is_none());
    assert_eq!(a.epoch().generation, generations[0]);
    assert_eq!((phase(b), of_b.clone(), of_c.clone()), (Some(Phase::Aborted), Some(version("v3")), Some(version("v2"))));
    assert!(b.epoch().generation > generations[1] && b.epoch().canary.is_none(), "I4: generations grow");
    let ended = world.written.last().unwrap();
    assert_eq!((ended.actor.as_str(), ended.phase, ended.service.as_str()), ("reload", Phase::Aborted, "b"));
    assert!(ended.reason.contains("configuration"), "{}", ended.reason);
}

#[test]
fn the_same_canary_does_not_begin_again_by_itself() {
    let mut world = World::default();
    let mut services = running(&mut world);
    let wanted = vec![wanted("a", "v2", true), wanted("b", "v2", false)];
    end(&mut services, &wanted, "reload", Timestamp::ZERO, &mut world).unwrap();
    let all = replace(services, wanted, &mut world, |_| Known::Nothing);
    assert_eq!(all[0].1, None);
    assert!(world.told.iter().any(|told| told.contains("no rollout of v2 begins")), "{:?}", world.told);
}

#[test]
fn what_a_stable_version_that_stays_may_hold_is_not_forgotten() {
    use crate::domain::way_back::{Terms, WayBack};
    let shed = |stable: &str| {
        let way_back = WayBack::Shed(Terms { most: Some(9), lasts: Duration::from_secs(60) });
        ServiceSetup { way_back, stable: version(stable), ..setup("a", "v2") }
    };
    for (stable, bound) in [("v1", Some(9)), ("v3", None)] {
        let mut world = World::default();
        let begun = replace(Vec::new(), vec![Wanted { setup: shed("v1"), anew: true }], &mut world, |_| Known::Nothing);
        let (mut service, canary) = begun.into_iter().next().unwrap();
        service.begin(canary.unwrap(), None, Timestamp::ZERO, &mut world);
        let (mut services, wanted) = (vec![service], vec![Wanted { setup: shed(stable), anew: true }]);
        end(&mut services, &wanted, "reload", Timestamp::ZERO, &mut world).unwrap();
        let owner = Arc::clone(&services[0].epoch().stable);
        let all = replace(services, wanted, &mut world, |_| Known::Nothing);
        let service = &all[0].0;
        let status = service.status(Timestamp::ZERO).way_back;
        assert_eq!(status.and_then(|status| status.most_in_flight), bound, "{stable}");
        assert_eq!(Arc::ptr_eq(&service.epoch().stable, &owner), bound.is_some(), "the data plane knows it by its place");
    }
}

#[test]
fn a_service_that_is_gone_ends_its_rollout_durably_or_nothing_else_changes() {
    let mut world = World { broken: true, ..World::default() };
    let mut services = {
        let mut good = World::default();
        running(&mut good)
    };
    let keep = vec![wanted("a", "v2", false)];
    assert_eq!(end(&mut services, &keep, "reload", Timestamp::ZERO, &mut world), Err("b".parse().unwrap()));
    assert!(services[0].progressing().is_some(), "the other one goes on");
    assert!(services[1].progressing().is_none(), "the share is taken back all the same");
    let known = |_: &Name| -> Known { panic!("nothing is new") };
    let all = replace(services, keep, &mut world, known);
    assert_eq!(all.len(), 1);
}
