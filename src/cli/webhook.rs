//! `portcullis webhook`: the admission webhook that puts the proxy into pods as they are made.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use kube::{Client, Config};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::exit;
use crate::cli::sidecar::SidecarArgs;
use crate::formats::tls::{CertificateFiles, TlsFiles};
use crate::kube::review::Invalid;
use crate::kube::webhook::authority::Service;
use crate::kube::webhook::bundle::{Bundle, PATIENCE};
use crate::kube::webhook::expiry;
use crate::kube::webhook::figures::Figures;
use crate::kube::webhook::renewal::Renewal;
use crate::kube::webhook::routes::Hook;
use crate::kube::webhook::server;
use crate::proxy::certificates::{self, Certificates, Expiry, TlsSlot};
use crate::telemetry::logs;

/// Puts the proxy into pods of Kubernetes as they are made: an admission webhook, asked by API servers over TLS.
///
/// It answers AdmissionReviews at /mutate with what `portcullis inject` makes of the same pod, and /livez, /readyz and /metrics. A pod
/// that cannot have a sidecar is made without one, with a warning that says why. The certificate is read again when its files change
/// and on SIGHUP; or it is made here, for two weeks at a time, and the authority that signed it put into the caBundle of one
/// MutatingWebhookConfiguration, with the pod's service account (get and patch of that one object). SIGTERM lets the requests at hand
/// end; a second one stops at once.
/// Exit code: 0 after a stop, 1 when it cannot run, 69 when the address cannot be bound, 78 when the certificate is wrong.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: portcullis webhook --certificate tls.crt --key tls.key --image registry.example.com/portcullis:0.1.0")]
pub struct WebhookArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// The certificate, and after it those that lead to an authority (PEM).
    #[arg(long, value_name = "FILE", requires = "key", required_unless_present = "service", conflicts_with = "service")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Make the certificate here, for the Service by which API servers call.
    #[arg(long, value_name = "NAME.NAMESPACE", requires = "configuration")]
    service: Option<Service>,
    /// The MutatingWebhookConfiguration whose caBundle is to trust it.
    #[arg(long, value_name = "NAME", requires = "service")]
    configuration: Option<String>,
    /// Refuse pods whose label or annotations are wrong, instead of making them without a sidecar.
    #[arg(long)]
    deny_invalid: bool,
    #[command(flatten)]
    sidecar: SidecarArgs,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &WebhookArgs) -> ExitCode {
    if let Err(error) = logs::start() {
        eprintln!("error: {error}");
        return exit::BAD_FILE.end();
    }
    let files = match args.files().map(Certificates::load).transpose() {
        Ok(files) => files,
        Err(problem) => {
            eprintln!("{problem}");
            return exit::BAD_FILE.end();
        }
    };
    let socket = match listen(args.listen, |domain| Socket::new(domain, Type::STREAM, Some(Protocol::TCP))) {
        Ok(socket) => socket,
        Err(error) => {
            eprintln!("error: cannot listen on {}: {error}\n  hint: name a free address of this machine (--listen)", args.listen);
            return exit::UNAVAILABLE.end();
        }
    };
    match serve(args, files, socket) {
        Ok(()) => exit::DONE.end(),
        Err(error) => {
            eprintln!("error: {error:#}");
            exit::FAILED.end()
        }
    }
}

impl WebhookArgs {
    fn files(&self) -> Option<TlsFiles> {
        let (Some(chain), Some(key)) = (self.certificate.clone(), self.key.clone()) else { return None };
        Some(TlsFiles { certificates: vec![CertificateFiles { chain, key }], ..TlsFiles::default() })
    }
}

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on an address. On all addresses of IPv6 it takes those of IPv4 too, and IPv4 alone where the machine has nothing else.
fn listen(address: SocketAddr, open: impl Fn(Domain) -> io::Result<Socket>) -> io::Result<TcpListener> {
    let on = |address: SocketAddr| {
        let socket = open(Domain::for_address(address))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    on(address).or_else(|error: io::Error| {
        let no_family = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|no| error.raw_os_error() == Some(no.raw_os_error()));
        if address.is_ipv6() && address.ip().is_unspecified() && no_family {
            return on(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())));
        }
        Err(error)
    })
}

