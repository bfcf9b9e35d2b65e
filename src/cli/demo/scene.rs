//! The scene of the story: the processes, the load, and one look at everything at a time.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::carts;
use crate::cli::demo::admin::{Admin, SERVICE, Status};
use crate::cli::demo::children::{ChildError, Running};
use crate::cli::demo::exposition;
use crate::cli::demo::folder::Folder;
use crate::cli::demo::progress::{Latency, Progress, View};
use crate::cli::demo::tally::{Counted, Tally};
use crate::cli::demo::trouble::Trouble;
use crate::cli::http;
use crate::domain::judge::GateStatus;
use crate::domain::rollout::Phase;
use crate::domain::weight::Weight;
use crate::load::{Background, Pace, Plan, Snapshot, seed};

/// Virtual users of the seed's performance test.
pub const TEST_USERS: usize = 10;
/// Ordinary users beside it.
pub const ORDINARY_USERS: usize = 5;
/// How long a client waits for its answer; the proxy gives up long before.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often everything is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the metrics are read for the picture, which is all they are for.
const METRICS: Duration = Duration::from_millis(500);
/// The proxy's histogram of response times.
const RESPONSE_TIME: &str = "portcullis_response_time_seconds";
/// The whole story takes less than this, or is broken off.
const WHOLE: Duration = Duration::from_secs(55);

/// Everything that runs. Dropped, it ends the load and then all processes.
#[derive(Debug)]
pub struct Scene<'a> {
    progress: &'a Progress,
    load: Option<Background>,
    ended_load: Vec<Snapshot>,
    tally: Arc<Tally>,
    proxy: Running,
    carts: Vec<Carts>,
    listen: SocketAddr,
    admin: Admin,
    shown: Shown,
    /// The last to be dropped, after the processes that use it.
    _folder: Folder,
}

/// One running carts.
#[derive(Debug)]
struct Carts {
    tag: &'static str,
    running: Running,
    address: SocketAddr,
}

/// What was last shown, to tell what has changed.
#[derive(Debug)]
struct Shown {
    share: Option<(String, Weight)>,
    latencies: Vec<Latency>,
    metrics_at: Option<Instant>,
    rate: f64,
    counted: (Instant, u64),
}

/// What the clients have seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Complete answers, good or bad.
    pub answered: u64,
    /// Bad answers.
    pub bad: u64,
    /// Requests without a complete answer.
    pub unanswered: u64,
    /// Requests cut by the end of the load.
    pub abandoned: u64,
    /// What the hook counts.
    pub tally: Counted,
}

/// The own books of one carts process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// POSTs of items that arrived.
    pub posts: u64,
    /// POSTs of items that it answered.
    pub posts_answered: u64,
    /// All other requests that it answered, which it does at once.
    pub others: u64,
}

impl Books {
    /// Returns the requests that arrived.
    pub const fn arrived(&self) -> u64 {
        self.posts + self.others
    }
}

/// One look at everything.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Where the rollout stands.
    pub status: Status,
    /// What the clients have seen.
    pub counts: Counts,
}

/// Something that is waited for, with a deadline.
#[derive(Debug)]
pub struct Wait {
    what: String,
    begun: Instant,
    deadline: Instant,
    stand: String,
}

impl<'a> Scene<'a> {
    /// Starts carts 0.8.1 and the proxy in front of it, and waits until that is ready.
    ///
    /// # Errors
    ///
    /// A process cannot be started or is not ready in time.
    pub async fn open(progress: &'a Progress) -> Result<Self, Trouble> {
        let folder = Folder::create()?;
        let stable = Carts::start("0.8.1", false).await?;
        progress.event(&format!("carts 0.8.1 serves on {} (process {})", stable.address, stable.running.id()));
        let file = folder.configure(stable.address)?;
        let mut proxy = Running::start("the proxy", [OsString::from("run"), file.into()])?;
        let listen = proxy.announced("listening on ").await?;
        let admin = Admin::at(proxy.announced("admin on http://").await?);
        let shown = Shown { share: None, latencies: Vec::new(), metrics_at: None, rate: 0.0, counted: (Instant::now(), 0) };
        let (load, ended_load, tally) = (None, Vec::new(), Arc::default());
        let mut scene = Self { progress, load, ended_load, tally, proxy, carts: vec![stable], listen, admin, shown, _folder: folder };
        let mut wait = scene.wait("the proxy is ready", Duration::from_secs(10));
        while !admin.is_ready().await {
            scene.next(&mut wait).await?;
        }
        progress.event(&format!("the proxy serves on {listen} (process {}), everything goes to 0.8.1", scene.proxy.id()));
        Ok(scene)
    }

    /// Returns the admin API.
    pub const fn admin(&self) -> Admin {
        self.admin
    }

    /// Tells one event.
    pub fn event(&self, text: &str) {
        self.progress.event(text);
    }

