//! A request's head, cleaned and written for its version.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};
use http::Request;
use http::request::{Builder, Parts};
use portcullis::proxy::sanitise::{self, Outgoing, Peer, Policy, WireNotes};

use crate::TIMES;

/// Heads to clean, and what they are cleaned by.
pub struct Heads {
    heads: Vec<Parts>,
    cleaned: Vec<Outgoing>,
    peer: Peer,
    policy: Policy,
}

impl Heads {
    fn of(request: Builder) -> Self {
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let mut heads = Self {
            heads: vec![head.clone()],
            cleaned: Vec::with_capacity(TIMES),
            peer: Peer::new(([127, 0, 0, 1], 40_000).into(), 8080, &[]),
            policy: Policy::new(true, "portcullis-guard"),
        };
        heads.clean();
        heads.cleaned.clear();
        heads.heads = (0..TIMES).map(|_| head.clone()).collect();
        heads
    }

    fn clean(&mut self) {
        for mut head in self.heads.drain(..) {
            let clean = sanitise::request(black_box(&mut head), WireNotes::default(), &self.peer, &self.policy).expect("a clean request");
            self.cleaned.push(Outgoing::new(head, clean.framing, &self.peer, &self.policy));
        }
    }
}

/// The head of an ordinary request of a browser behind nobody.
fn browser() -> Builder {
    Request::get("/carts/1/items?sort=price")
        .header("host", "carts.sockshop.localhost")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cookie", "session=0123456789abcdef; theme=dark")
        .header("connection", "keep-alive")
}

/// The same with as many further fields as make a hundred.
fn hundred() -> Builder {
    (7..100).fold(browser(), |request, number| request.header(format!("x-field-{number}"), "of no particular meaning"))
}

#[library_benchmark]
#[bench::browser(Heads::of(browser()))]
#[bench::hundred_fields(Heads::of(hundred()))]
fn heads(mut heads: Heads) -> Heads {
    heads.clean();
    assert_eq!(heads.cleaned.len(), TIMES);
    heads
}

library_benchmark_group!(name = cleaned, benchmarks = heads);
