//! `portcullis intercept`: redirects what an application sends to some ports to the proxy in its pod, then ends.

use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};

use crate::cli::exit;
use crate::kube::inject::settings::{Families, Settings};
use crate::kube::intercept::{Family, Ports, Redirect};

/// Redirects what is sent from this network namespace to some TCP ports elsewhere to the proxy that listens on its loopback.
///
/// It is what the init container of an intercepting sidecar runs; it needs NET_ADMIN and NET_RAW, and iptables-restore in the image.
/// The rules stand in one chain of their own and are put in at once or not at all, of each family of addresses by itself; run again it
/// leaves the same rules. What goes to the link (169.254.0.0/16, fe80::/10, fd00:ec2::/32), such as a cloud's identity, goes its way.
/// Exit code: 0 when the rules are there, 1 when they could not be put in.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis intercept --ports 80,8080 --to 4140 --dry-run")]
pub struct InterceptArgs {
    /// The ports of the destinations, 1 to 15 with commas between them.
    #[arg(long, value_name = "PORT[,PORT…]")]
    ports: Ports,
    /// The port that the proxy listens on, which is none of them.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    to: u16,
    /// The user that the proxy runs as; what it sends goes its way.
    #[arg(long, value_name = "UID", default_value_t = Settings::UID)]
    except_uid: u32,
    /// The families of addresses: ipv4, ipv6 or dual.
    #[arg(long, value_name = "FAMILIES", default_value = "ipv4")]
    ip_families: Families,
    /// Only print the rules, as iptables-restore takes them.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &InterceptArgs) -> ExitCode {
    if args.ports.has(args.to) {
        eprintln!("error: port {} cannot be redirected to itself\n  hint: leave it out of --ports, or give the proxy another one", args.to);
        return exit::REFUSED.end();
    }
    let redirect = Redirect { ports: args.ports.clone(), to: args.to, except: args.except_uid };
    let tables = [("iptables", Family::V4, args.ip_families.v4()), ("ip6tables", Family::V6, args.ip_families.v6())];
    for (program, family, _) in tables.into_iter().filter(|(.., wanted)| *wanted) {
        let done = if args.dry_run { shown(program, family, &redirect) } else { put_in(program, family, &redirect) };
        if let Err(why) = done {
            eprintln!(
                "error: {why}\n  hint: run it as root with NET_ADMIN and NET_RAW, from an image with {program} and {program}-restore"
            );
            return exit::FAILED.end();
        }
    }
    exit::DONE.end()
}

fn shown(program: &str, family: Family, redirect: &Redirect) -> Result<(), String> {
    let text = format!("# {program}-restore --noflush\n{}", redirect.restore(family, false));
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| format!("cannot write the rules: {error}"))
}

/// Puts the rules in, and looks whether they are there.
fn put_in(program: &str, family: Family, redirect: &Redirect) -> Result<(), String> {
    let text = redirect.restore(family, is_there(program, &Redirect::jump())?);
    let restore = format!("{program}-restore");
    let cannot = |error: io::Error| format!("cannot run {restore}: {error}");
    let mut child = Command::new(&restore)
        .args(["--wait", "5", "--noflush"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    // A program that has ended already says why below.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(cannot)?;
    if !output.status.success() {
        return Err(format!("{restore} refused the rules: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    written.map_err(cannot)?;
    for rule in redirect.rules(family).iter().chain([&Redirect::jump()]) {
        if !is_there(program, rule)? {
            return Err(format!("{restore} took the rules, but this one is not there: {rule}"));
        }
    }
    Ok(())
}

/// Says whether a rule is there; also not where its chain is not.
fn is_there(program: &str, rule: &str) -> Result<bool, String> {
    let rule = rule.replacen("-A ", "-C ", 1);
    let words = ["-w", "5", "-t", "nat"].into_iter().chain(rule.split(' '));
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    output.map(|output| output.status.success()).map_err(|error| format!("cannot run {program}: {error}"))
}
