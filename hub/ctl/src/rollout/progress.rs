//! How far a rollout is: what a Deployment's status says, in kubectl's words.

use serde_json::Value;

use crate::resource::text;

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not there yet.
    Going(String),
    /// All pods are new and available.
    Done(String),
    /// It does not get on.
    Failed(String),
}

/// Reads it from a Deployment.
pub(super) fn progress(deployment: &Value) -> Progress {
    let name = text(deployment, "/metadata/name");
    let status = &deployment["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    if deployment["metadata"]["generation"].as_i64().unwrap_or(0) > count("observedGeneration") {
        return Progress::Going("Waiting for deployment spec update to be observed...".to_owned());
    }
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let late = |c: &&Value| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded";
    if let Some(condition) = conditions.find(late) {
        // What a device gave up says which one it was and why; else the time is over, and that is all.
        let why = Some(text(condition, "/message")).filter(|message| message.contains(" was rolled back: "));
        let why = why.map(|message| format!(": {message}")).unwrap_or_default();
        return Progress::Failed(format!("deployment \"{name}\" exceeded its progress deadline{why}"));
    }
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let (all, updated, available) = (count("replicas"), count("updatedReplicas"), count("availableReplicas"));
    let rest = if updated < wanted {
        format!("{updated} out of {wanted} new replicas have been updated...")
    } else if all > updated {
        format!("{} old replicas are pending termination...", all - updated)
    } else if available < updated {
        format!("{available} of {updated} updated replicas are available...")
    } else {
        return Progress::Done(format!("deployment \"{name}\" successfully rolled out"));
    };
    Progress::Going(format!("Waiting for deployment \"{name}\" rollout to finish: {rest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Replicas wanted, then those that are there, updated, available.
    fn check(counts: [i64; 4], generations: [i64; 2], reason: &str, expect: &str) {
        let deployment = json!({
            "metadata": {"name": "web", "generation": generations[0]},
            "spec": {"replicas": counts[0]},
            "status": {
                "observedGeneration": generations[1], "replicas": counts[1], "updatedReplicas": counts[2],
                "availableReplicas": counts[3], "conditions": [{"type": "Progressing", "reason": reason}],
            },
        });
        assert_eq!(format!("{:?}", progress(&deployment)), expect.replace('\'', "\\\""));
    }

    #[test]
    fn how_far() {
        let going = "Going(\"Waiting for deployment 'web' rollout to finish: ";
        let new = "NewReplicaSetAvailable";
        check([3, 0, 0, 0], [2, 1], new, "Going(\"Waiting for deployment spec update to be observed...\")");
        check([3, 3, 1, 3], [1, 1], new, &format!("{going}1 out of 3 new replicas have been updated...\")"));
        check([3, 4, 3, 3], [1, 1], new, &format!("{going}1 old replicas are pending termination...\")"));
        check([3, 3, 3, 1], [1, 1], new, &format!("{going}1 of 3 updated replicas are available...\")"));
        check([3, 3, 3, 3], [1, 1], new, "Done(\"deployment 'web' successfully rolled out\")");
        check([0, 0, 0, 0], [1, 1], new, "Done(\"deployment 'web' successfully rolled out\")");
        let late = "ProgressDeadlineExceeded";
        check([3, 3, 3, 1], [1, 1], late, "Failed(\"deployment 'web' exceeded its progress deadline\")");
        // What was said of the former template is not of this one.
        check([3, 3, 3, 1], [2, 1], late, "Going(\"Waiting for deployment spec update to be observed...\")");
    }
}
