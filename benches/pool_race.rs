//! The race for pooled connections: the real data plane in front of an upstream, in this process, that closes each connection
//! after a random number of requests or a random rest, often while the next request is on its way.
//!
//! `cargo bench --bench pool_race -- --requests 1000000` prints the visible errors of GET (there must be none), the doubled
//! POSTs (none), and the POSTs that failed because they may not be repeated. It ends with 1 when there is any that must not be.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::domain::time::Timestamp;
use portcullis::seam::clock::Clock;
use portcullis::seam::reach::Again;
use portcullis::seam::table::Epoch;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

#[expect(dead_code, reason = "shared with other benches, each of which uses a part")]
mod support;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The most requests of a connection, and the longest it rests before it is closed.
const MOST: u32 = 100;
const REST: Duration = Duration::from_millis(5);
const CLIENTS: usize = 8;
const SEED: u64 = 20_261_126;

/// What the upstream saw.
struct Seen {
    /// How often each POST came, by its number; written by every connection.
    posts: Box<[AtomicU8]>,
    /// How many connections it closed; written by every connection.
    closed: AtomicU64,
}

fn main() -> std::io::Result<ExitCode> {
    let requests = requests();
    let seen = Arc::new(Seen { posts: (0..requests).map(|_| AtomicU8::new(0)).collect(), closed: AtomicU64::new(0) });
    let plane = support::plane::Plane::start(Clock::start(), 2)?;
    let stable = support::version("v1", serve(&seen)?);
    let epoch = Arc::new(Epoch::new("carts".parse().expect("a name"), 1, 1, Arc::clone(&stable), None, Timestamp::NEVER));
    plane.routes.publish(support::table(1, &epoch));
    let begun = Instant::now();
    let (gets, posts) = thread::scope(|scope| {
        let spawn = |(client, to): (usize, &SocketAddr)| {
            let to = *to;
            scope.spawn(move || ask(to, (client..requests).step_by(CLIENTS)))
        };
        let clients: Vec<_> = plane.addresses.iter().cycle().take(CLIENTS).enumerate().map(spawn).collect();
        // Somebody must read what the workers report.
        while clients.iter().any(|client| !client.is_finished()) {
            drop(plane.reports.recv_timeout(Duration::from_millis(50)));
        }
        let failed = clients.into_iter().map(|client| client.join().expect("a client does not panic"));
        failed.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    });
    let doubled = seen.posts.iter().filter(|times| times.load(Ordering::Acquire) > 1).count();
    let deeds = &plane.routes.endpoints().of(&stable).deeds;
    let stale = deeds.retries.get(Again::Stale as usize).map_or(0, |count| count.load(Ordering::Relaxed));
    println!("requests {requests} (half GET, half POST), seed {SEED}, {:.1} s", begun.elapsed().as_secs_f64());
    println!("connections closed by the upstream {}", seen.closed.load(Ordering::Relaxed));
    println!("requests sent again because a pooled connection had ended {stale}");
    println!("GET visible errors {gets}");
    println!("POST duplicates {doubled}");
    println!("POST visible errors, not repeated because they may have been read {posts}");
    plane.stop();
    Ok(if gets == 0 && doubled == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads `--requests N`; a moderate number where nothing is said.
fn requests() -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--requests");
    arguments.nth(1).map_or(20_000, |count| count.parse().expect("--requests takes a whole number"))
}

/// Starts the upstream; its threads end with the process.
fn serve(seen: &Arc<Seen>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        for (index, socket) in listener.incoming().flatten().enumerate() {
            let (seen, random) = (Arc::clone(&seen), SmallRng::seed_from_u64(SEED + index as u64));
            thread::spawn(move || answer(socket, &seen, random));
        }
    });
    Ok(address)
}

/// Answers requests until the connection's random end.
fn answer(mut socket: TcpStream, seen: &Seen, mut random: SmallRng) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let last = random.random_range(1..=MOST);
    let mut unread = Vec::new();
    for number in 1..=last {
        // Half of the connections end in a rest, the others after their last answer.
        let rest = (number == last && random.random()).then(|| REST.mul_f64(random.random_range(0.01..1.0)));
        socket.set_read_timeout(rest).ok()?;
        let Some(request) = read(&mut socket, &mut unread) else { break };
        if let Some(id) = request.split("x-id: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok()) {
            seen.posts.get(id)?.fetch_add(1, Ordering::AcqRel);
        }
        socket.write_all(ANSWER).ok()?;
    }
    seen.closed.fetch_add(1, Ordering::Relaxed);
    Some(())
}

/// Reads one request with its body of 2 bytes, if it has one; `None` at the end or when nothing comes in time.
fn read(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(unread.get(..end)?).to_lowercase();
            let whole = end + 4 + if head.starts_with("post") { 2 } else { 0 };
            if unread.len() >= whole {
                unread.drain(..whole);
                return Some(head);
            }
        }
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => unread.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            _ => return None,
        }
    }
}

/// Asks for these requests in turn over one connection, GET and POST; returns how many of each failed visibly.
fn ask(to: SocketAddr, numbers: impl Iterator<Item = usize>) -> (u64, u64) {
    let (mut failed, mut socket, mut unread) = ((0, 0), None, Vec::new());
    for (turn, number) in numbers.enumerate() {
        let post = turn % 2 == 1;
        let request = match post {
            true => format!("POST /r HTTP/1.1\r\nHost: a\r\nX-Id: {number}\r\nContent-Length: 2\r\n\r\nhi"),
            false => "GET /r HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        };
        let connection = socket.get_or_insert_with(|| TcpStream::connect(to).expect("the proxy accepts connections"));
        let good = connection.write_all(request.as_bytes()).is_ok() && is_good(connection, &mut unread);
        if !good {
            *(if post { &mut failed.1 } else { &mut failed.0 }) += 1;
            (socket, unread) = (None, Vec::new());
        }
    }
    failed
}

/// Reads one answer; says whether it is whole and a 200.
fn is_good(socket: &mut TcpStream, unread: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n").filter(|end| unread.len() >= end + 6) {
            let good = unread.starts_with(b"HTTP/1.1 200") && unread.get(end + 4..).is_some_and(|body| body.starts_with(b"ok"));
            unread.drain(..end + 6);
            return good;
        }
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => unread.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            _ => return false,
        }
    }
}
