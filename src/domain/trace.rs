//! Whose trace a request belongs to: the ids of traces and spans, and the context that requests carry them in.
//!
//! What is read is W3C Trace Context (`traceparent`, Recommendation of 2021 and level 2) and B3 (`b3` and `X-B3-*`, openzipkin/b3-propagation).
//! What is written is `traceparent`. A context that cannot be understood is none.

use std::fmt;

/// The id of a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span in its trace: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// Makes an id from a uniform number.
    #[must_use]
    pub const fn drawn(number: u128) -> Self {
        Self(if number == 0 { 1 } else { number })
    }
}

impl SpanId {
    /// Makes an id from a uniform number.
    #[must_use]
    pub const fn drawn(number: u64) -> Self {
        Self(if number == 0 { 1 } else { number })
    }

    /// Makes the id of another span of the same request, the `index`-th from 0; a bijection of the sum, so that no two are alike
    /// (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
    #[must_use]
    pub const fn next(self, index: u64) -> Self {
        let mut mixed = self.0.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self::drawn(mixed ^ (mixed >> 31))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a caller says of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span.
    pub parent: SpanId,
    /// Whether the caller records it; `None` where it leaves that to others.
    pub sampled: Option<bool>,
    /// Whether it says that the trace's id is random in its last 7 bytes (level 2 of the W3C's), which is passed on.
    pub random: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; of a later version what this one has of it (section 3.2.2.1 of the Recommendation).
    #[must_use]
    pub fn from_traceparent(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(55)?;
        let [version, trace, parent, flags] = parts(head)?;
        let known = hex(version, 2)?;
        if known == 0xff || (known == 0 && !rest.is_empty()) || rest.first().is_some_and(|next| *next != b'-') {
            return None;
        }
        let flags = hex(flags, 2)?;
        Some(Self { trace: trace_id(trace, 32)?, parent: span_id(parent)?, sampled: Some(flags & 1 == 1), random: flags & 2 == 2 })
    }

    /// Reads a `b3` field in one piece: the trace, the span, and perhaps the decision and the caller's own parent.
    #[must_use]
    pub fn from_b3(text: &[u8]) -> Option<Self> {
        let mut pieces = text.split(|byte| *byte == b'-');
        let (trace, span) = (pieces.next()?, pieces.next()?);
        let sampled = match pieces.next() {
            None => None,
            Some(b"0") => Some(false),
            Some(b"1" | b"d") => Some(true),
            Some(_) => return None,
        };
        Self::of_b3(trace, span, sampled)
    }

    /// Puts together the values of `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled` and `X-B3-Flags`, where they are there.
    #[must_use]
    pub fn from_b3_fields(trace: &[u8], span: &[u8], sampled: Option<&[u8]>, flags: Option<&[u8]>) -> Option<Self> {
        let sampled = match (sampled, flags) {
            (_, Some(b"1")) | (Some(b"1" | b"true"), _) => Some(true),
            (Some(b"0" | b"false"), _) => Some(false),
            _ => None,
        };
        Self::of_b3(trace, span, sampled)
    }

    fn of_b3(trace: &[u8], span: &[u8], sampled: Option<bool>) -> Option<Self> {
        // A trace of 8 bytes is one of 16 with zeros before it.
        let trace = trace_id(trace, 32).or_else(|| trace_id(trace, 16))?;
        Some(Self { trace, parent: span_id(span)?, sampled, random: false })
    }
}

/// Writes the `traceparent` of a recorded span.
#[must_use]
pub fn traceparent(trace: TraceId, span: SpanId, random: bool) -> String {
    format!("00-{trace}-{span}-0{}", if random { 3 } else { 1 })
}

/// Splits the four parts of a `traceparent`, whose lengths are fixed.
fn parts(head: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = head.split(|byte| *byte == b'-');
    let four = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(four)
}

fn trace_id(digits: &[u8], length: usize) -> Option<TraceId> {
    hex(digits, length).filter(|number| *number != 0).map(TraceId)
}

fn span_id(digits: &[u8]) -> Option<SpanId> {
    let number = hex(digits, 16).and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number != 0).map(SpanId)
}

