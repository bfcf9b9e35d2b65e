//! The traces of the process: begun when they are wanted, and finished at the end.

#[cfg(feature = "otlp")]
pub(super) use with_otlp::{Exporter, start};
#[cfg(not(feature = "otlp"))]
pub(super) use without::{Exporter, start};

#[cfg(feature = "otlp")]
mod with_otlp {
    use crate::app::error::AppError;
    use crate::config::Traces;
    use crate::seam::trace::{self, Sampling, Tracer};
    use crate::sources::credential::{Credential, Scheme};
    use crate::sources::mailbox::Mailbox;
    pub(in crate::app) use crate::telemetry::traces::Exporter;
    use crate::telemetry::traces::{Instance, Pace};

    /// Starts what brings traces to their collector, when there is to be one; `instance` is what the process calls itself.
    pub(in crate::app) fn start(wanted: Option<&Traces>, instance: &str) -> Result<Option<(Tracer, Exporter)>, AppError> {
        let Some(wanted) = wanted else { return Ok(None) };
        let refuse = |why: String| AppError::Traces(why);
        let mut collector = Mailbox::new(&wanted.url, wanted.ca.as_deref()).map_err(|error| refuse(error.to_string()))?;
        if let Some(path) = &wanted.token_file {
            collector = collector.with_credential(Credential::read(path, Scheme::Bearer).map_err(|error| refuse(error.to_string()))?);
        }
        let shows_itself = wanted.token_file.is_some() || wanted.fields.iter().any(|(name, _)| name == http::header::AUTHORIZATION);
        if shows_itself && !collector.is_confidential() {
            let why = format!("{collector} is in clear text, and the token would be sent for everybody to read; write https://");
            return Err(refuse(why));
        }
        collector = collector.with_fields(wanted.fields.clone());
        let (tracer, receiver) = trace::channel(Sampling { share: wanted.sample, follow: wanted.follow });
        let instance = Instance { name: instance.to_owned(), service: wanted.service.clone() };
        Ok(Some((tracer, Exporter::start(receiver, collector, instance, Pace::default())?)))
    }
}

/// What stands for it in a program that sends no traces: a configuration that wants some was refused before.
#[cfg(not(feature = "otlp"))]
mod without {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::app::error::AppError;
    use crate::config::Traces;
    use crate::seam::trace::{SpanCounts, Tracer};

    pub(in crate::app) enum Exporter {}

    impl Exporter {
        pub(in crate::app) fn counts(&self) -> Arc<SpanCounts> {
            match *self {}
        }

        pub(in crate::app) fn finish(self, _: Duration) -> bool {
            match self {}
        }
    }

    pub(in crate::app) fn start(wanted: Option<&Traces>, _: &str) -> Result<Option<(Tracer, Exporter)>, AppError> {
        match wanted {
            None => Ok(None),
            Some(_) => Err(AppError::Traces("this program was built without the feature otlp".to_owned())),
        }
    }
}
