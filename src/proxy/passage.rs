//! One request between decision and end: its measurement and its line of the access log, which begin and end together.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, response};

use crate::domain::error_kinds::ErrorKinds;
use crate::domain::outcome::{Failure, Role};
use crate::domain::time::Timestamp;
use crate::domain::version::Name;
use crate::proxy::grpc;
use crate::proxy::record;
use crate::proxy::sanitise::Clean;
use crate::seam::clock::Clock;
use crate::seam::record::Access;
use crate::seam::recorder::EpochBooks;
use crate::seam::sample::Sample;
use crate::seam::trace::Trail;

/// A request that was given to a version. Dropping it before its end says that the client left.
pub struct Passage {
    /// Absent once it has ended.
    sample: Option<Sample>,
    access: Option<Box<Access>>,
    sent: u64,
    /// What it is if it ends without the body that such an answer has.
    bodiless: ErrorKinds,
    call: Call,
    /// Set where no version has it, and it is therefore not measured: with which clock, and when it began.
    elsewhere: Option<Box<(Clock, Timestamp)>>,
}

/// What an answer with a body may lack of it.
const LACKING: ErrorKinds = ErrorKinds::EMPTY.and(ErrorKinds::SMALL);

/// What is known of how a gRPC call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// It is none.
    None,
    /// Its status is due behind the answer.
    Due,
    /// Its status was told, and is an error of these kinds.
    Told(ErrorKinds),
}

impl Passage {
    /// Begins with a measurement that has begun, and completes the line with what was decided.
    #[must_use]
    pub fn new(sample: Sample, mut access: Option<Box<Access>>, clean: &Clean) -> Self {
        if let Some(access) = &mut access {
            let epoch = sample.epoch();
            access.line.host.clone_from(&clean.host);
            access.line.service = Some(epoch.service.clone());
            access.line.version = Some(sample.version().name.clone());
            access.line.role = Some(sample.role());
            access.line.generation = epoch.generation;
            access.line.rollout = epoch.rollout;
            if let Some(trail) = access.trail() {
                trail.given(&sample);
            }
        }
        let bodiless = if clean.bodyless { ErrorKinds::NONE } else { LACKING };
        Self { sample: Some(sample), access, sent: 0, bodiless, call: Call::None, elsewhere: None }
    }

    /// Begins with a request that goes where no service is: nothing of it is measured but for the access log.
    #[must_use]
    pub fn elsewhere(mut access: Option<Box<Access>>, clean: &Clean, since: (Clock, Timestamp)) -> Self {
        if let Some(access) = &mut access {
            access.line.host.clone_from(&clean.host);
        }
        let elsewhere = access.is_some().then(|| Box::new(since));
        Self { sample: None, access, sent: 0, bodiless: ErrorKinds::NONE, call: Call::None, elsewhere }
    }

    /// Finishes the line of a request that no version has.
    #[cold]
    fn finish_elsewhere(&mut self, failure: Option<Failure>) {
        if let (Some(since), Some(mut access)) = (self.elsewhere.take(), self.access.take()) {
            if let (Some(failure), None) = (failure, access.line.response_time) {
                access.line.status = failure.status();
            }
            let (clock, started) = *since;
            access.finish(self.sent, clock.now().since(started), failure);
        }
    }

    /// Tells the version, where the request is recorded, which span calls it; returns where its attempts are noted.
    #[inline]
    pub fn announce(&self, headers: &mut HeaderMap) -> Option<Rc<Trail>> {
        let trace = self.access.as_ref()?.trace()?;
        record::announce(trace, headers);
        Some(Rc::clone(trace.trail()))
    }

    /// Returns the version that answered and how long it took until the head of its answer; `None` before that.
    #[must_use]
    pub fn told(&self) -> Option<(&Name, Duration)> {
        let sample = self.sample.as_ref()?;
        Some((&sample.version().name, sample.response_time()?))
    }

    /// Notes the version's response head.
    pub fn head(&mut self, status: u16) {
        self.bodiless = match status {
            200..=203 | 207..=299 => self.bodiless,
            206 if !self.bodiless.is_empty() => ErrorKinds::EMPTY,
            _ => ErrorKinds::NONE,
        };
        self.head_since(status, None);
    }

