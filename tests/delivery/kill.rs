//! Kills the program at every step of a delivery, starts it again on what it left, and looks at where that ends.
//!
//! Each entry of the journal is one durable step, written before the effect it announces begins. A rehearsal says how many there
//! are; then one program after the other is killed as soon as an entry is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::site::{PROJECT, Pipeline, SERVICE, STAGES, Site, exchange, host};

/// Every strategy, and a stage into which somebody must let an artifact.
const SHIPYARD: &str = "stages:
  - {name: dev, deployment_strategy: direct, test_strategy: functional, gate: none}
  - {name: staging, deployment_strategy: blue_green_service, test_strategy: performance}
  - name: production
    deployment_strategy: canary
    plan: {start: 50%, factor: 2, hold: 300ms}
    approval_strategy: {pass: manual, warning: manual}
";
/// How many programs are on their way at a time.
const AT_A_TIME: usize = 3;
/// When the program is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// As soon as so many entries are there.
    Entry(usize),
    /// So long after the artifact was sent, and once more so long after the next start, which may be before that is complete.
    Chance { after: Duration, again: Duration },
    /// As soon as it is written that an operator has stopped the artifact in this stage and phase.
    Stopped(&'static str, &'static str),
}

/// One kill.
#[derive(Clone, Copy, Debug)]
struct Turn {
    tag: &'static str,
    moment: Moment,
}

/// What a kill came to.
struct Ended {
    turn: Turn,
    /// The last entry that was durable.
    at: Value,
    live: Vec<String>,
    /// What is wrong, where anything is.
    wrong: Vec<String>,
}

/// The effects of the machine, as they are declared: none may be missing from the walk, also one that is new.
fn declared() -> Vec<String> {
    let source = syn::parse_file(include_str!("../../src/domain/delivery/effect.rs")).unwrap();
    let effects = source.items.iter().find_map(|item| match item {
        syn::Item::Enum(found) if found.ident == "Effect" => Some(found),
        _ => None,
    });
    effects.unwrap().variants.iter().map(|variant| variant.ident.to_string()).collect()
}

fn text<'v>(entry: &'v Value, key: &str) -> &'v str {
    entry[key].as_str().unwrap_or_default()
}

/// Returns the word of an entry: how the run ended, else where it stands, else that it came.
fn word(entry: &Value) -> &str {
    match (text(entry, "outcome"), text(entry, "phase")) {
        ("", "") => "came",
        ("", phase) => phase,
        (outcome, _) => outcome,
    }
}

/// Returns the effects that begin when an entry is durable.
fn effects(entry: &Value) -> &'static [&'static str] {
    let operator = text(entry, "actor") == "operator";
    match word(entry) {
        "came" => &["Persist"],
        "approval" => &["Persist", "AwaitApproval", "Emit"],
        "deploying" => &["Persist", "Deploy", "Emit"],
        "checking" => &["CheckHealth"],
        "switching" => &["Switch"],
        "testing" => &["Test"],
        "evaluating" => &["Evaluate"],
        "shifting" => &["Rollout"],
        "returning" if operator => &["AbortRollout", "Switch"],
        "returning" => &["Switch"],
        "aborted" if operator => &["StopTest", "Retire"],
        "passed" | "failed" | "inconclusive" | "aborted" => &["Retire", "Emit", "Notify"],
        other => panic!("an entry of a kind that the walk does not know: {other}"),
    }
}

/// Ordinary users of production, one request after the other, until they are sent home.
struct Users {
    home: AtomicBool,
    failed: AtomicU64,
}

impl Users {
    const fn new() -> Self {
        Self { home: AtomicBool::new(false), failed: AtomicU64::new(0) }
    }

