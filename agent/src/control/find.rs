//! Pods and containers by what people call them.

use gannet_protocols_model::PodStatus;

/// A shorter beginning of a uid is not taken for one: it could be a misspelt name.
const LEAST_UID: usize = 4;

/// The pod of `NAMESPACE/NAME`, `NAME`, a uid, or the beginning of a uid that fits one pod alone.
pub(crate) fn pod_named<'a>(
    statuses: impl IntoIterator<Item = &'a PodStatus>,
    asked: &str,
) -> Result<&'a PodStatus, String> {
    let all: Vec<&PodStatus> = statuses.into_iter().collect();
    let by = |is: &dyn Fn(&PodStatus) -> bool| -> Vec<&'a PodStatus> {
        all.iter().copied().filter(|pod| is(pod)).collect()
    };
    let exact = match asked.split_once('/') {
        Some((namespace, name)) => by(&|pod| pod.namespace == namespace && pod.name == name),
        None => by(&|pod| pod.name == asked || pod.uid.as_str() == asked),
    };
    let found = match exact.is_empty() && asked.len() >= LEAST_UID {
        true => by(&|pod| pod.uid.as_str().starts_with(asked)),
        false => exact,
    };
    match found.as_slice() {
        [pod] => Ok(pod),
        [] => Err(format!("pod {asked:?} is not on this node: `gannet-agent ps` lists those that are")),
        many => {
            let names: Vec<String> =
                many.iter().map(|pod| format!("{}/{} ({})", pod.namespace, pod.name, pod.uid)).collect();
            Err(format!("{asked:?} may be any of {}", names.join(", ")))
        }
    }
}

/// The container that is asked for; where none is, the first, and then the names of all for a note.
pub(crate) fn container_named(
    pod: &PodStatus,
    asked: Option<&str>,
) -> Result<(String, Option<String>), String> {
    let all = || pod.init_containers.iter().chain(&pod.containers).map(|c| c.name.as_str());
    match asked {
        Some(name) if all().any(|known| known == name) => Ok((name.to_owned(), None)),
        Some(name) => {
            let known: Vec<&str> = all().collect();
            Err(format!(
                "container {name:?} in pod {:?} is not valid: the pod has {}",
                pod.name,
                known.join(", ")
            ))
        }
        None => {
            let first =
                pod.containers.first().ok_or_else(|| format!("pod {:?} has no containers", pod.name))?;
            let several = all().count() > 1;
            let note = several.then(|| {
                let known: Vec<&str> =
                    pod.containers.iter().chain(&pod.init_containers).map(|c| c.name.as_str()).collect();
                format!("Defaulted container {:?} out of: {}", first.name, known.join(", "))
            });
            Ok((first.name.clone(), note))
        }
    }
}

#[cfg(test)]
mod tests {
    use gannet_protocols_model::ContainerState;

    use super::*;
    use crate::sample;

    fn pod(uid: &str, namespace: &str, name: &str) -> PodStatus {
        let waits = || ContainerState::Waiting { reason: String::new(), message: String::new() };
        let container = |name: &str| sample::container(name, waits());
        PodStatus {
            namespace: namespace.into(),
            name: name.into(),
            init_containers: vec![container("setup")],
            ..sample::pod(uid, vec![container("main"), container("side")])
        }
    }

    #[test]
    fn names() {
        let pods =
            [pod("aaaa-1", "default", "web"), pod("aaab-2", "other", "web"), pod("bbbb-3", "other", "db")];
        let check = |asked: &str, expect: Result<&str, &str>| match (pod_named(&pods, asked), expect) {
            (Ok(found), Ok(uid)) => assert_eq!(found.uid.as_str(), uid, "{asked}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{asked}: {error}"),
            (got, expect) => panic!("{asked}: {got:?}, not {expect:?}"),
        };
        check("db", Ok("bbbb-3"));
        check("other/web", Ok("aaab-2"));
        check("web", Err("default/web (aaaa-1), other/web (aaab-2)"));
        check("bbbb-3", Ok("bbbb-3"));
        check("bbbb", Ok("bbbb-3"));
        check("aaab", Ok("aaab-2"));
        check("bbb", Err("is not on this node"));
        check("aaa", Err("is not on this node"));
        check("none/web", Err("is not on this node"));
        check("", Err("is not on this node"));
    }

    #[test]
    fn containers() {
        let pod = pod("u", "default", "web");
        let (name, note) = container_named(&pod, None).unwrap();
        assert_eq!(
            (name.as_str(), note.as_deref()),
            ("main", Some("Defaulted container \"main\" out of: main, side, setup"))
        );
        assert_eq!(container_named(&pod, Some("setup")).unwrap(), ("setup".to_owned(), None));
        assert!(container_named(&pod, Some("x")).unwrap_err().contains("the pod has setup, main, side"));
    }
}
