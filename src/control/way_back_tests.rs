//! Claims about the way back of one service: what is bounded, for how long, and what people are told.

use super::*;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::rollout::{Dated, ServiceState};
use crate::domain::way_back::Terms;
use crate::seam::table::Epoch;

const TICK: Duration = Duration::from_millis(100);
const RAMP: WayBack = WayBack::Ramp(Duration::from_secs(30));
const SHED: WayBack = WayBack::Shed(Terms { most: None, lasts: Duration::from_secs(30) });

/// A world in which a version has so many endpoints.
#[derive(Default)]
struct World {
    endpoints: u32,
    valve: Option<Arc<Valve>>,
    told: Vec<(String, bool)>,
}

impl Shell for World {
    fn publish(&mut self, _: &Name, _: Arc<Epoch>) {}

    fn persist(&mut self, _: &Name, _: &ServiceState, _: &[Dated]) -> Result<(), String> {
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    fn rolled_back(&mut self, _: &Name) {}

    fn usable(&self, _: &Arc<Version>) -> u32 {
        self.endpoints
    }

    fn narrow(&mut self, _: &Arc<Version>, valve: Option<Arc<Valve>>) {
        self.valve = valve;
    }

    fn notify(&mut self, _: &Name, sentence: String, alarm: bool) {
        self.told.push((sentence, alarm));
    }
}

struct Desk {
    way: Way,
    owner: Arc<Version>,
    world: World,
    now: Timestamp,
}

impl Desk {
    /// Nothing is known of v1, which has ten endpoints.
    fn fresh() -> Self {
        let owner = Arc::new(Version::new("v1".parse().unwrap(), Vec::new()));
        let world = World { endpoints: 10, ..World::default() };
        Self { way: Way::default(), owner, world, now: Timestamp::ZERO }
    }

    /// v1 has served 400 requests/s of 20 ms with ten endpoints for a minute.
    fn new() -> Self {
        let mut desk = Self::fresh();
        desk.serve(60, 40, 20);
        desk
    }

    /// Serves so many requests of so many milliseconds in each tick, for so many seconds.
    fn serve(&mut self, seconds: u64, each: u64, ms: u64) {
        self.serve_and(seconds, each, ms, |_| {});
    }

    fn serve_and(&mut self, seconds: u64, each: u64, ms: u64, mut meanwhile: impl FnMut(&mut Self)) {
        for _ in 0..10 * seconds {
            self.now = self.now + TICK;
            let mut seen = Observation::new(Role::Stable);
            (0..each).for_each(|_| seen.count(Outcome::Answered(200)));
            seen.duration.sum_ns = each * ms * 1_000_000;
            seen.response_time.cells = vec![(ms * 1_000, each)];
            self.way.observe(&[seen]);
            meanwhile(self);
            self.way.tick(&"carts".parse().unwrap(), &self.owner, self.now, &mut self.world);
        }
    }

    /// What a decision would know while 400 requests/s are asked for, and the next step leaves the canary nothing.
    fn prospect(&self, rule: WayBack) -> Prospect {
        self.way.prospect(rule, &self.owner, 400.0, Weight::ZERO)
    }

    /// Says whether stable bears a canary with no more than this share.
    fn bears(&self, share: &str) -> bool {
        let prospect = self.way.prospect(RAMP, &self.owner, 400.0, share.parse().unwrap());
        assert_eq!(prospect.within, Some(Duration::from_secs(30)));
        prospect.bears
    }

    fn begin(&mut self, rule: WayBack) {
        self.way.begin(rule, &self.owner, 400.0, self.now, &mut self.world);
    }

    /// Asks for one more request than may be held, and reports the refusal as a worker does.
    fn refuse(&mut self) {
        let valve = self.world.valve.clone().expect("there is a bound");
        assert!(!valve.admits(0, u32::MAX - 1, self.now));
        let mut seen = Observation::new(Role::Stable);
        seen.count(Outcome::Failed(Failure::Shed));
        self.way.observe(&[seen]);
    }