    fn come<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, to: SocketAddr) {
        for _ in 0..2 {
            scope.spawn(move || {
                while !self.home.load(Ordering::Relaxed) {
                    // While the program is dead nobody answers; an answer that says so is a failure.
                    if exchange(to, &host("production"), "GET", "/", &[], b"").is_ok_and(|answer| answer.status >= 500) {
                        self.failed.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    }
}

/// Sends the users home, also when a test fails.
struct Home<'a>(&'a Users);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.0.home.store(true, Ordering::Relaxed);
    }
}

fn operate(pipeline: &Pipeline, stage: &str, what: &str) {
    let path = format!("/v1/projects/{PROJECT}/services/{SERVICE}/stages/{stage}/{what}");
    let answer = pipeline.post(&path, &json!({}));
    // It may have gone on meanwhile.
    assert!([202, 409].contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
}

/// Waits until nothing is on its way, and lets into production whatever waits for that.
fn settle(pipeline: &Pipeline) {
    pipeline.until("the service is idle", || {
        let service = pipeline.service();
        if service["stages"][2]["run"]["phase"] == "approval" {
            operate(pipeline, "production", "approve");
        }
        (service["idle"] == true).then_some(())
    });
}

/// Goes along with an artifact until the moment; returns how many entries were seen.
fn follow(pipeline: &Pipeline, context: &str, moment: Moment) -> usize {
    let begun = Instant::now();
    pipeline.until_soon(&format!("{moment:?}"), || {
        let story = pipeline.story(context);
        let last = story.last()?;
        let reached = match moment {
            Moment::Entry(at) => story.len() >= at,
            Moment::Chance { after, .. } => begun.elapsed() >= after,
            Moment::Stopped(..) => {
                story.iter().any(|entry| text(entry, "actor") == "operator" && word(entry) != "deploying" && word(entry) != "came")
            }
        };
        if reached {
            return Some(story.len());
        }
        match moment {
            Moment::Stopped(stage, phase) if (text(last, "stage"), word(last)) == (stage, phase) => operate(pipeline, stage, "abort"),
            _ if word(last) == "approval" => operate(pipeline, "production", "approve"),
            _ => {}
        }
        None
    })
}

/// Delivers an artifact, kills the program at the moment, starts it again and looks at where that ends.
fn kill(base: &Site, sinks: &str, turn: Turn) -> Ended {
    let site = Site::clone_of(base, &[sinks]);
    let users = Users::new();
    std::thread::scope(|scope| {
        let home = Home(&users);
        let pipeline = site.start();
        users.come(scope, pipeline.listen);
        let context = pipeline.deliver(turn.tag, false);
        let seen = follow(&pipeline, &context, turn.moment);
        pipeline.kill();
        if let Moment::Chance { again, .. } = turn.moment {
            let begun = site.launch();
            std::thread::sleep(again);
            drop(begun);
        }

        let pipeline = site.start();
        users.come(scope, pipeline.listen);
        settle(&pipeline);
        let story = pipeline.story(&context);
        drop(home);
        let again = story.iter().position(|entry| text(entry, "actor") == "restart");
        let at = again.unwrap_or(seen).checked_sub(1).map(|at| story[at].clone()).unwrap_or_default();
        let live = pipeline.live();
        let mut wrong = look(&site, &pipeline, turn, &live);
        if story.last().is_none_or(|last| text(last, "outcome").is_empty()) {
            wrong.push(format!("its way has no end: {story:#?}"));
        }
        let failed = users.failed.load(Ordering::Relaxed);
        if failed > 0 {
            wrong.push(format!("{failed} requests of ordinary users failed"));
        }
        pipeline.end();
        if !site.deployed().is_empty() {
            wrong.push(format!("left behind at the end: {:?}", site.deployed()));
        }
        Ended { turn, at, live, wrong }
    })
}

/// Says what is wrong with an end state.
fn look(site: &Site, pipeline: &Pipeline, turn: Turn, live: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let good = turn.tag == "0.8.3";
    let allowed: [&[&str]; 3] = match turn.moment {
        Moment::Stopped("production", _) => [&["0.8.3"], &["0.8.3"], &["0.8.1"]],
        _ if good => [&["0.8.1", "0.8.3"]; 3],
        _ => [&["0.8.1", "0.8.2"], &["0.8.1"], &["0.8.1"]],
    };
    if live.len() != 3 || live.iter().zip(allowed).any(|(live, allowed)| !allowed.contains(&live.as_str())) {
        wrong.push(format!("live is {live:?}, allowed is {allowed:?}"));
    }
    // An artifact owns a stage only when it owns those before it.
    if good && !live.is_sorted_by(|a, b| a >= b) {
        wrong.push(format!("{live:?}: a later stage is ahead of an earlier one"));
    }
    for (stage, live) in STAGES.iter().zip(live) {
        let page = match live.as_str() {
            "0.8.2" => ("v2", "1000"),
            "0.8.3" => ("v3", "0"),
            _ => ("v1", "0"),
        };
        let shown: Vec<_> =
            (0..4).map(|_| pipeline.page(stage)).filter(|(version, delay)| (version.as_str(), delay.as_str()) != page).collect();
        if !shown.is_empty() {
            wrong.push(format!("{stage} owns {live}, but shows {shown:?}"));
        }
    }
    let deployed = site.deployed();
    let stages: Vec<&str> = deployed.iter().map(|deployed| deployed.stage.as_str()).collect();
    if stages != ["dev", "production", "staging"] {
        wrong.push(format!("not one process for each live deployment: {deployed:?}"));
    }
    wrong
}

/// Returns the entries of an artifact's way when nothing happens to it.
fn rehearse(base: &Site, sinks: &str, tag: &str) -> Vec<Value> {
    let site = Site::clone_of(base, &[sinks]);
    let pipeline = site.start();
    let users = Users::new();
    std::thread::scope(|scope| {
        let _home = Home(&users);
        users.come(scope, pipeline.listen);
        let context = pipeline.deliver(tag, false);
        settle(&pipeline);
        pipeline.story(&context)
    })
}

/// Takes every turn, some at a time.
fn walk(base: &Site, sinks: &str, turns: Vec<Turn>) -> Vec<Ended> {
    let (turns, ended) = (Mutex::new(turns), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = turns.lock().unwrap().pop();
                    let Some(turn) = next else { break };
                    let one = kill(base, sinks, turn);
                    let place = format!("{} {}", text(&one.at, "stage"), word(&one.at));
                    one.wrong.iter().for_each(|wrong| println!("WRONG {turn:?} at {place}: {wrong}"));
                    ended.lock().unwrap().push(one);
                }
            });
        }
    });
    ended.into_inner().unwrap()
}

