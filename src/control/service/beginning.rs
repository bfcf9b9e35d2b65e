//! How a rollout of a service begins: what stands in its way, what it may have to wait for, and who asked for it.

use crate::control::active::Active;
use crate::control::service::{Service, Waiting};
use crate::control::shell::Shell;
use crate::domain::outcome::Role;
use crate::domain::rollout::outlook::Pace;
use crate::domain::rollout::{Entry, Event, Phase, Record, Rollout};
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::domain::webhook::Consulting;

impl Service {
    /// Forgets the rollout that waited for the traffic to be known; says whether there was one.
    pub fn forget_waiting(&mut self) -> bool {
        self.waiting.take().is_some()
    }

    /// Aborts the rollout that waited for the traffic to be known; says whether there was one. It counts as one that was begun, so
    /// that it does not begin with the next start either.
    pub fn abort_waiting(&mut self, actor: &str, reason: &str, shell: &mut dyn Shell) -> bool {
        let Some(accepted) = self.accepted().filter(|_| self.forget_waiting()) else { return false };
        let reason = format!("aborted by {actor}: {reason}");
        let (generation, who) = (accepted.generation + 1, Some(actor.to_owned()));
        let record = Record { phase: Phase::Aborted, generation, reason, actor: who, ..accepted };
        let entry = self.remark(&record, actor, record.reason.clone());
        let mut state = self.state.clone();
        state.has_tried(&record.canary.name);
        state.rollout = Some(record);
        match shell.persist(&self.setup.name, &state, &[entry.into()]) {
            Ok(()) => {
                self.state = state;
                self.active = None;
            }
            Err(why) => {
                let what = format!("that the rollout does not begin could not be written ({why})");
                shell.notify(&self.setup.name, what, true);
            }
        }
        true
    }

    /// Returns the rollout that was accepted and that nothing durable tells of yet: it waits for the traffic to be known, for a webhook
    /// or for the disk.
    #[must_use]
    pub fn accepted(&self) -> Option<Record> {
        if let Some(Waiting { canary, .. }) = &self.waiting {
            let (id, generation) = self.next_rollout();
            return Some(Record::unbegun(id, (self.state.owner.clone(), canary.clone()), generation));
        }
        let durable = self.state.rollout.as_ref().map(|record| record.id);
        self.progressing().filter(|record| Some(record.id) != durable).cloned()
    }

    /// Makes a line of the journal that says something of a rollout and changes nothing.
    #[must_use]
    pub fn remark(&self, record: &Record, actor: &str, reason: String) -> Entry {
        Entry {
            service: self.setup.name.clone(),
            rollout: record.id,
            at: None,
            stable: Some(record.stable.name.clone()),
            canary: Some(record.canary.name.clone()),
            actor: actor.to_owned(),
            phase: record.phase,
            owner: Role::Stable,
            from: record.weight,
            to: record.weight,
            generation: record.generation,
            reason,
            evidence: None,
            gates: Vec::new(),
        }
    }

    /// Says why a rollout of this version may not begin, `None` when it may.
    #[must_use]
    pub fn refusal(&self, canary: &Version, retry: bool) -> Option<String> {
        let (name, version) = (&self.setup.name, &canary.name);
        if let Some(waiting) = &self.waiting {
            return Some(format!("the rollout of {} is about to begin; abort it first", waiting.canary.name));
        }
        if let Some(record) = self.progressing() {
            return Some(format!("the rollout of {} is still progressing; abort it first", record.canary.name));
        }
        if let Some(active) = self.active.as_ref().filter(|a| a.machine.is_unsaved()) {
            let last = &active.machine.record().canary.name;
            return Some(format!("the end of the rollout of {last} is not durable yet; see that the disk works and try again"));
        }
        if self.setup.gates.is_empty() {
            return Some(format!("{name} has no gates, so nothing could judge {version}; configure gates first"));
        }
        if self.state.owner.name == *version {
            return Some(format!("{version} owns {name} already"));
        }
        if self.setup.choice.as_ref().is_some_and(|choice| choice.others.find(version.as_str()).is_some()) {
            return Some(format!("{version} is one of the others of {name}, which no trip takes requests from; take it out there first"));
        }
        let rejected = self.state.rejected.contains(version) && !retry;
        rejected.then(|| format!("{version} was rolled back before; say \"retry\": true to try it again"))
    }

    /// Begins a rollout; the caller has made sure that there is no [`Self::refusal`]. Where the traffic decides the first share
    /// and is not known yet, the rollout begins a little later. The journal says that it is `starter` who begins it, or the plan.
    pub fn begin(&mut self, canary: Version, starter: Option<String>, now: Timestamp, shell: &mut dyn Shell) {
        if self.setup.schedule.needs_traffic() && !self.traffic.is_known() {
            self.waiting = Some(Waiting { canary, starter });
            return;
        }
        let pace = Pace::of(&self.setup.gates, &self.setup.policy, self.traffic.rate());
        let plan = match self.setup.schedule.plan(&pace) {
            Ok(plan) => plan,
            Err(why) => return shell.notify(&self.setup.name, format!("the rollout does not begin: {why}"), true),
        };
        let (id, generation) = self.next_rollout();
        self.state.rejected.retain(|name| *name != canary.name);
        self.state.has_tried(&canary.name);
        let versions = (self.state.owner.clone(), canary);
        let machine = Rollout::new(id, self.setup.name.clone(), versions, plan, self.setup.policy, generation).started_by(starter);
        let consulting = Consulting::of(&self.setup.webhooks, self.setup.webhook_failure);
        self.active = Some(Active::new(machine.consulting(consulting), &self.setup));
        self.drive(Event::Begin, now, shell);
    }

    /// Begins the rollout that waited for the traffic to be known.
    pub(super) fn begin_waiting(&mut self, now: Timestamp, shell: &mut dyn Shell) {
        if self.traffic.is_known()
            && let Some(Waiting { canary, starter }) = self.waiting.take()
        {
            self.begin(canary, starter, now, shell);
        }
    }

    /// Returns the number of the next rollout and the generation its service has used last.
    fn next_rollout(&self) -> (u64, u64) {
        let epoch = self.epoch.generation;
        self.state.rollout.as_ref().map_or((1, epoch), |record| (record.id + 1, record.generation.max(epoch)))
    }
}
