//! One request between decision and end: its measurement and its line of the access log, which begin and end together.

use crate::domain::outcome::Failure;
use crate::proxy::sanitise::Clean;
use crate::seam::access::Access;
use crate::seam::sample::Sample;

/// A request that was given to a version. Dropping it before its end says that the client left.
pub struct Passage {
    /// Absent once it has ended.
    sample: Option<Sample>,
    access: Option<Box<Access>>,
    sent: u64,
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
        }
        Self { sample: Some(sample), access, sent: 0 }
    }

    /// Notes the version's response head.
    pub fn head(&mut self, status: u16) {
        let Some(sample) = &mut self.sample else { return };
        sample.head(status);
        if let Some(access) = &mut self.access {
            access.line.status = status;
            access.line.response_time = sample.response_time();
        }
    }

    /// Notes bytes of the answer on their way to the client.
    pub const fn pass(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Ends it: the answer went through in full.
    pub fn complete(&mut self) {
        if let Some(sample) = self.sample.take() {
            let duration = sample.complete();
            if let Some(access) = self.access.take() {
                access.finish(self.sent, duration, None);
            }
        }
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
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.fail(Failure::ClientGone);
    }
}
