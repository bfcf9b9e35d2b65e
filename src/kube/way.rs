//! The way to the API server of a cluster: looked for once for all who ask there, and again once it may not be right any more. What a
//! kubeconfig says is not watched: a token, a certificate or a server in it may be replaced at any time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use k8s_openapi::jiff::Timestamp;
use kube::Config;
use tokio::time::{Instant, timeout};

use crate::config::kubernetes::Kubernetes;
use crate::sources::cluster::{self, Found};

/// How long is waited for a way. What is run for credentials may hang; it is not run again before it has ended.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a way is taken for right whatever fails on it, so that nothing is read and run for each of many failures.
const FRESH: Duration = Duration::from_secs(5);
/// After how many failures in a row, without any answer, it is looked for again: the server may have moved.
const FAILURES: u32 = 3;

/// A search that is going on or has come to its end.
type Search = Shared<LocalBoxFuture<'static, Result<Rc<Known>, String>>>;

/// Sets what a client needs beside the way.
type Shape = fn(&mut Config);

/// A way that was found.
pub(super) struct Known {
    pub(super) found: Found,
    since: Instant,
}

/// Where it is kept.
pub(super) struct Way {
    settings: Kubernetes,
    shape: Shape,
    patience: Duration,
    current: RefCell<Option<Search>>,
    /// Failures in a row without any answer.
    failures: Cell<u32>,
}

impl Way {
    /// Keeps nothing yet. `shape` sets what else the client needs.
    pub(super) fn new(settings: Kubernetes, shape: Shape) -> Self {
        Self { settings, shape, patience: PATIENCE, current: RefCell::default(), failures: Cell::default() }
    }

    pub(super) const fn settings(&self) -> &Kubernetes {
        &self.settings
    }

    /// Returns the way, or looks for it.
    ///
    /// # Errors
    ///
    /// Says why there is none, or that nothing was found in time; then the search goes on for whoever asks next.
    pub(super) async fn get(&self) -> Result<Rc<Known>, String> {
        let search = self.search();
        match timeout(self.patience, search.clone()).await {
            Ok(Ok(known)) => Ok(known),
            Ok(Err(why)) => {
                self.current.borrow_mut().take_if(|current| current.ptr_eq(&search));
                Err(why)
            }
            Err(_) => Err(format!(
                "no way to the API server was found within {:?}: what the kubeconfig names, a file or a program for credentials, hangs",
                self.patience
            )),
        }
    }

    /// Returns the search whose way holds, or begins one.
    fn search(&self) -> Search {
        let mut current = self.current.borrow_mut();
        current.take_if(|search| matches!(search.peek(), Some(Ok(known)) if known.is_over()));
        let begin = || {
            let (settings, shape) = (self.settings.clone(), self.shape);
            let search = async move {
                let found = cluster::find(settings.kubeconfig.as_deref(), settings.context.as_deref(), shape).await?;
                Ok(Rc::new(Known { found, since: Instant::now() }))
            };
            search.boxed_local().shared()
        };
        current.get_or_insert_with(begin).clone()
    }

    /// Notes that the server answered.
    pub(super) fn answered(&self) {
        self.failures.set(0);
    }

    /// Notes that the server failed who asked on this way: it answered with this status, or not at all. The way is forgotten where the
    /// server no longer knows who asks, or gives no answer again and again.
    pub(super) fn failed(&self, known: &Rc<Known>, status: Option<u16>) {
        self.failures.set(if status.is_some() { 0 } else { self.failures.get().saturating_add(1) });
        let is_unknown = status == Some(401);
        if known.since.elapsed() >= FRESH && (is_unknown || self.failures.get() >= FAILURES) {
            self.failures.set(0);
            let is_this = |search: &mut Search| matches!(search.peek(), Some(Ok(current)) if Rc::ptr_eq(current, known));
            if self.current.borrow_mut().take_if(is_this).is_some() {
                tracing::info!("the way to the API server {} is looked for again", known.found.server);
            }
        }
    }
}

