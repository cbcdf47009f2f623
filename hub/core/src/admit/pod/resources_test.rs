//! Amounts of resources, devices among them, and how they may be changed.

use super::*;

#[test]
fn amounts() {
    let at = "containers[0].resources";
    let both = |name: &str, request: Value, limit: Value| json!({"requests": {name: request}, "limits": {name: limit}});
    let unequal =
        format!("{at}.requests: Invalid value: \"1\": must be equal to devices.gannet.dev/can limit of 2");
    let half = [
        format!("{at}.limits[devices.gannet.dev/can]: Invalid value: \"500m\": must be an integer"),
        format!("{at}.requests[devices.gannet.dev/can]: Invalid value: \"500m\": must be an integer"),
    ];
    let no_limit = format!("{at}.limits: Required value: Limit must be set for non overcommitable resources");
    let disk = format!(
        "{at}.requests: Invalid value: \"2Gi\": must be less than or equal to ephemeral-storage limit of 1Gi"
    );
    let name = format!(
        "{at}.limits[devices.gannet.dev/a b]: Invalid value: \"devices.gannet.dev/a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    );
    let names = [name.as_str(), &name.replace(".limits[", ".requests[")];
    check_pod(&[
        ("/containers/0/resources", both("ephemeral-storage", json!("1Gi"), json!("2Gi")), &[]),
        ("/containers/0/resources", both("ephemeral-storage", json!("2Gi"), json!("1Gi")), &[&disk]),
        ("/containers/0/resources", both("devices.gannet.dev/can", json!("1"), json!("1")), &[]),
        ("/containers/0/resources", json!({"limits": {"devices.gannet.dev/can": 1}}), &[]),
        ("/containers/0/resources", both("devices.gannet.dev/can", json!("1"), json!("2")), &[&unequal]),
        (
            "/containers/0/resources",
            json!({"limits": {"devices.gannet.dev/can": "500m"}}),
            &[&half[0], &half[1]],
        ),
        ("/containers/0/resources", json!({"requests": {"devices.gannet.dev/can": 1}}), &[&no_limit]),
        ("/containers/0/resources", json!({"limits": {"devices.gannet.dev/a b": 1}}), &names),
    ]);
}

#[test]
fn policies_of_resizes() {
    let at = "containers[0].resizePolicy";
    let twice = format!("{at}[1]: Duplicate value: \"cpu\"");
    let disk = format!(
        "{at}[0].resourceName: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"memory\""
    );
    let how = format!(
        "{at}[0].restartPolicy: Unsupported value: \"Maybe\": supported values: \"NotRequired\", \"RestartContainer\""
    );
    let missing =
        [format!("{at}[0].resourceName: Required value"), format!("{at}[0].restartPolicy: Required value")];
    let policy = |resource: &str, restart: &str| json!({"resourceName": resource, "restartPolicy": restart});
    check_pod(&[
        (
            "/containers/0/resizePolicy",
            json!([policy("cpu", "NotRequired"), policy("memory", "RestartContainer")]),
            &[],
        ),
        (
            "/containers/0/resizePolicy",
            json!([policy("cpu", "NotRequired"), policy("cpu", "NotRequired")]),
            &[&twice],
        ),
        ("/containers/0/resizePolicy", json!([policy("ephemeral-storage", "NotRequired")]), &[&disk]),
        ("/containers/0/resizePolicy", json!([policy("cpu", "Maybe")]), &[&how]),
        ("/containers/0/resizePolicy", json!([{}]), &[&missing[0], &missing[1]]),
    ]);
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/restartPolicy", json!("Never"));
    put(&mut pod, "/spec/containers/0/resizePolicy", json!([policy("memory", "RestartContainer")]));
    assert_eq!(
        errors_of(&create(Kind::POD, pod)),
        [
            "spec.containers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'"
        ]
    );
}
