//! The data plane as the delivery sees it: a service per stage, whose versions it sets, and rollouts that it begins and follows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderName;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::config::{self, Surroundings};
use crate::control::command::{Accepted, Command, CommandError, Commands, Wanted};
use crate::control::restore;
use crate::control::setup::{Origin, ServiceSetup};
use crate::control::status::{Board, ServiceStatus};
use crate::delivery::gate_file::{GateFile, told};
use crate::delivery::spot::Spot;
use crate::domain::delivery::RolloutEnd;
use crate::domain::gate::{Policy, Verdict, live};
use crate::domain::observation::Window;
use crate::domain::outcome::Role;
use crate::domain::rollout::{Phase, Schedule};
use crate::domain::version::{Name, Version};
use crate::proxy::sanitise::FORCE;
use crate::seam::choice::{Choice, Force};
use crate::seam::clock;
use crate::seam::keys::Keys;
use crate::seam::token;

/// Makes what the controller needs of a service as it would stand in a configuration.
pub type Maker = Arc<dyn Fn(&config::Service) -> ServiceSetup + Send + Sync>;

/// Who asks the controller.
const ACTOR: &str = "delivery";
/// Who speaks for the sources behind a gate file.
const SOURCES: &str = "sources";
/// How often the controller's board is looked at: its own pace.
const LOOK: Duration = Duration::from_millis(100);
/// How long a token of a test is good.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long the workers may take to hand over what they measured of requests that have ended.
pub(super) const HANDED_OVER_WITHIN: Duration = Duration::from_secs(5);
/// How long the traffic may take to be known, without which a rollout cannot begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(600);

/// The data plane.
#[derive(Clone)]
pub struct Ground {
    /// The way to the controller.
    pub commands: Commands,
    /// What the controller shows.
    pub board: Board,
    /// Makes services.
    pub make: Maker,
    /// Where requests come in.
    pub entry: SocketAddr,
    /// What signs the tokens that force a version.
    pub keys: Keys,
    /// The end of the stages' host names.
    pub domain: String,
    /// How rollouts in stages are judged.
    pub policy: Policy,
    /// Whether a test ends as soon as the gate has decided.
    pub early_stop: bool,
    /// How long sources may say nothing of a rollout before everything is given back.
    pub sources_within: Duration,
}

/// What the data plane has of a stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    /// The version that owns its traffic.
    pub(super) stable: Version,
    /// A version that only forced requests reach.
    pub(super) tested: Option<Version>,
    /// The gate file.
    pub(super) gate: Option<GateFile>,
    /// How a rollout grows.
    pub(super) schedule: Option<Schedule>,
}

/// What the data plane has of a stage, with the service that was made of it: the files of other stages are not read again.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) shown: Shown,
    pub(super) setup: ServiceSetup,
}

/// How a rollout ended, as the controller has made it durable.
pub(super) struct Ended {
    pub(super) end: RolloutEnd,
    /// Who ended it.
    pub(super) actor: String,
    pub(super) reason: String,
}

impl Ground {
    /// Makes the data plane's service of a stage.
    ///
    /// # Errors
    ///
    /// Says what is wrong with its gate file, with place and hint. One that another source answers may be more than the proxy can
    /// judge, and then judges nothing here.
    pub(super) fn setup(&self, spot: &Spot, shown: &Shown) -> Result<ServiceSetup, String> {
        let service = match (self.service(spot, shown, shown.gate.as_ref()), &shown.gate) {
            (Err(_), Some(gate)) if gate.sourced => self.service(spot, shown, None)?,
            (service, _) => service?,
        };
        let mut setup = (self.make)(&service);
        setup.origin = Origin::Delivery;
        setup.stable = shown.stable.clone();
        setup.policy = self.policy;
        if let Some(schedule) = &shown.schedule {
            setup.schedule = schedule.clone();
        }
        setup.choice = shown.tested.clone().map(|tested| {
            let force = Force { header: Some(HeaderName::from_static(FORCE)), cookie: None, keys: self.keys.clone() };
            let others = if tested.name == shown.stable.name { Vec::new() } else { vec![Arc::new(tested)] };
            Arc::new(Choice { force: Some(force), others: others.into(), ..Choice::default() })
        });
        Ok(setup)
    }