fn serve(args: &WebhookArgs, files: Option<Certificates>, socket: TcpListener) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(4).build().context("no runtime could be set up")?;
    let ended = runtime.block_on(async {
        let ready = Arc::new(watch::Sender::new(false));
        let (asked, asking) = mpsc::channel();
        let (slot, expiry, renewal) = match files {
            Some(files) => {
                let found = (files.slot(), files.expiry(), None);
                ready.send_replace(true);
                tokio::spawn(expiry::watch(files.expiry(), Timestamp::now, |words| tracing::error!("{words}")));
                std::thread::Builder::new().name("certificates".to_owned()).spawn(move || certificates::watch(vec![files], &asking))?;
                found
            }
            None => of_our_own(args).await?,
        };
        let figures = Figures::new(expiry).context("nothing could be counted")?;
        let invalid = if args.deny_invalid { Invalid::Deny } else { Invalid::Allow };
        let hook = Arc::new(Hook::new(args.sidecar.settings(), invalid, figures, ready.subscribe()));
        let (stop, stopping) = watch::channel(false);
        let mut until = stopping.clone();
        let renewed = renewal.map(|renewal| {
            let kept = renewal.keep(Arc::clone(&ready), Timestamp::now);
            // Once it is to end, nobody says any more that it is ready.
            tokio::spawn(async move {
                tokio::select! { biased; _ = until.wait_for(|stop| *stop) => {} () = kept => {} }
            })
        });
        let signals = tokio::spawn(signals(stop, Arc::clone(&ready), asked)?);
        println!("listening on {}", socket.local_addr()?);
        let served = server::serve(socket, slot, hook, stopping).await;
        renewed.inspect(|task| task.abort());
        signals.abort();
        served.context("the webhook could not go on")
    });
    // A large review that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    ended
}

/// Makes a certificate, and finds the API server that is to trust it.
async fn of_our_own(args: &WebhookArgs) -> anyhow::Result<(TlsSlot, Expiry, Option<Renewal>)> {
    let (Some(service), Some(name)) = (args.service.clone(), &args.configuration) else {
        return Err(anyhow!(
            "there is no certificate; name its files (--certificate, --key), or what to make one for (--service, --configuration)"
        ));
    };
    let mut config = Config::infer().await.context("no way to the API server was found; run this in a pod with a service account")?;
    // Who waits for ever renews nothing, and what fails is tried again here.
    (config.connect_timeout, config.read_timeout, config.default_retry) = (Some(PATIENCE / 2), Some(PATIENCE), false);
    let client = Client::try_from(config).context("the API server cannot be asked")?;
    // In a pod it is the pod's name.
    let holder = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let renewal = Renewal::new(service, holder.trim().to_owned(), Bundle::new(client, name), Timestamp::now())?;
    Ok((renewal.slot(), renewal.expiry(), Some(renewal)))
}

/// Follows signals: SIGTERM and SIGINT end it, the second time at once; SIGHUP has the certificate read again.
fn signals(
    stop: watch::Sender<bool>,
    ready: Arc<watch::Sender<bool>>,
    asked: mpsc::Sender<()>,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let of = |kind| signal(kind).context("signals cannot be followed");
    let (mut term, mut int, mut hup) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?, of(SignalKind::hangup())?);
    Ok(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                _ = hup.recv() => {
                    // Nobody listens where the certificate is our own.
                    let _ = asked.send(());
                    continue;
                }
            }
            ready.send_replace(false);
            if stop.send_replace(true) {
                std::process::exit(1);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_addresses() -> SocketAddr {
        "[::]:0".parse().unwrap()
    }

    #[test]
    fn a_machine_without_ipv6_is_listened_on_by_ipv4() {
        for no in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let open = |domain| {
                if domain == Domain::IPV6 { Err(no.into()) } else { Socket::new(domain, Type::STREAM, None) }
            };
            assert!(listen(all_addresses(), open).unwrap().local_addr().unwrap().is_ipv4());
            assert!(listen("[::1]:0".parse().unwrap(), open).is_err(), "one address that was named is no other");
        }
        let open = |_| Err(Errno::ACCESS.into());
        assert_eq!(listen(all_addresses(), open).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn all_addresses_are_those_of_ipv4_too_whatever_the_system_says() {
        let open = |domain| {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            if domain == Domain::IPV6 {
                socket.set_only_v6(true)?;
            }
            Ok(socket)
        };
        let port = listen(all_addresses(), open).unwrap();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port.local_addr().unwrap().port())).unwrap();
    }
}
