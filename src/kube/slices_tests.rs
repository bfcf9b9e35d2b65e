//! Slices merged as a cluster shows them, and in any order.

use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

fn port(name: &str, number: u16) -> SlicePort {
    SlicePort { name: name.to_owned(), number: Some(number), is_tcp: true }
}

/// A pod that is ready; `n` is in its address and its UID.
fn pod(n: u8) -> Member {
    let uid = Some(format!("uid-{n}"));
    Member { address: IpAddr::from([10, 0, 0, n]), uid, ready: Some(true), serving: Some(true), terminating: Some(false) }
}

/// The same pod in the slice of the other family.
fn pod_v6(n: u8) -> Member {
    Member { address: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(), ..pod(n) }
}

fn ending(n: u8) -> Member {
    Member { ready: Some(false), terminating: Some(true), ..pod(n) }
}

fn unready(n: u8) -> Member {
    Member { ready: Some(false), serving: Some(false), ..pod(n) }
}

fn slice(members: &[Member]) -> Slice {
    Slice { ports: vec![port("http", 8080)], members: members.to_vec() }
}

fn known(slices: &[Slice]) -> Known {
    Known { slices: slices.iter().enumerate().map(|(n, slice)| (format!("carts-{n}"), slice.clone())).collect() }
}

fn listed(slices: &[Slice]) -> Result<Vec<String>, Gap> {
    with(slices, &Port::Only, Family::V4)
}

fn with(slices: &[Slice], port: &Port, prefer: Family) -> Result<Vec<String>, Gap> {
    known(slices).endpoints(port, prefer, None).map(|list| list.iter().map(ToString::to_string).collect())
}

#[test]
fn slices_are_merged_and_what_ends_or_does_not_answer_is_left_out() {
    let slices = [slice(&[pod(3), unready(4)]), slice(&[pod(1), ending(2)])];
    assert_eq!(listed(&slices).unwrap(), ["10.0.0.1:8080", "10.0.0.3:8080"]);
}

#[test]
fn those_that_end_but_answer_are_taken_where_there_is_no_other() {
    let deaf = Member { serving: Some(false), ..ending(3) };
    assert_eq!(listed(&[slice(&[ending(1), unready(2), deaf.clone()])]).unwrap(), ["10.0.0.1:8080"]);
    assert_eq!(listed(&[slice(&[unready(1), deaf])]), Err(Gap::Unready(2)));
}

