//! The operations of the admin API, one row each, in the order of the router.

use crate::admin::idempotency;
use crate::domain::rank::Rank;

/// One operation.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Its name for programs.
    pub(super) id: &'static str,
    /// What it does, one sentence without a full stop.
    pub(super) summary: &'static str,
    /// The role it takes; `None` where everybody may ask.
    pub(super) rank: Option<Rank>,
    /// The shape of its body, where it takes one, and whether it may be left out.
    pub(super) body: Option<(&'static str, bool)>,
    /// The status of success, and what it holds.
    pub(super) success: (u16, Content),
    /// Whether it needs an `If-Match`.
    pub(super) conditional: bool,
    /// What its query may say: name, whether it is needed, the schema.
    pub(super) query: &'static [(&'static str, bool, &'static str)],
}

/// What an answer holds.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// JSON of a shape.
    Json(&'static str),
    /// Anything else of this type.
    Type(&'static str),
}

use Content::{Json, Type};

const fn look(path: &'static str, id: &'static str, summary: &'static str, content: Content) -> Operation {
    let success = (200, content);
    Operation { method: "get", path, id, summary, rank: Some(Rank::Viewer), body: None, success, conditional: false, query: &[] }
}

const fn act(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: (&'static str, bool),
    success: (u16, Content),
) -> Operation {
    Operation { method: "post", path, id, summary, rank: Some(Rank::Operator), body: Some(body), success, conditional: false, query: &[] }
}

impl Operation {
    const fn open(self) -> Self {
        Self { rank: None, ..self }
    }

    const fn put(self) -> Self {
        Self { method: "put", ..self }
    }

    const fn of_admins(self) -> Self {
        Self { rank: Some(Rank::Admin), ..self }
    }

    const fn of_viewers(self) -> Self {
        Self { rank: Some(Rank::Viewer), ..self }
    }

    const fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }

    /// Says whether a key makes it one that is done once.
    pub(super) fn is_keyed(&self) -> bool {
        self.method != "get" && !idempotency::is_urgent(self.path)
    }

    const fn asking(self, query: &'static [(&'static str, bool, &'static str)]) -> Self {
        Self { query, ..self }
    }
}

/// What a follower is told.
pub(super) const EVENTS: &str = "Server-sent events, each with JSON as its data. At first and once a second, and at once when something changes: \
    snapshot, with the rollouts as GET /v1/rollouts lists them, the newest figures and whether the process drains. At first and when they \
    change: notices and projects. With the sequence of the journal as its id: transition, an entry of the journal";

const TOLD: Content = Json("Told");
const ANY: Content = Json("Object");
const TEXT: Content = Type("text/plain");

/// Every operation, in the order of the router.
pub(super) const OPERATIONS: [Operation; 39] = [
    look("/", "dashboard", "Shows the dashboard to a browser", Type("text/html")),
    look("/assets/{build}/{file}", "asset", "Gives an asset of the dashboard", Type("*/*")),
    look("/livez", "live", "Says whether the process lives", TEXT).open(),
    look("/healthz", "health", "Says whether the process lives", TEXT).open(),
    look("/readyz", "ready", "Says whether the process may get traffic", TEXT).open(),
    look("/version", "version", "Tells the version of the program", ANY).open(),
    look("/metrics", "metrics", "Shows the metrics to Prometheus", TEXT),
    look("/v1/openapi.json", "describe", "Shows this description", ANY),
    look("/v1/journal", "chain", "Says whether the journal is the chain it was written as", Json("Chain")),
    look("/v1/notices", "notices", "Shows what people were told", Json("Notices")),
    look("/v1/rollouts", "list", "Shows every service with its current or last rollout", Json("Services")),
    act("/v1/rollouts", "start", "Starts a rollout", ("Start", false), (202, TOLD)),
    look("/v1/rollouts/{name}", "show", "Shows one service with its current or last rollout", Json("Service")),
    look("/v1/rollouts/{name}/history", "history", "Shows how both versions answered lately", Json("History")),
    look("/v1/rollouts/{name}/journal", "journal", "Shows what was decided and why", Json("Journal")).asking(&[("last", false, "Last")]),
    look("/v1/rollouts/{name}/verdict", "verdict", "Says in one word what the gates say", Json("Verdict")),
    act(
        "/v1/rollouts/{name}/verdict",
        "confirm",
        "Says whether anything speaks against the canary, to a webhook of Flagger",
        ("Object", true),
        (200, Json("Verdict")),
    )
    .of_viewers(),
    act("/v1/rollouts/{name}/abort", "abort", "Ends a rollout, whatever its state: the canary gets nothing", ("End", true), (200, TOLD)),
    act("/v1/rollouts/{name}/promote", "promote", "Waives the remaining holds; evidence is still required", ("Ask", true), (202, TOLD))
        .conditional(),
    act("/v1/rollouts/{name}/resume", "resume", "Lets a held rollout go on, with fresh evidence", ("Ask", true), (202, TOLD)).conditional(),
    act("/v1/rollouts/{name}/approve", "approveRollout", "Lets a rollout go on that waits for approval", ("Ask", true), (202, TOLD))
        .conditional(),
    act(
        "/v1/rollouts/{name}/deny",
        "denyRollout",
        "Gives everything back of a rollout that waits for approval",
        ("Ask", true),
        (200, TOLD),
    ),
    act("/v1/rollouts/{name}/pause", "pause", "Holds a rollout where it is; its gates stay armed", ("Ask", true), (200, TOLD))
        .conditional(),
    act("/v1/rollouts/{name}/weight", "setWeight", "Holds the canary with another share of its plan", ("Share", false), (200, TOLD))
        .put()
        .conditional(),
    act("/v1/rollouts/{name}/retry", "retry", "Tries the last canary again", ("Ask", true), (202, TOLD)).conditional(),
    look("/v1/projects", "projects", "Shows every project with what stands in its stages", Json("Projects")),
    act("/v1/projects", "createProject", "Makes a project of its shipyard", ("Project", false), (201, ANY)).of_admins(),
    act("/v1/projects/{project}/services", "onboard", "Makes a service of a project known", ("Named", false), (201, ANY)).of_admins(),
    act(
        "/v1/projects/{project}/resources",
        "addResource",
        "Puts a file where a stage, a service or both look for it",
        ("File", false),
        (201, ANY),
    )
    .put()
    .of_admins()
    .asking(&[("uri", true, "Uri"), ("stage", false, "Stage"), ("service", false, "Name")]),
    act("/v1/projects/{project}/services/{service}/artifacts", "deliver", "Delivers an artifact", ("Artifact", false), (202, ANY)),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/approve",
        "approve",
        "Lets an artifact into a stage",
        ("Decision", true),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/deny",
        "deny",
        "Does not let an artifact into a stage",
        ("Decision", true),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/abort",
        "abortStage",
        "Stops what is on trial in a stage",
        ("Decision", true),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/evaluations",
        "evaluate",
        "Begins an evaluation that delivers nothing",
        ("Window", false),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/monitoring",
        "monitor",
        "Names a source of the values behind a project's gates",
        ("Source", false),
        (200, ANY),
    )
    .of_admins(),
    look("/v1/events", "follow", "Tells what happens as server-sent events, without an end", Type("text/event-stream"))
        .asking(&[("after", false, "After")]),
    act("/v1/events", "takeEvent", "Takes in a CloudEvent; it may prove itself instead of its sender", ("Event", false), (202, ANY)),
    look("/v1/contexts/{id}", "context", "Shows everything that was decided under a context", ANY),
    look("/v1/whoami", "whoami", "Says who asks, and what they may do", Json("Caller")),
];
