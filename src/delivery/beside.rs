//! Answers what takes longer than the engine may wait: by tasks of their own, so that no decision waits for a network.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::delivery::engine::Engine;
use crate::delivery::intake;
use crate::delivery::judge;
use crate::delivery::letters;
use crate::delivery::message::{Ask, Asked, Envelope, Monitor, Problem, Spotted, Told};
use crate::delivery::spot::Spot;
use crate::delivery::yard::Yard;
use crate::domain::delivery::shipyard::Mode;
use crate::domain::delivery::{Artifact, TestStrategy};
use crate::domain::version::Name;
use crate::formats::evaluation_window::Window;

/// The test strategy of an evaluation that is asked for, as keptn calls it.
const MANUAL: &str = "manual";
/// How many evaluations that deliver nothing may be under way at once; each asks its sources on a thread of its own.
const AT_ONCE: usize = 16;

impl Engine {
    /// Answers a question, or has it answered.
    pub(super) fn reply(&mut self, Asked { ask, answer }: Asked) {
        // Whoever no longer waits was told that nobody knows; later it would surprise them.
        if answer.is_closed() {
            return;
        }
        match ask {
            ask if let Some((artifact, mode)) = self.to_check(&ask) => {
                let (registries, again) = (Rc::clone(&self.registries), self.again.clone());
                tokio::task::spawn_local(async move {
                    let checked = registries.check(&artifact, mode).await;
                    // Whoever no longer waits has lost the answer, and the engine is gone at the end of the process only.
                    let _ = match checked {
                        Ok(()) => again.send(Asked { ask: vouched(ask), answer }).map_err(drop),
                        Err(why) => answer.send(Err(Problem::Invalid(why))).map_err(drop),
                    };
                });
            }
            Ask::Monitor { project, service, monitor } => {
                let known = self.monitored(&project, service.as_ref());
                let yard = Rc::clone(&self.yard);
                tokio::task::spawn_local(async move {
                    let told = match known {
                        Ok(()) => configure(&yard, &project, service.as_ref(), monitor).await,
                        Err(problem) => Err(problem),
                    };
                    let _ = answer.send(told);
                });
            }
            // Whoever no longer waits from here on has lost the answer, not the effect.
            ask => match self.answer(ask) {
                Told::Now(told) => drop(answer.send(told)),
                Told::Later(told) => drop(tokio::task::spawn_local(async move { drop(answer.send(told.await)) })),
            },
        }
    }

    /// Returns the artifact whose image must be looked for before it is delivered. What is refused anyhow is looked for nowhere.
    fn to_check(&self, ask: &Ask) -> Option<(Artifact, Mode)> {
        if self.settings.registries.is_empty() {
            return None;
        }
        let (project, service, artifact) = match ask {
            Ask::Deliver { project, service, image, tag, unchecked: false, .. } => {
                let artifact = self.artifact(project, image, tag.as_deref()).ok()?;
                (project.clone(), service.clone(), artifact)
            }
            Ask::Event(envelope) if !envelope.unchecked => self.brought(envelope)?,
            _ => return None,
        };
        let key = self.key(&project, &service).ok()?;
        let mode = self.lines.get(&key)?.machine.shipyard().mode();
        Some((artifact, mode))
    }

    fn monitored(&self, project: &Name, service: Option<&Name>) -> Result<(), Problem> {
        match service {
            Some(service) => self.key(project, service).map(|_| ()),
            None if self.projects.contains_key(project) => Ok(()),
            None => Err(self.no_project(project)),
        }
    }

    /// Begins an evaluation that delivers nothing; what it says is kept under its context and told as an event.
    pub(super) fn evaluate(&self, at: Spotted, window: Window, context: Option<String>) -> Result<Value, Problem> {
        let key = self.key(&at.project, &at.service)?;
        let lane = self.stage(&key, &at.stage)?;
        let spot = Spot { project: at.project, service: at.service, stage: at.stage };
        let gate = self.yard.gate(&spot).ok_or_else(|| {
            let hint = "add perfspec/perfspec.json or slo.yaml with: portcullis add-resource";
            Problem::Conflict(format!("there is no gate file for {} in {}; {hint}", spot.service, spot.stage))
        })?;
        if !gate.sourced {
            let hint = format!("name the source with: portcullis configure monitoring --project {}", spot.project);
            let why = format!("{} is answered by the proxy itself, which measures deliveries only", gate.path().display());
            return Err(Problem::Conflict(format!("{why}; {hint}")));
        }
        let artifact = lane.live.as_ref().map(|live| live.deployment.artifact.clone());
        let context = context.unwrap_or_else(intake::new_id);
        if self.yard.evaluating.borrow().len() >= AT_ONCE {
            return Err(Problem::Conflict(format!("{AT_ONCE} evaluations are under way; send it again when one of them has ended")));
        }
        if !self.yard.evaluating.borrow_mut().insert(context.clone()) {
            return Err(Problem::Conflict(format!("an evaluation under the context {context} is under way")));
        }
        let mut case = self.case(&key, spot, 0, None::<TestStrategy>);
        (case.context, case.strategy) = (context.clone(), Some(MANUAL.to_owned()));
        let direct = case.deployment == "direct";
        let (yard, sinks, era) = (Rc::clone(&self.yard), Rc::clone(&self.sinks), self.settings.events);
        tokio::task::spawn_local(async move {
            let said = judge::by_sources(&yard, &gate, &case, window).await;
            let said = judge::keep(&yard, &case, (window.start, window.end), said);
            yard.evaluating.borrow_mut().remove(&case.context);
            let letter = letters::evaluated(era, &case, direct, artifact.as_ref(), (window, said.verdict, &said.reason));
            sinks.tell(letter.as_slice());
        });
        Ok(json!({"keptnContext": context}))
    }
}

/// Marks a question so that its image is looked for no more.
fn vouched(ask: Ask) -> Ask {
    match ask {
        Ask::Deliver { project, service, stage, image, tag, context, retry, actor, .. } => {
            Ask::Deliver { project, service, stage, image, tag, context, retry, actor, unchecked: true }
        }
        Ask::Event(envelope) => Ask::Event(Envelope { unchecked: true, ..envelope }),
        other => other,
    }
}

async fn configure(yard: &Yard, project: &Name, service: Option<&Name>, monitor: Monitor) -> Result<Value, Problem> {
    let provider = monitor.provider;
    yard.monitoring.configure(project, service, monitor).await.map_err(Problem::Invalid)?;
    Ok(json!({"project": project, "service": service, "provider": provider}))
}
