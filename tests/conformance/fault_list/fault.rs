//! One fault of a version: what the version does, what its clients ask and must get, and what it is charged with.

use std::any::Any;
use std::net::SocketAddr;

use portcullis::domain::outcome::Role;
use portcullis::domain::transport::Transport;
use portcullis::domain::upkeep::Rules;
use portcullis::seam::reach::Reach;

use crate::faults::Then;
use crate::support::upstream::{Peer, Upstream};

/// How many clients ask at once where every request meets the fault: two over HTTP/1.1, one over HTTP/2. A version is left out
/// after five failures, which would hide the fault.
pub const EACH: u64 = 3;

/// What [`crate::support::upstream::GOOD`] is to a client.
pub const GOOD_ANSWER: Want = Want::Answer(200, "good");
/// What the stable version answers to a GET of the version's clients.
pub const OF_STABLE: Want = Want::Answer(200, "GET /t");

/// What a client must get.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// This status and body, whole.
    Answer(u16, &'static str),
    /// A whole answer of 200 with so many bytes.
    Long(usize),
    /// An answer of the proxy's own with this status, which says why.
    Own(u16),
    /// An answer that visibly ends early, or a 502 in its place.
    Cut,
    /// The good answer or this status.
    GoodOr(u16),
}

/// What a client got.
#[derive(Debug, Default)]
pub struct Got {
    /// The status, 0 where there was none.
    pub status: u16,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Why the proxy answered itself.
    pub reason: Option<String>,
    /// Whether the answer ended as it must.
    pub whole: bool,
    /// What is wrong with it whatever was wanted.
    pub violations: Vec<String>,
}

impl Got {
    /// Says in few words what it is.
    pub fn name(&self) -> String {
        match (&self.reason, self.whole) {
            (Some(reason), _) => format!("{} {reason}", self.status),
            (None, true) => self.status.to_string(),
            (None, false) => format!("{} cut", self.status),
        }
    }

    /// Says whether it is what was wanted.
    pub fn is(&self, want: &Want) -> bool {
        let own = |status| self.status == status && self.whole && self.reason.is_some();
        let answer = |status, body: &str| (self.status, self.body.as_slice(), self.whole) == (status, body.as_bytes(), true);
        let meets = match *want {
            Want::Answer(status, body) => answer(status, body) && self.reason.is_none(),
            Want::Long(length) => (self.status, self.body.len(), self.whole) == (200, length, true),
            Want::Own(status) => own(status),
            Want::Cut => own(502) || !self.whole && self.status == 200,
            Want::GoodOr(status) => answer(200, "good") || self.status == status && self.whole,
        };
        meets && self.violations.is_empty()
    }

    /// Says whether the version failed, as far as its client can see.
    pub const fn is_failure(&self) -> bool {
        self.status >= 500 || !self.whole
    }
}

/// What an upstream does with a connection.
pub type Script = Box<dyn Fn(&mut Peer) + Send + Sync>;

/// Answers every request with these bytes.
pub fn always(answer: impl Into<Vec<u8>>) -> Script {
    answering(answer, Then::Wait)
}

/// Answers the first request of every connection with these bytes and then does this.
pub fn answering(answer: impl Into<Vec<u8>>, then: Then) -> Script {
    let answer = answer.into();
    Box::new(move |peer| {
        while peer.request().is_some_and(|_| peer.send(&answer)) {
            match then {
                Then::Wait => {}
                Then::Close => return peer.half_close(),
                Then::Reset => return peer.reset(),
            }
        }
    })
}

/// The version on trial, which commits the fault.
pub struct Culprit {
    /// Where it listens.
    pub endpoints: Vec<SocketAddr>,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its endpoints that keep what they received, in the order in which they were added.
    pub upstreams: Vec<Upstream>,
    /// Whatever else it needs.
    kept: Vec<Box<dyn Any>>,
}

impl Culprit {
    /// A version without an endpoint.
    pub fn none() -> Self {
        Self { endpoints: Vec::new(), transport: Transport::default(), upstreams: Vec::new(), kept: Vec::new() }
    }

    /// A version with one endpoint that does this.
    pub fn of(script: Script) -> Self {
        Self::none().and(Upstream::start(script))
    }

    /// Gives it another endpoint.
    pub fn and(mut self, upstream: Upstream) -> Self {
        self.endpoints.push(upstream.address);
        self.upstreams.push(upstream);
        self
    }