    /// Makes the service as it would stand in a configuration.
    fn service(&self, spot: &Spot, shown: &Shown, gate: Option<&GateFile>) -> Result<config::Service, String> {
        let name = spot.name()?;
        let mut service = json!({
            "name": name, "hosts": [spot.host(&self.domain)],
            "stable": {"version": shown.stable.name, "endpoints": ["127.0.0.1:1"]},
        });
        if let (Some((key, value)), Value::Object(fields)) = (gate.and_then(GateFile::key), &mut service) {
            fields.insert(key.to_owned(), value);
        }
        // JSON is YAML. What belongs to the process stands in the real configuration and is not looked at here.
        let text = json!({"listen": "127.0.0.1:0", "state": "unused", "services": [service]}).to_string();
        let loaded = config::load_text(&format!("stage {name}"), &text, Path::new("/"), &Surroundings::real()).map_err(told)?;
        let mut service = loaded.settings.services.into_iter().next().ok_or("the stage's service is none")?;
        if let Some(gate) = gate
            && let Some(spec) = gate.pair()?
        {
            let unlike = |all: Vec<live::NotLive>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            service.gates = live::compile(&spec, true).map_err(unlike)?;
            service.perfspec = Some(config::Perfspec { path: gate.path().to_owned(), derive_tripwire: true, spec });
        }
        Ok(service)
    }

    /// Has the data plane show exactly these stages; the one that is `anew` ends its rollout and takes its owner from here.
    ///
    /// # Errors
    ///
    /// Says why nothing has changed.
    pub(super) async fn show(&self, all: &BTreeMap<Spot, Stage>, anew: Option<&Spot>) -> Result<(), String> {
        let wanted = all.iter().map(|(spot, stage)| Wanted { setup: stage.setup.clone(), anew: anew == Some(spot) }).collect();
        let commands = self.commands.clone();
        let done = tokio::task::spawn_blocking(move || commands.reconfigure(Origin::Delivery, wanted, ACTOR.to_owned())).await;
        done.unwrap_or(Err(CommandError::Unavailable)).map(|_| ()).map_err(|error| error.to_string())
    }

    async fn command(&self, command: Command) -> Result<Accepted, CommandError> {
        let commands = self.commands.clone();
        tokio::task::spawn_blocking(move || commands.run(command)).await.unwrap_or(Err(CommandError::Unavailable))
    }

    /// Returns what the controller shows of a service.
    pub(super) fn status(&self, name: &Name) -> Option<ServiceStatus> {
        self.board.snapshot().services.iter().find(|service| service.name == *name).map(|service| (**service).clone())
    }

    /// Says whether the last rollout is one of this version that a restart has ended: nothing was decided, so it may begin again.
    pub(super) fn was_interrupted(&self, name: &Name, version: &Name) -> bool {
        let last = self.status(name).and_then(|status| status.rollout).filter(|rollout| rollout.canary.name == *version);
        last.is_some_and(|last| last.phase == Phase::Aborted && restore::was_interrupted(&last.reason))
    }

    /// Begins a rollout of a version and returns what is to be followed. With `resume` one that is under way, or ended while nobody
    /// looked, is taken for it.
    ///
    /// # Errors
    ///
    /// Says why it does not begin.
    pub(super) async fn begin(&self, name: &Name, version: &Version, resume: bool) -> Result<u64, String> {
        let last = self.status(name).and_then(|status| status.rollout);
        if resume && last.as_ref().is_some_and(|rollout| rollout.canary.name == version.name) {
            return Ok(0);
        }
        let start = Command::Start { service: name.clone(), canary: Box::new(version.clone()), retry: true, actor: ACTOR.to_owned() };
        self.command(start).await.map_err(|error| format!("the rollout does not begin: {error}"))?;
        Ok(last.map_or(0, |rollout| rollout.id))
    }

