//! The story of the pipeline, by the commands that anybody would type, each run as this program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::carts;
use crate::cli::demo::children::Running;
use crate::cli::demo::folder::Folder;
use crate::cli::demo::pipeline::crowd::Crowd;
use crate::cli::demo::pipeline::report::{Delivered, Pipeline, Stages};
use crate::cli::demo::pipeline::stage::{self, Files};
use crate::cli::demo::progress::Progress;
use crate::cli::demo::trouble::Trouble;
use crate::cli::http;

const PROJECT: &str = "sockshop";
const SERVICE: &str = "carts";
const STAGES: [&str; 3] = ["dev", "staging", "production"];
const IMAGE: &str = "docker.io/keptnexamples/carts";
/// How often an info page is asked for.
const PAGES: u64 = 20;
/// How many answers the users of every stage must have got before the next artifact, so that a ramp has something to judge.
const ENOUGH: u64 = 100;
/// How long a process, and a user's last answer, may take to end.
const GRACE: Duration = Duration::from_secs(8);

/// How the story is told.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// How many requests each user of the performance test sends.
    pub requests: u16,
    /// Sends every request of every test, also when the gate has decided.
    pub full: bool,
    /// Leaves the pipeline running at the end, until an interrupt.
    pub keep: bool,
}

impl Course {
    /// Returns how many requests a whole performance test sends.
    fn test_requests(self) -> u64 {
        stage::USERS * u64::from(self.requests)
    }
}

/// Plays the story; what happened stands in `stages` and `pipeline`, also when it breaks off.
///
/// # Errors
///
/// It could not go on.
pub async fn play(course: Course, stages: &mut Stages, pipeline: &mut Pipeline, progress: &Progress) -> Result<(), Trouble> {
    let folder = Folder::create()?;
    let files = Files::write(&folder, course.full, course.requests)?;
    let mut proxy = Running::start("the pipeline", [OsString::from("run"), files.configuration.clone().into()])?;
    let listen = proxy.announced("listening on ").await?;
    let admin = proxy.announced("admin on http://").await?;
    progress.event(&format!("the pipeline serves on {listen} (process {})", proxy.id()));
    let mut scene = Scene { listen, admin, progress, crowd: Crowd::default() };
    let told = scene.acts(course, &files, stages, pipeline).await;
    let crowd = std::mem::take(&mut scene.crowd);
    pipeline.users = tokio::task::spawn_blocking(move || crowd.leave(GRACE)).await.unwrap_or_default();
    told?;
    if course.keep {
        progress.event("the pipeline is left running; end it with Ctrl-C");
        for (stage, url) in &pipeline.urls {
            progress.event(&format!("  {stage:<12} {url}"));
        }
        progress.event(&format!("  admin        http://{admin}; for example: portcullis get projects --admin http://{admin}"));
        std::future::pending::<()>().await;
    }
    proxy.tell_to_end();
    proxy.end(GRACE).await?;
    Ok(())
}

struct Scene<'a> {
    listen: SocketAddr,
    admin: SocketAddr,
    progress: &'a Progress,
    crowd: Crowd,
}

