//! A plan with every variable, property and default filled in.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::formats::jmeter_conf::TestUrl;
use crate::formats::problem::Problem;

/// A plan as it is to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Whether a group begins only when the one before it has ended; else all begin together.
    pub one_after_another: bool,
    /// Its groups, at least one.
    pub groups: Vec<Group>,
    /// What the reader of the file should know.
    pub notes: Vec<Problem>,
}

/// A group of users that all do the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many users there are, at least one.
    pub threads: u32,
    /// How often each goes through the requests.
    pub loops: Loops,
    /// The time in which the users begin, spread evenly.
    pub ramp: Duration,
    /// How long the group waits before it begins.
    pub delay: Duration,
    /// When the group ends, whatever is left to do, counted from its begin; `None` for when all is done.
    pub duration: Option<Duration>,
    /// What a user does after a request that went wrong.
    pub on_error: OnError,
    /// What each user sends in each loop, in this order; at least one request.
    pub samplers: Vec<Sampler>,
}

impl Group {
    /// Returns how many requests the group sends when nothing goes wrong and time suffices; `None` when it never ends.
    #[must_use]
    pub fn requests(&self) -> Option<u64> {
        let Loops::Times(loops) = self.loops else { return None };
        Some(u64::from(self.threads).saturating_mul(loops).saturating_mul(u64::try_from(self.samplers.len()).unwrap_or(u64::MAX)))
    }
}

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// This often, at least once.
    Times(u64),
    /// Until it is stopped.
    Forever,
}

/// What a user does after a request that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Goes on.
    Continue,
    /// Begins with the next loop.
    StartNextLoop,
    /// Ends.
    StopThread,
    /// Ends the whole test, once the requests in flight are answered.
    StopTest,
    /// Ends the whole test at once.
    StopTestNow,
}

/// A request that is sent over and over. It went well when the status is below 400.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// Its name.
    pub name: String,
    /// The method.
    pub method: Method,
    /// Where it is sent to, the path with its query.
    pub url: TestUrl,
    /// Its headers, without those that depend on the user.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, line ends as they are in the plan.
    pub body: Option<String>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether the connection is kept for the next request.
    pub keep_alive: bool,
    /// How cookies are kept, `None` when they are not.
    pub cookies: Option<Cookies>,
    /// How long the user waits before the request.
    pub pause: Duration,
    /// How long a connection may take to come about; `None` for no limit.
    pub connect_timeout: Option<Duration>,
    /// How long an answer may take; `None` for no limit.
    pub response_timeout: Option<Duration>,
    /// What the header `x-dynatrace-test` says, where a script of the plan adds it.
    pub dynatrace: Option<DynatraceTest>,
}

impl Sampler {
    /// Returns the value of the header `x-dynatrace-test` for a user of a group, counted from 0 as JMeter's scripts see it.
    #[must_use]
    pub fn dynatrace_test(&self, group: &str, thread: u32) -> Option<String> {
        let DynatraceTest { scenario, test_name } = self.dynatrace.as_ref()?;
        Some(format!("LSN={scenario};TSN={};LTN={test_name};VU={group}{thread};", self.name))
    }
}

/// How a user keeps the cookies it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Whether it forgets them with each loop.
    pub clear_each_iteration: bool,
}

/// What a plan's script says of the test in the header `x-dynatrace-test`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynatraceTest {
    /// The name of the load script (LSN), such as `Test Scenario`.
    pub scenario: String,
    /// The name of the load test (LTN), from the property or the variable `DT_LTN`.
    pub test_name: String,
}
