//! Who asks, by client certificate, and what they may do.

use gannet_hub_objects::Status;
use http::Method;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::route::Route;

/// Members may do everything.
const MASTERS: &str = "system:masters";

/// Who asks. The TLS layer has checked that the certificate is of our authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    /// The subject of a certificate: its common name is the user, its organisations are the groups.
    pub(crate) fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
        Some(Self { name, groups })
    }
}

/// May this user do that? Health and version are for everybody.
pub(crate) fn authorize(
    user: Option<&User>,
    method: &Method,
    route: &Route,
    path: &str,
    watch: bool,
) -> Result<(), Status> {
    if matches!(route, Route::Health(_) | Route::Version) {
        return Ok(());
    }
    let Some(user) = user else {
        return Err(Status::new(401, "Unauthorized", "Unauthorized"));
    };
    if user.groups.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    let name = &user.name;
    let (served, place, object, sub) = match route {
        Route::Collection { served, namespace } => {
            (served, namespace.as_deref().unwrap_or_default(), "", None)
        }
        Route::Object { served, namespace, name, sub } => (served, namespace.as_str(), name.as_str(), *sub),
        _ => {
            let verb = method.as_str().to_lowercase();
            let why = format!("forbidden: User {name:?} cannot {verb} path {path:?}");
            return Err(Status::new(403, "Forbidden", why));
        }
    };
    let verb = verb(method, object.is_empty(), watch);
    let sub = sub.map_or_else(String::new, |sub| format!("/{}", sub.name()));
    let place = match place {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let (plural, group) = (served.kind.plural, served.group());
    let why =
        format!("User {name:?} cannot {verb} resource \"{plural}{sub}\" in API group {group:?} {place}");
    Err(Status::forbidden(served.kind, object, &why))
}

fn verb(method: &Method, collection: bool, watch: bool) -> &'static str {
    match (method.as_str(), collection) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ if watch => "watch",
        (_, true) => "list",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: Option<(&str, &[&str])>, path: &str, expected: Result<(), &str>) {
        let user = user.map(|(name, groups)| User {
            name: name.to_owned(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
        });
        let result = authorize(user.as_ref(), &Method::GET, &Route::parse(path), path, false);
        assert_eq!(result.map_err(|s| s.message), expected.map_err(str::to_owned), "{path}");
    }

    #[test]
    fn only_masters() {
        let masters: &[&str] = &["x", MASTERS];
        check(Some(("admin", masters)), "/api/v1/pods", Ok(()));
        check(None, "/api/v1/pods", Err("Unauthorized"));
        check(None, "/api", Err("Unauthorized"));
        check(None, "/healthz", Ok(()));
        check(None, "/version", Ok(()));
        check(
            Some(("joe", &[])),
            "/api/v1/namespaces/n/pods",
            Err(
                "pods is forbidden: User \"joe\" cannot list resource \"pods\" in API group \"\" in the namespace \"n\"",
            ),
        );
        check(
            Some(("joe", &["people"])),
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            Err(
                "deployments.apps \"d\" is forbidden: User \"joe\" cannot get resource \"deployments/scale\" in API group \"apps\" in the namespace \"n\"",
            ),
        );
        check(
            Some(("joe", &[])),
            "/api/v1/nodes",
            Err(
                "nodes is forbidden: User \"joe\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
            ),
        );
        check(Some(("joe", &[])), "/apis", Err("forbidden: User \"joe\" cannot get path \"/apis\""));
    }
}
