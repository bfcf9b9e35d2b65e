//! The arguments of `portcullis load`.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method};

use crate::formats::jmeter_conf::TestUrl;
use crate::load::Rate;

/// Sends requests to a server and says how it answered.
///
/// Each of the users has a connection of its own and waits for its answer before it sends again. With --rate requests are sent at
/// even distances instead, whether or not earlier ones are answered, and latency counts from when each was to be sent. An answer
/// below 400 is good. The table goes to stdout, progress to stderr. An interrupt (Ctrl-C) ends the sending, waits up to 5 s for the
/// answers in flight and tells what there is.
///
/// Exit code: 0 when all went well, 1 when more than the accepted share of the requests went wrong or none was sent, 2 when the
/// arguments or the files they name cannot be used.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// What is asked for; with --jmx the server under test.
    #[arg(value_name = "URL")]
    pub url: TestUrl,
    /// How many users there are; 10 without this, or as many as the plan says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub users: Option<u32>,
    /// How many requests each user sends; with --jmx how often it goes through the plan.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["requests", "duration", "rate"])]
    pub loops: Option<u64>,
    /// How many requests all users send together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["duration", "jmx"])]
    pub requests: Option<u64>,
    /// How long requests are sent, such as 30s or 5m; 10s where nothing says when to end.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How many requests per second are sent, such as 200/s.
    #[arg(long, value_name = "R/s", value_parser = rate, conflicts_with_all = ["think", "jmx"])]
    pub rate: Option<Rate>,
    /// How long a user waits before each request, such as 250ms; with --jmx the property ThinkTime.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub think: Option<Duration>,
    /// The method; POST without this where there is a body, else GET.
    #[arg(long, value_name = "M", conflicts_with = "jmx")]
    pub method: Option<Method>,
    /// A header of every request; may be given again.
    #[arg(long, value_name = "K: V", value_parser = header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// The body of every request.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["body_file", "jmx"])]
    pub body: Option<String>,
    /// The file with the body of every request.
    #[arg(long, value_name = "FILE", conflicts_with = "jmx")]
    pub body_file: Option<PathBuf>,
    /// Speak HTTP/2: with prior knowledge in clear, agreed on by ALPN over TLS. HTTP/1.1 without this.
    #[arg(long)]
    pub http2: bool,
    /// The authorities (PEM) that the server's certificate is verified by; those of the system without this.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Take any certificate of the server.
    #[arg(long)]
    pub insecure: bool,
    /// Follow redirects, five at most, as part of their request.
    #[arg(long, conflicts_with = "jmx")]
    pub follow: bool,
    /// Let each user keep the cookies it is given.
    #[arg(long, conflicts_with = "jmx")]
    pub cookies: bool,
    /// How long an answer may take; where a plan says so, that counts.
    #[arg(long, value_name = "D", value_parser = duration, default_value = "30s")]
    pub timeout: Duration,
    /// The share of the requests that may go wrong, such as 1% or 0.01.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0")]
    pub accept_errors: f64,
    /// Write everything to FILE as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write the latencies of each second to FILE, as HdrHistogram's interval log in nanoseconds.
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Send what a JMeter plan (.jmx) says. It gets the properties SERVER_URL, SERVER_PORT, PROTOCOL and CHECK_PATH of the URL.
    #[arg(long, value_name = "FILE")]
    pub jmx: Option<PathBuf>,
    /// A further property of the plan, as -J gives it to JMeter; may be given again.
    #[arg(long, value_name = "K=V", value_parser = property, requires = "jmx")]
    pub property: Vec<(String, String)>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let hint = "write a number and a unit, such as 500ms, 10s or 5m";
    let read = text.parse::<jiff::SignedDuration>().map_err(|_| hint.to_owned())?;
    Duration::try_from(read).ok().filter(|length| !length.is_zero()).ok_or_else(|| format!("it must be longer than 0; {hint}"))
}

fn rate(text: &str) -> Result<Rate, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).trim();
    let number = number.parse::<f64>().map_err(|_| "write requests per second, such as 200/s".to_owned())?;
    Rate::per_second(number).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / of).filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share from 0% to 100%, such as 1% or 0.01".to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write a name and a value, such as 'Accept: text/html'")?;
    let name: HeaderName = name.trim().parse().map_err(|_| format!("{name:?} is no name of a header"))?;
    if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(&name) {
        return Err(format!("{name} is set as the request needs it; leave it out"));
    }
    let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("the value of {name} cannot stand in a header"))?;
    Ok((name, value))
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write a name and a value, such as VUCount=10")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(line: &[&str]) -> Result<LoadArgs, clap::Error> {
        Line::try_parse_from(["load"].iter().chain(line)).map(|line| line.load)
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let args = parse(&["http://a.test/", "--rate", "200/s", "--duration", "1m30s", "--header", "Accept: a:b", "--accept-errors", "1%"]);
        let args = args.unwrap();
        assert_eq!((args.rate, args.duration), (Rate::per_second(200.0).ok(), Some(Duration::from_secs(90))));
        assert_eq!((args.header[0].0.as_str(), args.header[0].1.to_str().unwrap()), ("accept", "a:b"));
        assert!((args.accept_errors - 0.01).abs() < 1e-12);
        assert_eq!((args.timeout, args.users), (Duration::from_secs(30), None));
        let args = parse(&["https://a.test/x", "--jmx", "a.jmx", "--property", "VUCount=3=4", "--loops", "2", "--think", "250ms"]).unwrap();
        assert_eq!((args.property, args.think), (vec![("VUCount".to_owned(), "3=4".to_owned())], Some(Duration::from_millis(250))));
    }

    #[test]
    fn a_bad_argument_is_named_and_means_exit_code_2() {
        for (line, named) in [
            (&["a.test"][..], "no scheme"),
            (&[], "<URL>"),
            (&["http://a.test", "--users", "0"], "--users"),
            (&["http://a.test", "--rate", "fast"], "200/s"),
            (&["http://a.test", "--rate", "0"], "above 0"),
            (&["http://a.test", "--duration", "10"], "500ms, 10s"),
            (&["http://a.test", "--duration", "0s"], "longer than 0"),
            (&["http://a.test", "--header", "Accept"], "Accept: text/html"),
            (&["http://a.test", "--header", "Content-Length: 3"], "leave it out"),
            (&["http://a.test", "--accept-errors", "101%"], "0% to 100%"),
            (&["http://a.test", "--loops", "1", "--requests", "1"], "cannot be used with"),
            (&["http://a.test", "--loops", "1", "--rate", "1/s"], "cannot be used with"),
            (&["http://a.test", "--ca", "a.pem", "--insecure"], "cannot be used with"),
            (&["http://a.test", "--property", "a=b"], "--jmx"),
            (&["http://a.test", "--jmx", "a.jmx", "--rate", "1/s"], "cannot be used with"),
            (&["http://a.test", "--method", "G ET"], "--method"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}");
            assert!(error.to_string().contains(named), "{line:?}: {error}");
        }
    }
}
