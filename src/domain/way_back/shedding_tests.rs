//! How the bound follows a version that is overrun or keeps up, and that it ends in time.
#![cfg(test)]

use super::*;

const TERMS: Terms = Terms { most: None, lasts: Duration::from_secs(60) };

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn stretch(slow: f64) -> Stretch {
    Stretch { length: Duration::from_secs(1), answered: 400, failed: 0, in_flight: 400.0 * slow, slow }
}

fn capacity() -> Capacity {
    let mut capacity = Capacity::default();
    (0..60).for_each(|_| capacity.learn(&stretch(0.02), 4));
    capacity
}

#[test]
fn without_anything_to_go_by_nothing_is_bounded() {
    assert_eq!(Shedding::begin(TERMS, &Capacity::default(), 3, at(0)), None);
    let told = Terms { most: Some(7), ..TERMS };
    assert_eq!(Shedding::begin(told, &Capacity::default(), 3, at(0)).map(|shedding| shedding.most()), Some(7));
}

#[test]
fn an_overrun_version_holds_less_and_a_quick_one_more() {
    let capacity = capacity();
    let mut shedding = Shedding::begin(TERMS, &capacity, 2, at(0)).unwrap();
    assert_eq!(shedding.most(), 16);
    shedding.follow(&stretch(0.07), 5, &capacity);
    assert_eq!(shedding.most(), 11);
    shedding.follow(&stretch(0.05), 5, &capacity);
    assert_eq!(shedding.most(), 11, "neither overrun nor quick");
    shedding.follow(&stretch(0.02), 0, &capacity);
    assert_eq!(shedding.most(), 11, "nothing was refused, so nothing is missing");
    shedding.follow(&stretch(0.02), 5, &capacity);
    assert_eq!(shedding.most(), 13);
    (0..50).for_each(|_| shedding.follow(&stretch(0.07), 5, &capacity));
    assert_eq!(shedding.most(), 2, "one for each endpoint at least");
    shedding.follow(&stretch(0.02), 5, &capacity);
    assert_eq!(shedding.most(), 3);
}

#[test]
fn what_the_operator_bounds_stays() {
    let capacity = capacity();
    let mut shedding = Shedding::begin(Terms { most: Some(5), ..TERMS }, &capacity, 2, at(0)).unwrap();
    shedding.follow(&stretch(0.9), 5, &capacity);
    shedding.follow(&stretch(0.01), 5, &capacity);
    assert_eq!(shedding.most(), 5);
}

#[test]
fn it_ends_in_time() {
    let begin = || Shedding::begin(TERMS, &capacity(), 2, at(0)).unwrap();
    assert_eq!((begin().end(at(9)), begin().end(at(10))), (None, Some(End::Quiet)));
    let mut shedding = begin();
    for second in 0..60 {
        shedding.refused(1, at(second));
        assert_eq!(shedding.end(at(second)), None);
    }
    shedding.refused(0, at(60));
    assert_eq!(shedding.end(at(60)), Some(End::Quiet));
    shedding.refused(3, at(60));
    assert_eq!(shedding.end(at(60)), Some(End::Late));
    let short = Terms { lasts: Duration::from_secs(2), ..TERMS };
    assert_eq!(Shedding::begin(short, &capacity(), 2, at(0)).unwrap().end(at(2)), Some(End::Quiet));
}
