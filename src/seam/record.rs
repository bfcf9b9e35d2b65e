//! What is kept of one request for those who are told of it when it has ended: the access log, and whoever collects traces.

use std::rc::Rc;
use std::time::Duration;

use crate::domain::outcome::Failure;
use crate::seam::access::{AccessSender, Line};
use crate::seam::trace::{Trace, Tracer, Trail};

/// Who is told of requests that have ended.
#[derive(Debug)]
pub struct Records {
    /// The access log.
    pub log: Option<AccessSender>,
    /// Who collects traces.
    pub tracer: Option<Tracer>,
}

impl Records {
    /// Puts them together; `None` where nobody is told.
    #[must_use]
    pub fn new(log: Option<AccessSender>, tracer: Option<Tracer>) -> Option<Rc<Self>> {
        (log.is_some() || tracer.is_some()).then(|| Rc::new(Self { log, tracer }))
    }
}

/// A line that is not finished yet, with its trace where the request is recorded.
#[derive(Debug)]
pub struct Access {
    /// What is known so far.
    pub line: Box<Line>,
    trace: Option<Trace>,
    records: Rc<Records>,
}

impl Access {
    /// Begins with what is known.
    #[must_use]
    pub fn new(mut line: Box<Line>, trace: Option<Trace>, records: Rc<Records>) -> Self {
        line.trace = trace.as_ref().map(|trace| trace.origin().trace);
        Self { line, trace, records }
    }

    /// Returns the trace, where there is one.
    #[must_use]
    pub const fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Returns the attempts, where there is a trace.
    #[must_use]
    pub fn trail(&self) -> Option<&Rc<Trail>> {
        self.trace.as_ref().map(Trace::trail)
    }

    /// Finishes the line and sends it, and the trace.
    pub fn finish(self, bytes: u64, duration: Duration, failure: Option<Failure>) {
        let Self { mut line, trace, records } = self;
        (line.bytes, line.duration, line.failure) = (bytes, duration, failure);
        if let (Some(trace), Some(tracer)) = (trace, &records.tracer) {
            tracer.send(trace.end(line.clone()));
        }
        if let Some(log) = &records.log {
            log.send(line);
        }
    }
}
