//! Starts the built program as a child and ends it again; used by tests that look at it from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running `portcullis`; killed when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// What a finished command left.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Makes a command that runs the program.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("PORTCULLIS_CONFIG").env_remove("STATE_DIRECTORY");
    command
}

/// Runs a command that ends by itself.
pub fn finish(args: &[&str]) -> Finished {
    ended(command(args))
}

/// Waits until the program has ended as this command runs it.
pub fn ended(mut command: Command) -> Finished {
    let child = command.spawn().unwrap();
    let id = child.id().to_string();
    let (sender, ended) = channel();
    std::thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        panic!("{command:?} did not end");
    };
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Running {
    /// Starts a command that goes on.
    pub fn start(args: &[&str]) -> Self {
        Self::spawn(command(args))
    }

    /// Starts the program as this command does.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        // Read, so that the child never blocks on a full pipe; shown by the test harness on failure.
        std::thread::spawn(move || {
            let mut text = String::new();
            while matches!(stderr.read_line(&mut text), Ok(n) if n > 0) {
                eprint!("{}", std::mem::take(&mut text));
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that begins like this and returns the address that follows.
    pub fn address(&self, beginning: &str) -> SocketAddr {
        self.line(beginning).trim_start_matches("http://").trim().parse().unwrap()
    }

    /// Waits for a line that begins like this and returns what follows.
    pub fn line(&self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).expect("the line in time");
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Returns its process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, waits for the end and returns the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let kill = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("the process did not end after SIGTERM");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request over a fresh connection and returns the whole answer as text.
pub fn request(to: SocketAddr, head: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\ncontent-type: application/json\r\n", body.len()) };
    // Commands are for a rollout in whatever state.
    write!(socket, "{head} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\nif-match: *\r\n{length}\r\n{body}").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until a condition gives a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