    fn status(&self, rule: WayBack) -> WayBackStatus {
        self.way.status(rule, &self.owner, None, self.now).expect("everything came back")
    }
}

#[test]
fn by_default_nothing_is_bounded_and_what_is_short_is_told() {
    let mut desk = Desk::new();
    assert_eq!(desk.way.status(WayBack::AtOnce, &desk.owner, None, desk.now), None);
    assert_eq!(desk.prospect(WayBack::AtOnce).sentence, None, "it has shown that it can");
    desk.begin(WayBack::AtOnce);
    desk.serve(1, 40, 20);
    assert_eq!((desk.status(WayBack::AtOnce).forecast.room, desk.world.told.len()), (Room::Enough, 0));
    desk.world.endpoints = 2;
    desk.serve(1, 4, 20);
    let short = "v1 cannot take the 400 requests/s: 2 usable endpoints have shown no more than 80";
    assert_eq!(desk.prospect(WayBack::AtOnce).sentence.as_deref(), Some(short));
    desk.begin(WayBack::AtOnce);
    desk.serve(1, 4, 20);
    assert!(desk.world.valve.is_none());
    assert_eq!(desk.status(WayBack::AtOnce).sentence, short);
    let [(told, alarm)] = &*desk.world.told else { panic!("{:?}", desk.world.told) };
    assert!(*alarm && told.contains("cannot take") && told.ends_with("it gets everything at once"), "{told}");
}

#[test]
fn what_is_beyond_is_refused_until_nothing_is() {
    let mut desk = Desk::new();
    desk.world.endpoints = 2;
    desk.serve(1, 4, 20);
    let prospect = desk.prospect(SHED).sentence.unwrap();
    assert!(prospect.ends_with("what is beyond that is refused for 30 s at most"), "{prospect}");
    desk.begin(SHED);
    assert_eq!(desk.status(SHED).most_in_flight, Some(9));
    desk.serve_and(5, 8, 20, Desk::refuse);
    let grown = desk.status(SHED);
    assert!(grown.most_in_flight > Some(9) && grown.shed == 50, "it answers as usual, so it may hold more: {grown:?}");
    desk.serve_and(10, 8, 200, Desk::refuse);
    let less = desk.status(SHED);
    assert!(less.most_in_flight < grown.most_in_flight, "it is overrun: {less:?}");
    assert!((less.left_seconds.unwrap() - 15.0).abs() < 0.2, "{less:?}");
    desk.world.endpoints = 10;
    desk.serve(11, 40, 20);
    assert!(desk.world.valve.is_none());
    let over = desk.status(SHED);
    assert_eq!((over.most_in_flight, over.left_seconds, over.shed), (None, None, 150));
    assert!(over.sentence.ends_with("150 requests were refused"), "{}", over.sentence);
    assert_eq!(desk.world.told.last(), Some(&("v1 takes everything again: 150 requests were refused on the way back".to_owned(), false)));
}

#[test]
fn stable_bears_more_once_it_is_seen_to_answer_as_usual_with_what_it_has() {
    let mut desk = Desk::new();
    assert_eq!(desk.prospect(SHED).within, None);
    desk.way.shares_change(false);
    assert!(desk.bears("40%"), "nothing speaks against it");
    desk.way.shares_change(true);
    assert!(!desk.bears("20%"), "that it bears what it got is not seen yet");
    desk.serve(2, 24, 20);
    assert!(desk.bears("20%"));
    desk.way.shares_change(true);
    desk.serve(2, 32, 90);
    assert!(!desk.bears("0%"), "it answers slower than usual");
    desk.serve(60, 32, 90);
    assert!(!desk.bears("0%"), "and that does not become usual meanwhile");
    desk.serve(2, 32, 20);
    assert!(desk.bears("0%"));
    desk.way.shares_change(false);
    desk.serve(60, 32, 90);
    desk.serve(2, 32, 60);
    assert!(desk.bears("0%"), "what lasts is usual where nothing recedes");
}

#[test]
fn stable_does_not_bear_more_than_its_endpoints_have_shown() {
    let mut desk = Desk::new();
    desk.world.endpoints = 3;
    desk.way.shares_change(false);
    desk.serve(3, 8, 20);
    assert!(desk.bears("75%") && !desk.bears("40%"), "three of ten endpoints have shown 120 requests/s");
    desk.world.endpoints = 10;
    desk.way.shares_change(true);
    desk.serve(3, 8, 20);
    assert!(desk.bears("0%"), "it was scaled up");
}

#[test]
fn a_bound_that_is_inherited_stays_as_it_is_until_its_time_is_over() {
    let version = Desk::fresh().owner.name.clone();
    let bequest = Bequest { service: "carts".parse().unwrap(), version, most: 9, left: Duration::from_secs(20), asked: 400 };
    for rule in [WayBack::AtOnce, RAMP] {
        let mut other = Desk::fresh();
        other.way.inherit(rule, &bequest, &other.owner, other.now, &mut other.world);
        assert!(other.world.valve.is_none(), "{rule:?} bounds nothing");
    }
    let mut newer = Desk::fresh();
    let of_another = Bequest { version: "v9".parse().unwrap(), ..bequest.clone() };
    newer.way.inherit(SHED, &of_another, &newer.owner, newer.now, &mut newer.world);
    assert!(newer.world.valve.is_none(), "nothing is known of what the configuration names now");
    let mut desk = Desk::fresh();
    desk.way.inherit(SHED, &bequest, &desk.owner, desk.now, &mut desk.world);
    let ends = desk.now + bequest.left;
    desk.serve_and(19, 8, 20, Desk::refuse);
    let status = desk.status(SHED);
    assert_eq!((status.most_in_flight, status.shed), (Some(9), 190), "what it can take is not known");
    assert!(status.sentence.contains("400 requests/s"), "{}", status.sentence);
    assert!(desk.world.valve.as_ref().is_some_and(|valve| !valve.is_over(desk.now) && valve.is_over(ends)));
    desk.serve(2, 8, 20);
    assert!(desk.world.valve.is_none());
}

#[test]
fn it_ends_in_time_although_requests_are_still_refused() {
    let mut desk = Desk::new();
    desk.world.endpoints = 2;
    desk.begin(SHED);
    let valve = desk.world.valve.clone().unwrap();
    let ends = desk.now + Duration::from_secs(30);
    assert!(!valve.is_over(desk.now) && valve.is_over(ends), "no controller is needed for the end");
    desk.serve_and(30, 8, 20, |desk| {
        if desk.now < ends {
            desk.refuse()
        }
    });
    assert!(desk.world.valve.is_none());
    let (told, alarm) = desk.world.told.last().unwrap();
    assert!(*alarm && told.starts_with("v1 gets everything now, although requests had to be refused until the end"), "{told}");
}

#[test]
fn without_anything_shown_nothing_is_bounded_unless_the_operator_says_how_much() {
    let mut desk = Desk::new();
    desk.way = Way::default();
    desk.begin(SHED);
    desk.serve(1, 1, 20);
    assert!(desk.world.valve.is_none());
    assert!(desk.world.told[0].0.ends_with("so nothing is refused"), "{:?}", desk.world.told);
    desk.begin(WayBack::Shed(Terms { most: Some(7), lasts: Duration::from_secs(30) }));
    assert_eq!(desk.status(SHED).most_in_flight, Some(7));
    desk.way.end(&desk.owner, &mut desk.world);
    assert!(desk.world.valve.is_none(), "another rollout began");
    desk.begin(SHED);
    desk.way.forget(&desk.owner, &mut desk.world);
    assert_eq!(desk.way.status(SHED, &desk.owner, None, desk.now), None, "another version owns the traffic");
}
