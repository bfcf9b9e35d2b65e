//! A running carts, and claims about how it starts, answers and ends.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const ITEM: &str = r#"{"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","unitPrice":"99.99"}"#;

/// A running carts; killed when a test fails before it ends.
struct Carts {
    child: Child,
    address: String,
}

impl Carts {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("the first line is {line:?}")).to_owned();
        Self { child, address }
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: carts\r\nConnection: close\r\n\r\n")).read_to_string(&mut answer).unwrap();
        answer
    }

    fn post(&self) -> TcpStream {
        let length = ITEM.len();
        self.send(&format!(
            "POST /carts/1/items HTTP/1.1\r\nHost: carts\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{ITEM}"
        ))
    }

    /// Sends SIGTERM and returns the exit code.
    fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("carts still runs 10 s after SIGTERM");
    }
}

impl Drop for Carts {
    fn drop(&mut self) {
        // It fails when the process has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("carts").args(arguments).stdin(Stdio::null());
    command
}

fn fails(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn it_says_where_it_listens_shows_its_version_and_ends_with_0_on_sigterm() {
    let mut carts = Carts::start(&["--tag", "0.8.2"]);
    let page = carts.get("/");
    let version = portcullis::carts::value_of(&page, "Version:");
    let delay = portcullis::carts::value_of(&page, "Delay in ms:");
    assert_eq!((version.as_deref(), delay.as_deref()), (Some("v2"), Some("1000")), "{page}");
    assert_eq!(carts.terminate(), Some(0));
}

#[test]
fn a_post_in_flight_is_answered_after_sigterm() {
    let mut carts = Carts::start(&["--tag", "0.8.2"]);
    let mut post = carts.post();
    let begun = Instant::now();
    while !carts.get("/metrics").contains("\nrequests_total 1\n") {
        assert!(begun.elapsed() < Duration::from_millis(900), "the POST did not arrive");
    }
    assert_eq!(carts.terminate(), Some(0));
    let mut answer = String::new();
    post.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
}

#[test]
fn a_hanging_process_never_answers_a_post_and_still_ends_with_0() {
    let mut carts = Carts::start(&["--tag", "0.8.2", "--hang"]);
    let mut post = carts.post();
    post.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let silence = post.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    assert!(carts.get("/version").ends_with("Version = v2"));
    assert_eq!(carts.terminate(), Some(0));
}

#[test]
fn a_port_in_use_means_exit_code_69_and_a_bad_tag_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, out, error) = fails(&["--tag", "0.8.1", "--listen", &address]);
    assert_eq!((code, out.as_str()), (Some(69), ""));
    assert!(error.contains(&address) && error.contains("hint:"), "{error}");
    let (code, out, error) = fails(&["--tag", "0.8.4"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(error.contains("\"0.8.4\"") && error.contains("X.Y.2"), "{error}");
}
