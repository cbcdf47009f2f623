//! What admission fills in, gives out and counts.

use super::*;

#[test]
fn filled_in() {
    let deployment = create(
        Kind::DEPLOYMENT,
        json!({
            "apiVersion": "v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{
                        "name": "web", "image": "my-web-app:latest", "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
                        "livenessProbe": {"httpGet": {"port": 80}},
                    }]},
                },
            },
        }),
    );
    assert_eq!(
        deployment.unwrap().object,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "creationTimestamp": "2026-01-31T12:00:00Z", "generation": 1},
            "spec": {
                "replicas": 3, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                        "securityContext": {}, "schedulerName": "default-scheduler",
                        "containers": [{
                            "name": "web", "image": "my-web-app:latest", "imagePullPolicy": "Always",
                            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                            "ports": [{"containerPort": 80, "protocol": "TCP"}],
                            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                            "livenessProbe": {
                                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                            },
                        }],
                    },
                },
            },
            "status": {},
        })
    );
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/containers/0/resources", json!({"limits": {"cpu": 1, "memory": "1Gi"}}));
    let pod = create(Kind::POD, pod).unwrap().object;
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(pod["spec"]["enableServiceLinks"], true);
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    let secret = create(
        Kind::SECRET,
        json!({"metadata": {"name": "s", "namespace": "default"}, "stringData": {"a": "hi"}}),
    )
    .unwrap()
    .object;
    assert_eq!(
        (&secret["type"], &secret["data"], &secret["stringData"]),
        (&json!("Opaque"), &json!({"a": "aGk="}), &json!(null))
    );
    let namespace = create(Kind::NAMESPACE, json!({"metadata": {"name": "n"}})).unwrap().object;
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(
        (&namespace["spec"], &namespace["status"]),
        (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"}))
    );
}

#[test]
fn service_addresses() {
    let given = |spec: Value| {
        create(Kind::SERVICE, json!({"metadata": {"name": "s", "namespace": "default"}, "spec": spec}))
            .unwrap()
            .object["spec"]
            .clone()
    };
    let plain = given(json!({"ports": [{"port": 80}]}));
    assert_eq!(
        plain,
        json!({
            "type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "10.43.0.11", "clusterIPs": ["10.43.0.11"],
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
        })
    );
    assert_eq!(given(json!({"clusterIP": "None"}))["clusterIPs"], json!(["None"]));
    assert_eq!(given(json!({"clusterIP": "10.43.7.7", "ports": [{"port": 80}]}))["clusterIP"], "10.43.7.7");
    let balanced = given(
        json!({"type": "LoadBalancer", "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b", "nodePort": 30001}, {"port": 82, "name": "c"}]}),
    );
    let node_ports: Vec<i64> =
        balanced["ports"].as_array().unwrap().iter().map(|p| p["nodePort"].as_i64().unwrap()).collect();
    assert_eq!(node_ports, [30002, 30001, 30003]);
    // An update that names neither keeps both; one that becomes ClusterIP gives the ports back.
    let old = create(Kind::SERVICE, json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})).unwrap().object;
    let mut bare = right(Kind::SERVICE);
    put(&mut bare, "/metadata/name", json!("s"));
    put(&mut bare, "/spec", json!({"type": "NodePort", "ports": [{"port": 80}]}));
    let kept = update(Kind::SERVICE, &old, bare.clone()).unwrap().object;
    assert_eq!(
        (&kept["spec"]["clusterIP"], &kept["spec"]["ports"]),
        (&old["spec"]["clusterIP"], &old["spec"]["ports"])
    );
    let mut plain = old.clone();
    put(&mut plain, "/spec/type", json!("ClusterIP"));
    let plain = update(Kind::SERVICE, &old, plain).unwrap().object;
    assert_eq!(plain["spec"]["ports"], json!([{"port": 80, "targetPort": 80, "protocol": "TCP"}]));
}

#[test]
fn generations_and_status() {
    let old = create(Kind::DEPLOYMENT, right(Kind::DEPLOYMENT)).unwrap().object;
    let mut labelled = old.clone();
    put(&mut labelled, "/metadata/labels", json!({"a": "b"}));
    put(&mut labelled, "/metadata/uid", json!("mine"));
    put(&mut labelled, "/status", json!({"replicas": 9}));
    let labelled = update(Kind::DEPLOYMENT, &old, labelled).unwrap().object;
    assert_eq!(
        (&labelled["metadata"]["generation"], &labelled["metadata"]["uid"], &labelled["status"]),
        (&json!(1), &json!(null), &json!({}))
    );
    let mut scaled = old.clone();
    put(&mut scaled, "/spec/replicas", json!(5));
    assert_eq!(update(Kind::DEPLOYMENT, &old, scaled).unwrap().object["metadata"]["generation"], 2);
    let world = world();
    let cx = AdmitContext { world: &world, now: NOW };
    let status =
        admit_status(cx, Kind::DEPLOYMENT, &old, json!({"spec": {"replicas": 7}, "status": {"replicas": 3}}))
            .unwrap()
            .object;
    assert_eq!((&status["spec"]["replicas"], &status["status"]), (&json!(1), &json!({"replicas": 3})));
    let wrong = admit_status(cx, Kind::DEPLOYMENT, &old, json!({"status": {"replicas": -3}}));
    assert_eq!(errors_of(&wrong), ["status.replicas: Invalid value: -3: must be greater than or equal to 0"]);
    // A pod that a controller made without defaults can be labelled.
    let mut bare = right(Kind::POD);
    put(&mut bare, "/metadata/labels", json!({"a": "b"}));
    assert_eq!(errors_of(&update(Kind::POD, &right(Kind::POD), bare)), Vec::<String>::new());
    // What an object on its way out may not gain.
    let mut leaving = old.clone();
    put(&mut leaving, "/metadata/deletionTimestamp", json!("2026-01-31T12:00:00Z"));
    let mut held = leaving.clone();
    put(&mut held, "/metadata/finalizers", json!(["example.com/x"]));
    assert_eq!(
        errors_of(&update(Kind::DEPLOYMENT, &leaving, held)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/x\"}"
        ]
    );
}