fn covered(ended: &[Ended]) -> BTreeSet<&'static str> {
    ended.iter().flat_map(|one| effects(&one.at)).copied().collect()
}

/// Prints where the kills fell and how they ended.
fn report(ended: &[Ended]) {
    let mut figures: BTreeMap<String, u32> = BTreeMap::new();
    for one in ended {
        let place = format!("{} {:<10} {:<10}", one.turn.tag, text(&one.at, "stage"), word(&one.at));
        *figures.entry(format!("{place} -> {}", one.live.join(", "))).or_default() += 1;
    }
    figures.iter().for_each(|(place, count)| println!("{count:4} {place}"));
}

/// Returns some kills at moments that nobody has chosen, `PORTCULLIS_KILLS` of them, and prints what they were drawn from.
fn by_chance() -> Vec<Turn> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PORTCULLIS_SEED").unwrap_or_else(rand::random);
    println!("seed = {seed} (PORTCULLIS_SEED)");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut turn = || {
        let tag = ["0.8.2", "0.8.3"][chance.random_range(0..2)];
        let mut within = |most: u64| Duration::from_millis(chance.random_range(0..most));
        Turn { tag, moment: Moment::Chance { after: within(5000), again: within(1500) } }
    };
    (0..number("PORTCULLIS_KILLS").unwrap_or(4)).map(|_| turn()).collect()
}

#[test]
fn a_kill_at_each_effect_never_ends_in_a_wrong_state() {
    // Takes connections and never answers: whoever is told must not hold anything up.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sinks = format!("sinks: [\"http://{}/\"]", deaf.local_addr().unwrap());
    let base = Site::new(&[&sinks]);
    let pipeline = base.start();
    base.furnish(&pipeline, SHIPYARD, "strict", &["staging", "production"]);
    pipeline.deliver("0.8.1", false);
    settle(&pipeline);
    assert_eq!(pipeline.live(), ["0.8.1"; 3]);
    pipeline.end();

    let begun = Instant::now();
    let stopped = |tag, stage, phase| Turn { tag, moment: Moment::Stopped(stage, phase) };
    let mut planned: Vec<(Turn, &[&str])> =
        vec![(stopped("0.8.2", "staging", "testing"), &["StopTest"]), (stopped("0.8.3", "production", "shifting"), &["AbortRollout"])];
    for tag in ["0.8.2", "0.8.3"] {
        let story = rehearse(&base, &sinks, tag);
        assert!(story.len() > 8, "{tag} came to {} entries", story.len());
        let turn = |(at, entry)| (Turn { tag, moment: Moment::Entry(at + 1) }, effects(entry));
        planned.extend(story.iter().enumerate().map(turn));
    }
    let turns = planned.iter().map(|(turn, _)| *turn).chain(by_chance()).collect();
    let mut ended = walk(&base, &sinks, turns);
    // A step may be over before the kill comes; then it is tried again.
    for _ in 0..5 {
        let covered = covered(&ended);
        let open = |of: &[&str]| of.iter().any(|effect| !covered.contains(effect));
        let again: Vec<Turn> = planned.iter().filter(|(_, of)| open(of)).map(|(turn, _)| *turn).collect();
        if again.is_empty() {
            break;
        }
        ended.extend(walk(&base, &sinks, again));
    }
    report(&ended);
    let covered = covered(&ended);
    let wrong = ended.iter().filter(|one| !one.wrong.is_empty()).count();
    println!("{} kills, {wrong} wrong end states, {:.0} s", ended.len(), begun.elapsed().as_secs_f64());
    assert_eq!(wrong, 0, "see above");
    let missing: Vec<_> = declared().into_iter().filter(|effect| !covered.contains(effect.as_str())).collect();
    assert!(missing.is_empty(), "no kill fell on {missing:?}");
    let shifting = |one: &&Ended| (text(&one.at, "stage"), word(&one.at)) == ("production", "shifting") && one.turn.tag == "0.8.3";
    let shifting: Vec<_> = ended.iter().filter(shifting).filter(|one| matches!(one.turn.moment, Moment::Entry(_))).collect();
    assert!(!shifting.is_empty(), "no kill fell on a rollout of the good version");
    let lost: Vec<_> = shifting.iter().filter(|one| one.live != ["0.8.3"; 3]).map(|one| (one.turn, &one.live)).collect();
    assert!(lost.is_empty(), "a good version that was killed while it grew did not go on: {lost:?}");
    let through = ended.iter().filter(|one| one.live == ["0.8.3"; 3]).count();
    assert!(through > 0, "the good version never went through");
}
