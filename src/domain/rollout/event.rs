//! What can happen to a rollout, what must then be done, and what invariants look at.

use crate::domain::gate::{Evidence, Policy, Verdict};
use crate::domain::judge::Judgement;
use crate::domain::outcome::Role;
use crate::domain::rollout::plan::{Approval, Plan};
use crate::domain::rollout::record::{Entry, Record};
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::way_back::{Prospect, Recession};
use crate::domain::webhook::{Consulting, Occasion};
use crate::domain::weight::Weight;

/// What can happen to a rollout.
#[derive(Clone, Debug)]
pub enum Event {
    /// It begins.
    Begin,
    /// The judge spoke. `file` is the gate file's own grade of the step so far, where there is a file.
    Judged {
        /// What the sequential tests say.
        judgement: Box<Judgement>,
        /// What the gate file says by its own arithmetic, with a sentence.
        file: Option<(Verdict, String)>,
    },
    /// A tripwire tripped.
    Tripped(Box<Evidence>),
    /// The versions' endpoints stand otherwise than before.
    Endpoints {
        /// How the canary's stand.
        canary: Standing,
        /// How the stable version's stand.
        stable: Standing,
    },
    /// Nothing was judged for so long that the canary's share had expired; it gets it again with the next verdict.
    Lapsed,
    /// The operator stops it.
    Abort {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// The operator stops it and lets its share go back in steps, where that is configured and possible.
    Recede {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// The operator waives the holds that remain before the last step; evidence is still required.
    Promote {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// The operator lets a paused rollout go on, with fresh evidence.
    Resume {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Somebody approves that a rollout that waits for it goes on from its step; evidence is still required.
    Approve {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Somebody does not approve it: everything is given back.
    Deny {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Whoever is asked beside the gates has judged the version: a pass or a warning approves a rollout that waits for that, a failure
    /// rolls back what is not over, and no answer gives everything back of a rollout that waits.
    Ruled {
        /// What was said.
        verdict: Verdict,
        /// Whether that approves; else somebody must do so beside it.
        approves: bool,
        /// Who said it.
        actor: String,
        /// Why.
        reason: String,
    },
    /// The operator holds the rollout where it is; its gates stay armed.
    Pause {
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// The operator gives the canary another share of the plan and holds it there; its gates stay armed.
    SetWeight {
        /// The share: nothing, or that of a step.
        weight: Weight,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Others have answered a question; one that is not the last says nothing.
    Consulted {
        /// The number of the question.
        number: u64,
        /// Why they do not let it go on; `None` where they do.
        refusal: Option<String>,
    },
    /// The last [`Effect::Persist`] is durable.
    Persisted,
    /// The last [`Effect::Persist`] failed, with the reason.
    PersistFailed(String),
}

/// With which tests a published epoch is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arming {
    /// None: the canary gets nothing.
    Nothing,
    /// None, but the canary gets probes, drawn with this share.
    Probes(Weight),
    /// The looser limits of a warm-up.
    WarmUp,
    /// New tripwires, whose bound is halved this many times.
    Fresh {
        /// How often the rollout was braked.
        halvings: u32,
    },
    /// The tripwires so far, with fresh counts for the step.
    NextStep,
    /// The tests so far, which go on as they are: a hold costs nothing of the bounds.
    Held,
    /// As [`Arming::NextStep`], with the tests of the watch.
    Watch,
}

/// A line of the journal that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Dated {
    /// When what it says was decided, where that was published first; else it is decided by being written.
    pub decided: Option<Timestamp>,
    /// What it says.
    pub entry: Entry,
}

impl From<Entry> for Dated {
    /// Makes a line that is decided by being written.
    fn from(entry: Entry) -> Self {
        Self { decided: None, entry }
    }
}

/// How many lines that are not durable yet are kept. Each of them takes from the canary or leaves it what it has, so that a rollout
/// seldom comes to more than a few; the newest is always kept.
pub const UNSAVED: usize = 32;

/// What the shell must do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Give the canary this share; with owner canary the rollout is over and the canary owns everything.
    Publish {
        /// The generation of the change.
        generation: u64,
        /// Who owns the traffic.
        owner: Role,
        /// The canary's share while stable owns the traffic.
        weight: Weight,
        /// What watches the canary.
        arming: Arming,
    },
    /// Write this durably, all of it or nothing, then answer with [`Event::Persisted`] or [`Event::PersistFailed`].
    Persist {
        /// What is kept.
        record: Box<Record>,
        /// What the journal says.
        entry: Box<Entry>,
        /// When that was decided, where it was published first; else it is decided by being written.
        decided: Option<Timestamp>,
        /// What was published before and is not durable yet either, the oldest first; the journal says it before `entry`.
        earlier: Vec<Dated>,
    },
    /// Ask others, or tell them of the end; the answer is [`Event::Consulted`] and may never come.
    Consult {
        /// The number of the question, growing.
        number: u64,
        /// What is about to happen.
        occasion: Occasion,
    },
    /// Tell people.
    Notify {
        /// One plain sentence.
        sentence: String,
        /// Whether somebody should look.
        alarm: bool,
    },
}

/// A rollout as invariants see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is kept of it.
    pub record: &'a Record,
    /// Its plan.
    pub plan: &'a Plan,
    /// How it is judged.
    pub policy: &'a Policy,
    /// When the current step or phase began.
    pub since: Timestamp,
    /// How the canary's endpoints stand.
    pub canary: Standing,
    /// How the stable version's endpoints stand.
    pub stable: Standing,
    /// Whether it is still warming up.
    pub warming: bool,
    /// Whether somebody has approved that it goes on from its step.
    pub approved: bool,
    /// What somebody must still approve before it does.
    pub owed: Option<Approval>,
    /// Whether the hold of its step is over, whatever `since` says.
    pub served: bool,
    /// Whom it asks before it goes on.
    pub consulting: Option<Consulting>,
    /// Whether others let it go on from its step.
    pub cleared: bool,
    /// Whether it waits for their answer.
    pub asking: bool,
    /// The share that an operator wants to give it, once others let that be.
    pub wanted: Option<Weight>,
    /// How its share goes back, while it does.
    pub recession: Option<&'a Recession>,
    /// What is known of the way back.
    pub prospect: &'a Prospect,
    /// Whether a raise waits to become durable.
    pub pending: bool,
    /// Whether somebody has waived the holds that remain before the last step.
    pub waived: bool,
    /// What was published and is not durable yet, the oldest first.
    pub unsaved: &'a [Dated],
}
