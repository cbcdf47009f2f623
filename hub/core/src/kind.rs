//! The table of kinds that the hub serves. The API, the store's keys, discovery and the command line all read this table.

/// Whether objects of a kind live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

/// One kind of object.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version in the group.
    pub version: &'static str,
    /// `kind` of an object.
    pub kind: &'static str,
    /// The resource's name in a URL.
    pub plural: &'static str,
    /// The resource's name for one object.
    pub singular: &'static str,
    /// What people type.
    pub short_names: &'static [&'static str],
    /// `all`, where `kubectl get all` shows it.
    pub categories: &'static [&'static str],
    /// In a namespace or not.
    pub scope: Scope,
    /// `status`, `scale` and `resize`, where there are such subresources.
    pub subresources: &'static [&'static str],
}

macro_rules! kinds {
    ($($konst:ident: $group:literal / $version:literal $kind:literal $plural:literal $singular:literal
       $short:expr, $categories:expr, $scope:ident, $sub:expr;)*) => {
        impl Kind {
            $(
                #[doc = concat!("`", $kind, "`.")]
                pub const $konst: &'static Kind = &Kind {
                    group: $group, version: $version, kind: $kind, plural: $plural, singular: $singular,
                    short_names: &$short, categories: &$categories, scope: Scope::$scope, subresources: &$sub,
                };
            )*
        }
        /// Every kind, in the order in which `kubectl api-resources` lists a group.
        pub static KINDS: &[&Kind] = &[$(Kind::$konst),*];
    };
}

kinds! {
    CONFIG_MAP: "" / "v1" "ConfigMap" "configmaps" "configmap" ["cm"], [], Namespaced, [];
    ENDPOINTS: "" / "v1" "Endpoints" "endpoints" "endpoints" ["ep"], [], Namespaced, [];
    EVENT: "" / "v1" "Event" "events" "event" ["ev"], [], Namespaced, [];
    NAMESPACE: "" / "v1" "Namespace" "namespaces" "namespace" ["ns"], [], Cluster, ["status"];
    NODE: "" / "v1" "Node" "nodes" "node" ["no"], [], Cluster, ["status"];
    POD: "" / "v1" "Pod" "pods" "pod" ["po"], ["all"], Namespaced, ["status", "resize"];
    SECRET: "" / "v1" "Secret" "secrets" "secret" [], [], Namespaced, [];
    SERVICE_ACCOUNT: "" / "v1" "ServiceAccount" "serviceaccounts" "serviceaccount" ["sa"], [], Namespaced, [];
    SERVICE: "" / "v1" "Service" "services" "service" ["svc"], ["all"], Namespaced, ["status"];
    DEPLOYMENT: "apps" / "v1" "Deployment" "deployments" "deployment" ["deploy"], ["all"], Namespaced, ["status", "scale"];
    REPLICA_SET: "apps" / "v1" "ReplicaSet" "replicasets" "replicaset" ["rs"], ["all"], Namespaced, ["status", "scale"];
    LEASE: "coordination.k8s.io" / "v1" "Lease" "leases" "lease" [], [], Namespaced, [];
    ENDPOINT_SLICE: "discovery.k8s.io" / "v1" "EndpointSlice" "endpointslices" "endpointslice" [], [], Namespaced, [];
}

/// The kinds that are made when somebody asks: served to be read, and never stored.
pub static MADE_KINDS: &[&Kind] = &[Kind::NODE_METRICS, Kind::POD_METRICS];

impl Kind {
    /// What a node uses: made when somebody asks, never stored.
    pub const NODE_METRICS: &'static Self = &Self::figures("NodeMetrics", "nodes", Scope::Cluster);
    /// What a pod uses: made when somebody asks, never stored.
    pub const POD_METRICS: &'static Self = &Self::figures("PodMetrics", "pods", Scope::Namespaced);

    const fn figures(kind: &'static str, plural: &'static str, scope: Scope) -> Self {
        Self {
            group: "metrics.k8s.io",
            version: "v1beta1",
            kind,
            plural,
            singular: "",
            short_names: &[],
            categories: &[],
            scope,
            subresources: &[],
        }
    }

    /// `v1`, `apps/v1`: what an object says in `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods`, `deployments.apps`: the kind in a store key and in `kubectl`'s messages.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The kind that an object with these two fields is. A Deployment that says `v1` is one of `apps/v1` (see the API).
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS.iter().copied().find(|k| k.kind == kind && k.api_version() == api_version)
    }

    /// The kind of a store key.
    pub fn of_resource(resource: &str) -> Option<&'static Self> {
        KINDS.iter().copied().find(|k| k.resource() == resource)
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }
}
