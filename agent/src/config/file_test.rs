use std::path::Path;

use super::amount::Amount;
use super::testing::{flags, key};
use super::{NodeSettings, Settings};

fn read(text: &str) -> Result<Settings, Vec<String>> {
    Settings::from_toml(Path::new("a.toml"), text).map_err(|e| e.problems)
}

#[test]
fn flags_win() {
    let text = format!(
        "node_name = 'a'\nhub_key = '{}'\nlabels = ['site=x']\nbeat_interval = 5\nregistry = 'http://r:1'\n\
         [reserved]\nmemory = '32Mi'\ncpu = 0.5\n[logs]\ntotal = '1Gi'\n[eviction]\ndisk_available = 1000\n",
        key()
    );
    let file = read(&text).unwrap();
    let config = flags(&["--node-name", "b"]).over(file).check().unwrap();
    assert_eq!((config.node.as_str(), config.beat_interval.as_secs()), ("b", 5));
    assert_eq!((config.labels["site"].as_str(), config.registries.search[0].host.as_str()), ("x", "r:1"));
    assert!(config.mqtt.is_none(), "without a broker the agent works offline");
    let settings = config.settings;
    assert_eq!((settings.reserved.memory, settings.reserved.cpu.0), (Some(Amount::Of(32 << 20)), 500));
    assert_eq!((settings.logs.total, settings.logs.max_files), (Amount::Of(1 << 30), 3));
    assert_eq!(settings.eviction.disk_available, Amount::Of(1000));
    let table = read("[labels]\nsite = 'y'\nrack = '2'\n").unwrap();
    assert_eq!(table.labels, ["rack=2", "site=y"]);
    assert_eq!(read("").unwrap().node, NodeSettings::default());
}

#[test]
fn device_classes() {
    let settings = read(
        r#"
[[device]]
name = "modbus"
paths = ["/dev/ttyUSB*", "/dev/ttyACM*"]
share = false

[[device]]
name = "camera"
paths = "/dev/video0"
share = 3
permissions = "r"
container_path = "/dev/video"

[[device]]
name = "can-stick"
usb = "1d50:606f"
share = true

[[device]]
name = "hat"
paths = ["/dev/spidev0.0", "/dev/i2c-1"]
together = true
"#,
    )
    .unwrap();
    let names: Vec<_> = settings.node.devices.iter().map(|d| d.resource()).collect();
    let expect = ["modbus", "camera", "can-stick", "hat"].map(|n| format!("devices.gannet.dev/{n}"));
    assert_eq!(names, expect);
}

