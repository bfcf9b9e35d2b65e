//! Answers what the engine is asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::delivery::engine::{Engine, Line};
use crate::delivery::intake::{self, Meant, Report};
use crate::delivery::message::{Answer, Ask, Envelope, Problem, Spotted, Told};
use crate::delivery::opened::DeliveryStore;
use crate::delivery::projects::{self, Target};
use crate::delivery::replays::Replays;
use crate::delivery::spot::{Key, Spot};
use crate::delivery::yard::Yard;
use crate::domain::delivery::{Artifact, Entry, Event, Lane, Outcome, Phase, Run, StageName};
use crate::domain::version::Name;
use crate::store::{Limits, Stored};

/// The most journal entries of a context that are shown.
const SHOWN: usize = 1000;

impl Engine {
    pub(super) fn answer(&mut self, ask: Ask) -> Told {
        Told::Now(match ask {
            Ask::CreateProject { name, shipyard, keptn } => self.create(&name, &shipyard, keptn),
            Ask::Onboard { project, service } => self.onboard(&project, &service),
            Ask::AddResource { project, stage, service, uri, content } => {
                self.add_resource(&project, stage.as_ref(), service.as_ref(), &uri, &content)
            }
            Ask::Deliver { project, service, stage, image, tag, context, retry, actor, .. } => {
                let artifact = self.artifact(&project, &image, tag.as_deref());
                artifact.and_then(|artifact| self.deliver(&project, &service, (stage, artifact), context, retry, actor))
            }
            Ask::Event(envelope) => return self.take_in(&envelope).unwrap_or_else(|problem| Told::Now(Err(problem))),
            Ask::Decide { at, context, approve, actor, reason } => self.decide(&at, context.as_deref(), approve, (actor, reason)),
            Ask::Abort { at, actor, reason } => self.abort(at, actor, reason),
            Ask::Evaluate { at, window, context } => self.evaluate(at, window, context),
            // Answered beside the engine.
            Ask::Monitor { .. } => Err(Problem::Gone),
            Ask::Projects => Ok(self.show()),
            Ask::Context(id) => return Told::Later(Box::pin(story(Arc::clone(&self.store), Rc::clone(&self.yard), id))),
        })
    }

    fn abort(&mut self, at: Spotted, actor: String, reason: String) -> Answer {
        let key = self.key(&at.project, &at.service)?;
        self.stage(&key, &at.stage)?;
        self.handle(&key, Event::Abort { stage: Some(at.stage), actor, reason }).map_err(undurable)?;
        Ok(json!({"accepted": true}))
    }

    fn create(&mut self, name: &str, shipyard: &str, keptn: bool) -> Answer {
        let name = label(name, "a project")?;
        let project = self.yard.projects.create(&name, shipyard, keptn).map_err(|why| match self.projects.contains_key(&name) {
            true => Problem::Conflict(why),
            false => Problem::Invalid(why),
        })?;
        let stages: Vec<&str> = project.shipyard.stages().iter().map(|stage| stage.name.as_str()).collect();
        let answer = json!({"project": name, "stages": stages});
        self.projects.insert(name, project);
        Ok(answer)
    }

    fn onboard(&mut self, project: &Name, service: &str) -> Answer {
        let service = label(service, "a service")?;
        let known = self.projects.get(project).cloned().ok_or_else(|| self.no_project(project))?;
        if self.lines.contains_key(&(project.clone(), service.clone())) {
            return Err(Problem::Conflict(format!("{service} of {project} is onboarded already")));
        }
        let mut hosts = Vec::new();
        for stage in known.shipyard.stages() {
            let spot = Spot { project: project.clone(), service: service.clone(), stage: stage.name.clone() };
            let name = spot.name().map_err(Problem::Invalid)?;
            let taken = self.spots().into_iter().find(|other| other.name().is_ok_and(|other| other == name));
            if let Some(other) = taken {
                let (project, stage) = (other.project, other.stage);
                return Err(Problem::Conflict(format!(
                    "{name} is the host of stage {stage} of project {project} already; choose another name"
                )));
            }
            hosts.push(spot.host(&self.settings.domain));
        }
        self.yard.projects.onboard(project, &service).map_err(Problem::Failed)?;
        self.add_line(&known, &service);
        if let Some(known) = self.projects.get_mut(project) {
            known.services.push(service.clone());
        }
        Ok(json!({"project": project, "service": service, "hosts": hosts}))
    }

