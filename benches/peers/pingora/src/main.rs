//! Pingora as a peer: a proxy that sends every tenth request to the canary, in as few lines as that takes.
//!
//! Usage: `split LISTEN STABLE CANARY h1|h2 [CHAIN KEY]`, the protocol being that of the upstreams.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::{HttpPeer, ProxyHttp, Result, Server, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;

struct Split {
    stable: String,
    canary: String,
    multiplexed: bool,
    asked: AtomicU64,
}

#[async_trait]
impl ProxyHttp for Split {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let is_canary = self.asked.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        let mut peer = HttpPeer::new(if is_canary { &self.canary } else { &self.stable }, false, String::new());
        if self.multiplexed {
            peer.options.set_http_version(2, 2);
            peer.options.max_h2_streams = 128;
        }
        Ok(Box::new(peer))
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, stable, canary, protocol, tls @ ..] = words.as_slice() else {
        panic!("usage: split LISTEN STABLE CANARY h1|h2 [CHAIN KEY]");
    };
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: 1024,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let split = Split { stable: stable.clone(), canary: canary.clone(), multiplexed: protocol == "h2", asked: AtomicU64::new(0) };
    let mut service = http_proxy_service(&server.configuration, split);
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    service.app_logic_mut().expect("a new service has its logic").server_options = Some(options);
    match tls {
        [chain, key] => {
            let mut settings = TlsSettings::intermediate(chain, key).expect("the certificate can be read");
            settings.enable_h2();
            service.add_tls_with_settings(listen, None, settings);
        }
        _ => service.add_tcp(listen),
    }
    server.add_service(service);
    server.run_forever();
}
