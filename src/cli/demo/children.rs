//! Child processes of this program's own executable, which never outlive it.
//!
//! A child ends by SIGTERM, after a deadline by SIGKILL, when its guard is dropped, and when this process dies in a way
//! that runs no guard: its standard input is a pipe held here, and with the flag it is started with it follows that.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long a child may take to say where it listens.
const START: Duration = Duration::from_secs(10);
/// How long a dropped child may take to end before it is killed.
const LAST_WARNING: Duration = Duration::from_secs(3);
/// How many of its last lines on stderr are kept.
const LAST_LINES: usize = 12;
/// How long the rest of stderr may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How often it is looked whether a child has ended; the standard library cannot wait for that with a deadline.
const LOOK: Duration = Duration::from_millis(5);

/// Why a child is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It cannot be started.
    #[error(
        "cannot start {name} from {program}: {source}\n  hint: the demo starts its own executable several times; check that it is still there and that the system allows more processes"
    )]
    Start {
        /// What it is.
        name: String,
        /// The executable.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended although it was not told to.
    #[error("{name} ended with {status} before it was to; its last words:\n{words}")]
    Ended {
        /// What it is.
        name: String,
        /// How.
        status: ExitStatus,
        /// Its last lines on stderr, indented.
        words: String,
    },
    /// It does not say where it listens.
    #[error("{name} did not say \"{awaited}\" within {limit} s; its last words:\n{words}")]
    Silent {
        /// What it is.
        name: String,
        /// The beginning of the line.
        awaited: String,
        /// How long it had.
        limit: u64,
        /// Its last lines on stderr, indented.
        words: String,
    },
    /// It had to be killed, or ended with another exit code than 0.
    #[error("{name} was told to end and {how}")]
    BadEnd {
        /// What it is.
        name: String,
        /// What it did instead.
        how: String,
    },
}

/// A running child; it ends with this guard.
#[derive(Debug)]
pub struct Running {
    name: String,
    process: Child,
    lines: UnboundedReceiver<String>,
    /// The last lines of stderr; a thread writes, whoever reports a failure reads.
    words: Arc<Mutex<VecDeque<String>>>,
    /// Ends when stderr does.
    listener: Option<JoinHandle<()>>,
    told_to_end: bool,
}

impl Running {
    /// Starts this program with `arguments`; `name` is what people call the child.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(name: &str, arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ChildError> {
        let error = |program: String, source| ChildError::Start { name: name.to_owned(), program, source };
        let program = std::env::current_exe().map_err(|source| error("its own path".to_owned(), source))?;
        let mut command = Command::new(&program);
        command.args(arguments).arg("--exit-with-stdin");
        // A group of its own: an interrupt from the terminal reaches the demo alone, which then ends its children.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|source| error(program.display().to_string(), source))?;
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, lines) = unbounded_channel();
        if let Some(stdout) = process.stdout.take() {
            // Nobody may wait for a line any more; the pipe is read to its end all the same, or the child would block.
            read_lines(stdout, move |line| drop(sender.send(line)));
        }
        let listener = process.stderr.take().map(|stderr| {
            let words = Arc::clone(&words);
            read_lines(stderr, move |line| {
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                words.push_back(line);
                if words.len() > LAST_LINES {
                    words.pop_front();
                }
            })
        });
        Ok(Self { name: name.to_owned(), process, lines, words, listener, told_to_end: false })
    }

    /// Returns the number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line on stdout that begins with `beginning` and returns the address that follows.
    ///
    /// # Errors
    ///
    /// It ends or says nothing of the kind within 10 s.
    pub async fn announced(&mut self, beginning: &str) -> Result<SocketAddr, ChildError> {
        let wanted = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(address) = line.strip_prefix(beginning).and_then(|rest| rest.trim().parse().ok()) {
                    return Some(address);
                }
            }
            None
        };
        let heard = tokio::time::timeout(START, wanted).await;
        if let Ok(Some(address)) = heard {
            return Ok(address);
        }
        // Its stdout is at its end, so that it has ended or is about to.
        self.ended_within(Duration::from_secs(1)).await;
        self.check()?;
        let awaited = beginning.trim_end().to_owned();
        Err(ChildError::Silent { name: self.name.clone(), awaited, limit: START.as_secs(), words: self.last_words() })
    }

    /// Makes sure that it still runs.
    ///
    /// # Errors
    ///
    /// It has ended; the error tells its last words.
    pub fn check(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(Some(status)) => Err(ChildError::Ended { name: self.name.clone(), status, words: self.last_words() }),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Sends SIGTERM, once; a child that cannot be told so loses its standard input instead, which ends it at once.
    pub fn tell_to_end(&mut self) {
        if self.told_to_end || !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        self.told_to_end = true;
        // The process has not been waited for, so that its number is still its own.
        let id = self.process.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]).stdin(Stdio::null()).stderr(Stdio::null()).status();
        if !sent.is_ok_and(|status| status.success()) {
            self.process.stdin = None;
        }
    }

    /// Ends it: SIGTERM, and SIGKILL when it still runs after `patience`.
    ///
    /// # Errors
    ///
    /// It had to be killed, or its exit code is not 0.
    pub async fn end(&mut self, patience: Duration) -> Result<(), ChildError> {
        self.tell_to_end();
        let how = match self.ended_within(patience).await {
            Some(status) if status.success() => return Ok(()),
            Some(status) => format!("ended with {status}; its last words:\n{}", self.last_words()),
            None => {
                self.kill();
                format!("still ran {} s later, so it was killed", patience.as_secs_f64())
            }
        };
        Err(ChildError::BadEnd { name: self.name.clone(), how })
    }

    fn kill(&mut self) {
        // Both fail only when it has ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    async fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Returns the last lines on stderr. One that has just ended may have written more than was read; that is waited for.
    fn last_words(&self) -> String {
        let deadline = Instant::now() + LAST_WORDS;
        while self.listener.as_ref().is_some_and(|listener| !listener.is_finished()) && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() {
            return "  (nothing)".to_owned();
        }
        words.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell_to_end();
        let deadline = Instant::now() + LAST_WARNING;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                return self.kill();
            }
            thread::sleep(LOOK);
        }
    }
}

/// Hands each line to `take` on a thread that ends with the pipe; bytes that are not UTF-8 are replaced.
fn read_lines(pipe: impl Read + Send + 'static, mut take: impl FnMut(String) + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            take(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    })
}
