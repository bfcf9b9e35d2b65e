//! What groups of users do: who sends what, how fast, and what follows when a request goes wrong.

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, HeaderValue};

use crate::formats::jmx::{Cookies, OnError};
use crate::load::plan::{Accept, Pace, Plan, Request};
use crate::load::target::Origin;

/// Groups of users and how they begin.
#[derive(Clone, Debug)]
pub struct Script {
    /// The groups.
    pub groups: Vec<Group>,
    /// Whether a group begins only when the one before it has ended; else all begin together.
    pub one_after_another: bool,
}

impl Script {
    /// Returns how many users there are.
    #[must_use]
    pub fn users(&self) -> usize {
        self.groups.iter().map(|group| group.scripts.len()).sum()
    }

    /// Returns how many requests are sent when nothing goes wrong and time suffices; `None` when there is no end.
    #[must_use]
    pub fn requests(&self) -> Option<u64> {
        self.groups.iter().map(Group::requests).try_fold(0_u64, |sum, requests| Some(sum.saturating_add(requests?)))
    }
}

/// Users that keep the same pace.
#[derive(Clone, Debug)]
pub struct Group {
    /// What each user sends in each loop; users that do the same share one. A user with an empty script does nothing.
    pub scripts: Vec<Arc<[Step]>>,
    /// When the next request is sent.
    pub pace: Pace,
    /// How many requests all users of the group send together; `None` for no such limit.
    pub requests: Option<u64>,
    /// How long the group waits before it begins.
    pub delay: Duration,
    /// When no further request is sent, counted from the begin of the group; `None` for when all is done.
    pub duration: Option<Duration>,
    /// Which answers are good.
    pub accept: Accept,
    /// How long an answer may take, redirects included, where the step says nothing; `None` for as long as it takes.
    pub timeout: Option<Duration>,
    /// What a user does after a request that got a bad answer or none.
    pub on_error: OnError,
}

impl Group {
    fn requests(&self) -> Option<u64> {
        let planned = match self.pace {
            Pace::Closed { loops, .. } => loops.map(|loops| {
                let steps = self.scripts.iter().map(|script| u64::try_from(script.len()).unwrap_or(u64::MAX));
                steps.fold(0_u64, u64::saturating_add).saturating_mul(loops)
            }),
            Pace::Constant { requests, .. } => requests,
        };
        match (planned, self.requests) {
            (Some(planned), Some(most)) => Some(planned.min(most)),
            (planned, most) => planned.or(most),
        }
    }
}

/// A request of a script and how it is sent.
#[derive(Clone, Debug)]
pub struct Step {
    /// The request.
    pub request: Request,
    /// The server it is sent to; `None` for the one under test.
    pub origin: Option<Arc<Origin>>,
    /// A header that tells the users apart.
    pub numbered: Option<Numbered>,
    /// How long the user waits before it, besides the think time of a closed pace. A constant rate knows no such pause.
    pub pause: Duration,
    /// Whether redirects are followed, five at most.
    pub follow_redirects: bool,
    /// Whether the connection is kept for the next request.
    pub keep_alive: bool,
    /// How cookies are kept; `None` when they are neither kept nor sent.
    pub cookies: Option<Cookies>,
    /// How long a connection may take to come about; `None` for no limit of its own.
    pub connect_timeout: Option<Duration>,
    /// How long the answer may take, in place of the group's time-out.
    pub timeout: Option<Duration>,
}

/// A header whose value names the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its name.
    pub name: HeaderName,
    /// What stands before the number of the user in its group, counted from 0.
    pub before: String,
    /// What stands behind it.
    pub behind: String,
}

impl Numbered {
    /// Returns the header's value for a user; `None` when it cannot stand in a header.
    pub(super) fn value(&self, user: usize) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}{user}{}", self.before, self.behind)).ok()
    }
}

impl From<Request> for Step {
    /// Sends the request to the server under test on a connection that is kept, and takes its answer for the last.
    fn from(request: Request) -> Self {
        Self {
            request,
            origin: None,
            numbered: None,
            pause: Duration::ZERO,
            follow_redirects: false,
            keep_alive: true,
            cookies: None,
            connect_timeout: None,
            timeout: None,
        }
    }
}

impl From<Plan> for Group {
    fn from(plan: Plan) -> Self {
        let Plan { scripts, pace, accept, timeout, host } = plan;
        let step = |mut request: Request| {
            if let Some(host) = &host {
                request.headers.insert(HOST, host.clone());
            }
            Step::from(request)
        };
        let scripts = scripts.into_iter().map(|script| script.into_iter().map(step).collect()).collect();
        let (requests, delay, duration, on_error) = (None, Duration::ZERO, None, OnError::Continue);
        Self { scripts, pace, requests, delay, duration, accept, timeout, on_error }
    }
}

impl From<Group> for Script {
    fn from(group: Group) -> Self {
        Self { groups: vec![group], one_after_another: false }
    }
}

impl From<Plan> for Script {
    fn from(plan: Plan) -> Self {
        Group::from(plan).into()
    }
}