    /// Gives it another endpoint, which is there as long as `kept` is.
    pub fn at(mut self, address: SocketAddr, kept: impl Any) -> Self {
        self.endpoints.push(address);
        self.kept.push(Box::new(kept));
        self
    }

    /// Speaks to it in this way.
    pub fn speaking(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Counts the requests that reached it, whole or not, with this method; all methods where it is empty.
    pub fn tries(&self, method: &str) -> usize {
        let of_method = |line: &[String; 3]| !line[0].is_empty() && (method.is_empty() || line[0] == method);
        self.upstreams.iter().flat_map(Upstream::requests).filter(|request| of_method(&request.line)).count()
    }
}

/// What clients of the version ask.
pub enum Asks {
    /// A GET of several clients at once, each of which gets this.
    Each(Want),
    /// One client asks this, request by request, over one connection as long as that lasts.
    InTurn(Vec<(Vec<u8>, Want)>),
}

/// A look at the version and at what the data plane knows of it; says what is wrong.
type Look = Box<dyn Fn(&Culprit, &Reach) -> Option<String>>;

/// One fault.
pub struct Fault {
    /// The line of the catalogue.
    pub line: &'static str,
    /// What the version does.
    pub what: String,
    /// The version.
    pub version: Culprit,
    /// What its clients ask.
    pub asks: Asks,
    /// Awaited between two requests of one client.
    pub between: Option<fn(&Upstream)>,
    /// How many errors the version is charged with; as many as its clients saw where nothing is said.
    pub charged: Option<u64>,
    /// How many of the requests go to stable without ever being decided for the version.
    pub vetoed: u64,
    /// How many of the requests stable answers, decided for the version before or not.
    pub rescued: u64,
    /// What the versions may do for each other; nothing, so that faults are seen.
    pub rules: Rules,
    /// Whose clients ask: of the version on trial, or of a stable version that is gone.
    pub asking: Role,
    /// Looked at in the end.
    pub look: Look,
}

impl Fault {
    /// A fault whose clients get a 502 each, for which the version is not charged.
    pub fn new(line: &'static str, what: impl Into<String>, version: Culprit) -> Self {
        Self {
            line,
            what: what.into(),
            version,
            asks: Asks::Each(Want::Own(502)),
            between: None,
            charged: Some(0),
            vetoed: 0,
            rescued: 0,
            rules: Rules { rescue: false, ..Rules::default() },
            asking: Role::Canary,
            look: Box::new(|_, _| None),
        }
    }

    /// Every one of several clients gets this.
    pub fn each(mut self, want: Want) -> Self {
        self.asks = Asks::Each(want);
        self
    }

    /// One client asks this.
    pub fn in_turn(mut self, asks: impl IntoIterator<Item = (Vec<u8>, Want)>) -> Self {
        self.asks = Asks::InTurn(asks.into_iter().collect());
        self
    }

    /// Waits for this between two requests of one client.
    pub fn waiting(mut self, between: fn(&Upstream)) -> Self {
        self.between = Some(between);
        self
    }

    /// The version is charged with so many errors.
    pub fn charged(mut self, errors: u64) -> Self {
        self.charged = Some(errors);
        self
    }

    /// The version is charged with every failure that its clients saw.
    pub fn charged_as_seen(mut self) -> Self {
        self.charged = None;
        self
    }

    /// So many requests are never decided for the version, but for stable, which answers them.
    pub fn vetoed(mut self, requests: u64) -> Self {
        (self.vetoed, self.rescued) = (requests, requests);
        self
    }

    /// So many requests are answered by stable although the version was to answer them.
    pub fn rescued(mut self, requests: u64) -> Self {
        self.rules = Rules::default();
        self.rescued = requests;
        self
    }

    /// Stable is gone and its clients ask; what the canary may do is said by the rules.
    pub fn of_stable(mut self, rules: Rules) -> Self {
        (self.asking, self.rules) = (Role::Stable, rules);
        self
    }

    /// Looks at the version in the end.
    pub fn and_then(mut self, look: impl Fn(&Culprit, &Reach) -> Option<String> + 'static) -> Self {
        self.look = Box::new(look);
        self
    }

    /// The version receives so many requests with this method.
    pub fn tries(self, method: &'static str, count: usize) -> Self {
        self.and_then(move |version, _| {
            let tries = version.tries(method);
            (tries != count).then(|| format!("{tries} requests reached it, {count} are right"))
        })
    }
}
