//! The kinds of errors a gate can count: which failures and answers of a version are bad.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::outcome::{Failure, Outcome};

/// A set of kinds of errors; also the set of kinds that one outcome belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorKinds(u16);

impl ErrorKinds {
    /// No kind; the set of an outcome that is no error.
    pub const NONE: Self = Self(0);
    /// Answers with a status from 500 to 599.
    pub const SERVER: Self = Self(1);
    /// Answers with a status from 400 to 499. The client may be to blame, so only a gate that names them counts them.
    pub const CLIENT: Self = Self(1 << 1);
    /// No connection could be made.
    pub const CONNECT: Self = Self(1 << 2);
    /// The version closed the connection before its answer was complete.
    pub const RESET: Self = Self(1 << 3);
    /// The version did not answer, or go on answering, in time.
    pub const TIMEOUT: Self = Self(1 << 4);
    /// The version sent something that is no valid HTTP.
    pub const INVALID: Self = Self(1 << 5);
    /// A gRPC call whose status is one of the server's failures.
    pub const GRPC: Self = Self(1 << 6);

    /// Answers with a status from 300 to 399 but 304, which leads nobody elsewhere. Services redirect on purpose, so only a gate that
    /// names them counts them.
    pub const REDIRECT: Self = Self(1 << 7);

    /// Answers with a status from 200 to 299 that may have a body, and whose body has no byte: a version that fails fast and says that
    /// all is well. Known at the answer's end. Some answers are empty on purpose, so only a gate that names them counts them.
    pub const EMPTY: Self = Self(1 << 8);

    /// The same with fewer bytes, as sent, than the service's answers have at least; empty ones are among them, parts that a client
    /// asked for (206) are not. Only a service knows how long its answers are, so only a gate that names them counts them.
    pub const SMALL: Self = Self(1 << 9);

    /// What a gate counts where it names no kinds: everything that is the version's fault by HTTP alone.
    pub const DEFAULT: Self = Self(Self::SERVER.0 | Self::CONNECT.0 | Self::RESET.0 | Self::TIMEOUT.0 | Self::INVALID.0);

    /// Every kind by its name, in the order in which they are written.
    pub const NAMED: [(&'static str, Self); 10] = [
        ("5xx", Self::SERVER),
        ("4xx", Self::CLIENT),
        ("connect", Self::CONNECT),
        ("reset", Self::RESET),
        ("timeout", Self::TIMEOUT),
        ("invalid", Self::INVALID),
        ("grpc", Self::GRPC),
        ("3xx", Self::REDIRECT),
        ("empty", Self::EMPTY),
        ("small", Self::SMALL),
    ];

    /// Returns the kinds of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the kinds that are in both sets.
    #[must_use]
    pub const fn among(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Says whether the sets have a kind in common: whether a gate that counts `self` counts an outcome of kinds `other`.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Says whether there is no kind in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the kinds of a gRPC call that ended with this code.
    ///
    /// The server is at fault with UNKNOWN (2), DEADLINE_EXCEEDED (4), UNIMPLEMENTED (12), INTERNAL (13), UNAVAILABLE (14) and
    /// DATA_LOSS (15), as OpenTelemetry's conventions for gRPC have it for spans of servers; Linkerd's classification agrees but for
    /// UNIMPLEMENTED, which counts here because a release that lost a method is a bad release. All other codes of gRPC are about what
    /// the client asked for, or its own doing. A number that is no code is UNKNOWN to clients.
    #[must_use]
    pub const fn of_grpc(code: u32) -> Self {
        match code {
            0 | 1 | 3 | 5..=11 | 16 => Self::NONE,
            _ => Self::GRPC,
        }
    }

    /// Returns the kinds of one outcome; none for what is not the version's doing.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(500..=599) => Self::SERVER,
            Outcome::Answered(400..=499) => Self::CLIENT,
            Outcome::Answered(300..=303 | 305..=399) => Self::REDIRECT,
            Outcome::Answered(_) => Self::NONE,
            Outcome::Failed(failure) => match failure {
                Failure::ConnectionRefused | Failure::ConnectionTimeout | Failure::TlsCertificate | Failure::TlsHandshake => Self::CONNECT,
                Failure::ConnectionTerminated | Failure::ResponseBodyCut => Self::RESET,
                Failure::ResponseTimeout | Failure::ResponseBodyTimeout => Self::TIMEOUT,
                Failure::ResponseInvalid | Failure::ResponseInformational => Self::INVALID,
                Failure::RequestBodyInvalid
                | Failure::RequestBodyTimeout
                | Failure::ClientGone
                | Failure::GivenUp
                | Failure::ProxyExhausted
                | Failure::NoEndpoint
                | Failure::VersionBusy
                | Failure::Shed
                | Failure::TakenBack => Self::NONE,
            },
        }
    }
}