    fn add_resource(&self, project: &Name, stage: Option<&StageName>, service: Option<&Name>, uri: &str, content: &[u8]) -> Answer {
        let known = self.projects.get(project).ok_or_else(|| self.no_project(project))?;
        if let Some(stage) = stage.filter(|stage| known.shipyard.stage(stage).is_none()) {
            return Err(no_stage(project, stage, &known.shipyard));
        }
        if let Some(service) = service {
            self.key(project, service)?;
        }
        let target = Target { project, stage, service };
        self.yard.projects.check_place(target, uri, content.len()).map_err(Problem::Invalid)?;
        self.check(target, uri, content).map_err(Problem::Invalid)?;
        self.yard.projects.add(target, uri, content).map_err(Problem::Invalid)?;
        Ok(json!({"project": project, "resource": uri, "bytes": content.len()}))
    }

    /// Reads an artifact by the rules of its project: the original took the tag `latest` where none is given.
    pub(super) fn artifact(&self, project: &Name, image: &str, tag: Option<&str>) -> Result<Artifact, Problem> {
        let keptn = self.projects.get(project).is_some_and(|project| projects::is_keptn(&project.shipyard));
        let make = if keptn { Artifact::keptn } else { Artifact::new };
        make(image, tag).map_err(|error| Problem::Invalid(error.to_string()))
    }

    pub(super) fn deliver(
        &mut self,
        project: &Name,
        service: &Name,
        (stage, artifact): (Option<StageName>, Artifact),
        context: Option<String>,
        retry: bool,
        actor: String,
    ) -> Answer {
        let key = self.key(project, service)?;
        if let Some(stage) = &stage {
            self.stage(&key, stage)?;
        }
        let context = context.unwrap_or_else(intake::new_id);
        self.handle(&key, Event::Artifact { context: context.clone(), artifact, stage, retry, actor }).map_err(undurable)?;
        if let Some(why) = self.refused(&context) {
            return Err(Problem::Conflict(why));
        }
        Ok(json!({"keptnContext": context}))
    }

    /// Says why the artifact of a context was not taken, where it was not.
    fn refused(&self, context: &str) -> Option<String> {
        let of_it = |entry: &Stored<Entry>| matches!(entry, Stored::Known(entry) if entry.context == context);
        let last = self.store.excerpt(Limits { entries: 1, ..Limits::NONE }, of_it).ok()?.entries.pop()?.1.known()?;
        (last.outcome == Some(Outcome::Refused)).then_some(last.reason)
    }

    fn take_in(&mut self, envelope: &Envelope) -> Result<Told, Problem> {
        self.authorise(envelope).map_err(Problem::Denied)?;
        let keptn = |project: &Name| self.projects.get(project).is_some_and(|project| projects::is_keptn(&project.shipyard));
        let (meant, mark) = intake::read(envelope, keptn).map_err(Problem::Invalid)?;
        if let Some(context) = self.replays.borrow().context(&mark) {
            let why = "an event with this source and id was taken in before; send a new one with another id";
            return Ok(Told::Now(Ok(json!({"keptnContext": context, "ignored": why}))));
        }
        let meant = match meant {
            Meant::Deployed(report) => return self.reported(*report, mark).map(|later| Told::Later(Box::pin(later))),
            meant => meant,
        };
        let taken = self.take(meant)?;
        remember(&self.replays, mark, &taken);
        Ok(Told::Now(Ok(taken)))
    }

    /// Says whether whoever sent an event may: on this machine anybody where there is no token, else who knows it.
    fn authorise(&self, envelope: &Envelope) -> Result<(), String> {
        match &self.token {
            None if envelope.local => Ok(()),
            token => intake::authorise(envelope, token.as_ref().map(|token| token.current()).as_deref()),
        }
    }

