//! How a case may end, and whether it did; pure.

use std::fmt;

use crate::support::frames::{self, ACK, DATA, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS};

/// Codes of errors (RFC 9113 section 7).
pub const PROTOCOL: u32 = 1;
/// See [`PROTOCOL`].
pub const FLOW_CONTROL: u32 = 3;
/// See [`PROTOCOL`].
pub const STREAM_CLOSED: u32 = 5;
/// See [`PROTOCOL`].
pub const FRAME_SIZE: u32 = 6;
/// See [`PROTOCOL`].
pub const REFUSED: u32 = 7;
/// See [`PROTOCOL`].
pub const CANCEL: u32 = 8;
/// See [`PROTOCOL`].
pub const COMPRESSION: u32 = 9;

const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

fn name(code: u32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    known.map_or_else(|| code.to_string(), ToString::to_string)
}

/// How a case may end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Stream 1 is answered with 200.
    Answered,
    /// DATA of this length comes, or of any.
    Data(Option<usize>),
    /// The next frame is SETTINGS that acknowledge nothing.
    Settings,
    /// SETTINGS are acknowledged.
    Acknowledged,
    /// PING is answered with these bytes, and no other.
    Pong([u8; 8]),
    /// The same, or the connection closes.
    PongOrClose([u8; 8]),
    /// The connection closes, whatever is said before.
    Close,
    /// An error of the connection: GOAWAY with one of these codes, or it closes.
    ConnectionError(&'static [u32]),
    /// An error of a stream: RST_STREAM or GOAWAY with one of these codes, or the connection closes.
    StreamError(&'static [u32]),
    /// GOAWAY with this code.
    GoAway(u32),
    /// RST_STREAM with this code.
    Reset(u32),
}

/// What a case ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether that may be.
    pub reached: bool,
    /// Whether it closed the connection with another code than the RFC names for the error.
    pub miscoded: bool,
    /// What it was.
    pub shown: String,
}

impl Outcome {
    fn new((reached, shown): (bool, String)) -> Self {
        Self { reached, miscoded: false, shown }
    }

    /// Not what was wanted.
    pub fn missed(shown: impl Into<String>) -> Self {
        Self::new((false, shown.into()))
    }
}

