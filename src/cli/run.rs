//! `portcullis run`: the proxy, from a file or from flags.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::{self, AppError};
use crate::cli::exit;
use crate::cli::leash;
use crate::config::{self, Flags, Hurried, Surroundings};
use crate::telemetry::logs;

/// Runs the proxy, from a configuration file or from flags alone.
///
/// SIGTERM lets the requests in flight end and then stops; a second one stops at once. SIGHUP reads the configuration and the
/// certificates again, as a change of the files does; SIGUSR2 lets a new process of the program take over without refusing anybody.
/// Rollouts end with the process that judges them and are started again there; what is being delivered goes on by itself.
/// Exit code: 0 after a stop, 1 when it cannot run, 69 when an address cannot be bound, 78 when the configuration has errors.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: portcullis run --listen 127.0.0.1:8080 --stable v1=127.0.0.1:8081 --canary v2=127.0.0.1:8082 --gate 'p95 < 1s'"
)]
pub struct RunArgs {
    /// The configuration file; absent: flags alone, or $PORTCULLIS_CONFIG.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The configuration file, the same as FILE.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// Where to listen; may be given several times.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Where connections come that `portcullis intercept` redirects; may be given several times, also beside --listen.
    #[arg(long, value_name = "ADDR")]
    intercepted: Vec<String>,
    /// Where the admin API is: an address, or unix:PATH (default: a Unix socket that takes commands, and 127.0.0.1:9090, which shows).
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// The folder that keeps what was decided.
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// How many workers (default: one per core).
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// The access log: off, stdout or a file (default off).
    #[arg(long, value_name = "WHERE")]
    access_log: Option<String>,
    /// The name of the service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The version that owns the traffic, with its endpoints.
    #[arg(long, value_name = "NAME=ADDR[,ADDR…]")]
    stable: Option<String>,
    /// The version to try, with its endpoints.
    #[arg(long, value_name = "NAME=ADDR[,ADDR…]")]
    canary: Option<String>,
    /// The canary's first share; it triples with each step that passes (default 10%).
    #[arg(long, value_name = "PERCENT")]
    weight: Option<String>,
    /// How long each step lasts at least (default 10s).
    #[arg(long, value_name = "DURATION")]
    hold: Option<String>,
    /// What the canary must keep to, such as 'p95 < 1s' or 'errors < 1%'; may be given several times.
    #[arg(long = "gate", value_name = "GATE")]
    gates: Vec<String>,
    /// A perfspec.json that the canary must pass.
    #[arg(long, value_name = "FILE")]
    perfspec: Option<String>,
    /// Judge a perfspec by its mean alone, without the tripwire derived from its severe limit.
    #[arg(long)]
    no_derived_tripwire: bool,
    /// Ends at once when standard input ends; for a parent that must leave nothing behind.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: RunArgs) -> ExitCode {
    if args.exit_with_stdin
        && let Err(error) = leash::follow_stdin()
    {
        eprintln!("error: cannot follow standard input: {error}");
        return exit::FAILED.end();
    }
    let named = args.file.or(args.config);
    let from_environment = || if args.stable.is_none() { std::env::var_os("PORTCULLIS_CONFIG").map(PathBuf::from) } else { None };
    let file = named.or_else(from_environment);
    let flags = Flags {
        listen: args.listen,
        intercepted: args.intercepted,
        admin: args.admin,
        state: args.state,
        workers: args.workers,
        access_log: args.access_log,
        service: args.service,
        stable: args.stable.clone(),
        canary: args.canary,
        weight: args.weight,
        hold: args.hold,
        gates: args.gates,
        perfspec: args.perfspec,
        no_derived_tripwire: args.no_derived_tripwire,
    };
    // Who takes over has a predecessor that knows where the names lead; who starts alone has nothing better.
    let hurried = Hurried::system();
    let resolve = |address: &str| hurried.resolve(address);
    let alone = Surroundings { resolve: &resolve, awaits_names: true, ..Surroundings::real() };
    let around = if app::is_successor() { Surroundings::real() } else { alone };
    let loaded = match config::load(file.as_deref(), &flags, &around) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}\n"));
            return exit::BAD_FILE.end();
        }
    };
    for note in &loaded.notes {
        eprintln!("note: {} ({}{})", note.message, note.file, note.line.map_or_else(String::new, |line| format!(":{line}")));
    }
    if let Err(error) = logs::start() {
        eprintln!("error: {error}");
        return exit::BAD_FILE.end();
    }
    let source = move || config::load(file.as_deref(), &flags, &Surroundings::real());
    let told = app::run(loaded, Box::new(source), !args.exit_with_stdin, |at| {
        for address in &at.listen {
            println!("listening on {address}");
        }
        for (address, encrypted) in &at.admin {
            match address.path() {
                Some(_) => println!("admin on {address}"),
                None => println!("admin on {}://{address}", if *encrypted { "https" } else { "http" }),
            }
        }
    });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("  hint: {hint}");
            }
            if matches!(error, AppError::Bind { .. }) { exit::UNAVAILABLE.end() } else { exit::FAILED.end() }
        }
    }
}
