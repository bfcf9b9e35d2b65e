//! Writes the access log: one line for each request, or connection without HTTP, in JSON or the Common Log Format, to the standard output
//! or a file, on a thread of its own.
//!
//! A request never waits for it. What cannot be written (a full disk, a closed pipe) is dropped and counted; what a slow
//! reader does not take in time fills the channel, and its sender drops and counts.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::config::LogFormat;
use crate::seam::access::{AccessReceiver, Line};
use crate::seam::clock::wall;

/// The most lines that are written at once.
const BATCH: usize = 256;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the standard output.
    Stdout,
    /// To the end of this file, which is made (mode 0640) where it is missing.
    File(PathBuf),
}

/// A running access log. It ends by itself when every worker is gone.
#[derive(Debug)]
pub struct AccessLog {
    dropped: Arc<AtomicU64>,
    ended: Receiver<()>,
}

impl AccessLog {
    /// Opens the destination and starts writing.
    ///
    /// # Errors
    ///
    /// Fails when the destination cannot be opened or the thread cannot be made.
    pub fn start(receiver: AccessReceiver, destination: &Destination, format: LogFormat) -> io::Result<Self> {
        let file = match destination {
            Destination::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Destination::File(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path)?,
        };
        let dropped = Arc::clone(&receiver.dropped);
        let (end, ended) = channel();
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            run(&receiver, Output::new(file, format));
            // Nobody waits as a rule.
            let _ = end.send(());
        })?;
        Ok(Self { dropped, ended })
    }

    /// Returns the count of dropped lines, for the exposition.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits until every worker is gone and every line is written, at most for `patience`; says whether it came to that.
    #[must_use]
    pub fn finish(self, patience: Duration) -> bool {
        self.ended.recv_timeout(patience).is_ok()
    }
}

/// Writes lines until there is no worker left.
fn run<W: Write>(receiver: &AccessReceiver, mut output: Output<W>) {
    while let Ok(first) = receiver.lines.recv() {
        let at = wall();
        let batch = std::iter::once(first).chain(receiver.lines.try_iter().take(BATCH - 1));
        for line in batch {
            output.push(&line, &at);
        }
        let lost = output.write();
        receiver.dropped.fetch_add(lost, Ordering::Relaxed);
    }
}

/// The destination with the batch that is to be written.
struct Output<W> {
    destination: W,
    format: LogFormat,
    text: String,
    /// Where each line of the batch ends.
    ends: Vec<usize>,
    /// Whether the last line written is cut off.
    torn: bool,
    /// Lines lost since the destination last took everything.
    losing: u64,
}

impl<W: Write> Output<W> {
    const fn new(destination: W, format: LogFormat) -> Self {
        Self { destination, format, text: String::new(), ends: Vec::new(), torn: false, losing: 0 }
    }

    fn push(&mut self, line: &Line, at: &str) {
        if self.torn && self.ends.is_empty() {
            self.text.push('\n');
        }
        match self.format {
            LogFormat::Json => render(line, at, &mut self.text),
            LogFormat::Common => common(line, at, &mut self.text),
        }
        self.text.push('\n');
        self.ends.push(self.text.len());
    }

    /// Writes the batch and returns how many of its lines were lost.
    fn write(&mut self) -> u64 {
        let (written, error) = write_some(&mut self.destination, self.text.as_bytes());
        let lost = self.ends.iter().filter(|end| **end > written).count() as u64;
        if written > 0 {
            self.torn = self.text.as_bytes().get(written - 1) != Some(&b'\n');
        }
        self.text.clear();
        self.ends.clear();
        match &error {
            Some(error) if self.losing == 0 => {
                tracing::warn!(%error, "the access log cannot be written; its lines are dropped and counted")
            }
            None if self.losing > 0 => tracing::info!(dropped = self.losing, "the access log can be written again"),
            _ => {}
        }
        self.losing = if error.is_some() { self.losing + lost } else { 0 };
        lost
    }
}

