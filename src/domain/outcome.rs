//! How a request ended and who is to blame; the only place where blame is decided.

use serde::{Deserialize, Serialize};

/// The part a version plays in a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The version that owns the traffic.
    Stable,
    /// The version on trial.
    Canary,
    /// A version that was asked beside the split: by a forced request or a mirrored one. It says nothing in a gate.
    Beside,
}

impl Role {
    /// Returns the label used in metrics, logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
            Self::Beside => "beside",
        }
    }
}

/// Who failed. Only [`Blame::Upstream`] counts in a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The peer that sent the request.
    Client,
    /// This process or its machine.
    Proxy,
    /// The version that was to answer.
    Upstream,
    /// A rule the operator set.
    Policy,
}

impl Blame {
    /// Returns the label used in metrics, logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
            Self::Policy => "policy",
        }
    }
}

/// Why a request could not be answered by its version, in the words of RFC 9209 where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The upstream refused the connection.
    ConnectionRefused,
    /// The upstream did not accept a connection in time.
    ConnectionTimeout,
    /// The upstream's certificate is not one that its configuration accepts, or it does not accept ours.
    TlsCertificate,
    /// The upstream does not speak TLS as it must.
    TlsHandshake,
    /// The upstream closed or reset the connection before its answer was complete.
    ConnectionTerminated,
    /// The upstream sent no response head in time.
    ResponseTimeout,
    /// The upstream sent something that is not HTTP, or HTTP that must not be passed on.
    ResponseInvalid,
    /// The upstream's body stalled longer than the idle limit.
    ResponseBodyTimeout,
    /// The upstream's body ended early.
    ResponseBodyCut,
    /// The upstream sent more than 16 informational answers, or switched protocols unasked.
    ResponseInformational,
    /// The client's body was malformed.
    RequestBodyInvalid,
    /// The client's body stalled longer than the idle limit.
    RequestBodyTimeout,
    /// The client went away before the answer was complete.
    ClientGone,
    /// The time that the client itself had set for an answer was over.
    GivenUp,
    /// This process ran out of file descriptors, ports or memory.
    ProxyExhausted,
    /// No version with an endpoint is left to answer.
    NoEndpoint,
    /// The version holds as many requests, or connections being made, as it may.
    VersionBusy,
    /// The stable version got everything back and holds as much as it can take.
    Shed,
    /// The request was taken back from a canary whose trial had tripped.
    TakenBack,
}

impl Failure {
    /// Decides who is to blame.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::ConnectionRefused
            | Self::ConnectionTimeout
            | Self::TlsCertificate
            | Self::TlsHandshake
            | Self::ConnectionTerminated
            | Self::ResponseTimeout
            | Self::ResponseInvalid
            | Self::ResponseBodyTimeout
            | Self::ResponseBodyCut
            | Self::ResponseInformational => Blame::Upstream,
            Self::RequestBodyInvalid | Self::RequestBodyTimeout | Self::ClientGone | Self::GivenUp => Blame::Client,
            Self::ProxyExhausted => Blame::Proxy,
            Self::NoEndpoint | Self::VersionBusy | Self::Shed | Self::TakenBack => Blame::Policy,
        }
    }

    /// Says whether another version may make this good: nothing was answered, and it was not for want of time.
    #[must_use]
    pub const fn is_rescuable(self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused
                | Self::ConnectionTimeout
                | Self::TlsCertificate
                | Self::TlsHandshake
                | Self::ConnectionTerminated
                | Self::NoEndpoint
                | Self::VersionBusy
                | Self::TakenBack
        )
    }

    /// Says whether the request went away before its version's time was over, so that its end says nothing of the version.
    #[must_use]
    pub const fn is_departure(self) -> bool {
        matches!(self, Self::ClientGone | Self::GivenUp | Self::TakenBack)
    }

    /// Returns the status code the client gets when no response head was sent yet.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::ConnectionTimeout | Self::ResponseTimeout | Self::ResponseBodyTimeout | Self::GivenUp => 504,
            Self::RequestBodyInvalid => 400,
            Self::RequestBodyTimeout => 408,
            Self::ClientGone => 499,
            Self::ProxyExhausted | Self::NoEndpoint | Self::VersionBusy | Self::Shed | Self::TakenBack => 503,
            _ => 502,
        }
    }

    /// Returns the error token of the `Proxy-Status` field (RFC 9209 section 2.3).
    #[must_use]
    pub const fn proxy_status(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::TlsCertificate => "tls_certificate_error",
            Self::TlsHandshake => "tls_protocol_error",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ResponseTimeout => "connection_read_timeout",
            Self::ResponseInvalid | Self::ResponseInformational => "http_protocol_error",
            Self::ResponseBodyTimeout | Self::GivenUp => "http_response_timeout",
            Self::ResponseBodyCut => "http_response_incomplete",
            Self::RequestBodyInvalid | Self::RequestBodyTimeout | Self::ClientGone => "http_request_error",
            Self::ProxyExhausted | Self::VersionBusy | Self::Shed => "connection_limit_reached",
            Self::NoEndpoint | Self::TakenBack => "destination_unavailable",
        }
    }
}

