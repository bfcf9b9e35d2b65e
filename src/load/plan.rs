//! Who sends what, and how fast.

use std::time::Duration;

use bytes::Bytes;
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// One request as it is sent again and again. `Host` and `Content-Length` are added when it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: PathAndQuery,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, empty for none.
    pub body: Bytes,
}

impl Request {
    /// Makes a GET without headers.
    ///
    /// # Errors
    ///
    /// The path is not a valid one.
    pub fn get(path: &str) -> Result<Self, InvalidUri> {
        Ok(Self { method: Method::GET, path: path.parse()?, headers: HeaderMap::new(), body: Bytes::new() })
    }
}

/// How many requests per second are intended; above 0 and at most 100 000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

/// The reason why a number is not a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a rate: use a number of requests per second above 0 and at most 100000")]
pub struct InvalidRate(f64);

impl Rate {
    /// Makes a rate from requests per second.
    ///
    /// # Errors
    ///
    /// [`InvalidRate`] when it is not above 0 and at most 100 000.
    pub fn per_second(rate: f64) -> Result<Self, InvalidRate> {
        if rate > 0.0 && rate <= 100_000.0 { Ok(Self(rate)) } else { Err(InvalidRate(rate)) }
    }

    /// Returns the requests per second.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0
    }

    /// Returns how long after the start request number `n` is intended, counted from 0.
    #[must_use]
    pub fn offset(self, n: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "2^53 requests take 2800 years at the largest rate")]
        let seconds = n as f64 / self.0;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each user waits for its answer before it sends again. Latency counts from the sending.
    Closed {
        /// How often each user goes through its script; `None` until stopped.
        loops: Option<u64>,
        /// How long a user thinks before each request.
        think: Duration,
        /// The time over which the users begin, evenly spread.
        ramp: Duration,
    },
    /// Requests are intended at even distances, whether or not the earlier ones are answered; each user's
    /// connection takes the next intended request when it is free.
    ///
    /// Latency counts from the *intended* start, so the wait for a connection is part of it and a stall is not
    /// hidden by the requests it kept from being sent. A request leaves up to about 1 ms after its intended
    /// start, which is the grain of the timer.
    Constant {
        /// How fast.
        rate: Rate,
        /// How many requests; `None` until stopped.
        requests: Option<u64>,
    },
}

/// Which answers are good; a bad one is still an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// 200 to 299.
    Success,
    /// Below 400, as JMeter has it.
    BelowError,
}

impl Accept {
    /// Says whether an answer with this status is good.
    #[must_use]
    pub fn accepts(self, status: StatusCode) -> bool {
        match self {
            Self::Success => status.is_success(),
            Self::BelowError => status.as_u16() < 400,
        }
    }
}

/// Who sends what, and how fast.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scripts, one per user; each user has one keep-alive connection. A user with an empty script does nothing.
    pub scripts: Vec<Vec<Request>>,
    /// When the next request is sent.
    pub pace: Pace,
    /// Which answers are good.
    pub accept: Accept,
    /// How long an answer may take from its sending to its last byte; `None` for as long as it takes.
    pub timeout: Option<Duration>,
    /// The value of `Host`; `None` for the target's address.
    pub host: Option<HeaderValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_above_zero_and_bounded() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 100_001.0] {
            assert!(Rate::per_second(bad).is_err(), "{bad}");
        }
        let rate = Rate::per_second(200.0).unwrap();
        assert_eq!((rate.offset(0), rate.offset(300)), (Duration::ZERO, Duration::from_millis(1500)));
        assert_eq!(Rate::per_second(f64::MIN_POSITIVE).unwrap().offset(u64::MAX), Duration::MAX);
    }

    #[test]
    fn a_redirection_is_good_for_jmeter_only() {
        assert!(Accept::BelowError.accepts(StatusCode::FOUND) && !Accept::Success.accepts(StatusCode::FOUND));
        assert!(!Accept::BelowError.accepts(StatusCode::BAD_REQUEST) && Accept::Success.accepts(StatusCode::CREATED));
    }
}