/// Each text has these problems, all of them told at once.
#[test]
fn problems_have_their_place() {
    for (text, expect) in [
        ("node-name = 'a'", &["a.toml:1: unknown key \"node-name\": did you mean \"node_name\"?"][..]),
        (
            "\nbeat_intervall = 3\n[reserve]\ncpu = 1\n",
            &[
                "a.toml:2: unknown key \"beat_intervall\": did you mean \"beat_interval\"?",
                "a.toml:3: unknown key \"reserve\": did you mean \"reserved\"?",
            ],
        ),
        (
            "[reserved]\nmem = '1Gi'\ndisk = '120%'\n",
            &[
                "a.toml:2: unknown key \"mem\" in [reserved]: did you mean \"memory\"?",
                "a.toml:3: reserved.disk: \"120%\" is not an amount: use 100Mi, 1G, 5% or a plain number",
            ],
        ),
        (
            "[logs]\nfoo = 1",
            &["a.toml:2: unknown key \"foo\" in [logs]: there are max_size, max_files, total"],
        ),
        (
            "beat_interval = '5s'",
            &["a.toml:1: beat_interval is \"5s\", a whole number from 0 on that is not too large is needed"],
        ),
        (
            "max_pods = -1",
            &["a.toml:1: max_pods is -1, a whole number from 0 on that is not too large is needed"],
        ),
        ("max_pods = 0", &["a.toml:1: max_pods: at least 1 is needed"]),
        ("node_address = '::1'", &["a.toml:1: node_address: \"::1\" is no IPv4 address"]),
        ("registry = [1]", &["a.toml:1: registry is a value of type array, a list of strings is needed"]),
        ("reserved = 1", &["a.toml:1: reserved is 1, a table is needed"]),
        ("device = 1", &["a.toml:1: device is 1, a list of tables, each as [[device]], is needed"]),
        (
            "[logs]\nmax_size = 1\nmax_files = 0",
            &[
                "a.toml:2: logs.max_size: at least 4Ki is needed",
                "a.toml:3: logs.max_files: a number from 1 to 100 is needed",
            ],
        ),
        (
            "[reserved]\ncpu = 'much'",
            &["a.toml:2: reserved.cpu: \"much\" is no number of cores: use 0.5, 500m or 1"],
        ),
        ("[[device]]\npaths = ['/dev/null']", &["a.toml:1: [[device]]: name is needed"]),
        (
            "[[device]]\nname = 'A'\npaths = ['/dev/null']",
            &[
                "a.toml:2: device.name: name \"A\" is no DNS label: 1 to 63 lower-case letters, digits and '-', starting and ending with a letter or digit",
            ],
        ),
        (
            "[[device]]\nname = 'a'\npaths = ['null']\n[[device]]\nname = 'b'\nshare = 0\npaths = ['/x']\n[[device]]\nname = 'c'\n",
            &[
                "a.toml:3: device.paths: path \"null\" is not valid: it must be absolute, as /dev/ttyUSB*",
                "a.toml:6: device.share: share 0 is not between 1 and 1000",
                "a.toml:8: [[device]]: paths is empty: at least one path such as \"/dev/ttyUSB*\", or usb = \"VVVV:PPPP\", is needed",
            ],
        ),
        (
            "[[device]]\nname = 'a'\npaths = ['/x']\n[[device]]\nname = 'a'\npaths = ['/y']\n",
            &["a.toml:4: [[device]]: there are two classes of the name \"a\""],
        ),
        (
            "[[device]]\nname = 'a'\npath = ['/x']\nshare = 'yes'",
            &[
                "a.toml:3: unknown key \"path\" in [[device]]: did you mean \"paths\"?",
                "a.toml:4: device.share is \"yes\", true, false or how many pods may share a unit is needed",
                "a.toml:1: [[device]]: paths is empty: at least one path such as \"/dev/ttyUSB*\", or usb = \"VVVV:PPPP\", is needed",
            ],
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), expect, "{text}");
    }
    // What is no TOML at all is told by line, and the rest is read all the same.
    let problems = read("node_name = \n[[[x\nbeat = 1").unwrap_err();
    assert!(problems[0].starts_with("a.toml:1: ") && problems.len() >= 2, "{problems:?}");
}

#[test]
fn what_is_checked_later_has_its_place_too() {
    let file = read(
        "node_name = 'No'\nbeat_interval = 0\nkeep_alive = 0\nmqtt_url = 'x'\nbridge = ''\nlabels = ['x']",
    )
    .unwrap();
    let error = flags(&["--beat-interval", "0", "--hub-key", &key()]).over(file).check().unwrap_err();
    let beginnings = [
        "a.toml:1: node_name: ",
        "a.toml:4: mqtt_url \"x\"",
        "a.toml:3: keep_alive is 0",
        "a.toml:6: labels: label \"x\"",
        "--beat-interval is 0",
        "a.toml:5: bridge \"\"",
    ];
    for (problem, begin) in error.problems.iter().zip(beginnings) {
        assert!(problem.starts_with(begin), "{problem} does not start with {begin}");
    }
    assert_eq!(error.problems.len(), beginnings.len(), "{error}");
}

/// Every key stands in the example, and with the marks taken away it is a configuration.
#[test]
fn the_example_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/agent.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let whole: String = text
        .lines()
        .map(|line| line.strip_prefix("#").filter(|l| !l.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let settings = Settings::from_toml(&path, &whole).unwrap();
    assert_eq!(settings.node.devices.len(), 5);
    for key in super::file::all_keys() {
        assert!(
            whole.lines().any(|line| line.starts_with(&format!("{key} = "))
                || line == format!("[{key}]")
                || line == format!("[[{key}]]")),
            "{key} is not in the example"
        );
    }
    let as_it_is = Settings::from_toml(&path, &text).unwrap();
    let usual = NodeSettings { devices: as_it_is.node.devices.clone(), ..NodeSettings::default() };
    assert_eq!(as_it_is.node, usual, "what stands there as the default is the default");
}
