//! Which fields of services and nodes gannet honours; those of pods are in `pod/honoured.rs`.

use super::unsupported::Rule::{Honoured, List, Refuse, RefuseOther, Warn, WarnOther};
use super::unsupported::Rules;

/// `spec.taints` of a node.
pub(super) const TAINT: Rules = &[
    ("key", Honoured),
    ("value", Honoured),
    ("timeAdded", Honoured),
    ("effect", WarnOther(&["NoSchedule"], "taints keep new pods away, and move none")),
];

/// `spec` of a service.
pub(super) const SERVICE_SPEC: Rules = &[
    ("type", RefuseOther(&["ClusterIP", "NodePort", "LoadBalancer"], "there are no names for other names")),
    ("selector", Honoured),
    ("clusterIP", Honoured),
    ("clusterIPs", Honoured),
    ("ports", List(SERVICE_PORT)),
    ("sessionAffinity", Honoured),
    ("sessionAffinityConfig", Honoured),
    ("allocateLoadBalancerNodePorts", Honoured),
    ("publishNotReadyAddresses", Warn("a gateway sends nothing to its own pods that are not ready")),
    ("ipFamilies", RefuseOther(&["IPv4"], "services have IPv4 addresses")),
    ("ipFamilyPolicy", RefuseOther(&["SingleStack", "PreferDualStack"], "services have IPv4 addresses")),
    ("internalTrafficPolicy", WarnOther(&["Cluster"], "traffic goes to all nodes")),
    ("externalTrafficPolicy", WarnOther(&["Cluster"], "traffic goes to all nodes")),
    ("trafficDistribution", Warn("traffic goes to all nodes")),
    ("healthCheckNodePort", Warn("there is no outside load balancer to ask")),
    ("loadBalancerIP", Warn("the service is at the addresses of the nodes")),
    ("loadBalancerSourceRanges", Refuse("traffic is not filtered by its source")),
    ("loadBalancerClass", Refuse("there is one kind of load balancer")),
    ("externalIPs", Refuse("the service is at the addresses of the nodes")),
    ("externalName", Refuse("there are no names for other names")),
];

const SERVICE_PORT: Rules = &[
    ("name", Honoured),
    ("port", Honoured),
    ("targetPort", Honoured),
    ("nodePort", Honoured),
    ("protocol", RefuseOther(&["TCP", "UDP"], "protocols are TCP and UDP")),
    ("appProtocol", Honoured),
];
