//! Which version a request gets, as a worker decides it: the table, its route, the draw by weight, and the epoch's pick.

use std::hint::black_box;
use std::time::Duration;

use gungraun::{library_benchmark, library_benchmark_group};
use http::{HeaderMap, Method};
use portcullis::domain::outcome::Role;
use portcullis::domain::route::Asked;
use portcullis::domain::split::Draw;
use portcullis::domain::time::Timestamp;
use portcullis::seam::routes::{Reader, Routes};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::{TIMES, support};

/// A worker's view of one route with a canary that gets a tenth.
pub struct View {
    // Keeps what the reader reads.
    _routes: Routes,
    reader: Reader,
    random: SmallRng,
    draw: Draw,
    headers: HeaderMap,
}

impl View {
    fn pick(&mut self) -> Role {
        let table = self.reader.load();
        let asked = Asked {
            host: black_box("carts.sockshop.localhost"),
            method: &Method::GET,
            path: "/carts/1/items",
            query: None,
            headers: &self.headers,
        };
        let index = table.route(&asked).ok().flatten().expect("a route for every host");
        let epoch = table.routes.get(index).map(|route| &route.epoch).expect("the route");
        let weight = epoch.canary.as_ref().map(|canary| canary.weight).unwrap_or_default();
        let drawn = self.draw.next(weight, self.random.random());
        epoch.pick(drawn, black_box(Timestamp::from_nanos(1)))
    }
}

fn a_tenth() -> View {
    let nobody = ([127, 0, 0, 1], 9).into();
    let (v1, v2) = (support::version("v1", nobody), support::version("v2", nobody));
    let routes = Routes::default();
    routes.publish(support::table(1, &support::epoch(1, &v1, &v2, "10%", Duration::from_secs(1))));
    let mut random = SmallRng::seed_from_u64(7);
    let draw = Draw::new(random.random());
    let mut view = View { reader: routes.reader(), _routes: routes, random, draw, headers: HeaderMap::new() };
    view.pick();
    view
}

#[library_benchmark]
#[bench::a_tenth(a_tenth())]
fn weighted(mut view: View) -> View {
    let canary = (0..TIMES).filter(|_| view.pick() == Role::Canary).count();
    assert!((TIMES / 11..TIMES / 9).contains(&canary), "{canary} picks of the canary");
    view
}

library_benchmark_group!(name = picks, benchmarks = weighted);
