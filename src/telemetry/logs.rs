//! The program's own log on the standard error: plain lines for people at a terminal, one JSON object per line otherwise.
//!
//! It does not write the access log, which has a writer of its own.

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{MakeWriter, Subscriber as Format};

/// The variable that says what is logged, in the syntax of `tracing`'s filters: `debug`, or `info,portcullis::proxy=debug`.
pub const VARIABLE: &str = "PORTCULLIS_LOG";

/// What is logged where nothing is said. The client of Kubernetes takes every request in vain for an error; whoever asks says so where
/// it is one.
const DEFAULT: &str = "info,kube_client=off,kube_runtime=off";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The variable holds no filter.
    #[error("{VARIABLE} is {value:?}, which is not a filter ({reason}); write a level such as debug, or info,portcullis::proxy=debug")]
    Filter {
        /// What it holds.
        value: String,
        /// Why it is not a filter.
        reason: String,
    },
    /// Logging was set up before.
    #[error("logging was set up before in this process")]
    Twice,
}

/// Sets up logging for the whole process, by what the standard error is and by [`VARIABLE`]; call it once, first of all.
///
/// # Errors
///
/// Fails when the variable holds no filter, and when logging was set up before.
pub fn start() -> Result<(), LogsError> {
    let value = std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
    let terminal = stderr().is_terminal();
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let style = if terminal { Style::Text { colours } } else { Style::Json };
    let subscriber = subscriber(style, filter(value.as_deref())?, stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogsError::Twice)
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text { colours: bool },
}

fn filter(value: Option<&str>) -> Result<EnvFilter, LogsError> {
    let value = value.map(str::trim).filter(|value| !value.is_empty()).unwrap_or(DEFAULT);
    EnvFilter::builder().parse(value).map_err(|error| LogsError::Filter { value: value.to_owned(), reason: error.to_string() })
}

fn subscriber<W>(style: Style, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A log that cannot be written must not write about it.
    let builder = Format::builder().with_writer(writer).with_env_filter(filter).log_internal_errors(false);
    match style {
        Style::Json => {
            Box::new(builder.with_ansi(false).json().flatten_event(true).with_current_span(false).with_span_list(false).finish())
        }
        Style::Text { colours } => Box::new(builder.with_ansi(colours).with_target(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, value: Option<&str>, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = subscriber(style, filter(value).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_for_machines_is_one_json_object_with_its_fields() {
        let text = logged(Style::Json, None, || tracing::warn!(service = "carts", "rolled back\nor so\u{1b}[31m"));
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["service"]), (&"WARN".into(), &"carts".into()), "{text}");
        assert_eq!(line["message"], "rolled back\nor so\u{1b}[31m");
        assert!(!text.contains('\u{1b}') && line["timestamp"].is_string(), "{text}");
    }

    #[test]
    fn a_line_for_people_is_text_without_control_characters() {
        let text = logged(Style::Text { colours: false }, None, || tracing::info!(service = "carts", "rolled back\u{1b}[31m"));
        assert!(text.contains("INFO rolled back") && text.contains("service=\"carts\""), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let text = logged(Style::Text { colours: true }, None, || tracing::info!("rolled back"));
        assert!(text.contains("\u{1b}["), "{text}");
    }

    #[test]
    fn the_variable_says_what_is_logged_and_info_is_the_default() {
        let both = || {
            tracing::debug!("fine");
            tracing::info!("coarse");
        };
        let seen = |value| {
            let text = logged(Style::Json, value, both);
            (text.contains("fine"), text.contains("coarse"))
        };
        assert_eq!(seen(None), (false, true));
        assert_eq!(seen(Some("  ")), (false, true));
        assert_eq!(seen(Some("debug")), (true, true));
        assert_eq!(seen(Some("info,portcullis::telemetry=debug")), (true, true));
        assert_eq!(seen(Some("error")), (false, false));
    }

    #[test]
    fn a_variable_that_is_no_filter_is_named_with_what_to_write() {
        let error = filter(Some("loud=very=much")).unwrap_err().to_string();
        assert!(error.contains(VARIABLE) && error.contains("loud=very=much") && error.contains("write a level"), "{error}");
    }
}
