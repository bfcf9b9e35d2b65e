//! `portcullis intercept`: redirects what an application sends to some ports to the proxy in its pod, or no longer, then ends.

use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Output, Stdio};

use crate::cli::exit;
use crate::kube::inject::settings::{Families, Settings};
use crate::kube::intercept::{Family, Networks, Ports, Redirect, Standing, removal};

/// How often rules are mended that somebody else changes at the same time.
const TRIES: usize = 3;

/// Redirects what is sent from this network namespace to some TCP ports elsewhere to the proxy that listens on its loopback.
///
/// It is what the init container of an intercepting sidecar runs; it needs NET_ADMIN and NET_RAW, and iptables-restore in the image.
/// The rules stand in one chain of their own and are put in at once or not at all, of each family of addresses by itself; run again it
/// leaves the same rules, and mends what was left half done. What the proxy's user sends, what stays on the loopback, and what goes to the
/// link (169.254.0.0/16, fe80::/10, fd00:ec2::/32), such as a cloud's identity, goes its way. With --remove the table is left as it was.
/// Exit code: 0 when the rules are there or removed, 1 when that failed, 2 when the arguments contradict each other.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis intercept --ports 80,8080 --to 4140 --dry-run")]
pub struct InterceptArgs {
    /// The ports of the destinations, 1 to 15 with commas between them; a range such as 8000-8099 counts as two.
    #[arg(long, value_name = "PORT[,PORT…]", required_unless_present = "remove")]
    ports: Option<Ports>,
    /// The port that the proxy listens on, which is none of them.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), required_unless_present = "remove")]
    to: Option<u16>,
    /// The user that the proxy runs as; what it sends goes its way.
    #[arg(long, value_name = "UID", default_value_t = Settings::UID)]
    except_uid: u32,
    /// The port of the admin API, to which nothing is redirected.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    admin_port: Option<u16>,
    /// Ports whose traffic goes its way although a range of --ports has them; as --ports.
    #[arg(long, value_name = "PORT[,PORT…]")]
    skip_ports: Option<Ports>,
    /// Networks of destinations whose traffic goes its way, IPv4 and IPv6, with commas between them.
    #[arg(long, value_name = "CIDR[,CIDR…]")]
    skip_networks: Option<Networks>,
    /// The families of addresses: ipv4, ipv6 or dual; without it ipv4, and with --remove both, as far as there are programs for them.
    #[arg(long, value_name = "FAMILIES")]
    ip_families: Option<Families>,
    /// Removes the chain and what leads to it; all else stays as it is.
    #[arg(long, conflicts_with_all = ["ports", "to", "admin_port", "skip_ports", "skip_networks"])]
    remove: bool,
    /// Only print the rules, as iptables-restore takes them.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &InterceptArgs) -> ExitCode {
    let redirect = match redirect(args) {
        Ok(redirect) => redirect,
        Err(contradiction) => {
            eprintln!("error: {contradiction}");
            return exit::REFUSED.end();
        }
    };
    let families = args.ip_families.unwrap_or(if args.remove { Families::Dual } else { Families::Ipv4 });
    let tables = [("iptables", Family::V4, families.v4()), ("ip6tables", Family::V6, families.v6())];
    let mut done = Vec::new();
    for (program, family, _) in tables.into_iter().filter(|(.., wanted)| *wanted) {
        let table = Table { program, family };
        if args.remove && !args.dry_run && args.ip_families.is_none() && family == Family::V6 && table.is_missing() {
            // Nobody can have put in a rule with it.
            continue;
        }
        let result = match (&redirect, args.dry_run) {
            (Some(redirect), true) => table.show(&redirect.restore(family, &Standing::default())),
            (Some(redirect), false) => table.put_in(redirect),
            (None, true) => table.show(&removal(&Standing::complete(0)).unwrap_or_default()),
            (None, false) => table.take_out(),
        };
        if let Err(why) = result {
            let before =
                if done.is_empty() { String::new() } else { format!("\n  note: {} was done before; run it again", done.join(", ")) };
            eprintln!(
                "error: {why}{before}\n  hint: run it as root with NET_ADMIN and NET_RAW, from an image with {program}-save and {program}-restore"
            );
            return exit::FAILED.end();
        }
        done.push(program);
    }
    exit::DONE.end()
}

