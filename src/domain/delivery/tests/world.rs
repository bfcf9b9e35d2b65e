//! A scripted world around the machine: it does what the effects ask, remembers who served what, and can be killed anywhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::domain::delivery::{
    Announcement, Approval, Artifact, Concurrency, Deadlines, Delivery, Effect, Entrance, Entry, Event, Gate, Mode, Record, RolloutEnd,
    Shipyard, Stage, Strategy, TestReport, TestStrategy,
};
use crate::domain::gate::Verdict;
use crate::domain::time::Timestamp;

pub fn artifact(version: &str) -> Artifact {
    Artifact::new("docker.io/keptnexamples/carts", Some(version)).unwrap()
}

pub fn stage(name: &str, strategy: Strategy, test: Option<TestStrategy>) -> Stage {
    Stage { test, ..Stage::new(name.parse().unwrap(), strategy) }
}

/// The stages of the seed's own shipyard.
pub fn seed_stages() -> Vec<Stage> {
    vec![
        stage("dev", Strategy::Direct, Some(TestStrategy::Functional)),
        stage("staging", Strategy::BlueGreen, Some(TestStrategy::Performance)),
        stage("production", Strategy::BlueGreen, None),
    ]
}

pub fn seed(mode: Mode) -> Shipyard {
    Shipyard::new(seed_stages(), Concurrency::Supersede, mode).unwrap()
}

/// The seed's shipyard, changed.
pub fn seed_with(change: impl FnOnce(&mut Vec<Stage>)) -> Shipyard {
    let mut stages = seed_stages();
    change(&mut stages);
    Shipyard::new(stages, Concurrency::Supersede, Mode::Strict).unwrap()
}

pub const MANUAL: Approval = Approval { pass: Entrance::Manual, warning: Entrance::Manual };

pub fn begun(shipyard: Shipyard) -> Delivery {
    Delivery::new("sockshop".parse().unwrap(), "carts".parse().unwrap(), shipyard, Deadlines::default())
}

/// Where a kill strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// At which effect, counted over the whole scenario from 0.
    pub at: usize,
    /// Whether the effect was done before, or not.
    pub done: bool,
    /// Whether the traffic outlives the process, or is set up from the record by the next one.
    pub traffic_outlives: bool,
}

/// What goes wrong, by stage and version.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub undeployable: BTreeSet<(&'static str, &'static str)>,
    pub unhealthy: BTreeSet<(&'static str, &'static str)>,
    pub failing_tests: BTreeSet<(&'static str, &'static str)>,
    pub verdicts: BTreeMap<(&'static str, &'static str), Verdict>,
    pub rollouts: BTreeMap<(&'static str, &'static str), RolloutEnd>,
    pub deny: bool,
}

/// The world.
pub struct World {
    pub now: Timestamp,
    pub machine: Delivery,
    pub script: Script,
    pub kills: Vec<Kill>,
    pub disk: Option<Record>,
    pub journal: Vec<Entry>,
    /// Who has the ordinary traffic, by stage.
    pub traffic: BTreeMap<String, Option<String>>,
    /// Every change of who was live, in the manner of the golden trace: stage and version.
    pub trace: Vec<(String, String)>,
    pub effects: Vec<Effect>,
    pub count: usize,
    healthy: BTreeSet<(String, String)>,
    good: BTreeSet<(String, String)>,
    rolled: BTreeMap<u64, RolloutEnd>,
    events: VecDeque<Event>,
}