/// Writes as much as the destination takes and returns how many bytes that were, and why it were not all.
fn write_some(destination: &mut impl Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match destination.write(rest) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// Appends one line without its line break: a JSON object with flat names after OpenTelemetry and ECS, in ASCII only, so that
/// nothing a client sends can end the line, colour a terminal or turn the direction of text. `at` is RFC 3339 in UTC.
pub fn render(line: &Line, at: &str, out: &mut String) {
    let mut object = Object { out, separator: '{' };
    object.text("@timestamp", at);
    object.text("client.address", &line.client.map_or_else(|| "unix".to_owned(), |client| client.to_canonical().to_string()));
    let is_http = !line.method.is_empty();
    if is_http {
        object.text("http.request.method", &line.method);
        object.text("server.address", &line.host);
        object.text("url.path", &line.path);
    } else {
        object.text("network.transport", "tcp");
    }
    if line.status != 0 {
        object.number("http.response.status_code", line.status);
    }
    if is_http {
        object.number("http.response.body.bytes", line.bytes);
    } else {
        object.number("client.bytes", line.uploaded);
        object.number("server.bytes", line.bytes);
    }
    object.number("event.duration", line.duration.as_nanos());
    if let Some(time) = line.response_time {
        object.number("response_time_ms", time.as_secs_f64() * 1e3);
    }
    if let Some(service) = &line.service {
        object.text("service", service.as_str());
    }
    if let Some(version) = &line.version {
        object.text("upstream.version", version.as_str());
    }
    if let Some(role) = line.role {
        object.text("role", role.as_str());
    }
    object.number("decision.epoch", line.generation);
    if let Some(failure) = line.failure {
        // The name of a variant is always a JSON text.
        let kind = serde_json::to_value(failure).unwrap_or_default();
        object.text("error.type", kind.as_str().unwrap_or_default());
        object.text("error.blame", failure.blame().as_str());
    }
    if let Some(failure) = line.rescued {
        let kind = serde_json::to_value(failure).unwrap_or_default();
        object.text("rescue.reason", kind.as_str().unwrap_or_default());
    }
    if let Some(refusal) = line.refusal {
        object.text("refusal.reason", refusal);
    }
    if let Some(trace) = line.trace {
        object.text("trace.id", &trace.to_string());
    }
    object.out.push('}');
}

/// Appends one line without its line break in the Common Log Format (Apache HTTP Server, `mod_log_config`), then the service, the
/// version, its role, its generation and the seconds until the end. What a client sends stays within its quotes, in ASCII.
pub fn common(line: &Line, at: &str, out: &mut String) {
    let client = line.client.map_or_else(|| "-".to_owned(), |client| client.to_canonical().to_string());
    let when = at.parse::<jiff::Timestamp>().map_or_else(|_| "-".to_owned(), |at| at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string());
    // Writing to a text cannot fail.
    let _ = write!(out, "{client} - - [{when}] \"");
    escape(&line.method, out);
    out.push(' ');
    escape(&line.path, out);
    let _ = write!(out, " {:?}\" ", line.protocol);
    match line.status {
        0 => out.push('-'),
        status => {
            let _ = write!(out, "{status}");
        }
    }
    let word = |name: Option<&str>| name.unwrap_or("-").to_owned();
    let service = word(line.service.as_ref().map(|name| name.as_str()));
    let version = word(line.version.as_ref().map(|name| name.as_str()));
    let role = word(line.role.map(|role| role.as_str()));
    let (bytes, generation, seconds) = (line.bytes, line.generation, line.duration.as_secs_f64());
    let _ = write!(out, " {bytes} {service} {version} {role} {generation} {seconds:.6}");
}

/// Writes a text so that it ends no quotes and no line: `\"`, `\\` and `\xhh` as Apache does.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

/// A JSON object while it is written.
struct Object<'a> {
    out: &'a mut String,
    separator: char,
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        self.out.push(std::mem::replace(&mut self.separator, ','));
        self.quoted(key);
        self.out.push(':');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.quoted(text);
    }

    fn number(&mut self, key: &str, number: impl std::fmt::Display) {
        self.key(key);
        // Writing to a text cannot fail.
        let _ = write!(self.out, "{number}");
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                ' '..='~' => self.out.push(c),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
#[path = "access_log_tests.rs"]
mod tests;