/// How a decided request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The version answered with this status, and its body arrived in full.
    Answered(u16),
    /// The request failed for this reason.
    Failed(Failure),
}

impl Outcome {
    /// Says who is to blame for a bad end, or `None` when the request went well.
    ///
    /// A 5xx answer of the version is the version's failure; every other status is not.
    #[must_use]
    pub const fn blame(self) -> Option<Blame> {
        match self {
            Self::Answered(500..=599) => Some(Blame::Upstream),
            Self::Answered(_) => None,
            Self::Failed(failure) => Some(failure.blame()),
        }
    }

    /// Says whether it is a failure that [is a departure](Failure::is_departure).
    #[must_use]
    pub const fn is_departure(self) -> bool {
        matches!(self, Self::Failed(failure) if failure.is_departure())
    }

    /// Returns the class for metrics: `1xx` to `5xx`, `error` (no answer) or `aborted` (client gone).
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Answered(100..=199) => Class::Informational,
            Self::Answered(200..=299) => Class::Success,
            Self::Answered(300..=399) => Class::Redirection,
            Self::Answered(400..=499) => Class::ClientError,
            Self::Answered(_) => Class::ServerError,
            Self::Failed(Failure::ClientGone | Failure::GivenUp | Failure::TakenBack) => Class::Aborted,
            Self::Failed(_) => Class::Error,
        }
    }
}

/// The class of an outcome, a label of bounded size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// 100 to 199.
    #[serde(rename = "1xx")]
    Informational,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    Success,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    Redirection,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    ClientError,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    ServerError,
    /// No complete answer, for a reason other than the client leaving.
    #[serde(rename = "error")]
    Error,
    /// The client left, or the request was taken back.
    #[serde(rename = "aborted")]
    Aborted,
}

impl Class {
    /// Every class, in the order of its index.
    pub const ALL: [Self; 7] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError, Self::Error, Self::Aborted];

    /// Returns the position in [`Class::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the label used in metrics, logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Error => "error",
            Self::Aborted => "aborted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_is_blamed_for_its_answers() {
        assert_eq!(Outcome::Answered(200).blame(), None);
        assert_eq!(Outcome::Answered(404).blame(), None);
        assert_eq!(Outcome::Answered(503).blame(), Some(Blame::Upstream));
        assert_eq!(Outcome::Failed(Failure::RequestBodyInvalid).blame(), Some(Blame::Client));
        assert_eq!(Outcome::Failed(Failure::ProxyExhausted).blame(), Some(Blame::Proxy));
        assert_eq!(Outcome::Failed(Failure::ResponseTimeout).blame(), Some(Blame::Upstream));
    }

    #[test]
    fn classes_keep_their_index() {
        for (index, class) in Class::ALL.iter().enumerate() {
            assert_eq!(class.index(), index);
        }
        assert_eq!(Outcome::Answered(302).class().as_str(), "3xx");
        assert_eq!(Outcome::Failed(Failure::ClientGone).class(), Class::Aborted);
    }
}
