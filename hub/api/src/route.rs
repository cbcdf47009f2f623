//! From a path to what it names, over the table of kinds.

use gannet_hub_core::{KINDS, Kind, MADE_KINDS};

use crate::query;

/// A kind as one path serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) kind: &'static Kind,
    /// Served in the core group although the kind lives in another: `apiVersion: v1` for a Deployment is a common mistake
    /// in tutorials.
    pub(crate) alias: bool,
}

/// The kinds that the core group serves as aliases. Discovery lists such a kind under a resource name of its own:
/// kubectl maps the *kind* of a file by it, while `kubectl get deployments` still finds the one in `apps` alone.
pub(crate) const ALIASES: &[(&str, &Kind)] = &[("deploymentaliases", Kind::DEPLOYMENT)];

impl Served {
    /// Whether the objects are made when somebody asks, and not stored.
    pub(crate) fn is_made(self) -> bool {
        MADE_KINDS.contains(&self.kind)
    }

    pub(crate) fn group(self) -> &'static str {
        if self.alias { "" } else { self.kind.group }
    }

    pub(crate) fn api_version(self) -> String {
        if self.alias { "v1".to_owned() } else { self.kind.api_version() }
    }

    /// What a client is told who uses the alias.
    pub(crate) fn warning(self) -> Option<String> {
        self.alias.then(|| {
            let (kind, version) = (self.kind.kind, self.kind.api_version());
            format!("v1 {kind} is an alias of {version} {kind}; use apiVersion: {version}")
        })
    }
}

/// A subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sub {
    Status,
    Scale,
    Log,
    /// What a pod's containers may use, changed while they run.
    Resize,
    /// The end of a namespace's life.
    Finalize,
}

impl Sub {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Resize => "resize",
            Self::Finalize => "finalize",
        }
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/healthz`, `/livez`, `/readyz`.
    Health(String),
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/apps`.
    Group(&'static str),
    /// `/api/v1`, `/apis/apps/v1`.
    Resources(&'static str),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiV3Index,
    /// `/openapi/v3/apis/apps/v1`.
    OpenApiV3(String),
    /// All objects of a kind, in a namespace or everywhere.
    Collection { served: Served, namespace: Option<String> },
    /// One object, or a part of it.
    Object { served: Served, namespace: String, name: String, sub: Option<Sub> },
    /// Nothing.
    Unknown,
}

impl Route {
    pub(crate) fn parse(path: &str) -> Self {
        let segments: Vec<String> = path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| query::decode(&s.replace('+', "%2B")))
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Self::Health(segments[0].to_owned()),
            ["version"] => Self::Version,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiV3Index,
            ["openapi", "v3", rest @ ..] => Self::OpenApiV3(rest.join("/")),
            ["api", "v1", rest @ ..] => Self::in_group("", rest),
            ["apis", group] => known_group(group).map_or(Self::Unknown, Self::Group),
            ["apis", group, version, rest @ ..] => known_group(group)
                .filter(|group| group_version(group) == *version)
                .map_or(Self::Unknown, |group| Self::in_group(group, rest)),
            _ => Self::Unknown,
        }
    }

    fn in_group(group: &'static str, rest: &[&str]) -> Self {
        let found = match rest {
            [] => Some(Self::Resources(group)),
            ["namespaces", namespace, plural, tail @ ..]
                if served(group, plural).is_some_and(|s| s.kind.is_namespaced()) =>
            {
                served(group, plural).and_then(|served| Self::of_kind(served, Some(namespace), tail))
            }
            [plural, tail @ ..] => served(group, plural).and_then(|served| Self::of_kind(served, None, tail)),
        };
        found.unwrap_or(Self::Unknown)
    }

    fn of_kind(served: Served, namespace: Option<&str>, tail: &[&str]) -> Option<Self> {
        let Some((name, sub)) = tail.split_first() else {
            return Some(Self::Collection { served, namespace: namespace.map(str::to_owned) });
        };
        if served.kind.is_namespaced() && namespace.is_none() {
            return None;
        }
        let sub = match sub {
            [] => None,
            ["status"] if served.kind.subresources.contains(&"status") => Some(Sub::Status),
            ["scale"] if served.kind.subresources.contains(&"scale") => Some(Sub::Scale),
            ["resize"] if served.kind == Kind::POD => Some(Sub::Resize),
            ["log"] if served.kind == Kind::POD => Some(Sub::Log),
            ["finalize"] if served.kind == Kind::NAMESPACE => Some(Sub::Finalize),
            _ => return None,
        };
        let namespace = namespace.unwrap_or_default().to_owned();
        Some(Self::Object { served, namespace, name: (*name).to_owned(), sub })
    }
}

