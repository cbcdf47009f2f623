//! The keys of the configuration file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use gannet_agent_devices::{ClassError, DeviceClass};
use gannet_protocols_model::{ByteSize, CpuMillis};
use toml::de::{DeTable, DeValue};

use super::amount::Amount;
use super::node::{Eviction, Logs, NodeSettings, Reserved};
use super::settings::{ConfigError, Settings};
use super::toml_file::{MAX_BYTES, Table, TomlFile};

const KEYS: [&str; 23] = [
    "data_dir",
    "run_dir",
    "identity",
    "node_name",
    "mqtt_url",
    "ca",
    "cert",
    "key",
    "hub_key",
    "registry",
    "registry_ca",
    "node_address",
    "bridge",
    "labels",
    "beat_interval",
    "keep_alive",
    "max_pods",
    "pod_pids_limit",
    "seccomp_dir",
    "reserved",
    "eviction",
    "logs",
    "device",
];
/// Those whose values are looked at later, with all that they depend on.
const CHECKED_LATER: [&str; 13] = [
    "identity",
    "node_name",
    "mqtt_url",
    "ca",
    "cert",
    "key",
    "hub_key",
    "registry",
    "registry_ca",
    "bridge",
    "labels",
    "beat_interval",
    "keep_alive",
];
const RESERVED_KEYS: [&str; 3] = ["cpu", "memory", "disk"];
const EVICTION_KEYS: [&str; 4] = ["memory_available", "disk_available", "inodes_free", "pids_available"];
const LOG_KEYS: [&str; 3] = ["max_size", "max_files", "total"];
const DEVICE_KEYS: [&str; 7] = ["name", "paths", "usb", "share", "together", "permissions", "container_path"];
/// More classes than a gateway has kinds of sockets.
const MOST_CLASSES: usize = 64;

/// Every key that there is, of the file and its tables.
#[cfg(test)]
pub(super) fn all_keys() -> Vec<&'static str> {
    [&KEYS[..], &RESERVED_KEYS, &EVICTION_KEYS, &LOG_KEYS, &DEVICE_KEYS].concat()
}

impl Settings {
    /// From the text of a file; `path` is what it is called in problems.
    pub(super) fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_BYTES {
            let problem = format!("{}: the file has more than {MAX_BYTES} bytes", path.display());
            return Err(ConfigError { problems: vec![problem] });
        }
        let mut file = TomlFile::new(path, text);
        let root = file.parse();
        let mut table = file.table(root.get_ref(), 0..0, "", &KEYS);
        let settings = settings(&mut table);
        if file.problems.is_empty() { Ok(settings) } else { Err(ConfigError { problems: file.problems }) }
    }
}

fn settings(table: &mut Table<'_, '_, '_>) -> Settings {
    let path = |table: &mut Table<'_, '_, '_>, key: &str| table.string(key).map(PathBuf::from);
    let places = CHECKED_LATER.iter().filter_map(|key| Some((*key, table.place(key)?))).collect();
    Settings {
        data_dir: path(table, "data_dir"),
        run_dir: path(table, "run_dir"),
        identity: path(table, "identity"),
        node_name: table.string("node_name"),
        mqtt_url: table.string("mqtt_url"),
        ca: path(table, "ca"),
        cert: path(table, "cert"),
        key: path(table, "key"),
        hub_key: table.string("hub_key"),
        registry: table.strings("registry"),
        registry_ca: path(table, "registry_ca"),
        node_address: table
            .parsed("node_address", |text| text.parse().map_err(|_| format!("{text:?} is no IPv4 address"))),
        bridge: table.string("bridge"),
        labels: labels(table),
        beat_interval: table.number("beat_interval"),
        keep_alive: table.number("keep_alive"),
        stop_pods_on_exit: false,
        node: node(table),
        places,
    }
}

/// A list of `KEY=VALUE`, or a table.
fn labels(table: &mut Table<'_, '_, '_>) -> Vec<String> {
    if !table.get("labels").is_some_and(|(value, _)| value.is_table()) {
        return table.strings("labels");
    }
    let taken = table.take("labels", "a table of strings", |value| {
        let entries = value.as_table()?.iter();
        entries.map(|(k, v)| Some(format!("{}={}", k.get_ref(), v.get_ref().as_str()?))).collect()
    });
    taken.unwrap_or_default()
}

fn node(table: &mut Table<'_, '_, '_>) -> NodeSettings {
    let usual = NodeSettings::default();
    let at_least_one = |table: &mut Table<'_, '_, '_>, key: &str, usual: u32| {
        let number = table.number(key).unwrap_or(usual);
        if number == 0 {
            table.problem(key, "at least 1 is needed");
        }
        number
    };
    NodeSettings {
        max_pods: at_least_one(table, "max_pods", usual.max_pods),
        pod_pids_limit: at_least_one(table, "pod_pids_limit", usual.pod_pids_limit),
        seccomp_dir: table.string("seccomp_dir").map_or(usual.seccomp_dir, PathBuf::from),
        reserved: below(table, "reserved", &RESERVED_KEYS, |t| Reserved {
            cpu: t.parsed("cpu", cpu).unwrap_or(usual.reserved.cpu),
            memory: t.parsed("memory", Amount::parse),
            disk: t.parsed("disk", Amount::parse).unwrap_or(usual.reserved.disk),
        })
        .unwrap_or(usual.reserved),
        eviction: below(table, "eviction", &EVICTION_KEYS, |t| Eviction {
            memory_available: t.parsed("memory_available", Amount::parse),
            disk_available: t
                .parsed("disk_available", Amount::parse)
                .unwrap_or(usual.eviction.disk_available),
            inodes_free: t.parsed("inodes_free", Amount::parse).unwrap_or(usual.eviction.inodes_free),
            pids_available: t
                .parsed("pids_available", Amount::parse)
                .unwrap_or(usual.eviction.pids_available),
        })
        .unwrap_or(usual.eviction),
        logs: below(table, "logs", &LOG_KEYS, |t| logs(t, usual.logs)).unwrap_or(usual.logs),
        devices: devices(table),
    }
}

