//! Whether a server can be reached at all: its name resolves and a connection comes about. It sends nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};

use crate::domain::time::human;
use crate::load::target::Origin;

/// How long and how often a connection is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long one try may take, over all addresses of the name.
    pub dial: Duration,
    /// How many tries there are, at least one.
    pub tries: u32,
    /// The pause between two tries.
    pub between: Duration,
}

impl Patience {
    /// What keptn has before a health check: three tries of 5 s, 5 s apart.
    pub const BEFORE_TESTS: Self = Self { dial: Duration::from_secs(5), tries: 3, between: Duration::from_secs(5) };
    /// One try of 5 s.
    pub const ONCE: Self = Self { tries: 1, ..Self::BEFORE_TESTS };
}

/// Why a server cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin} cannot be reached: {why} ({}); see that it runs and listens on that port", if *tries == 1 { "tried once".to_owned() } else { format!("tried {tries} times") })]
pub struct Unreachable {
    origin: String,
    why: String,
    tries: u32,
}

/// Connects to a server and returns the address that took the connection, which is closed at once.
///
/// # Errors
///
/// [`Unreachable`] when no try succeeded; it tells the last reason.
pub async fn reach(origin: &Origin, patience: Patience) -> Result<SocketAddr, Unreachable> {
    reach_by(origin, patience, async |origin: &Origin| dial(origin).await).await
}

async fn reach_by(
    origin: &Origin,
    patience: Patience,
    dial: impl AsyncFn(&Origin) -> io::Result<SocketAddr>,
) -> Result<SocketAddr, Unreachable> {
    let tries = patience.tries.max(1);
    let mut why = String::new();
    for number in 0..tries {
        if number > 0 {
            tokio::time::sleep(patience.between).await;
        }
        match tokio::time::timeout(patience.dial, dial(origin)).await {
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("no connection came about within {}", human(patience.dial)),
        }
    }
    Err(Unreachable { origin: origin.to_string(), why, tries })
}

/// Tries the addresses of the name one after another.
async fn dial(origin: &Origin) -> io::Result<SocketAddr> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((origin.name(), origin.port())).await? {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::Value;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::formats::jmeter_conf::service_url;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_or_hangs_is_tried_three_times_five_seconds_apart() {
        let begun = Instant::now();
        let tries = Cell::new(0);
        let refused = async |_: &Origin| {
            tries.set(tries.get() + 1);
            Err::<SocketAddr, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
        };
        let error = reach_by(&origin("http://a.test/"), Patience::BEFORE_TESTS, refused).await.unwrap_err();
        assert_eq!((tries.get(), begun.elapsed().as_secs()), (3, 10));
        assert!(error.to_string().contains("http://a.test:80") && error.to_string().contains("refused"), "{error}");
        let begun = Instant::now();
        let hangs = async |_: &Origin| std::future::pending::<io::Result<SocketAddr>>().await;
        let error = reach_by(&origin("http://a.test/"), Patience::BEFORE_TESTS, hangs).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 25);
        assert!(error.to_string().contains("within 5 s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_late_is_reached() {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let tries = Cell::new(0);
        let late = async |_: &Origin| {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) } else { Ok(address) }
        };
        assert_eq!(reach_by(&origin("http://a.test/"), Patience::BEFORE_TESTS, late).await, Ok(address));
    }

    #[tokio::test]
    async fn the_cases_of_keptns_reachability_hold() {
        let all: Value = serde_json::from_str(include_str!("../../tests/data/compat/jmeter-cases.json")).unwrap();
        let cases = all["endpoint_available"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        for case in cases {
            // The case that is reachable leaves it open where; the others tell what happens when nobody answers in time.
            let url = case.get("url").map_or(Some(ours.as_str()), |url| url.as_str());
            let failed = match (service_url(url, None), case.get("timeout")) {
                (Err(_), _) => true,
                (Ok(url), None) => reach(&Origin::of(&url).unwrap(), Patience::BEFORE_TESTS).await.is_err(),
                (Ok(url), Some(_)) => {
                    let patience = Patience { dial: Duration::from_nanos(1), tries: 3, between: Duration::from_millis(1) };
                    let silent = async |_: &Origin| std::future::pending::<io::Result<SocketAddr>>().await;
                    reach_by(&Origin::of(&url).unwrap(), patience, silent).await.is_err()
                }
            };
            assert_eq!(failed, case["expect_error"].as_bool().unwrap(), "{case}");
        }
    }
}