/// Returns what is asked for, `None` to remove it; fails where the arguments contradict each other.
fn redirect(args: &InterceptArgs) -> Result<Option<Redirect>, String> {
    let (Some(ports), Some(to)) = (&args.ports, args.to) else { return Ok(None) };
    if ports.names(to) {
        return Err(format!("port {to} cannot be redirected to itself\n  hint: leave it out of --ports, or give the proxy another one"));
    }
    let admin = args.admin_port.filter(|admin| ports.names(*admin));
    if let Some(port) = admin.or_else(|| ports.first_in(args.skip_ports.as_ref()?)) {
        let hint = "leave it out of --ports, or out of --skip-ports and --admin-port";
        return Err(format!("port {port} is to be redirected and to be left alone\n  hint: {hint}"));
    }
    Ok(Some(Redirect {
        ports: ports.clone(),
        to,
        except: args.except_uid,
        admin: args.admin_port,
        skip_ports: args.skip_ports.clone(),
        skip_networks: args.skip_networks.clone().unwrap_or_default(),
    }))
}

/// The table `nat` of one family of addresses.
struct Table {
    program: &'static str,
    family: Family,
}

impl Table {
    /// Says whether its programs are not there.
    fn is_missing(&self) -> bool {
        let save = Command::new(format!("{}-save", self.program)).arg("--version").stdin(Stdio::null()).output();
        save.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn show(&self, text: &str) -> Result<(), String> {
        let text = format!("# {}-restore --noflush\n{text}", self.program);
        io::stdout().lock().write_all(text.as_bytes()).map_err(|error| format!("cannot write the rules: {error}"))
    }

    /// Puts the rules in, and looks whether they are there.
    fn put_in(&self, redirect: &Redirect) -> Result<(), String> {
        let rules = redirect.rules(self.family);
        let mut standing = self.read()?;
        for _ in 0..TRIES {
            self.restore(&redirect.restore(self.family, &standing))?;
            standing = self.read()?;
            if standing == (Standing { foreign: standing.foreign.clone(), ..Standing::complete(rules.len()) }) {
                return rules.iter().map(String::as_str).chain([Redirect::jump()]).try_for_each(|rule| self.look_for(rule));
            }
        }
        Err(format!("{}-restore took the rules, but others stand there now: somebody else changes them", self.program))
    }

    /// Takes the rules out, and looks whether they are gone.
    fn take_out(&self) -> Result<(), String> {
        for _ in 0..TRIES {
            let standing = self.read()?;
            if let Some(rule) = &standing.foreign {
                return Err(format!("a rule that this command has not written leads to its chain; remove it first: {rule}"));
            }
            match removal(&standing) {
                None => return Ok(()),
                Some(text) => self.restore(&text)?,
            }
        }
        Err("the rules come back as soon as they are removed: somebody else puts them in".to_owned())
    }

    /// Reads what stands there. Without the name of a table nothing is made that is not there.
    fn read(&self) -> Result<Standing, String> {
        let save = format!("{}-save", self.program);
        let output = self.run(&save, &[], "")?;
        Ok(Standing::read(&String::from_utf8_lossy(&output.stdout)))
    }

    fn restore(&self, text: &str) -> Result<(), String> {
        self.run(&format!("{}-restore", self.program), &["--wait", "5", "--noflush"], text).map(drop)
    }

    /// Sees that a rule is there.
    fn look_for(&self, rule: &str) -> Result<(), String> {
        let wanted = rule.replacen("-A ", "-C ", 1);
        let words: Vec<&str> = ["-w", "5", "-t", "nat"].into_iter().chain(wanted.split(' ')).collect();
        let missing = |why| format!("the rules were put in, but this one cannot be found: {rule}: {why}");
        self.run(self.program, &words, "").map(drop).map_err(missing)
    }

    /// Runs a program to its end; whatever it fails with is a failure, and what it says of it is told.
    fn run(&self, program: &str, words: &[&str], input: &str) -> Result<Output, String> {
        let cannot = |error: io::Error| format!("cannot run {program}: {error}");
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        // A program that has ended already says why below. What it is given is far less than a pipe holds.
        let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(cannot)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().chars().take(2000).collect::<String>();
            return Err(format!("{program} failed ({}): {said}", output.status));
        }
        written.map_err(cannot)?;
        Ok(output)
    }
}