impl fmt::Display for ErrorKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Self::NAMED.iter().filter(|(_, kind)| self.meets(*kind)).map(|(name, _)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

/// The reason why a text names no kind of error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no kind of error; there are 5xx, 4xx, connect, reset, timeout, invalid, grpc, 3xx, empty and small")]
pub struct UnknownErrorKind(String);

impl FromStr for ErrorKinds {
    type Err = UnknownErrorKind;

    /// Reads kinds separated by commas, such as `5xx, grpc`.
    fn from_str(text: &str) -> Result<Self, UnknownErrorKind> {
        text.split(',').map(str::trim).try_fold(Self::NONE, |kinds, name| {
            let kind = Self::NAMED.iter().find(|(known, _)| *known == name);
            kind.map(|(_, kind)| kinds.and(*kind)).ok_or_else(|| UnknownErrorKind(name.chars().take(40).collect()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Blame;

    #[test]
    fn what_it_writes_it_reads() {
        for text in ["5xx", "5xx, grpc", "5xx, 4xx, connect, reset, timeout, invalid, grpc, 3xx, empty, small"] {
            assert_eq!(text.parse::<ErrorKinds>().unwrap().to_string(), text);
        }
        assert_eq!("grpc,5xx".parse(), Ok(ErrorKinds::SERVER.and(ErrorKinds::GRPC)));
        let error = "5xx, 6xx".parse::<ErrorKinds>().unwrap_err().to_string();
        assert!(error.contains("'6xx'"), "{error}");
        assert!("".parse::<ErrorKinds>().is_err());
    }

    #[test]
    fn each_failure_has_the_kind_that_a_gate_names() {
        let named = |outcome| ErrorKinds::of(outcome).to_string();
        for (failure, kind) in [
            (Failure::ConnectionRefused, "connect"),
            (Failure::ConnectionTimeout, "connect"),
            (Failure::TlsCertificate, "connect"),
            (Failure::TlsHandshake, "connect"),
            (Failure::ConnectionTerminated, "reset"),
            (Failure::ResponseBodyCut, "reset"),
            (Failure::ResponseTimeout, "timeout"),
            (Failure::ResponseBodyTimeout, "timeout"),
            (Failure::ResponseInvalid, "invalid"),
            (Failure::ResponseInformational, "invalid"),
            (Failure::ClientGone, ""),
        ] {
            assert_eq!(named(Outcome::Failed(failure)), kind, "{failure:?}");
        }
        for (status, kind) in [(299, ""), (300, "3xx"), (303, "3xx"), (304, ""), (399, "3xx"), (400, "4xx"), (499, "4xx"), (600, "")] {
            assert_eq!(named(Outcome::Answered(status)), kind, "{status}");
        }
        assert_eq!([500, 599].map(|status| named(Outcome::Answered(status))), ["5xx", "5xx"]);
    }

    #[test]
    fn the_failures_of_a_grpc_server_are_told_from_those_of_its_clients() {
        let counted: Vec<u32> = (0..20).filter(|code| ErrorKinds::of_grpc(*code) == ErrorKinds::GRPC).collect();
        assert_eq!(counted, [2, 4, 12, 13, 14, 15, 17, 18, 19]);
    }

    #[test]
    fn the_default_kinds_are_what_the_version_is_blamed_for() {
        let failures = [
            Failure::ConnectionRefused,
            Failure::ConnectionTimeout,
            Failure::TlsCertificate,
            Failure::TlsHandshake,
            Failure::ConnectionTerminated,
            Failure::ResponseTimeout,
            Failure::ResponseInvalid,
            Failure::ResponseBodyTimeout,
            Failure::ResponseBodyCut,
            Failure::ResponseInformational,
            Failure::RequestBodyInvalid,
            Failure::RequestBodyTimeout,
            Failure::ClientGone,
            Failure::GivenUp,
            Failure::ProxyExhausted,
            Failure::NoEndpoint,
            Failure::VersionBusy,
            Failure::Shed,
            Failure::TakenBack,
        ];
        let answers = [200, 302, 404, 500, 503, 599].map(Outcome::Answered);
        for outcome in failures.map(Outcome::Failed).into_iter().chain(answers) {
            let counted = ErrorKinds::DEFAULT.meets(ErrorKinds::of(outcome));
            assert_eq!(counted, outcome.blame() == Some(Blame::Upstream), "{outcome:?}");
        }
    }
}