impl Scene<'_> {
    async fn acts(&mut self, course: Course, files: &Files, stages: &mut Stages, pipeline: &mut Pipeline) -> Result<(), Trouble> {
        let path = |path: &std::path::Path| path.display().to_string();
        self.command(&["create", "project", PROJECT, "--shipyard", &path(&files.shipyard)]).await?;
        self.command(&["onboard", "service", SERVICE, "--project", PROJECT, "--resources", &path(&files.resources)]).await?;
        for stage in ["staging", "production"] {
            let gate = ["--resource", &path(&files.perfspec), "--resourceUri", "perfspec/perfspec.json"];
            let of = ["add-resource", "--project", PROJECT, "--stage", stage, "--service", SERVICE];
            self.command(&[&of[..], &gate[..]].concat()).await?;
        }
        pipeline.urls = STAGES.map(|stage| (stage.to_owned(), format!("http://{}:{}/", host(stage), self.listen.port()))).into();
        for tag in ["0.8.1", "0.8.2", "0.8.3"] {
            let delivered = self.deliver(tag, course).await?;
            if tag == "0.8.2" {
                pipeline.test_requests = course.test_requests();
                pipeline.test_requests_saved = course.test_requests().saturating_sub(delivered.test_requests);
            }
            pipeline.artifacts.push(delivered);
            for stage in STAGES {
                let served = self.served(stage).await?;
                stages.entry(stage.to_owned()).or_default().push(served);
            }
            for stage in STAGES {
                self.crowd.enter(stage, self.listen, &host(stage))?;
            }
            self.crowded().await?;
        }
        Ok(())
    }

    /// Sends an artifact as anybody would, and waits until its way is over.
    async fn deliver(&self, tag: &str, course: Course) -> Result<Delivered, Trouble> {
        let begun = Instant::now();
        let limit = Duration::from_secs(if course.full { 900 } else { 60 });
        let sent = ["send", "event", "new-artifact", "--project", PROJECT, "--service", SERVICE, "--image", IMAGE, "--tag", tag, "--wait"];
        let told = tokio::time::timeout(limit, self.command(&sent)).await;
        let told = told.map_err(|_| Trouble::Pipeline(format!("{tag} was on its way for more than {} s", limit.as_secs())))??;
        let context = told.lines().find_map(|line| line.strip_prefix("ID of keptn context: ")).unwrap_or_default().to_owned();
        let story: Value = self.get(&format!("/v1/contexts/{context}")).await?;
        let entries = story.pointer("/entries").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut delivered =
            Delivered { tag: tag.to_owned(), outcomes: BTreeMap::new(), seconds: 0.0, test_requests: 0, reason: String::new() };
        for entry in &entries {
            let outcome = text(entry, "outcome");
            if !outcome.is_empty() {
                delivered.outcomes.insert(text(entry, "stage"), outcome);
                delivered.reason = text(entry, "reason");
            }
            if text(entry, "stage") == "staging" && text(entry, "phase") == "evaluating" {
                delivered.test_requests = requests(&text(entry, "reason"));
            }
        }
        delivered.seconds = begun.elapsed().as_secs_f64();
        Ok(delivered)
    }

    /// Asks for the info page of a stage through the proxy and returns the tag of the version that serves it.
    async fn served(&self, stage: &str) -> Result<String, Trouble> {
        let all: Value = self.get("/v1/projects").await?;
        let lanes = all.pointer("/projects/0/services/0/stages").and_then(Value::as_array).cloned().unwrap_or_default();
        let lane = lanes.iter().find(|lane| lane.get("stage").and_then(Value::as_str) == Some(stage));
        let tag = lane.and_then(|lane| lane.pointer("/live/version")).and_then(Value::as_str).unwrap_or("none").to_owned();
        let (version, delay) = match tag.rsplit('.').next() {
            Some("2") => ("v2", "1000"),
            Some("3") => ("v3", "0"),
            _ => ("v1", "0"),
        };
        let mut shown = 0;
        for _ in 0..PAGES {
            let page = http::get_from(self.listen, &host(stage), "/").await?.body;
            let value = |label| carts::value_of(&page, label);
            shown += u64::from(value("Version:").as_deref() == Some(version) && value("Delay in ms:").as_deref() == Some(delay));
        }
        self.progress.event(&format!("{stage} serves {tag}: its info page shows Version {version}, Delay {delay} in {shown} of {PAGES}"));
        if shown < PAGES {
            return Ok(format!("{tag}, but its info page does not say so"));
        }
        Ok(tag)
    }

    /// Waits until the users of every stage have been answered many times more.
    async fn crowded(&self) -> Result<(), Trouble> {
        let before = STAGES.map(|stage| self.crowd.answered(stage));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let now = STAGES.map(|stage| self.crowd.answered(stage));
            if now.iter().zip(before).all(|(now, before)| *now >= before + ENOUGH) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Trouble::Pipeline(format!("the users of the stages were answered {now:?} times within 20 s, too rarely")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a command of this program, shows it and what it says, and returns that.
    async fn command(&self, arguments: &[&str]) -> Result<String, Trouble> {
        self.progress.event(&format!("$ portcullis {}", shown(arguments)));
        let program = std::env::current_exe().map_err(Trouble::Load)?;
        let mut command = Command::new(program);
        command.args(arguments).args(["--admin", &format!("http://{}", self.admin)]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(Trouble::Load)?;
        let (mut told, mut why) = (String::new(), String::new());
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await.map_err(Trouble::Load)? {
                if !line.starts_with("next: ") {
                    self.progress.event(&format!("  {line}"));
                }
                told.push_str(&line);
                told.push('\n');
            }
        }
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut why).await.map_err(Trouble::Load)?;
        }
        let status = child.wait().await.map_err(Trouble::Load)?;
        // 3 says that the artifact was waited for and did not pass, which is a part of the story.
        match status.code() {
            Some(0 | 3) => Ok(told),
            _ => Err(Trouble::Pipeline(format!("portcullis {} failed: {}", arguments.join(" "), why.trim()))),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, Trouble> {
        let answer = http::get(self.admin, path).await?;
        serde_json::from_str(&answer.body).map_err(|error| Trouble::Pipeline(format!("the answer to GET {path} cannot be read: {error}")))
    }
}

fn host(stage: &str) -> String {
    format!("{SERVICE}.{PROJECT}-{stage}.localhost")
}

/// Shortens the paths of the demo's own folder.
fn shown(arguments: &[&str]) -> String {
    let short = |word: &&str| match word.starts_with('/') {
        true => word.rsplit('/').next().unwrap_or(word).to_owned(),
        false => (*word).to_owned(),
    };
    arguments.iter().map(short).collect::<Vec<_>>().join(" ")
}

/// Reads how many requests a test says that it has sent.
fn requests(reason: &str) -> u64 {
    let words: Vec<&str> = reason.split_whitespace().collect();
    let before = words.iter().position(|word| word.starts_with("requests")).and_then(|at| words.get(at.checked_sub(1)?));
    before.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_a_test_are_read_from_its_sentence() {
        assert_eq!(requests("the tests of 0.8.1 in staging passed: 5000 requests, 0 errors, 4 ms on average"), 5000);
        assert_eq!(requests("passed: stopped after 17 requests, 0 errors, 1006 ms on average, 4983 saved"), 17);
        assert_eq!(requests("requests"), 0);
    }
}