#[test]
fn what_is_not_said_counts_as_ready_and_staying() {
    let silent = |n| Member { ready: None, serving: None, terminating: None, ..pod(n) };
    // Before 1.22 only `ready` was said.
    let old = |n, ready| Member { ready: Some(ready), serving: None, terminating: None, ..pod(n) };
    assert_eq!(listed(&[slice(&[silent(1), old(2, true), old(3, false)])]).unwrap(), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    // With publishNotReadyAddresses all are called ready.
    assert_eq!(listed(&[slice(&[Member { serving: Some(false), ..pod(1) }, pod(2)])]).unwrap(), ["10.0.0.2:8080"]);
}

#[test]
fn a_pod_with_addresses_of_both_families_counts_once() {
    let slices = [slice(&[pod(1), pod(2)]), slice(&[pod_v6(2), pod_v6(1), pod_v6(3)])];
    assert_eq!(listed(&slices).unwrap(), ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::3]:8080"], "the third has no other");
    assert_eq!(with(&slices, &Port::Only, Family::V6).unwrap(), ["[fd00::1]:8080", "[fd00::2]:8080", "[fd00::3]:8080"]);
}

#[test]
fn a_pod_in_two_slices_counts_once_and_ends_when_one_says_so() {
    assert_eq!(listed(&[slice(&[pod(1)]), slice(&[pod(1), pod(2)])]).unwrap(), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(listed(&[slice(&[pod(1)]), slice(&[ending(1), pod(2)])]).unwrap(), ["10.0.0.2:8080"]);
    let bare = |n| Member { uid: None, ..pod(n) };
    assert_eq!(listed(&[slice(&[bare(1)]), slice(&[bare(1)])]).unwrap(), ["10.0.0.1:8080"], "without a reference the address tells");
}

#[test]
fn ports_are_found_by_name_and_by_number_in_each_slice() {
    let two = |http: u16, member| Slice { ports: vec![port("http", http), port("admin", 9000)], members: vec![member] };
    let slices = [two(8080, pod(1)), two(8081, pod(2))];
    let by = |wanted: Port| with(&slices, &wanted, Family::V4);
    assert_eq!(by(Port::Name("http".to_owned())).unwrap(), ["10.0.0.1:8080", "10.0.0.2:8081"], "a named port differs between pods");
    assert_eq!(by(Port::Number(8081)).unwrap(), ["10.0.0.2:8081"]);
    assert_eq!(by(Port::Only), Err(Gap::Port("8080 called http, 8081 called http, 9000 called admin".to_owned())));
    assert_eq!(by(Port::Name("grpc".to_owned())).unwrap_err().to_string(), by(Port::Only).unwrap_err().to_string());
    let udp = Slice { ports: vec![SlicePort { is_tcp: false, ..port("dns", 53) }, port("", 80)], members: vec![pod(1)] };
    assert_eq!(listed(&[udp]).unwrap(), ["10.0.0.1:80"], "only TCP counts");
    let all = Slice { ports: vec![SlicePort { number: None, ..port("", 1) }], members: vec![pod(1)] };
    assert_eq!(with(std::slice::from_ref(&all), &Port::Number(7), Family::V4).unwrap(), ["10.0.0.1:7"]);
    assert_eq!(listed(&[all]), Err(Gap::Port("all".to_owned())));
}

#[test]
fn no_endpoint_has_a_reason() {
    let empty = Slice { ports: vec![port("http", 1)], members: Vec::new() };
    for slices in [vec![], vec![Slice::default()], vec![empty]] {
        assert_eq!(listed(&slices), Err(Gap::Nothing));
    }
    let portless = Slice { ports: Vec::new(), members: vec![pod(1)] };
    assert_eq!(listed(&[portless]), Err(Gap::Portless(1)), "nobody can say which port is meant");
}

#[test]
fn a_service_without_ports_has_whichever_is_written_by_number() {
    let portless = Slice { ports: Vec::new(), members: vec![pod(1), pod(2)] };
    let by = |slices: &[Slice], wanted: Port| with(slices, &wanted, Family::V4);
    let alone = std::slice::from_ref(&portless);
    assert_eq!(by(alone, Port::Number(7)).unwrap(), ["10.0.0.1:7", "10.0.0.2:7"]);
    assert_eq!(by(alone, Port::Name("http".to_owned())), Err(Gap::Portless(2)));
    assert_eq!(by(&[portless, slice(&[pod(3)])], Port::Name("grpc".to_owned())), Err(Gap::Port("8080 called http".to_owned())));
    let udp = Slice { ports: vec![SlicePort { is_tcp: false, ..port("dns", 53) }], members: vec![pod(1)] };
    assert_eq!(by(&[udp], Port::Number(53)), Err(Gap::Port("53 (not TCP) called dns".to_owned())), "it has ports, and none is meant");
}

#[test]
fn labels_pick_pods_by_what_their_references_say() {
    let known = known(&[slice(&[pod(1), pod(2), Member { uid: None, ..pod(3) }])]);
    let pods = |uids: &[&str]| uids.iter().map(|uid| (*uid).to_owned()).collect::<BTreeSet<_>>();
    let picked = |uids: &[&str]| known.endpoints(&Port::Only, Family::V4, Some(&pods(uids)));
    assert_eq!(picked(&["uid-2", "uid-9"]), Ok(vec!["10.0.0.2:8080".parse().unwrap()]));
    assert_eq!(picked(&["uid-9"]), Err(Gap::Labels(3)));
}

/// A slice of few pods in any condition, of either family.
fn any_slice() -> impl Strategy<Value = Slice> {
    let member = (0..6_u8, any::<bool>(), any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>(), any::<bool>()).prop_map(
        |(n, v4, ready, serving, terminating, known)| {
            let pod = if v4 { pod(n) } else { pod_v6(n) };
            Member { ready, serving, terminating, uid: pod.uid.clone().filter(|_| known), ..pod }
        },
    );
    proptest::collection::vec(member, 0..5).prop_map(|members| slice(&members))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Events of one slice come in order, those of different slices in any.
    #[test]
    fn any_order_of_events_leads_to_the_final_state(
        histories in proptest::collection::vec(proptest::collection::vec(proptest::option::of(any_slice()), 1..5), 1..4),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let mut known = Known::default();
        let mut left: Vec<_> = histories.iter().map(|history| history.iter()).collect();
        let mut order = order.iter().cycle();
        loop {
            let open: Vec<usize> = (0..left.len()).filter(|n| left[*n].len() > 0).collect();
            if open.is_empty() {
                break;
            }
            let next = open[order.next().unwrap().index(open.len())];
            let name = format!("carts-{next}");
            match left[next].next().unwrap() {
                Some(slice) => known.apply(name, slice.clone()),
                None => known.delete(&name),
            }
        }
        let mut last = Known::default();
        for (n, slice) in histories.iter().enumerate().filter_map(|(n, history)| Some((n, history.last()?.clone()?))) {
            last.apply(format!("carts-{n}"), slice);
        }
        prop_assert_eq!(known.endpoints(&Port::Only, Family::V4, None), last.endpoints(&Port::Only, Family::V4, None));
    }

    /// How members are spread over slices, how often they are repeated and in which order they stand says nothing.
    #[test]
    fn how_pods_are_spread_over_slices_says_nothing(
        slices in proptest::collection::vec(any_slice(), 1..4),
        places in proptest::collection::vec((0..3_usize, any::<bool>()), 20),
        v6 in any::<bool>(),
    ) {
        let prefer = if v6 { Family::V6 } else { Family::V4 };
        let mut spread = vec![slice(&[]), slice(&[]), slice(&[])];
        for (member, (to, twice)) in slices.iter().flat_map(|slice| &slice.members).rev().zip(places.iter().cycle()) {
            spread[*to].members.push(member.clone());
            if *twice {
                spread[(to + 1) % 3].members.insert(0, member.clone());
            }
        }
        let (one, other) = (with(&slices, &Port::Only, prefer), with(&spread, &Port::Only, prefer));
        prop_assert_eq!(&one, &other);
        let list = one.unwrap_or_default();
        prop_assert!(list.iter().collect::<BTreeSet<_>>().len() == list.len(), "an endpoint occurs twice: {:?}", list);
    }

    /// What ends gets nothing while another answers.
    #[test]
    fn what_ends_gets_nothing_while_another_answers(slices in proptest::collection::vec(any_slice(), 1..4)) {
        let mut members: Vec<Member> = slices.into_iter().flat_map(|slice| slice.members).collect();
        members.iter_mut().for_each(|member| member.terminating = Some(true));
        members.push(pod(200));
        prop_assert_eq!(listed(&[slice(&members)]).unwrap(), ["10.0.0.200:8080"]);
    }
}
