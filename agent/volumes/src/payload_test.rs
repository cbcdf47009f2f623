use gannet_protocols_model::{Digest, KeyToPath, ProjectedVolume};
use proptest::prelude::*;

use super::*;

fn blob() -> ConfigBlob {
    ConfigBlob::new([("a".into(), b"1".to_vec()), ("b".into(), b"2".to_vec())])
}

fn files(source: &VolumeSource) -> Result<Payload, NoPayload> {
    let blob = |config: &ConfigVolume| match config.blob {
        None => Ok(None),
        Some(digest) if digest == blob().digest() => Ok(Some(blob())),
        Some(other) => Err(NoPayload::Blob(other)),
    };
    let downward = |value: &DownwardValue| match value {
        DownwardValue::Field(path) if path == "metadata.bogus" => Err("unsupported fieldPath".to_owned()),
        DownwardValue::Field(path) => Ok(format!("<{path}>")),
        DownwardValue::Resource(_) => Ok("7".to_owned()),
    };
    payload(source, &Data { blob: &blob, downward: &downward })
}

fn text(source: &VolumeSource) -> String {
    match files(source) {
        Ok(files) => {
            let file =
                |(p, f): (&String, &File)| format!("{p}={}:{:o} ", String::from_utf8_lossy(&f.bytes), f.mode);
            files.iter().map(file).collect()
        }
        Err(reason) => format!("{reason:?}"),
    }
}

fn config(items: &[(&str, &str, Option<u32>)]) -> ConfigVolume {
    let item = |(key, path, mode): &(&str, &str, Option<u32>)| KeyToPath {
        key: (*key).into(),
        path: (*path).into(),
        mode: *mode,
    };
    ConfigVolume {
        blob: Some(blob().digest()),
        missing: None,
        default_mode: 0o644,
        items: items.iter().map(item).collect(),
    }
}

fn check(items: &[(&str, &str, Option<u32>)], expect: &str) {
    let got = text(&VolumeSource::ConfigMap(config(items)));
    assert!(got.contains(expect), "{got} does not say {expect}");
}

#[test]
fn keys() {
    check(&[], "a=1:644 b=2:644 ");
    check(&[("a", "deep/er/x", Some(0o4777))], "deep/er/x=1:777 ");
    check(&[("c", "x", None)], "references non-existent config key: c");
    check(&[("a", "/etc/passwd", None)], "must be a relative path");
    check(&[("a", "../up", None)], "must not start with '..'");
    check(&[("a", "..data", None)], "must not start with '..'");
    check(&[("a", "x/../../up", None)], "must not contain '..'");
    check(&[("a", "x//y", None)], "empty parts");
    check(&[("a", "", None)], "1 to 4096 bytes");
    check(&[("a", "x\0y", None)], "must not contain");
    check(&[("a", &"x".repeat(256), None)], "must not contain");
    check(&[("a", "x", None), ("b", "x/y", None)], "lies in");
    let optional = ConfigVolume { blob: None, ..config(&[("a", "x", None)]) };
    assert_eq!(text(&VolumeSource::Secret(optional)), "");
    let missing = ConfigVolume { missing: Some("secret \"s\" not found".into()), ..config(&[]) };
    assert_eq!(
        files(&VolumeSource::Secret(missing)),
        Err(NoPayload::Missing("secret \"s\" not found".into()))
    );
    let away = ConfigVolume { blob: Some(Digest::of(b"away")), ..config(&[]) };
    assert_eq!(files(&VolumeSource::Secret(away)), Err(NoPayload::Blob(Digest::of(b"away"))));
}

#[test]
fn projections() {
    let check = |sources: Vec<ProjectedSource>, expect: &str| {
        let got = text(&VolumeSource::Projected(ProjectedVolume { default_mode: 0o440, sources }));
        assert!(got.contains(expect), "{got} does not say {expect}");
    };
    let field = |path: &str, field: &str, mode| DownwardFile {
        path: path.into(),
        value: DownwardValue::Field(field.into()),
        mode,
    };
    check(
        vec![
            ProjectedSource::ConfigMap(config(&[])),
            ProjectedSource::Secret(config(&[("a", "b", Some(0o400))])),
            ProjectedSource::DownwardApi(vec![field("pod/name", "metadata.name", None)]),
        ],
        // The later source wins; the volume's mode and not that of the source.
        "a=1:440 b=1:400 pod/name=<metadata.name>:440 ",
    );
    check(
        vec![
            ProjectedSource::ConfigMap(config(&[])),
            ProjectedSource::DownwardApi(vec![field("a/b", "metadata.name", None)]),
        ],
        "lies in",
    );
    check(
        vec![ProjectedSource::DownwardApi(vec![field("../x", "metadata.name", None)])],
        "must not start with '..'",
    );
    check(
        vec![ProjectedSource::DownwardApi(vec![field("x", "metadata.bogus", None)])],
        "unsupported fieldPath",
    );
}

proptest! {
    /// Whatever stands in an item, a file of the payload lies below its folder, and never where `..data` is.
    #[test]
    fn no_path_leads_out(path in "[a./ \\\\\u{0}-]{0,12}|(\\.\\.?/?){0,6}[a-z/]{0,6}") {
        let Ok(files) = files(&VolumeSource::ConfigMap(config(&[("a", &path, None)]))) else { return Ok(()) };
        for path in files.keys() {
            let mut depth = 0;
            for part in std::path::Path::new(path).components() {
                prop_assert!(matches!(part, std::path::Component::Normal(_)), "{path:?}");
                depth += 1;
            }
            prop_assert!(depth > 0 && !path.starts_with("..") && !path.contains('\0'), "{path:?}");
        }
    }
}