    /// Takes in what somebody else says of a deployment, where it is the one whose turn it is.
    fn reported(&self, report: Report, mark: String) -> Result<impl Future<Output = Answer> + 'static, Problem> {
        let spot = report.spot.clone();
        let (service, stage) = (&spot.service, &spot.stage);
        let key = self.key(&spot.project, service)?;
        let run = self.stage(&key, stage)?.run.as_ref().filter(|run| run.phase == Phase::Deploying);
        let Some(run) = run else {
            let words = report.words();
            return Err(Problem::Conflict(format!("no deployment of {service} is awaited in {stage}: the report names {words}")));
        };
        if !report.is_about(&run.context, &run.candidate.artifact) {
            let (artifact, context, words) = (&run.candidate.artifact, &run.context, report.words());
            return Err(Problem::Conflict(format!(
                "the deployment of {service} that is awaited in {stage} is {artifact} of context {context}, but the report names {words}"
            )));
        }
        let (yard, replays) = (Rc::clone(&self.yard), Rc::clone(&self.replays));
        let (candidate, context) = (run.candidate.clone(), run.context.clone());
        Ok(async move {
            let told = match report.told {
                Ok((host, port)) => Ok(intake::resolve(host, port).await.map_err(Problem::Invalid)?),
                Err(why) => Err(why),
            };
            yard.reported(&spot, &candidate, told).map_err(Problem::Conflict)?;
            let taken = json!({"keptnContext": context});
            remember(&replays, mark, &taken);
            Ok(taken)
        })
    }

    /// Returns the artifact that an event brings, and for what, where it would be taken in.
    pub(super) fn brought(&self, envelope: &Envelope) -> Option<(Name, Name, Artifact)> {
        self.authorise(envelope).ok()?;
        let keptn = |project: &Name| self.projects.get(project).is_some_and(|project| projects::is_keptn(&project.shipyard));
        match intake::read(envelope, keptn).ok()? {
            (Meant::Deliver { project, service, artifact, .. }, mark) if self.replays.borrow().context(&mark).is_none() => {
                Some((project, service, artifact))
            }
            _ => None,
        }
    }

    fn take(&mut self, meant: Meant) -> Answer {
        match meant {
            Meant::Deliver { project, service, stage, artifact, context, retry } => {
                self.deliver(&project, &service, (stage, artifact), Some(context), retry, "event".to_owned())
            }
            // Taken in before: it may take its time.
            Meant::Deployed(report) => Err(Problem::Conflict(format!("the report of {} is not taken in here", report.words()))),
            Meant::Evaluate { spot, window, context } => {
                self.evaluate(Spotted { project: spot.project, service: spot.service, stage: spot.stage }, window, Some(context))
            }
            Meant::Decided { spot, approved, context } => {
                let at = Spotted { project: spot.project, service: spot.service, stage: spot.stage };
                self.decide(&at, Some(&context), approved, ("event".to_owned(), "by an event".to_owned()))
                    .map(|_| json!({"keptnContext": context}))
            }
            Meant::Nothing { kind, context } => {
                Ok(json!({"keptnContext": context, "ignored": format!("events of type {kind} change nothing here")}))
            }
        }
    }

    fn decide(&mut self, at: &Spotted, context: Option<&str>, approve: bool, (actor, reason): (String, String)) -> Answer {
        let key = self.key(&at.project, &at.service)?;
        let lane = self.stage(&key, &at.stage)?;
        let waits = |run: &Run| run.phase == Phase::Approval && context.is_none_or(|context| run.context == context);
        let Some(run) = lane.run.as_ref().filter(|run| waits(run)).map(|run| run.id) else {
            return Err(Problem::Conflict(format!("nothing waits for approval in {} of {} {}", at.stage, at.project, at.service)));
        };
        self.handle(&key, if approve { Event::Approved { run, actor } } else { Event::Denied { run, actor, reason } })
            .map_err(undurable)?;
        Ok(json!({"accepted": true}))
    }

    pub(super) fn key(&self, project: &Name, service: &Name) -> Result<Key, Problem> {
        let key = (project.clone(), service.clone());
        if self.lines.contains_key(&key) {
            return Ok(key);
        }
        if !self.projects.contains_key(project) {
            return Err(self.no_project(project));
        }
        let known: Vec<&str> = self.lines.keys().filter(|(known, _)| known == project).map(|(_, service)| service.as_str()).collect();
        let hint = format!("onboard it with: portcullis onboard service {service} --project {project}");
        Err(Problem::Unknown(format!("{project} has no service {service}; it has {}; {hint}", listed(&known))))
    }

    pub(super) fn no_project(&self, project: &Name) -> Problem {
        let known: Vec<&str> = self.projects.keys().map(Name::as_str).collect();
        let hint = format!("make it with: portcullis create project {project} --shipyard FILE");
        Problem::Unknown(format!("there is no project {project}; there is {}; {hint}", listed(&known)))
    }

    pub(super) fn stage(&self, key: &Key, stage: &StageName) -> Result<&Lane, Problem> {
        let line = self.lines.get(key).ok_or(Problem::Gone)?;
        if line.machine.shipyard().stage(stage).is_none() {
            return Err(no_stage(&key.0, stage, line.machine.shipyard()));
        }
        line.machine.record().lane(stage).ok_or_else(|| no_stage(&key.0, stage, line.machine.shipyard()))
    }

    fn spots(&self) -> Vec<Spot> {
        let of = |((project, service), line): (&Key, &Line)| {
            let stages: Vec<StageName> = line.machine.shipyard().stages().iter().map(|stage| stage.name.clone()).collect();
            let (project, service) = (project.clone(), service.clone());
            stages.into_iter().map(move |stage| Spot { project: project.clone(), service: service.clone(), stage })
        };
        self.lines.iter().flat_map(of).collect()
    }

    /// Shows every project with what stands in its stages.
    fn show(&self) -> Value {
        let lane = |key: &Key, lane: &Lane| {
            let spot = Spot { project: key.0.clone(), service: key.1.clone(), stage: lane.stage.clone() };
            let run = lane.run.as_ref().map(|run| {
                json!({"run": run.id, "artifact": run.candidate.artifact.to_string(), "version": run.candidate.name,
                    "phase": run.phase, "keptnContext": run.context, "reason": run.reason, "tests": run.tests, "verdict": run.verdict})
            });
            let live = lane.live.as_ref().map(|live| {
                json!({"artifact": live.deployment.artifact.to_string(), "version": live.deployment.name,
                    "keptnContext": live.context, "verdict": live.verdict})
            });
            let waiting =
                |one: &crate::domain::delivery::Waiting| json!({"artifact": one.artifact.to_string(), "keptnContext": one.context});
            let queue: Vec<Value> = lane.queue.iter().map(waiting).collect();
            let rejected: Vec<String> = lane.rejected.iter().map(ToString::to_string).collect();
            json!({"stage": lane.stage, "host": spot.host(&self.settings.domain), "live": live, "run": run, "queue": queue,
                "last": lane.last, "rejected": rejected, "port": self.yard.ground.entry.port()})
        };
        let service = |key: &Key, line: &Line| {
            let stages: Vec<Value> = line.machine.record().lanes.iter().map(|one| lane(key, one)).collect();
            json!({"service": key.1, "idle": line.machine.is_idle(), "stages": stages})
        };
        let project = |name: &Name| {
            let services: Vec<Value> = self.lines.iter().filter(|(key, _)| key.0 == *name).map(|(key, line)| service(key, line)).collect();
            json!({"project": name, "services": services})
        };
        json!({"projects": self.projects.keys().map(project).collect::<Vec<_>>()})
    }
}

