use std::fs;

use gannet_images::Scheme;

use super::Settings;
use super::testing::{flags, key};

#[test]
fn every_problem_is_told() {
    let given = flags(&[
        "--node-name",
        "Not_A_Name",
        "--mqtt-url",
        "http://x",
        "--registry",
        "ftp://x",
        "--labels",
        "nothing",
        "--beat-interval",
        "0",
        "--keep-alive",
        "0",
        "--bridge",
        "a-name-that-is-too-long",
        "--hub-key",
        "/nowhere",
    ]);
    let error = given.check().unwrap_err();
    assert_eq!(error.problems.len(), 8, "{error}");
    for part in [
        "Not_A_Name",
        "http://x",
        "ftp://x",
        "nothing",
        "--beat-interval",
        "--keep-alive",
        "--bridge",
        "/nowhere",
    ] {
        assert!(error.to_string().contains(part), "{error} does not name {part}");
    }
    let nothing = Settings::default().check().unwrap_err();
    assert_eq!(nothing.problems.len(), 2, "{nothing}");
}

#[test]
fn an_identity_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("hub.pub", &format!("{}\n", key()));
    write("ca.crt", "CA");
    write("node.crt", "CERT");
    write("node.key", "KEY");
    write(
        "node.json",
        r#"{"name":"gw-1","mqtt_url":"mqtts://hub:8883","later":1,
            "registries":[{"host":"127.0.0.1:5000","scheme":"http"},{"host":"hub:5000","ca":"ca.crt","client_certificate":true}]}"#,
    );
    let config = flags(&["--identity", dir.path().to_str().unwrap()]).check().unwrap();
    assert_eq!((config.node.as_str(), config.run_dir.to_str()), ("gw-1", Some("/run/gannet/gw-1")));
    let mqtt = config.mqtt.unwrap();
    assert_eq!((mqtt.url.as_str(), mqtt.tls.unwrap().ca.as_str()), ("mqtts://hub:8883", "CA"));
    let registries: Vec<_> = config.registries.search.iter().map(|r| (r.host.as_str(), r.scheme)).collect();
    assert_eq!(
        registries,
        [("127.0.0.1:5000", Scheme::Http), ("hub:5000", Scheme::Https), ("docker.io", Scheme::Https)]
    );
    assert_eq!(config.registries.search[1].ca_pem.as_deref(), Some("CA"));
    assert!(config.registries.search[1].identity.is_some() && config.registries.search[0].identity.is_none());

    let over = flags(&[
        "--identity",
        dir.path().to_str().unwrap(),
        "--node-name",
        "other",
        "--registry",
        "https://r",
    ]);
    let config = over.check().unwrap();
    assert_eq!((config.node.as_str(), config.registries.search[0].host.as_str()), ("other", "r"));
}
