//! `configure monitoring`: where the values behind a project's gates are measured.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::admin::Admin;
use crate::cli::delivery::outcome::{Undone, end};
use crate::config::read_text;
use crate::domain::version::Name;

/// What can be configured.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Configure {
    /// Names the source of the values behind a project's gates.
    #[command(subcommand)]
    Monitoring(Monitoring),
}

/// Names the source of the values behind a project's gates; it is asked once, and kept where it answers.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Monitoring {
    /// A Prometheus server.
    Prometheus(PrometheusArgs),
    /// A Dynatrace environment.
    Dynatrace(DynatraceArgs),
}

/// A Prometheus server.
#[derive(Clone, Debug, clap::Args)]
pub struct PrometheusArgs {
    #[command(flatten)]
    of: Of,
    /// The server, such as http://prometheus:9090; its host must be among 'delivery.sources' of the configuration.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The file with the bearer token; over http:// everybody on the way can read it.
    #[arg(long, value_name = "FILE", conflicts_with = "basic_file")]
    token_file: Option<PathBuf>,
    /// The file with user:password; over http:// everybody on the way can read it.
    #[arg(long, value_name = "FILE")]
    basic_file: Option<PathBuf>,
}

/// A Dynatrace environment.
#[derive(Clone, Debug, clap::Args)]
pub struct DynatraceArgs {
    #[command(flatten)]
    of: Of,
    /// The environment, such as https://abc12345.live.dynatrace.com; its host must be among 'delivery.sources' of the configuration.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The file with the API token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
}

/// Of what.
#[derive(Clone, Debug, clap::Args)]
struct Of {
    /// The project.
    #[arg(long, value_name = "NAME")]
    project: Name,
    /// For this service only.
    #[arg(long, value_name = "NAME")]
    service: Option<Name>,
    /// Whom to ask.
    #[command(flatten)]
    admin: Admin,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn configure(Configure::Monitoring(what): &Configure) -> ExitCode {
    end(match what {
        Monitoring::Prometheus(PrometheusArgs { of, url, token_file, basic_file }) => {
            let file = token_file.as_ref().map(|file| ("bearer", file)).or_else(|| basic_file.as_ref().map(|file| ("basic", file)));
            monitor(of, "prometheus", url, file)
        }
        Monitoring::Dynatrace(DynatraceArgs { of, url, token_file }) => monitor(of, "dynatrace", url, Some(("api-token", token_file))),
    })
}

fn monitor(of: &Of, provider: &str, url: &str, file: Option<(&str, &PathBuf)>) -> Result<String, Undone> {
    let Of { project, service, admin } = of;
    let read = |(scheme, file): (&str, &PathBuf)| {
        let secret = read_text(file).map_err(|problem| Undone::Here(problem.to_string()))?;
        Ok::<Value, Undone>(json!({"scheme": scheme, "secret": secret.trim()}))
    };
    let authorization = file.map(read).transpose()?;
    let body = json!({"service": service, "monitor": {"provider": provider, "url": url, "authorization": authorization}});
    admin.post(&format!("/v1/projects/{project}/monitoring"), &body)?;
    let whose = service.as_ref().map_or_else(|| format!("project {project}"), |service| format!("{service} of {project}"));
    Ok(format!("{provider} at {url} answers, and is asked for the values behind the gates of {whose}\n"))
}