impl World {
    pub fn new(shipyard: Shipyard, script: Script) -> Self {
        Self {
            now: Timestamp::ZERO,
            machine: begun(shipyard),
            script,
            kills: Vec::new(),
            disk: None,
            journal: Vec::new(),
            traffic: BTreeMap::new(),
            trace: Vec::new(),
            effects: Vec::new(),
            count: 0,
            healthy: BTreeSet::new(),
            good: BTreeSet::new(),
            rolled: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Sends an artifact and lets everything come to rest.
    pub fn send(&mut self, version: &str) {
        self.send_as(version, &format!("context of {version}"), false);
    }

    pub fn send_as(&mut self, version: &str, context: &str, retry: bool) {
        let event =
            Event::Artifact { context: context.to_owned(), artifact: artifact(version), stage: None, retry, actor: "somebody".to_owned() };
        self.events.push_back(event.clone());
        self.settle(&event);
    }

    /// Lets everything come to rest; after a kill `again` is sent once more, as a sender without an answer does.
    pub fn settle(&mut self, again: &Event) {
        for _ in 0..10_000 {
            match self.events.pop_front() {
                Some(event) => {
                    let effects = self.machine.handle(self.now, event);
                    if self.does(effects) {
                        self.events.push_back(again.clone());
                    }
                }
                None if self.machine.is_idle() => return,
                None => {
                    self.now = self.now + Duration::from_secs(60);
                    self.events.push_back(Event::Tick);
                }
            }
        }
        panic!("it does not come to rest: {:#?}", self.machine.record());
    }

    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        self.machine.handle(self.now, event)
    }

    /// Does effects one after the other; says whether it was killed meanwhile.
    fn does(&mut self, effects: Vec<Effect>) -> bool {
        for effect in effects {
            self.effects.push(effect.clone());
            if matches!(effect, Effect::Emit { .. } | Effect::Notify { .. }) {
                continue;
            }
            let kill = self.kills.iter().copied().find(|kill| kill.at == self.count);
            self.count += 1;
            if let Some(kill) = kill {
                if kill.done {
                    let _lost = self.act(effect);
                }
                self.restart(kill);
                return true;
            }
            let answers = self.act(effect);
            self.events.extend(answers);
        }
        false
    }

    fn restart(&mut self, kill: Kill) {
        let shipyard = self.machine.shipyard().clone();
        self.events.clear();
        self.machine = match &self.disk {
            Some(record) => {
                // What is kept is what the store gives back.
                let json = serde_json::to_string(record).unwrap();
                Delivery::restore(serde_json::from_str(&json).unwrap(), shipyard, Deadlines::default())
            }
            None => begun(shipyard),
        };
        if !kill.traffic_outlives {
            self.traffic = self
                .machine
                .record()
                .lanes
                .iter()
                .map(|lane| (lane.stage.to_string(), lane.serving().map(|one| one.artifact.version().to_string())))
                .collect();
        }
        self.events.push_back(Event::Restored);
    }

    fn goes_wrong(set: &BTreeSet<(&'static str, &'static str)>, stage: &str, version: &str) -> bool {
        set.iter().any(|(s, v)| *s == stage && *v == version)
    }

    /// Does one effect and returns its answers.
    fn act(&mut self, effect: Effect) -> Vec<Event> {
        let keptn = self.machine.shipyard().mode() == Mode::Keptn;
        match effect {
            Effect::Persist { number, record, entries } => {
                self.disk = Some(*record);
                self.journal.extend(entries);
                vec![Event::Persisted(number)]
            }
            Effect::Deploy { ticket, stage, deployment } => {
                let (stage, version) = (stage.to_string(), deployment.artifact.version().to_string());
                self.nothing_unproven_arrives(&stage, &version);
                if Self::goes_wrong(&self.script.undeployable, &stage, &version) {
                    return vec![Event::DeployFailed(ticket, "the image cannot be pulled".to_owned())];
                }
                if self.strategy(&stage) != Strategy::Direct {
                    let live = self.traffic.get(&stage).cloned().flatten().unwrap_or(version);
                    self.trace.push((stage, live));
                }
                vec![Event::Deployed(ticket)]
            }
            Effect::CheckHealth { ticket, stage, deployment } => {
                let (stage, version) = (stage.to_string(), deployment.artifact.version().to_string());
                if Self::goes_wrong(&self.script.unhealthy, &stage, &version) {
                    return vec![Event::Unhealthy(ticket, "/health says 500".to_owned())];
                }
                self.healthy.insert((stage, version));
                vec![Event::Healthy(ticket)]
            }
            Effect::Switch { ticket, stage, to } => {
                let stage = stage.to_string();
                let to = to.map(|deployment| deployment.artifact.version().to_string());
                if let Some(version) = &to {
                    let healthy = self.healthy.contains(&(stage.clone(), version.clone()));
                    assert!(keptn || healthy, "{version} serves {stage} and was never healthy");
                    self.trace.push((stage.clone(), version.clone()));
                }
                self.traffic.insert(stage, to);
                vec![Event::Switched(ticket)]
            }
            Effect::Test { ticket, stage, deployment, .. } => {
                let passed = !Self::goes_wrong(&self.script.failing_tests, stage.as_str(), deployment.artifact.version().as_str());
                let errors = if passed { 0 } else { 9 };
                if passed && self.machine.shipyard().stage(&stage).is_some_and(|stage| stage.gate == Gate::None || keptn) {
                    self.good.insert((stage.to_string(), deployment.artifact.version().to_string()));
                }
                let reason = format!("{errors} errors in 10 requests");
                vec![Event::TestEnded(ticket, TestReport { passed, stopped_early: false, requests: 10, errors, reason })]
            }
            Effect::Evaluate { ticket, stage, deployment, .. } => {
                let (stage, version) = (stage.to_string(), deployment.artifact.version().to_string());
                let verdict = self.script.verdicts.iter().find(|((s, v), _)| *s == stage && *v == version);
                let verdict = verdict.map_or(Verdict::Pass, |(_, verdict)| *verdict);
                if matches!(verdict, Verdict::Pass | Verdict::Warning) {
                    self.good.insert((stage, version));
                }
                vec![Event::Evaluated { ticket, verdict, reason: format!("the gate says {verdict}") }]
            }
            Effect::Rollout { ticket, stage, deployment, .. } => {
                let (stage, version) = (stage.to_string(), deployment.artifact.version().to_string());
                let end = self.script.rollouts.iter().find(|((s, v), _)| *s == stage && *v == version);
                let end = *self.rolled.entry(ticket.run).or_insert(end.map_or(RolloutEnd::Promoted, |(_, end)| *end));
                if end.is_promoted() {
                    assert!(self.healthy.contains(&(stage.clone(), version.clone())), "{version} serves {stage} unhealthy");
                    self.good.insert((stage.clone(), version.clone()));
                    self.trace.push((stage.clone(), version.clone()));
                    self.traffic.insert(stage, Some(version));
                }
                vec![Event::RolloutEnded { ticket, end, actor: "sources".to_owned(), reason: "the rollout is over".to_owned() }]
            }
            Effect::Retire { ticket, stage, deployment } => {
                let serves = self.traffic.get(stage.as_str()).cloned().flatten();
                let lane = self.machine.record().lane(&stage).unwrap();
                let again = lane.live.as_ref().is_some_and(|live| live.deployment.artifact == deployment.artifact);
                let gone = deployment.artifact.version().as_str();
                assert!(again || serves.as_deref() != Some(gone), "{gone} is taken away from {stage} while it serves");
                vec![Event::Retired(ticket)]
            }
            Effect::AwaitApproval { ticket, .. } if self.script.deny => {
                vec![Event::Denied { run: ticket.run, actor: "the owner".to_owned(), reason: "not on a Friday".to_owned() }]
            }
            Effect::AwaitApproval { ticket, .. } => vec![Event::Approved { run: ticket.run, actor: "the owner".to_owned() }],
            Effect::StopTest { .. } | Effect::AbortRollout { .. } | Effect::Emit { .. } | Effect::Notify { .. } => Vec::new(),
        }
    }

    fn strategy(&self, stage: &str) -> Strategy {
        self.machine.shipyard().stage(&stage.parse().unwrap()).unwrap().strategy.clone()
    }

    /// Nothing comes to a stage that was not judged good in the stage before.
    fn nothing_unproven_arrives(&self, stage: &str, version: &str) {
        let stages = self.machine.shipyard().stages();
        let index = stages.iter().position(|found| found.name.as_str() == stage).unwrap();
        let Some(before) = index.checked_sub(1).map(|before| stages[before].name.to_string()) else { return };
        assert!(self.good.contains(&(before.clone(), version.to_owned())), "{version} is in {stage} and never passed {before}");
    }

    /// Returns who serves in each stage of the seed.
    pub fn serving(&self) -> [Option<&str>; 3] {
        ["dev", "staging", "production"].map(|stage| self.traffic.get(stage).and_then(|found| found.as_deref()))
    }

    /// Returns who owns each stage of the seed by the record.
    pub fn live(&self) -> [Option<&str>; 3] {
        ["dev", "staging", "production"].map(|stage| {
            let live = self.machine.record().lane(&stage.parse().unwrap())?.live.as_ref()?;
            Some(live.deployment.artifact.version().as_str())
        })
    }

    pub fn told(&self) -> impl Iterator<Item = (&str, &Announcement)> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Emit { stage, announcement, .. } => Some((stage.as_str(), announcement)),
            _ => None,
        })
    }
}
