//! Finding the route of a request among few and many: a tenth are hosts, each with prefixes, templates and exact paths.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gungraun::{library_benchmark, library_benchmark_group};
use http::{HeaderMap, Method};
use portcullis::domain::route::{Asked, Rule};
use portcullis::seam::table::{Route, Table};

use crate::{TIMES, support};

/// A table, and what is asked of it.
pub struct Asking {
    table: Table,
    wanted: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Asking {
    fn all(&self) -> usize {
        let found = self.wanted.iter().filter(|(host, path)| {
            let asked = Asked { host: black_box(host), method: &Method::GET, path: black_box(path), query: None, headers: &self.headers };
            matches!(black_box(self.table.route(&asked)), Ok(Some(_)))
        });
        found.count()
    }
}

fn among(count: usize) -> Asking {
    let nobody = ([127, 0, 0, 1], 9).into();
    let (v1, v2) = (support::version("v1", nobody), support::version("v2", nobody));
    let epoch = support::epoch(1, &v1, &v2, "10%", Duration::from_secs(1));
    let host = |number: usize| format!("shop-{}.example.com", number / 10);
    let rule = |number: usize| {
        let path = match number % 10 {
            0..4 => format!("/area-{number}/carts"),
            4..8 => format!("/area-{number}/{{id}}/items"),
            _ => format!("=/area-{number}/health"),
        };
        Rule { path: path.parse().expect("a path"), ..Rule::for_host(host(number).parse().expect("a host")) }
    };
    let path = |number: usize| match number % 10 {
        0..4 => format!("/area-{number}/carts/17"),
        4..8 => format!("/area-{number}/17/items"),
        _ => format!("/area-{number}/health"),
    };
    let table = Table::new(1, (0..count).map(|number| Route::new([rule(number)], Arc::clone(&epoch))).collect());
    // Asked in turn, so that not always the same part of the index is at hand.
    let wanted = (0..TIMES).map(|turn| turn * 7_919 % count).map(|number| (host(number), path(number))).collect();
    let asking = Asking { table, wanted, headers: HeaderMap::new() };
    asking.all();
    asking
}

#[library_benchmark]
#[bench::one(among(1))]
#[bench::hundred(among(100))]
#[bench::ten_thousand(among(10_000))]
fn one_of(asking: Asking) -> Asking {
    assert_eq!(asking.all(), TIMES);
    asking
}

library_benchmark_group!(name = routes, benchmarks = one_of);
