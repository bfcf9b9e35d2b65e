//! The ordinary users of each stage: they look around and put things into carts, whatever version serves them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::cli::demo::pipeline::report::Users;
use crate::cli::demo::trouble::Trouble;
use crate::load::{Accept, Background, Counters, Pace, Plan, seed};

/// How many look around, and how many buy, in each stage.
const LOOKING: usize = 3;
const BUYING: usize = 5;
/// How long a user waits for an answer; the proxy gives up long before.
const PATIENCE: Duration = Duration::from_secs(20);

/// The ordinary users of the stages.
#[derive(Default)]
pub struct Crowd {
    loads: BTreeMap<String, Background>,
}

impl Crowd {
    /// Lets users into a stage.
    ///
    /// # Errors
    ///
    /// The load generator cannot be started.
    pub fn enter(&mut self, stage: &str, to: SocketAddr, host: &str) -> Result<(), Trouble> {
        if self.loads.contains_key(stage) {
            return Ok(());
        }
        let host = HeaderValue::try_from(host).ok();
        let ordinary = |plan: Plan| Plan { timeout: Some(PATIENCE), host: host.clone(), accept: Accept::Success, ..plan };
        let looking = ordinary(seed::ordinary_users(LOOKING));
        let pace = Pace::Closed { loops: None, think: Duration::from_millis(25), ramp: Duration::from_millis(200) };
        let buying = ordinary(Plan { pace, ..seed::performance(BUYING, 1, "ordinary") });
        self.loads.insert(stage.to_owned(), Background::start(to, vec![(looking, None), (buying, None)]).map_err(Trouble::Load)?);
        Ok(())
    }

    /// Returns how many requests the users of a stage have been answered so far.
    pub fn answered(&self, stage: &str) -> u64 {
        let sum = |counters: &[Arc<Counters>]| counters.iter().map(|one| one.snapshot().answered()).sum();
        self.loads.get(stage).map_or(0, |load| sum(load.counters()))
    }

    /// Sends everybody home and returns what they have met. Blocks for as long as their last answers take, `grace` at most.
    pub fn leave(self, grace: Duration) -> BTreeMap<String, Users> {
        let ended = self.loads.into_iter().map(|(stage, load)| {
            let seen = load.stop(grace);
            let sum = |of: &dyn Fn(&crate::load::Snapshot) -> u64| seen.iter().map(of).sum();
            (stage, Users { requests: sum(&|one| one.sent), failed: sum(&|one| one.errors() + one.abandoned) })
        });
        ended.collect()
    }
}