    /// Follows a rollout of a version, newer than the one of number `past`, to its end.
    pub(super) async fn follow(&self, name: &Name, version: &Name, past: u64, is_aborted: impl Fn() -> bool) -> Ended {
        let own = |reason: String| Ended { end: RolloutEnd::Aborted, actor: ACTOR.to_owned(), reason };
        let of_it = |status: Option<ServiceStatus>| status?.rollout.filter(|rollout| rollout.id > past && rollout.canary.name == *version);
        let begun = Instant::now();
        loop {
            let rollout = of_it(self.status(name));
            if is_aborted() {
                return own("it was aborted".to_owned());
            }
            if rollout.is_none() && begun.elapsed() > BEGINS_WITHIN {
                self.abort(name, "it did not begin in time".to_owned()).await;
                return own(format!("the rollout has not begun within {BEGINS_WITHIN:?}: there is no traffic, or no plan fits it"));
            }
            if let Some(rollout) = rollout {
                let end = match rollout.phase {
                    Phase::Promoted if rollout.durable && rollout.warned => Some(RolloutEnd::Warned),
                    Phase::Promoted if rollout.durable => Some(RolloutEnd::Promoted),
                    Phase::RolledBack => Some(RolloutEnd::RolledBack),
                    Phase::Aborted => Some(RolloutEnd::Aborted),
                    _ => None,
                };
                if let Some(end) = end {
                    return Ended { end, actor: rollout.actor.unwrap_or_else(|| "gate".to_owned()), reason: rollout.reason };
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Tells a rollout what the sources behind its gate file say of its version.
    pub(super) async fn rule(&self, name: &Name, rollout: u64, (verdict, approves): (Verdict, bool), reason: String) {
        let rule = Command::Rule { service: name.clone(), rollout, verdict, approves, actor: SOURCES.to_owned(), reason };
        if let Err(error) = self.command(rule).await {
            tracing::warn!(service = %name, %error, "what the sources say of a rollout changed nothing");
        }
    }

    /// Ends the rollout of a service; where there is none, nothing happens.
    pub(super) async fn abort(&self, name: &Name, reason: String) {
        let abort = Command::Abort { service: name.clone(), actor: ACTOR.to_owned(), reason };
        if let Err(error) = self.command(abort).await {
            tracing::warn!(service = %name, %error, "a rollout could not be aborted");
        }
    }

    /// Returns a token that forces a version of a service.
    pub(super) fn token(&self, name: &Name, version: &Name) -> String {
        let rollout = self.status(name).and_then(|status| status.rollout).map_or(0, |rollout| rollout.id);
        token::force(&self.keys, name, rollout, version, clock::unix_seconds().saturating_add(TOKEN_LIFE.as_secs()))
    }

    /// Returns what was measured so far of a version in a role.
    pub(super) fn measured(&self, name: &Name, version: &Name, role: Role) -> Window {
        let key = (name.to_string(), version.to_string(), role);
        self.board.totals().windows.get(&key).cloned().unwrap_or_default()
    }

    /// Returns what was measured of a version since `before`, once so many requests more have ended there, or when the time is over.
    pub(super) async fn measured_since(
        &self,
        (name, version, role): (&Name, &Name, Role),
        before: &Window,
        more: u64,
        within: Duration,
    ) -> Window {
        let rounds = within.as_millis() / LOOK.as_millis();
        for _ in 0..rounds {
            if self.measured(name, version, role).ended() >= before.ended().saturating_add(more) {
                break;
            }
            sleep(LOOK).await;
        }
        self.measured(name, version, role).since(before)
    }

    /// Waits until no request of a version is under way, for `within` at most.
    pub(super) async fn drained(&self, name: &Name, version: &Name, within: Duration) {
        let under_way = || {
            let totals = self.board.totals();
            let of_it = totals.in_flight.iter().filter(|((service, known, _), _)| service == name.as_str() && known == version.as_str());
            of_it.flat_map(|(_, flights)| flights.values()).sum::<u64>()
        };
        let rounds = within.as_millis() / LOOK.as_millis();
        // What a worker has begun and not reported yet is reported within its next tick.
        sleep(LOOK * 2).await;
        for _ in 0..rounds {
            if under_way() == 0 {
                return;
            }
            sleep(LOOK).await;
        }
    }
}