    /// Starts the seed's performance test, which goes on until stopped, and ordinary users beside it.
    ///
    /// # Errors
    ///
    /// The load generator cannot be started.
    pub fn begin_load(&mut self, think: Duration) -> Result<(), Trouble> {
        let mut test = seed::performance(TEST_USERS, 1, "PerfCheck_demo");
        test.pace = Pace::Closed { loops: None, think, ramp: Duration::from_millis(500) };
        let patient = |plan| Plan { timeout: Some(CLIENT_TIMEOUT), ..plan };
        let plans =
            vec![(patient(test), Some(self.tally.hook())), (patient(seed::ordinary_users(ORDINARY_USERS)), Some(self.tally.hook()))];
        self.load = Some(Background::start(self.listen, plans).map_err(Trouble::Load)?);
        Ok(())
    }

    /// Lets the requests in flight be answered for up to `grace`, and ends the load.
    pub async fn end_load(&mut self, grace: Duration) {
        if let Some(load) = self.load.take() {
            let stopped = tokio::task::spawn_blocking(move || load.stop(grace)).await;
            self.ended_load = stopped.unwrap_or_default();
        }
    }

    /// Starts another version of carts and returns where it listens.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub async fn start_carts(&mut self, tag: &'static str, hang: bool) -> Result<SocketAddr, Trouble> {
        let carts = Carts::start(tag, hang).await?;
        let address = carts.address;
        let how = match (hang, tag) {
            (true, _) => "; it never answers a POST of an item",
            (false, "0.8.2") => "; it answers a POST of an item 1 s late",
            _ => "",
        };
        self.event(&format!("carts {tag} arrives on {address} (process {}){how}", carts.running.id()));
        self.carts.push(carts);
        Ok(address)
    }

    /// Ends one version of carts.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub async fn end_carts(&mut self, tag: &str, patience: Duration) -> Result<(), Trouble> {
        if let Some(index) = self.carts.iter().position(|carts| carts.tag == tag) {
            self.carts.remove(index).running.end(patience).await?;
        }
        Ok(())
    }

    /// Ends the proxy, then every carts.
    ///
    /// # Errors
    ///
    /// One of them had to be killed; the rest is ended all the same.
    pub async fn close(mut self, patience: Duration) -> Result<(), Trouble> {
        self.proxy.tell_to_end();
        let mut ends = vec![self.proxy.end(patience).await];
        self.carts.iter_mut().for_each(|carts| carts.running.tell_to_end());
        for carts in &mut self.carts {
            ends.push(carts.running.end(patience).await);
        }
        Ok(ends.into_iter().collect::<Result<(), ChildError>>()?)
    }

    /// Begins to wait for something, for at most `limit` and never beyond the time of the whole story.
    pub fn wait(&self, what: &str, limit: Duration) -> Wait {
        let begun = Instant::now();
        let limit = limit.min(WHOLE.saturating_sub(self.progress.elapsed()));
        Wait { what: what.to_owned(), begun, deadline: begun + limit, stand: "nothing is known of the rollout".to_owned() }
    }

    /// Takes the next look: makes sure that all processes run, asks the proxy, shows it.
    ///
    /// # Errors
    ///
    /// A process has ended, or the deadline has passed.
    pub async fn next(&mut self, wait: &mut Wait) -> Result<Moment, Trouble> {
        loop {
            tokio::time::sleep(LOOK).await;
            self.proxy.check()?;
            self.carts.iter_mut().try_for_each(|carts| carts.running.check())?;
            let late = Instant::now() >= wait.deadline;
            match self.admin.status().await {
                Ok(status) if !late => {
                    self.look_at_metrics().await;
                    let moment = Moment { counts: self.counts(), status };
                    wait.stand = stand(&moment);
                    self.show(&moment, &wait.what);
                    return Ok(moment);
                }
                Err(problem) if !late => wait.stand = problem.to_string(),
                _ => {
                    let waited = wait.begun.elapsed().as_secs_f64();
                    return Err(Trouble::Late { what: wait.what.clone(), waited, stand: wait.stand.clone() });
                }
            }
        }
    }

    /// Asks for the info page through the proxy, each time on a connection of its own, and returns how often it showed
    /// `version`.
    pub async fn info_pages(&mut self, times: u64, version: &str) -> u64 {
        let mut shown = 0;
        for _ in 0..times {
            let answer = http::get(self.listen, "/").await;
            let seen = answer.ok().filter(|a| a.status.is_success()).and_then(|a| carts::value_of(&a.body, "Version:"));
            shown += u64::from(seen.as_deref() == Some(version));
        }
        self.event(&format!("the info page shows {version} in {shown} of {times}"));
        shown
    }

    /// Reads the own books of one carts process, which knows nothing of the proxy.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn books(&self, tag: &str) -> Result<Books, Trouble> {
        let Some(carts) = self.carts.iter().find(|carts| carts.tag == tag) else {
            return Ok(Books { posts: 0, posts_answered: 0, others: 0 });
        };
        let text = http::get(carts.address, "/metrics").await?.body;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole, not negative, and far below 2^53")]
        let whole = |number: f64| number as u64;
        let answered = whole(exposition::sum(&text, "http_requests_total", &[]));
        let posts_answered = whole(exposition::sum(&text, "http_requests_total", &["method=\"POST\""]));
        let posts = whole(exposition::sum(&text, "requests_total", &[]));
        Ok(Books { posts, posts_answered, others: answered.saturating_sub(posts_answered) })
    }

    /// Returns what the clients have seen so far.
    pub fn counts(&self) -> Counts {
        let live = self.load.as_ref().map(|load| load.counters().iter().map(|c| c.snapshot()).collect::<Vec<_>>());
        let mut counts = Counts { tally: self.tally.read(), ..Counts::default() };
        for plan in live.as_ref().unwrap_or(&self.ended_load) {
            counts.sent += plan.sent;
            counts.answered += plan.answered();
            counts.bad += plan.bad;
            counts.unanswered += plan.failed();
            counts.abandoned += plan.abandoned;
        }
        counts
    }

    async fn look_at_metrics(&mut self) {
        if self.shown.metrics_at.is_some_and(|at| at.elapsed() < METRICS) {
            return;
        }
        self.shown.metrics_at = Some(Instant::now());
        // They are for the picture only: without them it shows no latencies.
        let Ok(text) = self.admin.metrics().await else { return };
        let latency = |carts: &Carts| {
            let label = format!("version=\"{}\"", carts.tag);
            let quantile = |q| exposition::quantile(&text, RESPONSE_TIME, &label, q);
            Some(Latency { version: carts.tag.to_owned(), p50: quantile(0.5)?, p95: quantile(0.95)? })
        };
        self.shown.latencies = self.carts.iter().filter_map(latency).collect();
    }

    fn show(&mut self, moment: &Moment, headline: &str) {
        let rollout = moment.status.rollout.as_ref();
        let share = rollout.filter(|r| r.phase == Phase::Progressing).map(|r| (r.canary.name.to_string(), r.weight));
        if let Some((canary, weight)) = share.as_ref().filter(|share| self.shown.share.as_ref() != Some(*share)) {
            self.event(&format!("{canary} gets {weight} of {SERVICE}"));
        }
        self.shown.share.clone_from(&share);
        let (since, sent) = self.shown.counted;
        if since.elapsed() >= Duration::from_secs(1) {
            self.shown.rate = moment.counts.sent.saturating_sub(sent) as f64 / since.elapsed().as_secs_f64();
            self.shown.counted = (Instant::now(), moment.counts.sent);
        }
        self.progress.show(&View {
            headline: format!("until {headline}"),
            owner: moment.status.owner.name.to_string(),
            canary: share,
            sent: moment.counts.sent,
            rate: self.shown.rate,
            slow: moment.counts.tally.slow,
            errors: moment.counts.bad + moment.counts.unanswered,
            latencies: self.shown.latencies.clone(),
            gates: rollout.map_or_else(Vec::new, |r| r.gates.iter().map(gate).collect()),
        });
    }
}

