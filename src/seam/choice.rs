//! What of a route's requests goes otherwise than by the draw: forced versions, users that stay, mirrored copies, repetitions that
//! their clients allow; off by default.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderName, Method};

use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::keys::Keys;

/// Everything of a route that is not left to the draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Who may force a version.
    pub force: Option<Force>,
    /// How a user stays where it was.
    pub sticky: Option<Sticky>,
    /// What gets copies of requests.
    pub mirror: Option<Mirror>,
    /// The longest body, in bytes, of a request that may be repeated because it carries an `Idempotency-Key`; `None`: the key is nobody's
    /// promise.
    pub repeat: Option<usize>,
    /// Versions beside stable and canary, without a share: only a forced or mirrored request reaches them.
    pub others: Others,
}

/// A choice as one worker holds it: handing it on counts within the worker, and not for all of them together.
#[derive(Debug)]
pub struct Held(Arc<Choice>);

impl Held {
    /// Holds a choice.
    #[must_use]
    pub fn new(choice: &Arc<Choice>) -> Rc<Self> {
        Rc::new(Self(Arc::clone(choice)))
    }

    /// Says whether it is this very choice.
    #[must_use]
    pub fn is(&self, choice: &Arc<Choice>) -> bool {
        Arc::ptr_eq(&self.0, choice)
    }
}

impl Deref for Held {
    type Target = Choice;

    fn deref(&self) -> &Choice {
        &self.0
    }
}

/// Versions beside stable and canary, each with a name of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Others(
    /// By name, so that it does not matter how many there are.
    Arc<[Arc<Version>]>,
);

impl Others {
    /// Returns the version of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Version>> {
        let at = self.0.binary_search_by(|version| version.name.as_str().cmp(name)).ok()?;
        self.0.get(at)
    }

    /// Iterates over all of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.0.iter()
    }
}

impl From<Vec<Arc<Version>>> for Others {
    fn from(mut versions: Vec<Arc<Version>>) -> Self {
        versions.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        Self(versions.into())
    }
}

/// Who may force a version: whoever brings a token signed with one of the keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Force {
    /// The field that carries a token.
    pub header: Option<HeaderName>,
    /// The cookie that carries a token, unless the field does.
    pub cookie: Option<String>,
    /// What signs the tokens.
    pub keys: Keys,
}

/// How a user stays where it was while the canary's share grows: it has a position from 0 to 9 999, and gets the canary when that
/// is below the weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    /// What the position comes from.
    pub by: By,
    /// What signs cookies and hashes keys.
    pub keys: Keys,
}

/// What a user's position comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A cookie that is set here.
    OwnCookie {
        /// Its name.
        name: String,
        /// How long the client keeps it.
        age: Duration,
    },
    /// The value of a field.
    Header(HeaderName),
    /// The value of a cookie that somebody else sets.
    Cookie(String),
    /// The client's address; of an IPv6 address its network.
    Client,
}

/// Who gets copies of which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where they go.
    pub to: MirrorTo,
    /// The share of requests that is copied.
    pub share: Weight,
    /// The methods of requests that are copied.
    pub methods: Vec<Method>,
    /// How many copies may be in flight.
    pub most: usize,
    /// How long a copy may take.
    pub deadline: Duration,
    /// The longest body that is copied, in bytes.
    pub bytes: usize,
    /// The copies in flight.
    pub flights: Flights,
}

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorTo {
    /// To the canary, while it has a share.
    Canary,
    /// To one of the versions beside stable and canary.
    Other(Name),
}

/// Counts copies in flight over all workers.
#[derive(Clone, Debug, Default)]
pub struct Flights(Arc<AtomicUsize>);

/// A copy in flight; it lands when it is dropped.
#[derive(Debug)]
pub struct FlightOfCopy(Arc<AtomicUsize>);

impl Flights {
    /// Begins a flight unless there are as many as may be.
    #[must_use]
    pub fn begin(&self, most: usize) -> Option<FlightOfCopy> {
        if self.0.fetch_add(1, Ordering::Relaxed) >= most {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(FlightOfCopy(Arc::clone(&self.0)))
    }
}

impl Drop for FlightOfCopy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for Flights {
    /// How many there are is no part of what was configured.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