fn cpu(text: &str) -> Result<CpuMillis, String> {
    CpuMillis::parse(text).map_err(|_| format!("{text:?} is no number of cores: use 0.5, 500m or 1"))
}

fn logs(table: &mut Table<'_, '_, '_>, usual: Logs) -> Logs {
    let size = |text: &str| {
        ByteSize::parse(text).map_err(|_| format!("{text:?} is no size: use 10Mi or a number of bytes"))
    };
    let logs = Logs {
        max_size: table.parsed("max_size", size).unwrap_or(usual.max_size),
        max_files: table.number("max_files").unwrap_or(usual.max_files),
        total: table.parsed("total", Amount::parse).unwrap_or(usual.total),
    };
    if logs.max_size.0 < 4096 {
        table.problem("max_size", "at least 4Ki is needed");
    }
    if !(1..=100).contains(&logs.max_files) {
        table.problem("max_files", "a number from 1 to 100 is needed");
    }
    logs
}

/// A table of the file by its keys; none where it is not there, or is no table.
fn below<T>(
    table: &mut Table<'_, '_, '_>,
    name: &str,
    keys: &[&str],
    read: impl FnOnce(&mut Table<'_, '_, '_>) -> T,
) -> Option<T> {
    let inner = table.take(name, "a table", DeValue::as_table)?;
    let (_, span) = table.get(name)?;
    Some(read(&mut table.file().table(inner, span, &format!("[{name}]"), keys)))
}

fn devices(table: &mut Table<'_, '_, '_>) -> Vec<DeviceClass> {
    let tables = table.take("device", "a list of tables, each as [[device]],", |value| {
        let entries = value.as_array()?.iter();
        entries.map(|v| Some((v.get_ref().as_table()?, v.span()))).collect::<Option<Vec<_>>>()
    });
    let mut classes: Vec<DeviceClass> = Vec::new();
    for (at, (inner, span)) in tables.unwrap_or_default().into_iter().enumerate() {
        if at == MOST_CLASSES {
            table.file().problem(span, format!("there are more than {MOST_CLASSES} device classes"));
            break;
        }
        let Some(class) = device(table.file(), inner, span.clone()) else { continue };
        if classes.iter().any(|c| c.name() == class.name()) {
            let text = format!("[[device]]: there are two classes of the name {:?}", class.name());
            table.file().problem(span, text);
            continue;
        }
        classes.push(class);
    }
    classes
}

/// One class; none where something is wrong with it, which was told then.
fn device(file: &mut TomlFile<'_>, table: &DeTable<'_>, span: Range<usize>) -> Option<DeviceClass> {
    let before = file.problems.len();
    let mut table = file.table(table, span, "[[device]]", &DEVICE_KEYS);
    let name = table.string("name");
    if name.is_none() && table.get("name").is_none() {
        table.problem("name", "name is needed");
    }
    let paths = table.strings("paths");
    let (usb, permissions) = (table.string("usb"), table.string("permissions"));
    let (together, container_path) = (table.boolean("together"), table.string("container_path"));
    let share = table.take("share", "true, false or how many pods may share a unit", |value| match value {
        DeValue::Boolean(shared) => Some(if *shared { DeviceClass::ANY_SHARE } else { 1 }),
        value => value.as_integer()?.as_str().parse::<u32>().ok(),
    });
    let mut class = match DeviceClass::new(&name?, &paths) {
        Ok(class) => class.together(together.unwrap_or(false)),
        Err(error) => {
            let key = if matches!(error, ClassError::Name { .. }) { "name" } else { "paths" };
            table.problem(key, &error.to_string());
            return None;
        }
    };
    if let Some(share) = share {
        class = apply(&mut table, "share", class, |c| c.share(share));
    }
    if let Some(text) = permissions {
        class = apply(&mut table, "permissions", class, |c| c.permissions(&text));
    }
    if let Some(path) = container_path {
        class = apply(&mut table, "container_path", class, |c| c.container_path(&path));
    }
    if let Some(id) = usb {
        class = apply(&mut table, "usb", class, |c| c.usb(&id));
    }
    let class = apply(&mut table, "paths", class, DeviceClass::finish);
    (file.problems.len() == before).then_some(class)
}

/// The class with a change; as it was where that cannot be.
fn apply(
    table: &mut Table<'_, '_, '_>,
    key: &str,
    class: DeviceClass,
    change: impl FnOnce(DeviceClass) -> Result<DeviceClass, ClassError>,
) -> DeviceClass {
    change(class.clone()).unwrap_or_else(|error| {
        table.problem(key, &error.to_string());
        class
    })
}