/// Every kind that is served, stored or made.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().chain(MADE_KINDS).copied()
}

/// The API groups beside the core, in the order of the table of kinds.
pub(crate) fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&'static str> = kinds().map(|k| k.group).filter(|g| !g.is_empty()).collect();
    groups.dedup();
    groups
}

/// The one version in which a group is served.
pub(crate) fn group_version(group: &str) -> &'static str {
    kinds().find(|kind| kind.group == group).map_or("v1", |kind| kind.version)
}

fn known_group(name: &str) -> Option<&'static str> {
    groups().into_iter().find(|group| *group == name)
}

fn served(group: &str, plural: &str) -> Option<Served> {
    let own = kinds().find(|k| k.group == group && k.plural == plural);
    if let Some(kind) = own {
        return Some(Served { kind, alias: false });
    }
    ALIASES
        .iter()
        .find(|(name, kind)| group.is_empty() && (*name == plural || kind.plural == plural))
        .map(|(_, kind)| Served { kind, alias: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &str) {
        let found = match Route::parse(path) {
            Route::Collection { served, namespace } => {
                format!("{} {} in {namespace:?}", served.api_version(), served.kind.kind)
            }
            Route::Object { served, namespace, name, sub } => {
                format!(
                    "{} {} {namespace}/{name} {:?}",
                    served.api_version(),
                    served.kind.kind,
                    sub.map(Sub::name)
                )
            }
            other => format!("{other:?}"),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths() {
        check("/healthz", "Health(\"healthz\")");
        check("/readyz/etcd", "Health(\"readyz\")");
        check("/api", "CoreVersions");
        check("/api/v1", "Resources(\"\")");
        check("/apis/apps/v1/", "Resources(\"apps\")");
        check("/apis/apps", "Group(\"apps\")");
        check("/apis/nothing", "Unknown");
        check("/apis/apps/v1beta1", "Unknown");
        check("/openapi/v3/apis/apps/v1", "OpenApiV3(\"apis/apps/v1\")");
        check("/api/v1/pods", "v1 Pod in None");
        check("/api/v1/namespaces/a/pods", "v1 Pod in Some(\"a\")");
        check("/api/v1/namespaces/a/pods/p", "v1 Pod a/p None");
        check("/api/v1/namespaces/a/pods/p/log", "v1 Pod a/p Some(\"log\")");
        check("/api/v1/namespaces/a/pods/p/resize", "v1 Pod a/p Some(\"resize\")");
        check("/api/v1/nodes/n/resize", "Unknown");
        check("/apis/metrics.k8s.io", "Group(\"metrics.k8s.io\")");
        check("/apis/metrics.k8s.io/v1beta1", "Resources(\"metrics.k8s.io\")");
        check("/apis/metrics.k8s.io/v1", "Unknown");
        check("/apis/metrics.k8s.io/v1beta1/nodes/g", "metrics.k8s.io/v1beta1 NodeMetrics /g None");
        check("/apis/metrics.k8s.io/v1beta1/pods", "metrics.k8s.io/v1beta1 PodMetrics in None");
        check(
            "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods/p",
            "metrics.k8s.io/v1beta1 PodMetrics a/p None",
        );
        check("/api/v1/namespaces/a/pods/p/scale", "Unknown");
        check("/api/v1/pods/p", "Unknown");
        check("/api/v1/namespaces", "v1 Namespace in None");
        check("/api/v1/namespaces/a", "v1 Namespace /a None");
        check("/api/v1/namespaces/a/status", "v1 Namespace /a Some(\"status\")");
        check("/api/v1/namespaces/a/finalize", "v1 Namespace /a Some(\"finalize\")");
        check("/api/v1/nodes/g/status", "v1 Node /g Some(\"status\")");
        check("/apis/apps/v1/namespaces/a/deployments/d/scale", "apps/v1 Deployment a/d Some(\"scale\")");
        check("/api/v1/namespaces/a/deployments/d", "v1 Deployment a/d None");
        check("/api/v1/namespaces/a/deploymentaliases/d", "v1 Deployment a/d None");
        check("/api/v1/namespaces/a/replicasets", "Unknown");
        check("/apis/apps/v1/namespaces/a/pods", "Unknown");
        check("/api/v1/namespaces/a%2Fb/pods", "v1 Pod in Some(\"a/b\")");
        check("/", "Unknown");
    }
}