impl Ends {
    /// Finds what decides among the frames that came, and whether the connection closed after them; `None` while nothing does.
    pub fn judge(&self, frames: &[Frame<'_>], closed: bool) -> Option<Outcome> {
        if let Some(decided) = frames.iter().find_map(|frame| self.decided_by(frame)) {
            return Some(Outcome::new(decided));
        }
        let other = frames.iter().find(|frame| frame.kind == GOAWAY && self.names_codes());
        closed.then(|| match other {
            Some(frame) => Outcome { reached: true, miscoded: true, shown: format!("GOAWAY {}, closed", name(frame.number(4))) },
            None => Outcome::new((self.may_close(), "closed".to_owned())),
        })
    }

    const fn names_codes(&self) -> bool {
        matches!(self, Self::ConnectionError(_) | Self::StreamError(_))
    }

    const fn may_close(&self) -> bool {
        matches!(self, Self::PongOrClose(_) | Self::Close) || self.names_codes()
    }

    /// Says whether a frame decides, in which way, and how it is shown.
    fn decided_by(&self, frame: &Frame<'_>) -> Option<(bool, String)> {
        if *self == Self::Settings {
            let good = frame.kind == SETTINGS && !frame.has(ACK);
            return Some((good, if good { "SETTINGS".to_owned() } else { format!("frame of kind {}", frame.kind) }));
        }
        match frame.kind {
            GOAWAY => {
                let code = frame.number(4);
                let good = match self {
                    Self::Close | Self::PongOrClose(_) => return None,
                    Self::ConnectionError(codes) | Self::StreamError(codes) if codes.contains(&code) => true,
                    Self::ConnectionError(_) | Self::StreamError(_) => return None,
                    Self::GoAway(wanted) => *wanted == code,
                    _ => false,
                };
                Some((good, format!("GOAWAY {}", name(code))))
            }
            RST_STREAM => {
                let code = frame.number(0);
                let good = match self {
                    Self::StreamError(codes) => codes.contains(&code),
                    Self::Reset(wanted) => *wanted == code,
                    Self::Answered | Self::Data(_) => false,
                    _ => return None,
                };
                Some((good, format!("RST_STREAM {}", name(code))))
            }
            HEADERS if *self == Self::Answered => {
                let status = frames::status(frame.payload);
                Some((frame.stream == 1 && status == 200, status.to_string()))
            }
            DATA => {
                let Self::Data(length) = self else { return None };
                let came = frame.payload.len();
                Some((length.is_none_or(|length| length == came), format!("DATA of {came} bytes")))
            }
            SETTINGS if *self == Self::Acknowledged && frame.has(ACK) => Some((true, "SETTINGS ACK".to_owned())),
            PING => {
                let (Self::Pong(bytes) | Self::PongOrClose(bytes)) = self else { return None };
                let good = frame.has(ACK) && frame.payload == bytes;
                Some((good, if good { "PING ACK".to_owned() } else { format!("PING {:?}", frame.payload) }))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let either = |codes: &[u32]| codes.iter().map(|code| name(*code)).collect::<Vec<_>>().join(" or ");
        match self {
            Self::Answered => f.write_str("200"),
            Self::Data(None) => f.write_str("DATA"),
            Self::Data(Some(length)) => write!(f, "DATA of {length} bytes"),
            Self::Settings => f.write_str("SETTINGS first"),
            Self::Acknowledged => f.write_str("SETTINGS ACK"),
            Self::Pong(_) => f.write_str("PING ACK"),
            Self::PongOrClose(_) => f.write_str("PING ACK, close"),
            Self::Close => f.write_str("close"),
            Self::ConnectionError(codes) => write!(f, "GOAWAY {}, close", either(codes)),
            Self::StreamError(codes) => write!(f, "RST_STREAM or GOAWAY {}, close", either(codes)),
            Self::GoAway(code) => write!(f, "GOAWAY {}", name(*code)),
            Self::Reset(code) => write!(f, "RST_STREAM {}", name(*code)),
        }
    }
}

#[test]
fn an_end_is_reached_by_what_it_names_and_by_nothing_else() {
    let goaway = |code| frames::frame(GOAWAY, 0, 0, [0, 0, 0, 1, 0, 0, 0, code]);
    let reset = |code| frames::frame(RST_STREAM, 0, 1, [0, 0, 0, code]);
    let answer = |index| frames::frame(HEADERS, 4, 1, [index]);
    let pong = |flags, byte| frames::frame(PING, flags, 0, [byte; 8]);
    let data = |length| frames::frame(DATA, 0, 1, vec![0; length]);
    let both = |a: Vec<u8>, b: Vec<u8>| [a, b].concat();
    let cases: [(Ends, Vec<u8>, bool, Option<bool>); 27] = [
        (Ends::Answered, answer(0x88), false, Some(true)),
        (Ends::Answered, answer(0x8c), false, Some(false)),
        (Ends::Answered, reset(1), false, Some(false)),
        (Ends::Answered, vec![], true, Some(false)),
        (Ends::Data(Some(1)), data(1), false, Some(true)),
        (Ends::Data(Some(1)), data(2), false, Some(false)),
        (Ends::Settings, frames::frame(SETTINGS, 0, 0, b""), false, Some(true)),
        (Ends::Settings, frames::frame(SETTINGS, ACK, 0, b""), false, Some(false)),
        (Ends::Acknowledged, frames::frame(SETTINGS, 0, 0, b""), false, None),
        (Ends::Acknowledged, frames::frame(SETTINGS, ACK, 0, b""), false, Some(true)),
        (Ends::Pong([1; 8]), pong(ACK, 1), false, Some(true)),
        (Ends::Pong([1; 8]), both(pong(ACK, 2), pong(ACK, 1)), false, Some(false)),
        (Ends::Pong([1; 8]), pong(0, 1), false, Some(false)),
        (Ends::Pong([1; 8]), vec![], true, Some(false)),
        (Ends::PongOrClose([1; 8]), goaway(0), true, Some(true)),
        (Ends::Close, goaway(1), false, None),
        (Ends::Close, goaway(1), true, Some(true)),
        (Ends::ConnectionError(&[PROTOCOL]), both(answer(0x88), goaway(1)), false, Some(true)),
        (Ends::ConnectionError(&[PROTOCOL]), goaway(2), false, None),
        (Ends::ConnectionError(&[PROTOCOL]), goaway(2), true, Some(true)),
        (Ends::ConnectionError(&[PROTOCOL]), reset(1), false, None),
        (Ends::ConnectionError(&[PROTOCOL]), vec![], true, Some(true)),
        (Ends::StreamError(&[PROTOCOL]), reset(1), false, Some(true)),
        (Ends::StreamError(&[PROTOCOL]), reset(8), true, Some(false)),
        (Ends::GoAway(PROTOCOL), vec![], true, Some(false)),
        (Ends::Reset(PROTOCOL), goaway(1), false, Some(false)),
        (Ends::Reset(PROTOCOL), reset(1), false, Some(true)),
    ];
    for (ends, bytes, closed, reached) in cases {
        let outcome = ends.judge(&frames::split(&bytes), closed);
        assert_eq!(outcome.as_ref().map(|outcome| outcome.reached), reached, "{ends:?} of {bytes:?}, {closed}: {outcome:?}");
    }
    let miscoded = |code| Ends::StreamError(&[PROTOCOL]).judge(&frames::split(&goaway(code)), true).map(|outcome| outcome.miscoded);
    assert_eq!((miscoded(1), miscoded(2)), (Some(false), Some(true)));
}
