//! Reads the objects of a cluster into what the pure core takes.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use crate::kube::slices::{Member, Slice, SlicePort};

/// Returns the name of a slice and what matters of it. What is no address of a family says nothing.
pub(super) fn slice(object: EndpointSlice) -> (String, Slice) {
    let is_ip = matches!(object.address_type.as_str(), "IPv4" | "IPv6");
    let members = object.endpoints.into_iter().filter(|_| is_ip).filter_map(member).collect();
    let ports = object.ports.unwrap_or_default().into_iter().map(port).collect();
    (object.metadata.name.unwrap_or_default(), Slice { ports, members })
}

fn member(endpoint: Endpoint) -> Option<Member> {
    let conditions = endpoint.conditions.unwrap_or_default();
    Some(Member {
        address: endpoint.addresses.first()?.parse().ok()?,
        uid: endpoint.target_ref.and_then(|target| target.uid).filter(|uid| !uid.is_empty()),
        ready: conditions.ready,
        serving: conditions.serving,
        terminating: conditions.terminating,
    })
}

fn port(port: EndpointPort) -> SlicePort {
    SlicePort {
        name: port.name.unwrap_or_default(),
        // One that is none is port 0, to which nothing connects.
        number: port.port.map(|number| u16::try_from(number).unwrap_or(0)),
        is_tcp: port.protocol.is_none_or(|protocol| protocol == "TCP"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::slices::{Family, Port};
    use crate::kube::slices::Known;

    /// As clusters show them: of both families, with a pod that ends, and one whose addresses are names.
    const RECORDED: [&str; 3] = [
        r#"{"addressType":"IPv4","apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"carts-primary-7xkqw",
            "namespace":"shop","generateName":"carts-primary-","generation":7,"resourceVersion":"48211","uid":"0b6e5d0c-0d0c-4c3e-8d3f-2a",
            "annotations":{"endpoints.kubernetes.io/last-change-trigger-time":"2026-11-20T10:11:12Z"},
            "labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"carts-primary"},
            "ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Service","name":"carts-primary","uid":"c1"}]},
            "endpoints":[
              {"addresses":["10.244.1.7"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"worker-1","zone":"eu-1a",
               "hints":{"forZones":[{"name":"eu-1a"}]},"targetRef":{"kind":"Pod","name":"carts-a","namespace":"shop","uid":"pod-a"}},
              {"addresses":["10.244.2.9"],"conditions":{"ready":false,"serving":true,"terminating":true},"nodeName":"worker-2",
               "targetRef":{"kind":"Pod","name":"carts-b","namespace":"shop","uid":"pod-b"}},
              {"addresses":["no address"],"conditions":{}}, {"addresses":[],"conditions":{"ready":true}}],
            "ports":[{"name":"http","port":8080,"protocol":"TCP","appProtocol":"http"},{"name":"metrics","port":9090,"protocol":"TCP"}]}"#,
        r#"{"addressType":"IPv6","apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"carts-primary-v6"},
            "endpoints":[{"addresses":["fd00:10:244:1::7"],"conditions":{"ready":true,"serving":true,"terminating":false},
               "targetRef":{"kind":"Pod","name":"carts-a","namespace":"shop","uid":"pod-a"}}],
            "ports":[{"name":"http","port":8080,"protocol":"TCP"}]}"#,
        r#"{"addressType":"FQDN","apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"carts-primary-names"},
            "endpoints":[{"addresses":["carts.example.com"],"conditions":{}}],"ports":null}"#,
    ];

    #[test]
    fn slices_are_read_as_clusters_write_them() {
        let mut known = Known::default();
        for text in RECORDED {
            let (name, slice) = slice(serde_json::from_str(text).unwrap());
            known.apply(name, slice);
        }
        let listed = |port, family| known.endpoints(&port, family, None).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(listed(Port::Name("http".to_owned()), Family::V4), ["10.244.1.7:8080"]);
        assert_eq!(listed(Port::Number(9090), Family::V4), ["10.244.1.7:9090"]);
        assert_eq!(listed(Port::Name("http".to_owned()), Family::V6), ["[fd00:10:244:1::7]:8080"]);
        let ends: BTreeSet<String> = ["pod-b".to_owned()].into();
        let left = known.endpoints(&Port::Number(8080), Family::V4, Some(&ends)).unwrap();
        assert_eq!(left, ["10.244.2.9:8080".parse().unwrap()], "it ends, but answers, and there is no other of these labels");
    }

    #[test]
    fn a_port_that_is_none_leads_nowhere() {
        assert_eq!(port(EndpointPort { port: Some(-1), ..EndpointPort::default() }).number, Some(0));
        assert!(!port(EndpointPort { protocol: Some("UDP".to_owned()), ..EndpointPort::default() }).is_tcp);
    }
}