    /// Notes the head of the answer to a gRPC call, which could not come before `since` where the client had to send more until then.
    pub fn head_of_call(&mut self, head: &response::Parts, since: Option<Timestamp>) {
        self.call = match (grpc::status(&head.headers), head.status) {
            (Some(code), _) => Call::Told(ErrorKinds::of_grpc(code)),
            (None, StatusCode::OK) => Call::Due,
            (None, other) => Call::Told(ErrorKinds::of_grpc(grpc::status_of_http(other))),
        };
        self.head_since(head.status.as_u16(), since);
    }

    fn head_since(&mut self, status: u16, since: Option<Timestamp>) {
        let Some(sample) = &mut self.sample else {
            if let (Some(since), Some(access)) = (&self.elsewhere, &mut self.access) {
                access.line.status = status;
                access.line.response_time = Some(since.0.now().since(since.1));
            }
            return;
        };
        sample.head_since(status, since.unwrap_or_else(|| sample.started()));
        if let Some(access) = &mut self.access {
            access.line.status = status;
            access.line.response_time = sample.response_time();
        }
    }

    /// Says whether stable may make this failure good.
    #[must_use]
    pub fn is_rescuable(&self, failure: Failure) -> bool {
        let of_canary = self.sample.as_ref().filter(|sample| sample.role() == Role::Canary);
        of_canary.is_some_and(|sample| failure.is_rescuable() && sample.epoch().rules.rescue)
    }

    /// Returns the books the measurement goes to.
    #[must_use]
    pub fn books(&self) -> Option<Rc<EpochBooks>> {
        self.sample.as_ref().map(|sample| Rc::clone(sample.books()))
    }

    /// Ends the measurement of the version that failed and begins that of the one that takes over `now`; the line of the
    /// access log becomes the latter's and remembers why.
    pub fn hand_over(&mut self, failure: Failure, begin: impl FnOnce(Timestamp) -> Sample, now: Timestamp) {
        if let Some(sample) = self.sample.take() {
            sample.fail(failure);
        }
        let sample = begin(now);
        if let Some(access) = &mut self.access {
            access.line.version = Some(sample.epoch().version(sample.role()).name.clone());
            access.line.role = Some(sample.role());
            access.line.rescued = Some(failure);
            if let Some(trail) = access.trail() {
                trail.given(&sample);
            }
        }
        self.sample = Some(sample);
    }

    /// Notes bytes of the answer on their way to the client.
    pub const fn pass(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Notes what stands behind the answer.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        if self.call == Call::Due
            && let Some(code) = grpc::status(trailers)
        {
            self.call = Call::Told(ErrorKinds::of_grpc(code));
        }
    }

    /// Ends it: the answer went through in full. To a gRPC call an answer without a status is none.
    pub fn complete(&mut self) {
        let errors = match self.call {
            Call::None => self.lacking(),
            Call::Due => return self.fail(Failure::ResponseInvalid),
            Call::Told(errors) => errors,
        };
        if let Some(sample) = self.sample.take() {
            let duration = sample.complete_as(errors);
            if let Some(access) = self.access.take() {
                access.finish(self.sent, duration, None);
            }
        } else if self.elsewhere.is_some() {
            self.finish_elsewhere(None);
        }
    }

    /// Says what an answer is that went through in full, for want of a body.
    fn lacking(&self) -> ErrorKinds {
        let least = self.sample.as_ref().map_or(0, |sample| sample.epoch().rules.min_body);
        let empty = if self.sent == 0 { ErrorKinds::EMPTY } else { ErrorKinds::NONE };
        let small = if self.sent < least { ErrorKinds::SMALL } else { ErrorKinds::NONE };
        self.bodiless.among(empty.and(small))
    }

    /// Ends it with a failure.
    pub fn fail(&mut self, failure: Failure) {
        if let Some(sample) = self.sample.take() {
            let duration = sample.fail(failure);
            if let Some(mut access) = self.access.take() {
                if access.line.response_time.is_none() {
                    access.line.status = failure.status();
                }
                access.finish(self.sent, duration, Some(failure));
            }
        } else if self.elsewhere.is_some() {
            self.finish_elsewhere(Some(failure));
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.fail(Failure::ClientGone);
    }
}
