//! A route of a cluster that follows what the program decides, and what is left of its share when it ends.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::process::{Running, eventually};
use crate::program::{STABLE, Site, TRIAL, Upstream};

/// A service whose route follows it.
fn mirrored(more: &str) -> String {
    format!("{STABLE}\n    {TRIAL}\n    http_route: {{name: carts, stable: carts-primary, canary: carts-canary{more}}}")
}

#[test]
fn a_route_follows_the_shares_and_never_stands_in_their_way() {
    let (mut site, good, bad) = (Site::new(), Upstream::start("good"), Upstream::start("bad"));
    site.pods("carts-primary", &[&good]);
    site.pods("carts-canary", &[&bad]);
    site.api.route(("carts-primary", 1), ("carts-canary", 0));
    site.write("10s", &mirrored(""));
    site.run();
    eventually("it follows", || (site.api.weights() == [5_000, 5_000]).then_some(()));
    assert_eq!(site.api.inside().applied, 1, "what is so is not applied again");
    // Nobody can be told any more, and it goes back here all the same.
    site.api.set(|inside| inside.down = true);
    bad.fails.store(true, Ordering::Relaxed);
    eventually("it is rolled back", || {
        let _ = site.ask();
        (site.phase() == "rolled_back").then_some(())
    });
    assert_eq!(site.api.weights(), [5_000, 5_000]);
    site.api.set(|inside| inside.down = false);
    eventually("it follows once it can", || (site.api.weights() == [10_000, 0]).then_some(()));
    assert_eq!(site.api.inside().applied, 2, "what was wanted meanwhile is forgotten");
    assert_eq!(site.proxy.take().unwrap().terminate(), Some(0));
}

/// Starts in front of both versions with a route that follows, and waits until it does.
fn followed(more: &str) -> (Site, [Upstream; 2]) {
    let (mut site, upstreams) = (Site::new(), ["good", "other"].map(Upstream::start));
    site.pods("carts-primary", &[&upstreams[0]]);
    site.pods("carts-canary", &[&upstreams[1]]);
    site.api.route(("carts-primary", 1), ("carts-canary", 0));
    site.write("10s", &mirrored(more));
    site.run();
    eventually("it follows", || (site.api.weights() == [5_000, 5_000]).then_some(()));
    (site, upstreams)
}

#[test]
fn a_version_that_is_not_behind_the_route_gets_nothing_of_its_traffic() {
    let (site, [_, bad]) = followed("");
    bad.fails.store(true, Ordering::Relaxed);
    eventually("it is rolled back", || {
        let _ = site.ask();
        (site.phase() == "rolled_back").then_some(())
    });
    eventually("the route follows", || (site.api.weights() == [10_000, 0]).then_some(()));
    let third = Upstream::start("third");
    site.pods("carts-v3", &[&third]);
    let target = r#"{"service": "carts", "canary": {"name": "v3", "endpoints": ["kubernetes:shop/carts-v3:http"]}}"#;
    let (status, told) = site.command("POST /v1/rollouts", target);
    assert_eq!(status, "202", "{told}");
    site.until_answers("third");
    // Whoever looks for what is wanted does so four times a second.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        assert_eq!(site.api.weights(), [10_000, 0], "what was rejected gets nothing");
    }
}

#[test]
fn a_route_that_is_to_follow_no_more_gives_a_trial_nothing() {
    let (mut site, _upstreams) = followed("");
    site.write("10s", &format!("{STABLE}\n    {TRIAL}"));
    eventually("it is let go", || (site.api.weights() == [10_000, 0]).then_some(()));
    assert_eq!(site.phase(), "progressing", "here it goes on");
    site.write("10s", &mirrored(""));
    eventually("it follows again", || (site.api.weights() == [5_000, 5_000]).then_some(()));
    site.write("10s", &mirrored(", take_over: true"));
    eventually("it was read again", || (site.reloads() == 3).then_some(()));
    assert_eq!(site.api.inside().applied, 3, "who manages the rules says nothing of the share");
    assert_eq!(site.proxy.take().unwrap().terminate(), Some(0));
    assert_eq!(site.api.weights(), [10_000, 0], "nobody would take it any more");
}

#[test]
fn an_end_waits_for_a_route_that_cannot_be_reached_for_a_moment_only() {
    let (mut site, _upstreams) = followed("");
    site.api.set(|inside| inside.down = true);
    let begun = Instant::now();
    assert_eq!(site.proxy.take().unwrap().terminate(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(4), "it was tried for {:?}", begun.elapsed());
    assert_eq!(site.api.weights(), [5_000, 5_000]);
}

#[test]
fn a_route_of_somebody_else_is_left_alone_unless_it_is_to_be_taken() {
    let (mut site, good, bad) = (Site::new(), Upstream::start("good"), Upstream::start("bad"));
    site.pods("carts-primary", &[&good]);
    site.pods("carts-canary", &[&bad]);
    site.api.route(("carts-primary", 1), ("carts-canary", 0));
    site.api.set(|inside| inside.manager = Some("helm"));
    site.write("10s", &mirrored(""));
    site.run();
    eventually("it is tried again", || {
        let asked = site.api.inside().asked.iter().filter(|asked| asked.starts_with("PATCH")).count();
        (asked >= 2).then_some(())
    });
    assert_eq!((site.api.weights(), site.api.inside().applied), (vec![1, 0], 0));
    site.until_answers("bad");
    site.write("10s", &mirrored(", take_over: true"));
    eventually("it is taken", || (site.api.weights() == [5_000, 5_000]).then_some(()));
    assert_eq!(site.phase(), "progressing", "a route says nothing of how a canary is judged");
}

/// The process that a program has started, ended by its number.
struct Successor(u32);

impl Successor {
    fn of(proxy: &Running) -> Self {
        let listed = || std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let is_child = |id: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&proxy.id().to_string())
        };
        eventually("a successor", || listed().find(is_child).map(Self))
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
    }
}

#[test]
fn a_hand_over_takes_the_share_of_the_rollout_that_it_aborts() {
    let (mut site, _upstreams) = followed("");
    let proxy = site.proxy.take().unwrap();
    let kill = std::process::Command::new("kill").args(["-USR2", &proxy.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let _successor = Successor::of(&proxy);
    eventually("the process before has ended", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.id())).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z')).then_some(())
    });
    // Either of both writes it; the other finds nothing to do.
    eventually("the canary has nothing", || (site.api.weights() == [10_000, 0]).then_some(()));
}
