//! `portcullis carts`: serves the demo service until SIGTERM or an interrupt.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::carts::{self, Settings, Tag};
use crate::cli::exit;
use crate::cli::leash;

/// The arguments of `portcullis carts`.
#[derive(clap::Args, Clone, Debug)]
pub struct CartsArgs {
    /// The build to play: X.Y.1 is v1, X.Y.2 is v2 (answers a POST of an item 1000 ms late), X.Y.3 is v3
    #[arg(long, value_name = "X.Y.Z")]
    pub tag: Tag,
    /// Where to listen; port 0 takes a free one, and the line on stdout says which
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Delays each POST of an item by MS milliseconds instead of the delay of the tag
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)))]
    pub delay: Option<u32>,
    /// Fails this share of the POSTs of items with status 500
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub failure_rate: u8,
    /// Never answers a POST of an item, while its connection stays open
    #[arg(long)]
    pub hang: bool,
    /// Ends at once when standard input ends; for a parent that must leave nothing behind
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Serves carts until told to stop. Exit code 0 after a shutdown, 69 when it cannot be served.
#[must_use]
pub fn run(args: &CartsArgs) -> ExitCode {
    match serve(args, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            exit::UNAVAILABLE.end()
        }
    }
}

/// The reason why carts cannot be served.
#[derive(Debug, thiserror::Error)]
enum CartsError {
    #[error("carts cannot listen on {address}: {source}\n  hint: choose another address with --listen, or port 0 for a free one")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("carts cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("carts stopped serving: {0}")]
    Serve(#[source] io::Error),
}

fn serve(args: &CartsArgs, out: &mut dyn Write) -> Result<(), CartsError> {
    if args.exit_with_stdin {
        leash::follow_stdin().map_err(CartsError::Start)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CartsError::Start)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(CartsError::Start)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CartsError::Start)?;
        let listen = |source| CartsError::Listen { address: args.listen, source };
        let listener = TcpListener::bind(args.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // A parent reads the port from this line; it is flushed at once as stdout may be a pipe.
        writeln!(out, "listening on {address}").and_then(|()| out.flush()).map_err(CartsError::Start)?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        carts::serve(settings(args), listener, shutdown).await.map_err(CartsError::Serve)
    })
}

fn settings(args: &CartsArgs) -> Settings {
    let built_in = Settings::new(args.tag).with_environment(|name| std::env::var(name).ok());
    Settings {
        delay_ms: args.delay.unwrap_or(built_in.delay_ms),
        failure_rate: args.failure_rate,
        hang: args.hang,
        seed: rand::random(),
        ..built_in
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        carts: CartsArgs,
    }

    fn parse(line: &str) -> Result<CartsArgs, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.carts)
    }

    #[test]
    fn the_tag_gives_the_delay_unless_it_is_given() {
        let built_in = settings(&parse("carts --tag 0.8.2").unwrap());
        assert_eq!((built_in.delay_ms, built_in.failure_rate, built_in.hang), (1000, 0, false));
        let given = settings(&parse("carts --tag 0.8.2 --delay 5 --failure-rate 30 --hang").unwrap());
        assert_eq!((given.delay_ms, given.failure_rate, given.hang), (5, 30, true));
    }

    #[test]
    fn a_bad_argument_is_named_and_means_exit_code_2() {
        for (line, named) in [
            ("carts --tag 0.8.4", "X.Y.2 (v2"),
            ("carts", "--tag"),
            ("carts --tag 0.8.1 --failure-rate 101", "101"),
            ("carts --tag 0.8.1 --delay 4294967295", "4294967295"),
            ("carts --tag 0.8.1 --listen nowhere", "nowhere"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn a_port_in_use_is_named_and_nothing_is_printed() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut out = Vec::new();
        let error = serve(&parse(&format!("carts --tag 0.8.1 --listen {address}")).unwrap(), &mut out).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("in use") && error.contains("--listen"), "{error}");
        assert!(out.is_empty());
    }
}