impl Known {
    /// Says whether the certificate that a program gave for it is out of date.
    fn is_over(&self) -> bool {
        self.found.client.valid_until().as_ref().is_some_and(|until| *until <= Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tokio::task::LocalSet;

    use super::*;

    fn way(folder: &Path, server: &str, user: &str) -> Way {
        let file = folder.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {{server: 'http://{server}'}}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test}}\nusers:\n- name: test\n  user: {user}\n"
        );
        std::fs::write(&file, text).unwrap();
        Way::new(Kubernetes { kubeconfig: Some(file), ..Kubernetes::default() }, |_| {})
    }

    /// Makes a user whose credentials are given by a program.
    fn user(script: &str) -> String {
        format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, '{script}']}}}}")
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_told_and_not_run_again_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let [lock, runs]: [PathBuf; 2] = ["lock", "runs"].map(|name| folder.path().join(name));
        std::fs::write(&lock, "").unwrap();
        let script = format!("echo >>{}; while test -e {}; do sleep 0.02; done; exit 7", runs.display(), lock.display());
        let mut way = way(folder.path(), "127.0.0.1:9", &user(&script));
        way.patience = Duration::from_millis(50);
        LocalSet::new()
            .run_until(async {
                for _ in 0..3 {
                    let why = way.get().await.err().unwrap();
                    assert!(why.contains("hangs"), "{why}");
                }
                let runs = || std::fs::read_to_string(&runs).unwrap().len();
                assert_eq!(runs(), 1);
                std::fs::remove_file(&lock).unwrap();
                way.patience = Duration::from_secs(20);
                let why = way.get().await.err().unwrap();
                assert!(why.contains("exit status: 7"), "{why}");
                let before = runs();
                let why = way.get().await.err().unwrap();
                assert!(why.contains("exit status: 7") && runs() > before, "what failed is tried again: {why}");
            })
            .await;
    }

    #[tokio::test]
    async fn what_a_kubeconfig_says_is_read_again_once_it_may_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let first = way(folder.path(), "127.0.0.1:1", "{token: a}");
        let known = first.get().await.unwrap();
        let _ = way(folder.path(), "127.0.0.1:2", "{token: b}");
        tokio::time::pause();
        let is_kept = async || Rc::ptr_eq(&known, &first.get().await.unwrap());
        (0..9).for_each(|_| first.failed(&known, None));
        first.failed(&known, Some(401));
        assert!(is_kept().await, "it was found a moment ago");
        tokio::time::advance(FRESH).await;
        for harmless in [403, 404, 409, 500] {
            first.failed(&known, Some(harmless));
            (0..FAILURES - 1).for_each(|_| first.failed(&known, None));
            assert!(is_kept().await, "{harmless} is an answer");
        }
        first.answered();
        (0..FAILURES - 1).for_each(|_| first.failed(&known, None));
        assert!(is_kept().await);
        first.failed(&known, None);
        let second = first.get().await.unwrap();
        assert!(second.found.server.contains("127.0.0.1:2"), "{}", second.found.server);
        tokio::time::advance(FRESH).await;
        first.failed(&known, Some(401));
        assert!(Rc::ptr_eq(&second, &first.get().await.unwrap()), "that was said of another way");
        first.failed(&second, Some(401));
        assert!(!Rc::ptr_eq(&second, &first.get().await.unwrap()));
    }

    #[tokio::test]
    async fn a_certificate_of_a_program_that_is_out_of_date_is_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        let credentials = folder.path().join("credentials");
        let write = |until: &str| {
            let status = serde_json::json!({"clientCertificateData": certificate, "clientKeyData": key.serialize_pem(), "expirationTimestamp": until});
            let whole = serde_json::json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status});
            std::fs::write(&credentials, whole.to_string()).unwrap();
        };
        write("2999-01-01T00:00:00Z");
        let way = way(folder.path(), "127.0.0.1:9", &user(&format!("cat {}", credentials.display())));
        let first = way.get().await.unwrap();
        assert!(Rc::ptr_eq(&first, &way.get().await.unwrap()));
        write("2000-01-01T00:00:00Z");
        *way.current.borrow_mut() = None;
        let old = way.get().await.unwrap();
        assert!(!Rc::ptr_eq(&old, &way.get().await.unwrap()));
    }
}