/// Shows everything that was decided under a context, oldest first. A long journal takes its time.
async fn story(store: Arc<DeliveryStore>, yard: Rc<Yard>, id: String) -> Answer {
    let context = id.clone();
    let excerpt = tokio::task::spawn_blocking(move || {
        let of_it = |entry: &Stored<Entry>| matches!(entry, Stored::Known(entry) if entry.context == context);
        store.excerpt(Limits { entries: SHOWN, ..Limits::NONE }, of_it)
    });
    let excerpt = excerpt.await.map_err(|_| Problem::Gone)?.map_err(|error| Problem::Failed(error.to_string()))?;
    let entries: Vec<Value> = excerpt.entries.into_iter().filter_map(|(_, entry)| serde_json::to_value(entry.known()?).ok()).collect();
    let evaluations = yard.past.of_context(&id).map_err(Problem::Failed)?;
    let evaluating = yard.evaluating.borrow().contains(&id);
    if entries.is_empty() && evaluations.is_empty() && !evaluating {
        return Err(Problem::Unknown(format!("nothing is known of the context {id:?}; it is what 'send event' prints")));
    }
    Ok(json!({"keptnContext": id, "complete": excerpt.complete, "entries": entries, "evaluations": evaluations,
        "evaluating": evaluating}))
}

/// Remembers that an event was taken in.
fn remember(replays: &RefCell<Replays>, mark: String, taken: &Value) {
    let context = taken.get("keptnContext").and_then(Value::as_str).unwrap_or_default();
    if let Err(why) = replays.borrow_mut().remember(mark, context) {
        tracing::error!("an event may be taken in again after a restart: {why}");
    }
}

fn undurable(why: String) -> Problem {
    Problem::Failed(format!("it could not be made durable ({why}); see that the disk works and send it again"))
}

fn no_stage(project: &Name, stage: &StageName, shipyard: &crate::domain::delivery::Shipyard) -> Problem {
    let known: Vec<&str> = shipyard.stages().iter().map(|stage| stage.name.as_str()).collect();
    Problem::Unknown(format!("{project} has no stage {stage}; it has {}", listed(&known)))
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Reads a name that becomes a part of a host name.
fn label(text: &str, what: &str) -> Result<Name, Problem> {
    let hint = "use 1 to 40 small letters, digits and hyphens, beginning with a letter, not ending with a hyphen";
    let wrong = || Problem::Invalid(format!("{text:?} is no name for {what}, because it is a part of a host name: {hint}"));
    if projects::is_label(text) { text.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}