impl Drop for Scene<'_> {
    /// Tells all processes to end before the guard of the first waits for its own.
    fn drop(&mut self) {
        self.load = None;
        self.proxy.tell_to_end();
        self.carts.iter_mut().for_each(|carts| carts.running.tell_to_end());
    }
}

impl Carts {
    async fn start(tag: &'static str, hang: bool) -> Result<Self, ChildError> {
        let arguments = ["carts", "--tag", tag, "--listen", "127.0.0.1:0"].into_iter().chain(hang.then_some("--hang"));
        let mut running = Running::start(&format!("carts {tag}"), arguments.map(OsString::from))?;
        let address = running.announced("listening on ").await?;
        Ok(Self { tag, running, address })
    }
}

fn gate(gate: &GateStatus) -> String {
    let needs = match gate.needs {
        Some(0) | None => String::new(),
        Some(needs) => format!(", needs {needs} more good requests"),
    };
    format!("{}: {} ({} of {} requests breach{needs})", gate.gate, gate.verdict, gate.breaches, gate.requests)
}

fn stand(moment: &Moment) -> String {
    let Some(rollout) = &moment.status.rollout else { return format!("{} owns everything", moment.status.owner.name) };
    let gates = rollout.gates.iter().map(gate).collect::<Vec<_>>().join("; ");
    format!(
        "{} is {} with {} of the traffic after {} requests; {gates}",
        rollout.canary.name,
        rollout.phase.as_str(),
        rollout.weight,
        rollout.canary_requests
    )
}
