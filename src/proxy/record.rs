//! What is kept of a request for the access log and for traces: begun before it is cleaned, so that a refused one is told of too.

use std::rc::Rc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::time::Timestamp;
use crate::domain::trace::{self, SpanId, TraceContext, TraceId};
use crate::proxy::sanitise::Peer;
use crate::proxy::worker::Worker;
use crate::seam::access::Line;
use crate::seam::clock;
use crate::seam::record::{Access, Records};
use crate::seam::trace::{Origin, Trace};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest `tracestate` that is kept, in bytes: what the W3C's asks everybody to pass on.
const LONGEST_STATE: usize = 512;

/// Begins the line of a request, where there is a log or the request is recorded; the only part of the path that copies text.
#[inline]
pub fn begin(worker: &Worker, peer: &Peer, head: &Parts, started: Timestamp) -> Option<Box<Access>> {
    begin_for(worker.records.as_ref()?, worker, peer, head, started)
}

fn begin_for(records: &Rc<Records>, worker: &Worker, peer: &Peer, head: &Parts, started: Timestamp) -> Option<Box<Access>> {
    let trace = records.tracer.as_ref().and_then(|tracer| {
        let context = context(&head.headers);
        let recorded = tracer.sampling.takes(context.as_ref(), || worker.random());
        recorded.then(|| Trace::begin(origin(context, worker, peer, &head.headers), started))
    });
    if records.log.is_none() && trace.is_none() {
        return None;
    }
    let line = Box::new(Line {
        client: peer.address,
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        protocol: head.version,
        ..Line::default()
    });
    Some(Box::new(Access::new(line, trace, Rc::clone(records))))
}

/// Tells the version which span calls it. The state of a trace that begins here is nobody's; B3 goes through as it is.
pub fn announce(trace: &Trace, headers: &mut HeaderMap) {
    let origin = trace.origin();
    let text = trace::traceparent(origin.trace, trace.trail().first(), origin.random);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(TRACEPARENT, value);
    }
    if origin.parent.is_none() {
        headers.remove(TRACESTATE);
    }
}

/// Begins a span, in the caller's trace where there is one.
fn origin(context: Option<TraceContext>, worker: &Worker, peer: &Peer, headers: &HeaderMap) -> Origin {
    Origin {
        trace: context.map_or_else(|| TraceId::drawn(worker.random_id()), |context| context.trace),
        span: SpanId::drawn(worker.random_id()),
        parent: context.map(|context| context.parent),
        random: context.is_none_or(|context| context.random),
        state: context.map_or_else(String::new, |_| state(headers)),
        scheme: peer.scheme,
        began_ns: clock::unix_nanos(),
    }
}

/// Reads the caller's context: `traceparent`, else B3 in one piece or several.
fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let w3c = single(headers, "traceparent").and_then(TraceContext::from_traceparent);
    let one = || single(headers, "b3").and_then(TraceContext::from_b3);
    let several = || {
        let (trace, span) = (single(headers, "x-b3-traceid")?, single(headers, "x-b3-spanid")?);
        TraceContext::from_b3_fields(trace, span, single(headers, "x-b3-sampled"), single(headers, "x-b3-flags"))
    };
    w3c.or_else(one).or_else(several)
}

/// Returns the value of a field that is there once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
}

/// Puts the values of `tracestate` together; those that are too long or no text are left out.
fn state(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(TRACESTATE).into_iter().filter_map(|value| value.to_str().ok()).collect();
    Some(values.join(",")).filter(|state| state.len() <= LONGEST_STATE).unwrap_or_default()
}