/// Reads exactly so many digits, in lower case as both formats want them.
fn hex(digits: &[u8], length: usize) -> Option<u128> {
    let good = digits.len() == length && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    std::str::from_utf8(digits).ok().filter(|_| good).and_then(|text| u128::from_str_radix(text, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(text: &str) -> Option<(String, String, Option<bool>, bool)> {
        TraceContext::from_traceparent(text.as_bytes()).map(shown)
    }

    fn shown(context: TraceContext) -> (String, String, Option<bool>, bool) {
        (context.trace.to_string(), context.parent.to_string(), context.sampled, context.random)
    }

    fn of(sampled: Option<bool>, random: bool) -> Option<(String, String, Option<bool>, bool)> {
        Some((TRACE.to_owned(), SPAN.to_owned(), sampled, random))
    }

    #[test]
    fn a_traceparent_is_read_and_written() {
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-01")), of(Some(true), false));
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-00")), of(Some(false), false));
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-03")), of(Some(true), true));
        for later in [format!("cc-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-comes")] {
            assert_eq!(read(&later), of(Some(true), false), "{later}");
        }
        for random in [false, true] {
            let context = TraceContext::from_traceparent(format!("00-{TRACE}-{SPAN}-01").as_bytes()).unwrap();
            assert_eq!(read(&traceparent(context.trace, context.parent, random)), of(Some(true), random));
        }
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01."),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}+{SPAN}-01"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("00-{SPAN}-{TRACE}-01"),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn b3_is_read_in_one_piece_and_in_several() {
        let one = |text: &str| TraceContext::from_b3(text.as_bytes()).map(shown);
        assert_eq!(one(&format!("{TRACE}-{SPAN}")), of(None, false));
        for (decision, sampled) in [("0", false), ("1", true), ("d", true)] {
            assert_eq!(one(&format!("{TRACE}-{SPAN}-{decision}")), of(Some(sampled), false));
            assert_eq!(one(&format!("{TRACE}-{SPAN}-{decision}-05e3ac9a4f6e3b90")), of(Some(sampled), false));
        }
        for bad in ["0", "", "1-2", "-", &format!("{TRACE}-{SPAN}-2")] {
            assert_eq!(one(bad), None, "{bad}");
        }
        assert_eq!(one(&format!("{SPAN}-{SPAN}")).unwrap().0, format!("{:016}{SPAN}", 0), "8 bytes are the last 8");
        let several = |sampled: Option<&str>, flags: Option<&str>| {
            let [sampled, flags] = [sampled, flags].map(|value| value.map(str::as_bytes));
            TraceContext::from_b3_fields(TRACE.as_bytes(), SPAN.as_bytes(), sampled, flags).map(shown)
        };
        assert_eq!(several(None, None), of(None, false));
        assert_eq!((several(Some("1"), None), several(Some("0"), None)), (of(Some(true), false), of(Some(false), false)));
        assert_eq!((several(Some("true"), None), several(Some("false"), Some("1"))), (of(Some(true), false), of(Some(true), false)));
    }

    #[test]
    fn the_spans_of_a_request_are_told_apart() {
        for first in [0, 1, u64::MAX] {
            let first = SpanId::drawn(first);
            let mut ids: Vec<String> = (0..1000).map(|index| first.next(index).to_string()).chain([first.to_string()]).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 1001);
        }
        assert_eq!(TraceId::drawn(0).to_string(), format!("{:032}", 1));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = (TraceContext::from_traceparent(&bytes), TraceContext::from_b3(&bytes));
            let _ = TraceContext::from_b3_fields(&bytes, &bytes, Some(&bytes), None);
        }
    }
}
