//! `pods/log`: which container's log is meant, and whether there can be one.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use gannet_hub_objects::{Status, meta};
use gannet_protocols_model::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use std::time::Duration;

use crate::query::Query;

/// What a client wants of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Go on with new lines as they come.
    pub follow: bool,
    /// Of the container before its last restart.
    pub previous: bool,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only what was written at or after this time.
    pub since: Option<Timestamp>,
    /// Each line begins with the time that it was written.
    pub timestamps: bool,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Bytes of a log as they come.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// Where logs come from: the nodes, through the device plane.
pub trait PodLogs: Send + Sync + 'static {
    /// The log of one container of a pod that is bound to a node. Fails with 404 or 400 where the node has no such log,
    /// and with 503 or 504 where the node does not answer.
    fn logs<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a str,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, Status>>;
}

impl LogOptions {
    pub(crate) fn parse(query: &Query, now: Timestamp) -> Result<Self, Status> {
        let count = |name: &str, least: i64| match query.number(name)? {
            Some(n) if n < least => {
                let rule =
                    if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
                let text = format!("PodLogOptions \"\" is invalid: {name}: Invalid value: {n}: {rule}");
                Err(Status::new(422, "Invalid", text))
            }
            number => Ok(number.and_then(|n| u64::try_from(n).ok())),
        };
        let seconds = count("sinceSeconds", 1)?;
        let since = match (query.get("sinceTime"), seconds) {
            (Some(_), Some(_)) => {
                let text = "PodLogOptions \"\" is invalid: : Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
                return Err(Status::new(422, "Invalid", text));
            }
            (Some(time), None) => {
                Some(time.parse().map_err(|e| Status::bad_request(format!("sinceTime: {e}")))?)
            }
            (None, Some(seconds)) => Some(Timestamp::from_millis(
                now.millis().saturating_sub(Duration::from_secs(seconds).as_secs() * 1000),
            )),
            (None, None) => None,
        };
        Ok(Self {
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            tail_lines: count("tailLines", 0)?,
            since,
            timestamps: query.flag("timestamps"),
            limit_bytes: count("limitBytes", 1)?,
        })
    }
}

fn names<'a>(pod: &'a Value, list: &str) -> Vec<&'a str> {
    let containers = meta::at(pod, &["spec", list]).as_array();
    containers.into_iter().flatten().map(|c| meta::text(c, &["name"])).collect()
}

/// The container that is meant; an error where that is not clear or there is none of this name.
pub(crate) fn container(pod: &Value, asked: Option<&str>) -> Result<String, Status> {
    let name = meta::field(pod, "name");
    let (containers, init) = (names(pod, "containers"), names(pod, "initContainers"));
    match asked {
        Some(asked) if containers.contains(&asked) || init.contains(&asked) => Ok(asked.to_owned()),
        Some(asked) => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}"))),
        None => match containers.as_slice() {
            [one] if init.is_empty() => Ok((*one).to_owned()),
            _ => {
                let mut text = format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    containers.join(" ")
                );
                if !init.is_empty() {
                    text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
                }
                Err(Status::bad_request(text))
            }
        },
    }
}

/// Whether the container has a log at all, in the words of the kubelet.
pub(crate) fn check_state(pod: &Value, container: &str, previous: bool) -> Result<(), Status> {
    let name = meta::field(pod, "name");
    let status = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .filter_map(|list| meta::at(pod, &["status", list]).as_array())
        .flatten()
        .find(|status| meta::text(status, &["name"]) == container);
    let waiting = |reason: &str| {
        Err(Status::bad_request(format!(
            "container {container:?} in pod {name:?} is waiting to start: {reason}"
        )))
    };
    let Some(status) = status else { return waiting("ContainerCreating") };
    let ended_before = meta::at(status, &["lastState", "terminated"]).is_object();
    if previous && !ended_before {
        return Err(Status::bad_request(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        )));
    }
    if previous || ended_before || !meta::at(status, &["state", "waiting"]).is_object() {
        return Ok(());
    }
    match meta::text(status, &["state", "waiting", "reason"]) {
        "ErrImagePull" => waiting("image can't be pulled"),
        "ImagePullBackOff" => waiting("trying and failing to pull image"),
        reason => waiting(reason),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(pod: &Value, asked: Option<&str>, previous: bool, expected: Result<&str, &str>) {
        let result = container(pod, asked).and_then(|c| check_state(pod, &c, previous).map(|()| c));
        let result = result.map_err(|s| s.message);
        assert_eq!(result.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn which_container() {
        let running = json!({"name": "a", "state": {"running": {}}});
        let one = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}, "status": {"containerStatuses": [running]}});
        check(&one, None, false, Ok("a"));
        check(&one, Some("b"), false, Err("container b is not valid for pod p"));
        check(&one, None, true, Err("previous terminated container \"a\" in pod \"p\" not found"));
        let two = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}});
        check(
            &two,
            None,
            false,
            Err(
                "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]",
            ),
        );
        check(
            &two,
            Some("i"),
            false,
            Err("container \"i\" in pod \"p\" is waiting to start: ContainerCreating"),
        );
    }

    #[test]
    fn waiting_containers() {
        for (status, previous, expected) in [
            (
                json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
                false,
                Err("container \"a\" in pod \"p\" is waiting to start: ContainerCreating"),
            ),
            (
                json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}}),
                false,
                Err("container \"a\" in pod \"p\" is waiting to start: trying and failing to pull image"),
            ),
            (
                json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {}}}),
                false,
                Ok("a"),
            ),
            (json!({"state": {"running": {}}, "lastState": {"terminated": {}}}), true, Ok("a")),
            (json!({"state": {"terminated": {}}}), false, Ok("a")),
        ] {
            let mut status = status;
            status["name"] = json!("a");
            let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}, "status": {"containerStatuses": [status]}});
            check(&pod, None, previous, expected);
        }
    }

    #[test]
    fn options() {
        let now = Timestamp::from_millis(100_000);
        let options =
            LogOptions::parse(&Query::parse("follow=true&tailLines=5&sinceSeconds=10&timestamps=true"), now)
                .unwrap();
        assert!(options.follow && options.timestamps && !options.previous);
        assert_eq!((options.tail_lines, options.since), (Some(5), Some(Timestamp::from_millis(90_000))));
        let message = LogOptions::parse(&Query::parse("tailLines=-1"), now).unwrap_err().message;
        assert_eq!(
            message,
            "PodLogOptions \"\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"
        );
        assert!(
            LogOptions::parse(&Query::parse("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z"), now).is_err()
        );
    }
}
